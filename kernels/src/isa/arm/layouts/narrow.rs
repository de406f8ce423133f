//! The types of one or two bits, ternary ones, NVFP4 with its scales of eight bits, and the formats of activations.

use super::*;
use crate::isa::RUNS;

/// The scales of `blocks` blocks, half-precision numbers `step` bytes apart, each for all its groups of eight.
/// # Safety
/// All of them must be there to read.
#[inline(always)]
unsafe fn shared(unit: *const u8, blocks: usize, step: usize) -> Head {
    // SAFETY: the caller's promise: two bytes every `step`, `blocks` times; NEON is part of aarch64.
    unsafe {
        let half = |run: usize| half_bits(unit.add(run * blocks / RUNS * step));
        only(widened(shorts([
            half(0),
            half(1),
            half(2),
            half(3),
            half(4),
            half(5),
            half(6),
            half(7),
        ])))
    }
}

large!(TQ2_0, bias: 1,
    |unit| shared(unit.add(64), 1, 0),
    |unit, run| signed(pairs(unit, run)));

large!(TQ1_0, bias: 1,
|unit| shared(unit.add(52), 1, 0),
|unit, run| {
    // Five digits of 32 bytes, then of 16, then four of four bytes. A multiplication by a power of 3, modulo 256, leaves
    // the digits from that one on.
    let powers = [1, 3, 9, 27, 81].map(|power| vdupq_n_u8(power));
    let middle = load(unit.add(32));
    let [low, high] = match run {
        0..5 => {
            let bytes = load2(unit);
            [vmulq_u8(bytes[0], powers[run]), vmulq_u8(bytes[1], powers[run])]
        }
        5..7 => [vmulq_u8(middle, powers[2 * run - 10]), vmulq_u8(middle, powers[2 * run - 9])],
        _ => {
            let last = vreinterpretq_u8_u32(vdupq_n_u32(word(unit.add(48))));
            let each = bytes([1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27]);
            [vmulq_u8(middle, powers[4]), vmulq_u8(last, each)]
        }
    };
    [first_digits(low), first_digits(high)]
});

/// The first base-3 digit of each byte as a fraction of 256: 1 from 86 on, 2 from 171 on.
#[inline]
#[target_feature(enable = "neon")]
fn first_digits(bytes: uint8x16_t) -> int8x16_t {
    // All ones are -1.
    let both = vaddq_u8(
        vcgtq_u8(bytes, vdupq_n_u8(85)),
        vcgtq_u8(bytes, vdupq_n_u8(170)),
    );
    vnegq_s8(vreinterpretq_s8_u8(both))
}

large!(Q1_0, bias: 1,
    |unit| shared(unit, 2, 18),
    |unit, run| signed(masked(bit_masks(word(unit.add(run / 4 * 18 + 2 + run % 4 * 4))), 2)));

large!(Q2_0, bias: 1,
|unit| shared(unit, 4, 18),
|unit, run| {
    let eight = vcombine_u8(vld1_u8(unit.add(run / 2 * 18 + 2 + run % 2 * 8)), vdup_n_u8(0));
    // Each byte four times, shifted by 0, 2, 4 and 6.
    let spread = bytes([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3]);
    let low = vqtbl1q_u8(eight, spread);
    let high = vqtbl1q_u8(eight, vaddq_u8(spread, vdupq_n_u8(4)));
    let shifts = vreinterpretq_s8_u32(vdupq_n_u32(0xfafc_fe00));
    signed(masked([vshlq_u8(low, shifts), vshlq_u8(high, shifts)], 3))
});

large!(NVFP4, bias: 0,
|unit| {
    let scales = |block: usize| word(unit.add(block * 36));
    let bytes = vreinterpretq_u8_u32(words([scales(0), scales(1), scales(2), scales(3)]));
    // What is not a number decodes to 0.
    let magnitudes = vandq_u8(bytes, vdupq_n_u8(0x7f));
    let magnitudes = vbicq_u8(magnitudes, vceqq_u8(bytes, vdupq_n_u8(0x7f)));
    let shorts = vreinterpretq_u16_u8(magnitudes);
    only_halves(
        half_e4m3(vandq_u16(shorts, vdupq_n_u16(0xff))),
        half_e4m3(vshrq_n_u16::<8>(shorts)),
    )
},
|unit, run| {
    // Low and high nibbles of eight bytes, for either group of 16.
    let [low, high] = nibbles(load(unit.add(run / 2 * 36 + 4 + run % 2 * 16))).map(|v| vreinterpretq_u64_u8(v));
    let groups = [vzip1q_u64(low, high), vzip2q_u64(low, high)].map(|v| vreinterpretq_u8_u64(v));
    looked_up(&crate::quant::mxfp4::CODES, groups)
});

/// Halves of E4M3 numbers, see `quant::nvfp4`.
#[inline]
#[target_feature(enable = "neon")]
fn half_e4m3(magnitudes: uint16x8_t) -> [float32x4_t; 2] {
    let low = vshlq_n_u32::<20>(vmovl_u16(vget_low_u16(magnitudes)));
    let high = vshlq_n_u32::<20>(vmovl_high_u16(magnitudes));
    let scale = vdupq_n_f32(f32::from_bits((127 + 119) << 23));
    times(
        [vreinterpretq_f32_u32(low), vreinterpretq_f32_u32(high)],
        scale,
    )
}

small!(Q8_1, bias: 0,
    |unit| only(halves(unit, Q8_1::BYTES)),
    |block| signed(load2(block.add(4))));
large!(Q8_K, bias: 0,
    |unit| only([vdupq_n_f32(unit.cast::<f32>().read_unaligned()); 2]),
    |unit, run| signed(load2(unit.add(4 + 32 * run))));
