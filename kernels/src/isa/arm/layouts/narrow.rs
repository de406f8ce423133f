//! The types of one or two bits, ternary ones, NVFP4 with its scales of eight bits, and the formats of activations.
//!
//! SAFETY: as in the file above this one.

use super::*;

/// The scales of `blocks` blocks with a half each, `step` bytes apart, for eight groups; codes biased by 1.
#[inline(always)]
unsafe fn shared(unit: *const u8, blocks: usize, step: usize) -> Head {
    let mut scales = [0.0; 16];
    for (block, scales) in scales[..8].chunks_exact_mut(8 / blocks).enumerate() {
        // SAFETY: see the head of the file.
        scales.fill(unsafe { half(unit.add(block * step)) });
    }
    Head {
        scales,
        mins: scales,
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
            let each = load([1u8, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27].as_ptr());
            [vmulq_u8(middle, powers[4]), vmulq_u8(last, each)]
        }
    };
    [first_digits(low), first_digits(high)]
});

/// The first base-3 digit of each byte as a fraction of 256: 1 from 86 on, 2 from 171 on.
#[inline(always)]
unsafe fn first_digits(bytes: uint8x16_t) -> int8x16_t {
    // SAFETY: see the head of the file.
    unsafe {
        // All ones are -1.
        let both = vaddq_u8(
            vcgtq_u8(bytes, vdupq_n_u8(85)),
            vcgtq_u8(bytes, vdupq_n_u8(170)),
        );
        vnegq_s8(vreinterpretq_s8_u8(both))
    }
}

large!(Q1_0, bias: 1,
    |unit| shared(unit, 2, 18),
    |unit, run| signed(masked(bit_masks(unit.add(run / 4 * 18 + 2 + run % 4 * 4)), 2)));

large!(Q2_0, bias: 1,
|unit| shared(unit, 4, 18),
|unit, run| {
    let bytes = vcombine_u8(vld1_u8(unit.add(run / 2 * 18 + 2 + run % 2 * 8)), vdup_n_u8(0));
    // Each byte four times, shifted by 0, 2, 4 and 6.
    let spread = load([0u8, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3].as_ptr());
    let low = vqtbl1q_u8(bytes, spread);
    let high = vqtbl1q_u8(bytes, vaddq_u8(spread, vdupq_n_u8(4)));
    let shifts = vreinterpretq_s8_u32(vdupq_n_u32(0xfafc_fe00));
    signed(masked([vshlq_u8(low, shifts), vshlq_u8(high, shifts)], 3))
});

large!(NVFP4, bias: 0,
|unit| {
    let scale = |g: usize| crate::quant::nvfp4::half_e4m3(*unit.add(g / 4 * 36 + g % 4));
    Head { scales: std::array::from_fn(scale), mins: [0.0; 16] }
},
|unit, run| {
    // Low and high nibbles of eight bytes, for either group of 16.
    let [low, high] = nibbles(unit.add(run / 2 * 36 + 4 + run % 2 * 16)).map(|v| vreinterpretq_u64_u8(v));
    let groups = [vzip1q_u64(low, high), vzip2q_u64(low, high)].map(|v| vreinterpretq_u8_u64(v));
    looked_up(&crate::quant::mxfp4::CODES, groups)
});

small!(Q8_1, bias: 0, |block| signed(load2(block.add(4))));
large!(Q8_K, bias: 0,
    |unit| Head { scales: [unit.cast::<f32>().read_unaligned(); 16], mins: [0.0; 16] },
    |unit, run| signed(load2(unit.add(4 + 32 * run))));
