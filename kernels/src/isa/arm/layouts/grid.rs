//! The types whose codes are points of a grid (see `quant/grid.rs`): a point is one load by its index, a vector of codes
//! two or four of them. Indices have no more bits than their grid has points for.

use super::*;
use crate::quant::grid;

/// Four points of eight elements.
/// # Safety
/// Indices must be below `N`.
#[inline(always)]
unsafe fn eights<const N: usize>(points: &[[i8; 8]; N], indices: [usize; 4]) -> [int8x16_t; 2] {
    // SAFETY: the caller's promise: indices are below `N`. NEON is part of aarch64.
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
/// # Safety
/// Indices must be below `N`.
#[inline(always)]
unsafe fn fours<const N: usize>(points: &[[i8; 4]; N], indices: [usize; 4]) -> int8x16_t {
    // SAFETY: the caller's promise: indices are below `N`. NEON is part of aarch64.
    unsafe {
        let point = |index: usize| word(points.as_ptr().add(index).cast());
        let [a, b, c, d] = indices;
        vreinterpretq_s8_u32(words([point(a), point(b), point(c), point(d)]))
    }
}

/// Bytes `first` and `second` of a vector, each eight times.
#[inline]
#[target_feature(enable = "neon")]
fn spread(bytes: uint8x16_t, first: u8, second: u8) -> uint8x16_t {
    vqtbl1q_u8(bytes, vcombine_u8(vdup_n_u8(first), vdup_n_u8(second)))
}

/// Magnitudes, negative where there are ones.
#[inline]
#[target_feature(enable = "neon")]
fn negated_where(magnitudes: [int8x16_t; 2], negative: [uint8x16_t; 2]) -> [int8x16_t; 2] {
    [
        vbslq_s8(negative[0], vnegq_s8(magnitudes[0]), magnitudes[0]),
        vbslq_s8(negative[1], vnegq_s8(magnitudes[1]), magnitudes[1]),
    ]
}

/// Where elements are negative by the seven sign bits of each eight, which all eight bytes of `sevens` have (the uppermost
/// bit is ignored); the eighth sign makes their number even.
#[inline]
#[target_feature(enable = "neon")]
fn even_signs(sevens: [uint8x16_t; 2]) -> [uint8x16_t; 2] {
    // A byte keeps its own bit, the eighth all seven: where the number of what is left is odd, the element is negative.
    let own = vreinterpretq_u8_u64(vdupq_n_u64(0x7f40_2010_0804_0201));
    let one = vdupq_n_u8(1);
    [
        vtstq_u8(vcntq_u8(vandq_u8(sevens[0], own)), one),
        vtstq_u8(vcntq_u8(vandq_u8(sevens[1], own)), one),
    ]
}

/// Four times seven bits of a word, each in all bytes of eight.
#[inline]
#[target_feature(enable = "neon")]
fn sevens_of_word(word: u32) -> [uint8x16_t; 2] {
    let shifted = vshlq_u32(vdupq_n_u32(word), counts([0, -7, -14, -21]));
    let shifted = vreinterpretq_u8_u32(shifted);
    [spread(shifted, 0, 4), spread(shifted, 8, 12)]
}

/// Eight scales: `scale` times the odd numbers 2 · v + 1 for what is in the upper four bits of words.
#[inline]
#[target_feature(enable = "neon")]
fn odd_multiples(words: [uint32x4_t; 2], scale: float32x4_t) -> Head {
    let one = vdupq_n_u32(1);
    let odd = [
        vcvtq_f32_u32(vorrq_u32(vshrq_n_u32::<27>(words[0]), one)),
        vcvtq_f32_u32(vorrq_u32(vshrq_n_u32::<27>(words[1]), one)),
    ];
    only(times(odd, scale))
}

/// 2 · v + 1 for the low nibbles v of bytes, and for the high ones.
#[inline]
#[target_feature(enable = "neon")]
fn odd_of_nibbles(bytes: uint8x8_t) -> [uint8x8_t; 2] {
    let (mask, one) = (vdup_n_u8(30), vdup_n_u8(1));
    [
        vorr_u8(vand_u8(vshl_n_u8::<1>(bytes), mask), one),
        vorr_u8(vand_u8(vshr_n_u8::<3>(bytes), mask), one),
    ]
}

/// Small bytes to floats.
#[inline]
#[target_feature(enable = "neon")]
fn byte_floats(bytes: uint8x8_t) -> [float32x4_t; 2] {
    floats(vreinterpretq_s16_u16(vmovl_u8(bytes)))
}

/// Sixteen scales: `scale` times the odd numbers 2 · v + 1 for nibbles v, the lower one of a byte first: a run's halves.
#[inline]
#[target_feature(enable = "neon")]
fn odd_nibbles(bytes: uint8x8_t, scale: float32x4_t) -> Head {
    let [low, high] = odd_of_nibbles(bytes);
    only_halves(
        times(byte_floats(low), scale),
        times(byte_floats(high), scale),
    )
}

/// The half-precision number at `at` times `factor` in all lanes.
/// # Safety
/// 2 bytes must be there to read.
#[inline(always)]
unsafe fn part_of_half(at: *const u8, factor: f32) -> float32x4_t {
    // SAFETY: the caller's promise: 2 bytes; NEON is part of aarch64.
    unsafe { vmulq_n_f32(splat_half(at), factor) }
}

large!(IQ2_XXS, bias: 0,
|unit| {
    // The upper words of eight pairs.
    let pairs = |at: usize| {
        let [a, b] = load2(unit.add(at));
        vuzp2q_u32(vreinterpretq_u32_u8(a), vreinterpretq_u32_u8(b))
    };
    odd_multiples([pairs(2), pairs(34)], part_of_half(unit, 0.125))
},
|unit, run| {
    let at = unit.add(2 + 8 * run);
    let points = eights(&grid::IQ2_XXS_POINTS, [byte(at, 0), byte(at, 1), byte(at, 2), byte(at, 3)]);
    negated_where(points, even_signs(sevens_of_word(word(at.add(4)))))
});
large!(IQ3_XXS, bias: 0,
|unit| {
    let [low, high] = load2(unit.add(66));
    odd_multiples(
        [vreinterpretq_u32_u8(low), vreinterpretq_u32_u8(high)],
        part_of_half(unit, 0.25),
    )
},
|unit, run| {
    let at = unit.add(2 + 8 * run);
    let points = [
        fours(&grid::IQ3_XXS_POINTS, [byte(at, 0), byte(at, 1), byte(at, 2), byte(at, 3)]),
        fours(&grid::IQ3_XXS_POINTS, [byte(at, 4), byte(at, 5), byte(at, 6), byte(at, 7)]),
    ];
    negated_where(points, even_signs(sevens_of_word(word(unit.add(66 + 4 * run)))))
});
large!(IQ2_XS, bias: 0,
|unit| odd_nibbles(vld1_u8(unit.add(66)), part_of_half(unit, 0.125)),
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
|unit| odd_nibbles(vld1_u8(unit.add(74)), part_of_half(unit, 0.125)),
|unit, run| {
    let (at, high) = (unit.add(2 + 4 * run), byte(unit, 66 + run));
    let index = |i: usize| byte(at, i) | high << (8 - 2 * i) & 0x300;
    let points = eights(&grid::IQ2_S_POINTS, [index(0), index(1), index(2), index(3)]);
    negated_where(points, bit_masks(word(unit.add(34 + 4 * run))))
});
large!(IQ3_S, bias: 0,
|unit| {
    let [low, high] = odd_of_nibbles(vcreate_u8(u64::from(word(unit.add(106)))));
    only(times(byte_floats(vzip1_u8(low, high)), splat_half(unit)))
},
|unit, run| {
    let (at, high) = (unit.add(2 + 8 * run), byte(unit, 66 + run));
    let index = |i: usize| byte(at, i) | high << (8 - i) & 0x100;
    let points = [
        fours(&grid::IQ3_S_POINTS, [index(0), index(1), index(2), index(3)]),
        fours(&grid::IQ3_S_POINTS, [index(4), index(5), index(6), index(7)]),
    ];
    negated_where(points, bit_masks(word(unit.add(74 + 4 * run))))
});

// Codes of the IQ1 types are points of -8, 0 and 8 and a shift of 1 or -1; the bias of 9 makes that 10 or 8.
large!(IQ1_S, bias: 9,
|unit| {
    // 2 · v + 1 for the three bits below the uppermost.
    let shorts = vreinterpretq_u16_u8(load(unit.add(34)));
    let odd = vandq_u16(vshrq_n_u16::<11>(shorts), vdupq_n_u16(14));
    let odd = vreinterpretq_s16_u16(vorrq_u16(odd, vdupq_n_u16(1)));
    only(times(floats(odd), part_of_half(unit, 0.125)))
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
    let scale = vmulq_n_f32(splat(bits as u16), 0.125);
    // Each short twice: for the first halves of two runs, and for the second ones.
    let copies = vreinterpret_u16_u8(vld1_u8(unit.add(48)));
    let copies = vcombine_u16(vzip1_u16(copies, copies), vzip2_u16(copies, copies));
    // 2 · v + 1 for three bits, from bit 0 and bit 6, from bit 3 and bit 9.
    let odd = |places: i32| {
        let places = vreinterpretq_s16_s32(vdupq_n_s32(places));
        let odd = vandq_u16(vshlq_u16(copies, places), vdupq_n_u16(14));
        floats(vreinterpretq_s16_u16(vorrq_u16(odd, vdupq_n_u16(1))))
    };
    only_halves(
        times(odd(shifts(1, -5)), scale),
        times(odd(shifts(-2, -8)), scale),
    )
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

/// Counts of bits to shift left by, for shorts at even places and at odd ones.
const fn shifts(even: i16, odd: i16) -> i32 {
    (odd as i32) << 16 | (even as u16) as i32
}
