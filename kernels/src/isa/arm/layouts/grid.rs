//! The types whose codes are points of a grid (see `quant/grid.rs`): a point is one load by its index, a vector of codes
//! two or four of them.
//!
//! SAFETY: as in the file above this one; indices have no more bits than their grid has points for.

use super::*;
use crate::quant::grid;

/// Four points of eight elements.
#[inline(always)]
unsafe fn eights<const N: usize>(points: &[[i8; 8]; N], indices: [usize; 4]) -> [int8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let point = |index: usize| vld1_s8(points.as_ptr().add(index).cast());
        let [a, b, c, d] = indices;
        [
            vcombine_s8(point(a), point(b)),
            vcombine_s8(point(c), point(d)),
        ]
    }
}

/// Four points of four elements.
#[inline(always)]
unsafe fn fours<const N: usize>(points: &[[i8; 4]; N], indices: [usize; 4]) -> int8x16_t {
    // SAFETY: see the head of the file.
    unsafe {
        let point = |index: usize| points.as_ptr().add(index).cast::<i32>().read_unaligned();
        let [a, b, c, d] = indices;
        vreinterpretq_s8_s32(vld1q_s32([point(a), point(b), point(c), point(d)].as_ptr()))
    }
}

/// Bytes `first` and `second` of a vector, each eight times.
#[inline(always)]
unsafe fn spread(bytes: uint8x16_t, first: u8, second: u8) -> uint8x16_t {
    // SAFETY: see the head of the file.
    unsafe { vqtbl1q_u8(bytes, vcombine_u8(vdup_n_u8(first), vdup_n_u8(second))) }
}

/// Magnitudes, negative where there are ones.
#[inline(always)]
unsafe fn negated_where(magnitudes: [int8x16_t; 2], negative: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        [
            vbslq_s8(negative[0], vnegq_s8(magnitudes[0]), magnitudes[0]),
            vbslq_s8(negative[1], vnegq_s8(magnitudes[1]), magnitudes[1]),
        ]
    }
}

/// Where elements are negative by the seven sign bits of each eight, which all eight bytes of `sevens` have (the uppermost
/// bit is ignored); the eighth sign makes their number even.
#[inline(always)]
unsafe fn even_signs(sevens: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        // A byte keeps its own bit, the eighth all seven: where the number of what is left is odd, the element is negative.
        let own = vreinterpretq_u8_u64(vdupq_n_u64(0x7f40_2010_0804_0201));
        let one = vdupq_n_u8(1);
        [
            vtstq_u8(vcntq_u8(vandq_u8(sevens[0], own)), one),
            vtstq_u8(vcntq_u8(vandq_u8(sevens[1], own)), one),
        ]
    }
}

/// Four times seven bits of a word, each in all bytes of eight.
#[inline(always)]
unsafe fn sevens_of_word(at: *const u8) -> [uint8x16_t; 2] {
    // SAFETY: see the head of the file.
    unsafe {
        let shifts = vld1q_s32([0, -7, -14, -21].as_ptr());
        let shifted = vreinterpretq_u8_u32(vshlq_u32(vdupq_n_u32(word(at)), shifts));
        [spread(shifted, 0, 4), spread(shifted, 8, 12)]
    }
}

/// Eight scales: `scale` times the odd numbers 2 · v + 1 for what is in the upper four bits of words, `step` bytes apart.
#[inline(always)]
unsafe fn odd_multiples(at: *const u8, step: usize, scale: f32) -> Head {
    // SAFETY: see the head of the file.
    let odd = |g: usize| unsafe { (word(at.add(g * step)) >> 27 | 1) as i8 };
    biased(
        std::array::from_fn(|g| if g < 8 { odd(g) } else { 0 }),
        scale,
        0,
    )
}

/// `scale` times the odd numbers 2 · v + 1 for `count` nibbles v, the lower one of a byte first.
#[inline(always)]
unsafe fn odd_nibbles(at: *const u8, count: usize, scale: f32) -> Head {
    // SAFETY: see the head of the file.
    let odd = |g: usize| unsafe { ((*at.add(g / 2) >> (4 * (g % 2)) & 15) * 2 + 1) as i8 };
    biased(
        std::array::from_fn(|g| if g < count { odd(g) } else { 0 }),
        scale,
        0,
    )
}

