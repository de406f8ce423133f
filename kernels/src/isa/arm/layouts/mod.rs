//! How the blocks of the types unpack with NEON: one [`Layout`] a type, in units of 256 codes. Here the common types; those
//! whose codes are points of a grid are in [`grid`], those of very few bits and the rest in [`narrow`].
//!
//! SAFETY, for these files: a layout reads only the bytes of the blocks it is asked for (`head`: all blocks of a unit;
//! `codes`: one run of 32 codes); NEON is part of aarch64.

pub use crate::isa::blocks::*;
use std::arch::aarch64::*;
use std::arch::asm;

/// Scales and mins of one unit: eight groups of 32, or sixteen of 16.
#[derive(Clone, Copy)]
pub struct Head {
    /// Scales.
    pub scales: [f32; 16],
    /// Mins, or what the codes' bias comes to; only where `Layout::LOWERS`.
    pub mins: [f32; 16],
}

/// How a type's blocks unpack.
pub trait Layout: Blocks {
    /// What `codes` has added to the type's codes, so that unpacking them needs no subtraction.
    const BIAS: i8;
    /// Whether anything is to be taken off the products: mins, or the bias.
    const LOWERS: bool = Self::MINS || Self::BIAS != 0;

    /// Scales and mins of the unit at `unit`.
    /// # Safety
    /// See the head of this file.
    unsafe fn head(unit: *const u8) -> Head;
    /// Codes 32 · `run` and on.
    /// # Safety
    /// See the head of this file.
    unsafe fn codes(unit: *const u8, run: usize) -> [int8x16_t; 2];
}

/// Sixteen bytes.
#[inline(always)]
unsafe fn load(at: *const u8) -> uint8x16_t {
    // SAFETY: see the head of the file.
    unsafe { vld1q_u8(at) }
}

#[inline(always)]
unsafe fn load2(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe { [load(at), load(at.add(16))] }
}

/// A half-precision number; aarch64 has converted them from the first.
#[inline(always)]
unsafe fn half(at: *const u8) -> f32 {
    let wide: f32;
    // SAFETY: see the head of the file.
    unsafe {
        let bits = at.cast::<i16>().read_unaligned();
        asm!("fcvt {0:s}, {1:h}", out(vreg) wide, in(vreg) bits, options(pure, nomem, nostack, preserves_flags));
    }
    wide
}

#[inline(always)]
unsafe fn word(at: *const u8) -> u32 {
    // SAFETY: see the head of the file.
    unsafe { at.cast::<u32>().read_unaligned() }
}

#[inline(always)]
unsafe fn signed(v: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe { [vreinterpretq_s8_u8(v[0]), vreinterpretq_s8_u8(v[1])] }
}

/// (bytes << left or >> right) & mask; constants once it is inlined.
#[inline(always)]
unsafe fn bits(v: [uint8x16_t; 2], shift_left: isize, mask: u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let (by, mask) = (vdupq_n_s8(shift_left as i8), vdupq_n_u8(mask));
        [
            vandq_u8(vshlq_u8(v[0], by), mask),
            vandq_u8(vshlq_u8(v[1], by), mask),
        ]
    }
}

#[inline(always)]
unsafe fn or(a: [uint8x16_t; 2], b: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe { [vorrq_u8(a[0], b[0]), vorrq_u8(a[1], b[1])] }
}

/// 16 bytes to 32 nibbles: the low ones, then the high ones.
#[inline(always)]
unsafe fn nibbles(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let v = load(at);
        [vandq_u8(v, vdupq_n_u8(15)), vshrq_n_u8::<4>(v)]
    }
}

/// 32 bits to bytes of all ones or none.
#[inline(always)]
unsafe fn bit_masks(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let bits = vreinterpretq_u8_u32(vdupq_n_u32(word(at)));
        // Each byte of bits to the eight lanes that take one bit of it.
        let spread = load([0u8, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1].as_ptr());
        let mask = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
        let low = vqtbl1q_u8(bits, spread);
        let high = vqtbl1q_u8(bits, vaddq_u8(spread, vdupq_n_u8(2)));
        [vtstq_u8(low, mask), vtstq_u8(high, mask)]
    }
}

