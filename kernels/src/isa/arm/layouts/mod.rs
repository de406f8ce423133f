//! How the blocks of the types unpack with NEON: one [`Layout`] a type, in units of 256 codes. Here the common types; those
//! whose codes are points of a grid are in [`grid`], those of very few bits and the rest in [`narrow`].
//!
//! Functions of values are safe: they need NEON, which every aarch64 CPU has. What reads memory says what it reads; a layout
//! reads no byte outside the blocks it is asked for.

pub use crate::isa::blocks::*;
use std::arch::aarch64::*;

/// Scales and mins of one unit: eight groups of 32 in the first two vectors, or sixteen of 16: those of all first halves of
/// runs, then of all second halves.
#[derive(Clone, Copy)]
pub struct Head {
    /// Scales.
    pub scales: [float32x4_t; 4],
    /// Mins, where the type has any.
    pub mins: [float32x4_t; 4],
}

/// How a type's blocks unpack.
pub trait Layout: Blocks {
    /// What `codes` has added to the type's codes, so that unpacking them needs no subtraction.
    const BIAS: i8;

    /// Scales and mins of the unit at `unit`.
    /// # Safety
    /// All blocks of the unit must be there to read.
    unsafe fn head(unit: *const u8) -> Head;
    /// Codes 32 · `run` and on.
    /// # Safety
    /// All blocks of the unit at `unit` must be there to read; `run` is below 8.
    unsafe fn codes(unit: *const u8, run: usize) -> [int8x16_t; 2];
}

/// # Safety
/// 16 bytes must be there to read.
#[inline(always)]
unsafe fn load(at: *const u8) -> uint8x16_t {
    // SAFETY: the caller's promise: 16 bytes.
    unsafe { vld1q_u8(at) }
}

/// # Safety
/// 32 bytes must be there to read.
#[inline(always)]
unsafe fn load2(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: the caller's promise: 32 bytes.
    unsafe { [load(at), load(at.add(16))] }
}

/// # Safety
/// 4 bytes must be there to read.
#[inline(always)]
unsafe fn word(at: *const u8) -> u32 {
    // SAFETY: the caller's promise: 4 bytes.
    unsafe { at.cast::<u32>().read_unaligned() }
}

/// # Safety
/// 2 bytes must be there to read.
#[inline(always)]
unsafe fn half_bits(at: *const u8) -> u16 {
    // SAFETY: the caller's promise: 2 bytes.
    unsafe { at.cast::<u16>().read_unaligned() }
}

