//! The one instruction that differs: products of signed bytes, added up in 32 bits.
//!
//! `sdot` and `smmla` are written as assembly since their intrinsics are not stable in Rust.

use std::arch::aarch64::*;
use std::arch::asm;
use std::hint::black_box;

/// Four sums of 0.
#[inline(always)]
pub fn zeros() -> int32x4_t {
    // SAFETY: NEON is part of aarch64.
    unsafe { vdupq_n_s32(0) }
}

/// Products of sixteen pairs of bytes.
pub trait Multiply: Copy {
    /// Adds the products to four sums; which lane a product goes to is up to the instruction.
    /// # Safety
    /// The CPU must have the instruction; |a| ≤ 128, |b| ≤ 127.
    unsafe fn dot(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t;

    /// Multiply-adds of [`Multiply::peak`].
    const PEAK: usize = 16;
    /// The instruction that multiplies most.
    /// # Safety
    /// The CPU must have the instruction.
    #[inline(always)]
    unsafe fn peak(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller's promise: the CPU has the instruction.
        unsafe { Self::dot(sums, a, b) }
    }
}

/// Sums in flight in [`peak`]: four cycles of latency on up to four ports.
const PEAK_SUMS: usize = 12;

/// Multiply-adds in a round of [`peak`].
pub const fn peak_products<M: Multiply>() -> usize {
    PEAK_SUMS * M::PEAK
}

/// See [`crate::isa::Peak`].
/// # Safety
/// The CPU must have `M`'s instruction.
#[inline(always)]
pub unsafe fn peak<M: Multiply>(rounds: usize) {
    // SAFETY: the caller's promise: the CPU has the instruction. NEON is part of aarch64.
    unsafe {
        // What the compiler doesn't know to be equal it can't merge.
        let mut sums = black_box([zeros(); PEAK_SUMS]);
        let factors = black_box([vdupq_n_s8(1); PEAK_SUMS]);
        let other = vdupq_n_s8(1);
        for _ in 0..rounds {
            // One load a round keeps products from being computed once for all rounds.
            let other = *black_box(&other);
            for (sum, factor) in sums.iter_mut().zip(factors) {
                *sum = M::peak(*sum, factor, other);
            }
        }
        black_box(sums);
    }
}

/// NEON alone.
#[derive(Clone, Copy)]
pub struct Widening;
/// FEAT_DotProd.
#[derive(Clone, Copy)]
pub struct Sdot;
/// FEAT_I8MM, with FEAT_DotProd for the dots.
#[derive(Clone, Copy)]
pub struct Smmla;

impl Multiply for Widening {
    #[inline(always)]
    unsafe fn dot(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: NEON is part of aarch64.
        unsafe {
            // Two products to a 16-bit lane: 2 · 128 · 127 < 2^15.
            let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
            vpadalq_s16(sums, vmlal_high_s8(low, a, b))
        }
    }
}

impl Multiply for Sdot {
    #[inline(always)]
    unsafe fn dot(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller's promise: the CPU has dotprod. Registers go in and out, nothing else.
        unsafe {
            asm!(".arch_extension dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b",
                inout(vreg) sums, in(vreg) a, in(vreg) b, options(pure, nomem, nostack, preserves_flags));
        }
        sums
    }
}

impl Multiply for Smmla {
    #[inline(always)]
    unsafe fn dot(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller's promise: the CPU has the set's instructions, of which `sdot` is one.
        unsafe { Sdot::dot(sums, a, b) }
    }

    const PEAK: usize = 32;
    #[inline(always)]
    unsafe fn peak(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
        // SAFETY: the caller's promise: the CPU has i8mm.
        unsafe { smmla(sums, a, b) }
    }
}

/// `sums` (lane r) += bytes 4 r .. 4 r + 4 of `a` · bytes 4 `K` .. 4 `K` + 4 of `b`.
/// # Safety
/// The CPU must have dotprod.
#[inline(always)]
pub unsafe fn sdot_word<const K: usize>(
    mut sums: int32x4_t,
    a: int8x16_t,
    b: int8x16_t,
) -> int32x4_t {
    // SAFETY: the caller's promise: the CPU has dotprod. Registers go in and out, nothing else.
    unsafe {
        asm!(".arch_extension dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.4b[{3}]",
            inout(vreg) sums, in(vreg) a, in(vreg) b, const K, options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// A 2 x 2 product: lane 2 i + j += half i of `a` · half j of `b`.
/// # Safety
/// The CPU must have i8mm.
#[inline(always)]
pub unsafe fn smmla(mut sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's promise: the CPU has i8mm. Registers go in and out, nothing else.
    unsafe {
        asm!(".arch_extension i8mm", "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b",
            inout(vreg) sums, in(vreg) a, in(vreg) b, options(pure, nomem, nostack, preserves_flags));
    }
    sums
}