/// Both vectors, the bits of the mask.
#[inline(always)]
unsafe fn masked(v: [uint8x16_t; 2], mask: u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let mask = vdupq_n_u8(mask);
        [vandq_u8(v[0], mask), vandq_u8(v[1], mask)]
    }
}

/// 32 bits to bytes of 0 or 16.
#[inline(always)]
unsafe fn fifth_bits(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe { masked(bit_masks(at), 16) }
}

/// Nibbles to what a table has for them.
#[inline(always)]
unsafe fn looked_up(table: &[i8; 16], nibbles: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let table = vld1q_s8(table.as_ptr());
        [vqtbl1q_s8(table, nibbles[0]), vqtbl1q_s8(table, nibbles[1])]
    }
}

/// The layout of a type of 32-blocks: a scale, perhaps an added minimum after it, and codes.
macro_rules! small {
    ($name:ident, bias: $bias:expr, |$block:ident| $codes:expr) => {
        small!($name, scale: half, bias: $bias, |$block| $codes);
    };
    ($name:ident, scale: $scale:ident, bias: $bias:expr, |$block:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: i8 = $bias;
            #[inline(always)]
            unsafe fn head(unit: *const u8) -> Head {
                let mut head = Head {
                    scales: [0.0; 16],
                    mins: [0.0; 16],
                };
                for i in 0..8 {
                    // SAFETY: see the head of the file.
                    let scale = unsafe { $scale(unit.add(i * Self::BYTES)) };
                    head.scales[i] = scale;
                    head.mins[i] = if Self::MINS {
                        // SAFETY: see the head of the file.
                        -unsafe { half(unit.add(i * Self::BYTES + 2)) }
                    } else {
                        scale * f32::from(Self::BIAS)
                    };
                }
                head
            }
            #[inline(always)]
            unsafe fn codes(unit: *const u8, run: usize) -> [int8x16_t; 2] {
                // SAFETY: see the head of the file.
                unsafe {
                    let $block = unit.add(run * Self::BYTES);
                    $codes
                }
            }
        }
    };
}

small!(Q4_0, bias: 8, |block| signed(nibbles(block.add(2))));
small!(Q4_1, bias: 0, |block| signed(nibbles(block.add(4))));
small!(Q5_0, bias: 16, |block| signed(or(nibbles(block.add(6)), fifth_bits(block.add(2)))));
small!(Q5_1, bias: 0, |block| signed(or(nibbles(block.add(8)), fifth_bits(block.add(4)))));
small!(Q8_0, bias: 0, |block| signed(load2(block.add(2))));
small!(IQ4_NL, bias: 0, |block| looked_up(&crate::quant::iq4_nl::CODES, nibbles(block.add(2))));
small!(MXFP4, scale: half_power, bias: 0, |block| {
    looked_up(&crate::quant::mxfp4::CODES, nibbles(block.add(1)))
});

/// The scale of an MXFP4 block.
#[inline(always)]
unsafe fn half_power(at: *const u8) -> f32 {
    // SAFETY: see the head of the file.
    crate::quant::mxfp4::half_power_of_two(unsafe { *at })
}

/// The layout of a type of 256-blocks.
macro_rules! large {
    ($name:ident, bias: $bias:expr, |$unit:ident| $head:expr, |$at:ident, $run:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: i8 = $bias;
            #[inline(always)]
            unsafe fn head($unit: *const u8) -> Head {
                // SAFETY: see the head of the file.
                unsafe { $head }
            }
            #[inline(always)]
            unsafe fn codes($at: *const u8, $run: usize) -> [int8x16_t; 2] {
                // SAFETY: see the head of the file.
                unsafe { $codes }
            }
        }
    };
}

