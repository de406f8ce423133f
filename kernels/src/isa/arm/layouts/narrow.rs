//! The ternary types and the formats of activations.
//!
//! SAFETY: as in the file above this one.

use super::*;

/// One scale, codes biased by 1.
#[inline(always)]
unsafe fn shared(at: *const u8) -> Head {
    // SAFETY: see the head of the file.
    let scales = [unsafe { half(at) }; 16];
    Head {
        scales,
        mins: scales,
    }
}

large!(TQ2_0, bias: 1,
    |unit| shared(unit.add(64)),
    |unit, run| signed(pairs(unit, run)));

large!(TQ1_0, bias: 1,
|unit| shared(unit.add(52)),
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

small!(Q8_1, bias: 0, |block| signed(load2(block.add(4))));
large!(Q8_K, bias: 0,
    |unit| Head { scales: [unit.cast::<f32>().read_unaligned(); 16], mins: [0.0; 16] },
    |unit, run| signed(load2(unit.add(4 + 32 * run))));