large!(IQ2_XXS, bias: 0,
|unit| odd_multiples(unit.add(6), 8, half(unit) * 0.125),
|unit, run| {
    let at = unit.add(2 + 8 * run);
    let points = eights(&grid::IQ2_XXS_POINTS, [byte(at, 0), byte(at, 1), byte(at, 2), byte(at, 3)]);
    negated_where(points, even_signs(sevens_of_word(at.add(4))))
});
large!(IQ3_XXS, bias: 0,
|unit| odd_multiples(unit.add(66), 4, half(unit) * 0.25),
|unit, run| {
    let at = unit.add(2 + 8 * run);
    let points = [
        fours(&grid::IQ3_XXS_POINTS, [byte(at, 0), byte(at, 1), byte(at, 2), byte(at, 3)]),
        fours(&grid::IQ3_XXS_POINTS, [byte(at, 4), byte(at, 5), byte(at, 6), byte(at, 7)]),
    ];
    negated_where(points, even_signs(sevens_of_word(unit.add(66 + 4 * run))))
});
large!(IQ2_XS, bias: 0,
|unit| odd_nibbles(unit.add(66), 16, half(unit) * 0.125),
|unit, run| {
    let at = unit.add(2 + 8 * run);
    let index = |i: usize| short(at.add(2 * i)) & 511;
    let points = eights(&grid::IQ2_XS_POINTS, [index(0), index(1), index(2), index(3)]);
    // The upper seven bits of each index's 16.
    let shorts = vreinterpret_u16_u8(vld1_u8(at));
    let sevens = vreinterpretq_u8_u16(vcombine_u16(vshr_n_u16::<9>(shorts), vdup_n_u16(0)));
    negated_where(points, even_signs([spread(sevens, 0, 2), spread(sevens, 4, 6)]))
});
large!(IQ2_S, bias: 0,
|unit| odd_nibbles(unit.add(74), 16, half(unit) * 0.125),
|unit, run| {
    let (at, high) = (unit.add(2 + 4 * run), byte(unit, 66 + run));
    let index = |i: usize| byte(at, i) | high << (8 - 2 * i) & 0x300;
    let points = eights(&grid::IQ2_S_POINTS, [index(0), index(1), index(2), index(3)]);
    negated_where(points, bit_masks(unit.add(34 + 4 * run)))
});
large!(IQ3_S, bias: 0,
|unit| odd_nibbles(unit.add(106), 8, half(unit)),
|unit, run| {
    let (at, high) = (unit.add(2 + 8 * run), byte(unit, 66 + run));
    let index = |i: usize| byte(at, i) | high << (8 - i) & 0x100;
    let points = [
        fours(&grid::IQ3_S_POINTS, [index(0), index(1), index(2), index(3)]),
        fours(&grid::IQ3_S_POINTS, [index(4), index(5), index(6), index(7)]),
    ];
    negated_where(points, bit_masks(unit.add(74 + 4 * run)))
});

// Codes of the IQ1 types are points of -8, 0 and 8 and a shift of 1 or -1; the bias of 9 makes that 10 or 8.
large!(IQ1_S, bias: 9,
|unit| {
    // 2 · v + 1 for the three bits below the uppermost.
    let odd = |g: usize| (short(unit.add(34 + 2 * g)) >> 11 & 14 | 1) as i8;
    biased(std::array::from_fn(|g| if g < 8 { odd(g) } else { 0 }), half(unit) * 0.125, 9)
},
|unit, run| {
    let (at, high) = (unit.add(2 + 4 * run), short(unit.add(34 + 2 * run)));
    let index = |i: usize| byte(at, i) | high << 8 >> (3 * i) & 0x700;
    let [a, b] = eights(&grid::IQ1_POINTS, [index(0), index(1), index(2), index(3)]);
    let shift = vdupq_n_s8(10 - 2 * (high >> 15) as i8);
    [vaddq_s8(a, shift), vaddq_s8(b, shift)]
});
large!(IQ1_M, bias: 9,
|unit| {
    // Four multiples of three bits in each short; the scale's nibbles are the uppermost of the four shorts.
    let short = |i: usize| short(unit.add(48 + 2 * i));
    let bits = short(0) >> 12 | short(1) >> 12 << 4 | short(2) >> 12 << 8 | short(3) >> 12 << 12;
    let scale = half((bits as u16).to_le_bytes().as_ptr()) * 0.125;
    let odd = |g: usize| ((short(g / 4) >> (3 * (g % 4)) & 7) * 2 + 1) as i8;
    biased(std::array::from_fn(odd), scale, 9)
},
|unit, run| {
    // A nibble a vector: three bits of its index, and whether the shift is downwards.
    let (at, high) = (unit.add(4 * run), short(unit.add(32 + 2 * run)));
    let index = |i: usize| byte(at, i) | high << 8 >> (4 * i) & 0x700;
    let [a, b] = eights(&grid::IQ1_POINTS, [index(0), index(1), index(2), index(3)]);
    let bits = vcombine_u8(vdup_n_u8(8), vdup_n_u8(0x80));
    let shift = |nibbles: usize| {
        let down = vreinterpretq_s8_u8(vtstq_u8(vdupq_n_u8(nibbles as u8), bits));
        vaddq_s8(vdupq_n_s8(10), vandq_s8(down, vdupq_n_s8(-2)))
    };
    [vaddq_s8(a, shift(high)), vaddq_s8(b, shift(high >> 8))]
});