/// Scales and mins from bytes, each times a number of its own.
#[inline(always)]
fn multiples(scales: [u8; 16], scale: f32, mins: [u8; 16], min: f32) -> Head {
    Head {
        scales: scales.map(|s| f32::from(s) * scale),
        mins: mins.map(|m| f32::from(m) * min),
    }
}

/// Signed scales, and the bias of the codes times them.
#[inline(always)]
fn biased(scales: [i8; 16], scale: f32, bias: i8) -> Head {
    let scales = scales.map(|s| f32::from(s) * scale);
    Head {
        scales,
        mins: scales.map(|s| s * f32::from(bias)),
    }
}

/// Four words as bytes.
#[inline(always)]
fn bytes(words: [u32; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    for (out, word) in out.chunks_exact_mut(4).zip(words) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    out
}

/// The 6-bit scales and mins of Q4_K and Q5_K, four bytes at a time (see `quant/q4_k.rs`).
#[inline(always)]
unsafe fn k_scales(unit: *const u8) -> Head {
    // SAFETY: see the head of the file.
    unsafe {
        let (a, b, c) = (word(unit.add(4)), word(unit.add(8)), word(unit.add(12)));
        let scales = [
            a & 0x3f3f_3f3f,
            c & 0x0f0f_0f0f | a >> 2 & 0x3030_3030,
            0,
            0,
        ];
        let mins = [
            b & 0x3f3f_3f3f,
            c >> 4 & 0x0f0f_0f0f | b >> 2 & 0x3030_3030,
            0,
            0,
        ];
        multiples(bytes(scales), half(unit), bytes(mins), half(unit.add(2)))
    }
}

/// One bit pair of each of 32 bytes.
#[inline(always)]
unsafe fn pairs(at: *const u8, run: usize) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe { bits(load2(at.add(run / 4 * 32)), -((run % 4 * 2) as isize), 3) }
}

large!(Q2_K, bias: 0,
    |unit| {
        let packed = unit.cast::<[u8; 16]>().read_unaligned();
        multiples(packed.map(|b| b & 15), half(unit.add(80)), packed.map(|b| b >> 4), half(unit.add(82)))
    },
    |unit, run| signed(pairs(unit.add(16), run)));
large!(Q3_K, bias: 4,
    |unit| {
        // Twelve bytes: low nibbles of scales 0..8 and 8..16, then four times two high bits; biased by 32.
        let (a, b, c) = (word(unit.add(96)), word(unit.add(100)), word(unit.add(104)));
        let part = |low: u32, high: u32| low & 0x0f0f_0f0f | (high & 0x0303_0303) << 4;
        let packed = bytes([part(a, c), part(b, c >> 2), part(a >> 4, c >> 4), part(b >> 4, c >> 6)]);
        biased(packed.map(|b| b as i8 - 32), half(unit.add(108)), 4)
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
|unit| biased(unit.add(192).cast::<[i8; 16]>().read_unaligned(), half(unit.add(208)), 32),
|unit, run| {
    let (side, quarter) = (run / 4, run % 4);
    let low = load2(unit.add(side * 64 + quarter % 2 * 32));
    let low = bits(low, -((quarter / 2 * 4) as isize), 15);
    signed(or(low, bits(load2(unit.add(128 + side * 32)), 4 - 2 * quarter as isize, 48)))
});
large!(IQ4_XS, bias: 0,
    |unit| {
        let low = word(unit.add(4));
        let high = u32::from(unit.add(2).cast::<u16>().read_unaligned());
        // Group g takes nibble g of `low` and bit pair g of `high`; biased by 32.
        let scale = |g: usize| (low >> (4 * g) & 15 | (high >> (2 * g) & 3) << 4) as i8 - 32;
        biased(std::array::from_fn(|g| if g < 8 { scale(g) } else { 0 }), half(unit), 0)
    },
    |unit, run| looked_up(&crate::quant::iq4_nl::CODES, nibbles(unit.add(8 + 16 * run))));

// After the macros, which they use.
mod grid;
mod narrow;
