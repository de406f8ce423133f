//! [`Simd`] on [`wide`]: SSE2 on any x86-64, NEON on any aarch64, plain Rust elsewhere.

use super::{Kernel, Simd};
use wide::{f32x8, i32x8};

/// The portable instruction set; every CPU has it.
#[derive(Clone, Copy)]
pub struct Portable;

impl Simd for Portable {
    type V = f32x8;
    const LANES: usize = 8;
    type Eight = Portable;

    #[inline(always)]
    fn eight(self) -> Portable {
        self
    }

    #[inline(never)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> f32x8 {
        let mut head = [0f32; 8];
        head.copy_from_slice(&values[..8]);
        f32x8::new(head)
    }
    #[inline(always)]
    fn store(self, v: f32x8, out: &mut [f32]) {
        out[..8].copy_from_slice(&v.to_array());
    }
    #[inline(always)]
    unsafe fn load_at(self, at: *const f32) -> f32x8 {
        // SAFETY: the caller's promise: readable for eight values.
        f32x8::new(unsafe { at.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_at(self, v: f32x8, at: *mut f32) {
        // SAFETY: the caller's promise: writable for eight values.
        unsafe { at.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    unsafe fn eights_at(self, at: [*const f32; 2]) -> f32x8 {
        // SAFETY: the caller's promise: the first place is readable for eight values.
        unsafe { self.load_at(at[0]) }
    }
    #[inline(always)]
    unsafe fn eights_f16_at(self, at: [*const u16; 2]) -> f32x8 {
        // SAFETY: the caller's promise: the first place is readable for eight values.
        self.load_f16(&unsafe { at[0].cast::<[u16; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn eights_bf16_at(self, at: [*const u16; 2]) -> f32x8 {
        // SAFETY: the caller's promise: the first place is readable for eight values.
        self.load_bf16(&unsafe { at[0].cast::<[u16; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn eight_at(self, at: *const f32) -> f32x8 {
        // SAFETY: the caller's promise: readable for eight values.
        unsafe { self.load_at(at) }
    }
    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_min(b)
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        a.fast_max(b)
    }
    #[inline(always)]
    fn fma(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn round(self, v: f32x8) -> f32x8 {
        // Adding 1.5 * 2^23 leaves no bits for a fraction: the addition itself rounds to nearest even.
        let shift = f32x8::splat(12_582_912.0);
        (v + shift) - shift
    }
    #[inline(always)]
    fn power_of_two(self, n: f32x8) -> f32x8 {
        // 1.5 * 2^23 + n holds n in the low bits of its mantissa; moved up they are an exponent.
        let bits: i32x8 = bytemuck::cast(n + f32x8::splat(12_582_912.0 + 127.0));
        bytemuck::cast(bits << 23)
    }
    #[inline(always)]
    fn select_less(self, a: f32x8, b: f32x8, yes: f32x8, no: f32x8) -> f32x8 {
        a.simd_lt(b).bitselect(yes, no)
    }
    #[inline(always)]
    fn sum(self, v: f32x8) -> f32 {
        let a = v.to_array();
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn sums_of_eights(self, v: [f32x8; 4]) -> [f32; 8] {
        let mut sums = [0f32; 8];
        for (sum, v) in sums.iter_mut().zip(v) {
            *sum = self.sum(v);
        }
        sums
    }
    #[inline(always)]
    fn largest(self, v: f32x8) -> f32 {
        v.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max)
    }
    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> f32x8 {
        let mut head = [0u16; 8];
        head.copy_from_slice(&bits[..8]);
        f32x8::new(half8::widen(&head))
    }
    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> f32x8 {
        let mut wide = [0f32; 8];
        for (w, b) in wide.iter_mut().zip(&bits[..8]) {
            *w = f32::from_bits(u32::from(*b) << 16);
        }
        f32x8::new(wide)
    }
    #[inline(always)]
    fn store_f16(self, v: f32x8, bits: &mut [u16]) {
        bits[..8].copy_from_slice(&half8::narrow(&v.to_array()));
    }
    #[inline(always)]
    fn load_i8(self, codes: &[i8]) -> f32x8 {
        let mut wide = [0f32; 8];
        for (w, c) in wide.iter_mut().zip(&codes[..8]) {
            *w = f32::from(*c);
        }
        f32x8::new(wide)
    }
}

/// Eight half floats: by the CPU's conversions on aarch64, which has them from the first.
#[cfg(target_arch = "aarch64")]
mod half8 {
    use std::arch::aarch64::*;
    use std::arch::asm;

    #[inline(always)]
    pub fn widen(bits: &[u16; 8]) -> [f32; 8] {
        let mut out = [0f32; 8];
        // SAFETY: fcvtl is part of NEON, which every aarch64 CPU has; the arrays hold what is read and written.
        unsafe {
            let bits = vld1q_u16(bits.as_ptr());
            let (low, high): (float32x4_t, float32x4_t);
            asm!("fcvtl {0:v}.4s, {2:v}.4h", "fcvtl2 {1:v}.4s, {2:v}.8h",
                out(vreg) low, out(vreg) high, in(vreg) bits, options(pure, nomem, nostack, preserves_flags));
            vst1q_f32(out.as_mut_ptr(), low);
            vst1q_f32(out.as_mut_ptr().add(4), high);
        }
        out
    }

    #[inline(always)]
    pub fn narrow(values: &[f32; 8]) -> [u16; 8] {
        let mut out = [0u16; 8];
        // SAFETY: fcvtn is part of NEON, which every aarch64 CPU has; the arrays hold what is read and written.
        unsafe {
            let low = vld1q_f32(values.as_ptr());
            let high = vld1q_f32(values.as_ptr().add(4));
            let bits: uint16x8_t;
            asm!("fcvtn {0:v}.4h, {1:v}.4s", "fcvtn2 {0:v}.8h, {2:v}.4s",
                out(vreg) bits, in(vreg) low, in(vreg) high, options(pure, nomem, nostack, preserves_flags));
            vst1q_u16(out.as_mut_ptr(), bits);
        }
        out
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod half8 {
    #[inline(always)]
    pub fn widen(bits: &[u16; 8]) -> [f32; 8] {
        bits.map(|b| half::f16::from_bits(b).to_f32())
    }

    #[inline(always)]
    pub fn narrow(values: &[f32; 8]) -> [u16; 8] {
        values.map(|v| half::f16::from_f32(v).to_bits())
    }
}