#[inline]
#[target_feature(enable = "neon")]
fn bytes(values: [u8; 16]) -> uint8x16_t {
    // SAFETY: the array has what is read.
    unsafe { vld1q_u8(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn shorts(values: [u16; 8]) -> uint16x8_t {
    // SAFETY: the array has what is read.
    unsafe { vld1q_u16(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn words(values: [u32; 4]) -> uint32x4_t {
    // SAFETY: the array has what is read.
    unsafe { vld1q_u32(values.as_ptr()) }
}

/// Counts of bits to shift by.
#[inline]
#[target_feature(enable = "neon")]
fn counts(values: [i32; 4]) -> int32x4_t {
    // SAFETY: the array has what is read.
    unsafe { vld1q_s32(values.as_ptr()) }
}

/// Half-precision numbers to floats.
#[inline]
#[target_feature(enable = "neon")]
fn widened(halves: uint16x8_t) -> [float32x4_t; 2] {
    let halves = vreinterpretq_f16_u16(halves);
    [
        vcvt_f32_f16(vget_low_f16(halves)),
        vcvt_high_f32_f16(halves),
    ]
}

/// A half-precision number in all lanes.
#[inline]
#[target_feature(enable = "neon")]
fn splat(half: u16) -> float32x4_t {
    vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)))
}

/// The half-precision number at `at` in all lanes.
/// # Safety
/// 2 bytes must be there to read.
#[inline(always)]
unsafe fn splat_half(at: *const u8) -> float32x4_t {
    // SAFETY: the caller's promise: 2 bytes; NEON is part of aarch64.
    unsafe { splat(half_bits(at)) }
}

/// The scales of eight blocks, half-precision numbers `step` bytes apart.
/// # Safety
/// All of them must be there to read.
#[inline(always)]
unsafe fn halves(at: *const u8, step: usize) -> [float32x4_t; 2] {
    // SAFETY: the caller's promise: two bytes every `step`; NEON is part of aarch64.
    unsafe {
        widened(shorts([
            half_bits(at),
            half_bits(at.add(step)),
            half_bits(at.add(2 * step)),
            half_bits(at.add(3 * step)),
            half_bits(at.add(4 * step)),
            half_bits(at.add(5 * step)),
            half_bits(at.add(6 * step)),
            half_bits(at.add(7 * step)),
        ]))
    }
}

/// The heads of eight blocks, `step` bytes apart: a scale, then an added minimum.
/// # Safety
/// All of them must be there to read.
#[inline(always)]
unsafe fn with_added(at: *const u8, step: usize) -> Head {
    // SAFETY: the caller's promise: four bytes every `step`; NEON is part of aarch64.
    unsafe {
        let pair = |block: usize| word(at.add(block * step));
        let low = vreinterpretq_u16_u32(words([pair(0), pair(1), pair(2), pair(3)]));
        let high = vreinterpretq_u16_u32(words([pair(4), pair(5), pair(6), pair(7)]));
        let added = widened(vuzp2q_u16(low, high));
        with_mins(
            widened(vuzp1q_u16(low, high)),
            [vnegq_f32(added[0]), vnegq_f32(added[1])],
        )
    }
}

/// Scales and mins of eight groups.
#[inline]
#[target_feature(enable = "neon")]
fn with_mins(scales: [float32x4_t; 2], mins: [float32x4_t; 2]) -> Head {
    Head {
        scales: [scales[0], scales[1], scales[0], scales[1]],
        mins: [mins[0], mins[1], mins[0], mins[1]],
    }
}

/// The scales of eight groups, without mins.
#[inline]
#[target_feature(enable = "neon")]
fn only(scales: [float32x4_t; 2]) -> Head {
    with_mins(scales, [vdupq_n_f32(0.0); 2])
}

/// The scales of sixteen groups, without mins: of first halves, then of second halves.
#[inline]
#[target_feature(enable = "neon")]
fn only_halves(first: [float32x4_t; 2], second: [float32x4_t; 2]) -> Head {
    Head {
        scales: [first[0], first[1], second[0], second[1]],
        mins: [vdupq_n_f32(0.0); 4],
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn times(v: [float32x4_t; 2], factor: float32x4_t) -> [float32x4_t; 2] {
    [vmulq_f32(v[0], factor), vmulq_f32(v[1], factor)]
}

/// Integers to floats.
#[inline]
#[target_feature(enable = "neon")]
fn floats(v: int16x8_t) -> [float32x4_t; 2] {
    [
        vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))),
        vcvtq_f32_s32(vmovl_high_s16(v)),
    ]
}

/// The signed bytes at even places, times a scale.
#[inline]
#[target_feature(enable = "neon")]
fn even_bytes(bytes: int8x16_t, scale: float32x4_t) -> [float32x4_t; 2] {
    let even = vshlq_n_s16::<8>(vreinterpretq_s16_s8(bytes));
    times(floats(vshrq_n_s16::<8>(even)), scale)
}

/// The signed bytes at odd places, times a scale.
#[inline]
#[target_feature(enable = "neon")]
fn odd_bytes(bytes: int8x16_t, scale: float32x4_t) -> [float32x4_t; 2] {
    times(floats(vshrq_n_s16::<8>(vreinterpretq_s16_s8(bytes))), scale)
}

/// Sixteen scales from signed bytes, times a number of their own.
#[inline]
#[target_feature(enable = "neon")]
fn multiples(bytes: int8x16_t, scale: float32x4_t) -> Head {
    only_halves(even_bytes(bytes, scale), odd_bytes(bytes, scale))
}

#[inline]
#[target_feature(enable = "neon")]
fn signed(v: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    [vreinterpretq_s8_u8(v[0]), vreinterpretq_s8_u8(v[1])]
}

/// (bytes << left or >> right) & mask; constants once it is inlined.
#[inline]
#[target_feature(enable = "neon")]
fn bits(v: [uint8x16_t; 2], shift_left: isize, mask: u8) -> [uint8x16_t; 2] {
    let by = vdupq_n_s8(shift_left as i8);
    masked([vshlq_u8(v[0], by), vshlq_u8(v[1], by)], mask)
}

#[inline]
#[target_feature(enable = "neon")]
fn or(a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    [vorrq_u8(a[0], b[0]), vorrq_u8(a[1], b[1])]
}

/// 16 bytes to 32 nibbles: the low ones, then the high ones.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: uint8x16_t) -> [uint8x16_t; 2] {
    [vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8::<4>(bytes)]
}

/// 32 bits to bytes of all ones or none.
#[inline]
#[target_feature(enable = "neon")]
fn bit_masks(word: u32) -> [uint8x16_t; 2] {
    let bits = vreinterpretq_u8_u32(vdupq_n_u32(word));
    // Each byte of bits to the eight lanes that take one bit of it.
    let spread = bytes([0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    let mask = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let low = vqtbl1q_u8(bits, spread);
    let high = vqtbl1q_u8(bits, vaddq_u8(spread, vdupq_n_u8(2)));
    [vtstq_u8(low, mask), vtstq_u8(high, mask)]
}

/// Both vectors, the bits of the mask.
#[inline]
#[target_feature(enable = "neon")]
fn masked(v: [uint8x16_t; 2], mask: u8) -> [uint8x16_t; 2] {
    let mask = vdupq_n_u8(mask);
    [vandq_u8(v[0], mask), vandq_u8(v[1], mask)]
}

/// 32 bits to bytes of 0 or 16.
#[inline]
#[target_feature(enable = "neon")]
fn fifth_bits(word: u32) -> [uint8x16_t; 2] {
    masked(bit_masks(word), 16)
}

/// Nibbles to what a table has for them.
#[inline]
#[target_feature(enable = "neon")]
fn looked_up(table: &[i8; 16], nibbles: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: the table has what is read.
    let table = unsafe { vld1q_s8(table.as_ptr()) };
    [vqtbl1q_s8(table, nibbles[0]), vqtbl1q_s8(table, nibbles[1])]
}

/// The layout of a type: its head by the place of the unit, its codes by that and the number of the run.
macro_rules! large {
    ($name:ident, bias: $bias:expr, |$unit:ident| $head:expr, |$at:ident, $run:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: i8 = $bias;
            #[inline(always)]
            unsafe fn head($unit: *const u8) -> Head {
                // SAFETY: the caller's promise: all blocks of the unit can be read, and nothing outside them is. NEON is part
                // of aarch64.
                unsafe { $head }
            }
            #[inline(always)]
            unsafe fn codes($at: *const u8, $run: usize) -> [int8x16_t; 2] {
                // SAFETY: the caller's promise: all blocks of the unit can be read, and nothing outside them is. NEON is part
                // of aarch64.
                unsafe { $codes }
            }
        }
    };
}

/// The layout of a type of 32-blocks, whose codes depend on their block alone.
macro_rules! small {
    ($name:ident, bias: $bias:expr, |$unit:ident| $head:expr, |$block:ident| $codes:expr) => {
        large!($name, bias: $bias, |$unit| $head, |at, run| {
            let $block = at.add(run * $name::BYTES);
            $codes
        });
    };
}

small!(Q4_0, bias: 8,
    |unit| only(halves(unit, Q4_0::BYTES)),
    |block| signed(nibbles(load(block.add(2)))));
small!(Q4_1, bias: 0,
    |unit| with_added(unit, Q4_1::BYTES),
    |block| signed(nibbles(load(block.add(4)))));
small!(Q5_0, bias: 16,
    |unit| only(halves(unit, Q5_0::BYTES)),
    |block| signed(or(nibbles(load(block.add(6))), fifth_bits(word(block.add(2))))));
small!(Q5_1, bias: 0,
    |unit| with_added(unit, Q5_1::BYTES),
    |block| signed(or(nibbles(load(block.add(8))), fifth_bits(word(block.add(4))))));
small!(Q8_0, bias: 0,
    |unit| only(halves(unit, Q8_0::BYTES)),
    |block| signed(load2(block.add(2))));
small!(IQ4_NL, bias: 0,
    |unit| only(halves(unit, IQ4_NL::BYTES)),
    |block| looked_up(&crate::quant::iq4_nl::CODES, nibbles(load(block.add(2)))));
small!(MXFP4, bias: 0,
    |unit| {
        let exponent = |block: usize| byte(unit, block * MXFP4::BYTES) as u32;
        let low = words([exponent(0), exponent(1), exponent(2), exponent(3)]);
        let high = words([exponent(4), exponent(5), exponent(6), exponent(7)]);
        only([half_powers(low), half_powers(high)])
    },
    |block| looked_up(&crate::quant::mxfp4::CODES, nibbles(load(block.add(1)))));

/// 2 to the power of `exponent − 128`, see `quant::mxfp4`.
#[inline]
#[target_feature(enable = "neon")]
fn half_powers(exponents: uint32x4_t) -> float32x4_t {
    let one = vdupq_n_u32(1);
    let normal = vshlq_n_u32::<23>(vsubq_u32(exponents, one));
    // The two smallest are subnormal: a bit of the mantissa.
    let subnormal = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(exponents));
    vreinterpretq_f32_u32(vbslq_u32(vcgtq_u32(exponents, one), normal, subnormal))
}

/// The 6-bit scales and mins of Q4_K and Q5_K, four bytes at a time (see `quant/q4_k.rs`).
/// # Safety
/// 16 bytes must be there to read.
#[inline(always)]
unsafe fn k_scales(unit: *const u8) -> Head {
    // SAFETY: the caller's promise: 16 bytes; NEON is part of aarch64.
    unsafe {
        let (a, b, c) = (word(unit.add(4)), word(unit.add(8)), word(unit.add(12)));
        let both = vreinterpretq_s8_u32(words([
            a & 0x3f3f_3f3f,
            c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030,
            b & 0x3f3f_3f3f,
            c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030,
        ]));
        with_mins(
            times(floats(vmovl_s8(vget_low_s8(both))), splat_half(unit)),
            times(floats(vmovl_high_s8(both)), splat_half(unit.add(2))),
        )
    }
}

/// One bit pair of each of 32 bytes.
/// # Safety
/// 32 bytes from `at` + 32 · (`run` / 4) must be there to read.
#[inline(always)]
unsafe fn pairs(at: *const u8, run: usize) -> [uint8x16_t; 2] {
    // SAFETY: the caller's promise: those 32 bytes; NEON is part of aarch64.
    unsafe { bits(load2(at.add(run / 4 * 32)), -((run % 4 * 2) as isize), 3) }
}

large!(Q2_K, bias: 0,
    |unit| {
        let [low, high] = signed(nibbles(load(unit)));
        let (scale, min) = (splat_half(unit.add(80)), splat_half(unit.add(82)));
        Head { mins: multiples(high, min).scales, ..multiples(low, scale) }
    },
    |unit, run| signed(pairs(unit.add(16), run)));
large!(Q3_K, bias: 4,
    |unit| {
        // Twelve bytes: low nibbles of scales 0..8 and 8..16, then four times two high bits; biased by 32.
        let (a, b, c) = (word(unit.add(96)), word(unit.add(100)), word(unit.add(104)));
        let part = |low: u32, high: u32| low & 0x0f0f_0f0f | (high & 0x0303_0303) << 4;
        let packed = words([part(a, c), part(b, c >> 2), part(a >> 4, c >> 4), part(b >> 4, c >> 6)]);
        let scales = vsubq_s8(vreinterpretq_s8_u32(packed), vdupq_n_s8(32));
        multiples(scales, splat_half(unit.add(108)))
    },
    |unit, run| signed(or(pairs(unit.add(32), run), bits(load2(unit), 2 - run as isize, 4))));
large!(Q4_K, bias: 0,
    |unit| k_scales(unit),
    |unit, run| signed(bits(load2(unit.add(16 + run / 2 * 32)), -((run % 2 * 4) as isize), 15)));
large!(Q5_K, bias: 0,
|unit| k_scales(unit),
|unit, run| {
    let low = bits(load2(unit.add(48 + run / 2 * 32)), -((run % 2 * 4) as isize), 15);
    signed(or(low, bits(load2(unit.add(16)), 4 - run as isize, 16)))
});
large!(Q6_K, bias: 32,
|unit| multiples(vreinterpretq_s8_u8(load(unit.add(192))), splat_half(unit.add(208))),
|unit, run| {
    let (side, quarter) = (run / 4, run % 4);
    let low = load2(unit.add(side * 64 + quarter % 2 * 32));
    let low = bits(low, -((quarter / 2 * 4) as isize), 15);
    signed(or(low, bits(load2(unit.add(128 + side * 32)), 4 - 2 * quarter as isize, 48)))
});
large!(IQ4_XS, bias: 0,
    |unit| {
        // Group g takes nibble g of `low` and bit pair g of `high`; biased by 32.
        let (low, high) = (vdupq_n_u32(word(unit.add(4))), vdupq_n_u32(u32::from(half_bits(unit.add(2)))));
        let four = |nibbles: int32x4_t, pairs: int32x4_t| {
            let nibbles = vandq_u32(vshlq_u32(low, nibbles), vdupq_n_u32(15));
            let pairs = vandq_u32(vshlq_u32(high, pairs), vdupq_n_u32(3));
            let both = vreinterpretq_s32_u32(vorrq_u32(nibbles, vshlq_n_u32::<4>(pairs)));
            vcvtq_f32_s32(vsubq_s32(both, vdupq_n_s32(32)))
        };
        let scales = [
            four(counts([0, -4, -8, -12]), counts([0, -2, -4, -6])),
            four(counts([-16, -20, -24, -28]), counts([-8, -10, -12, -14])),
        ];
        only(times(scales, splat_half(unit)))
    },
    |unit, run| looked_up(&crate::quant::iq4_nl::CODES, nibbles(load(unit.add(8 + 16 * run)))));

// After the macros, which they use.
mod grid;
mod narrow;
