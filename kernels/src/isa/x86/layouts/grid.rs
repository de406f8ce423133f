//! The types whose codes are points of a grid (see `quant/grid.rs`): a point is one load by its index, a vector of codes
//! four or eight of them, and signs are factors of 1 and -1.
//!
//! SAFETY: as in the file above this one; indices have no more bits than their grid has points for.

use super::*;
use crate::quant::grid;

/// Four points of eight elements.
#[inline(always)]
unsafe fn eights<const N: usize>(points: &[[i8; 8]; N], indices: [usize; 4]) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C; indices have no more bits than the grid has points for.
    unsafe {
        let point = |index: usize| points.as_ptr().add(index).cast::<i64>().read_unaligned();
        let [a, b, c, d] = indices;
        _mm256_setr_epi64x(point(a), point(b), point(c), point(d))
    }
}

/// Eight points of four elements.
#[inline(always)]
unsafe fn fours<const N: usize>(points: &[[i8; 4]; N], indices: [usize; 8]) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C; indices have no more bits than the grid has points for.
    unsafe {
        let point = |index: usize| points.as_ptr().add(index).cast::<i32>().read_unaligned();
        let [a, b, c, d, e, f, g, h] = indices;
        let low = _mm_setr_epi32(point(a), point(b), point(c), point(d));
        let high = _mm_setr_epi32(point(e), point(f), point(g), point(h));
        _mm256_set_m128i(high, low)
    }
}

#[inline(always)]
unsafe fn word(at: *const u8) -> u32 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { at.cast::<u32>().read_unaligned() }
}

#[inline(always)]
unsafe fn long(at: *const u8) -> i64 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { at.cast::<i64>().read_unaligned() }
}

/// Factors of 1 and -1 by a sign bit each, 32 at `bits`.
#[inline(always)]
unsafe fn signs(bits: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { _mm256_or_si256(bit_masks(bits), _mm256_set1_epi8(1)) }
}

/// Factors of 1 and -1 by seven sign bits for each eight; the eighth sign makes the number of negative ones even.
#[inline(always)]
unsafe fn even_factors(sevens: [usize; 4]) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { eights(&grid::EVEN_FACTORS, sevens) }
}

/// Seven sign bits a byte to eight: the eighth makes the number of negative signs even.
#[inline(always)]
unsafe fn even_signs(sevens: __m256i) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        // The sign bit for each number of four bits of which an odd number is set.
        let odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(
            0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0,
        ));
        let halves = _mm256_xor_si256(sevens, _mm256_srli_epi16::<4>(sevens));
        let parity = _mm256_shuffle_epi8(odd, masked(halves, 15));
        _mm256_or_si256(sevens, parity)
    }
}

/// Four times seven bits of a word to its four bytes.
#[inline(always)]
unsafe fn sevens_of_words(words: __m256i) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let byte = |shifted, mask| _mm256_and_si256(shifted, _mm256_set1_epi32(mask));
        let low = _mm256_or_si256(
            byte(words, 0x7f),
            byte(_mm256_slli_epi32::<1>(words), 0x7f00),
        );
        let high = _mm256_or_si256(
            byte(_mm256_slli_epi32::<2>(words), 0x7f_0000),
            byte(_mm256_slli_epi32::<3>(words), 0x7f00_0000),
        );
        _mm256_or_si256(low, high)
    }
}

/// Factors of 1 and -1 of a run, by the sign bits of all eight runs.
#[inline(always)]
unsafe fn signs_of_run(bits: __m256i, run: usize) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let word = _mm256_permutevar8x32_epi32(bits, _mm256_set1_epi32(run as i32));
        _mm256_or_si256(spread_bits(word), _mm256_set1_epi8(1))
    }
}

/// The layout of a type whose blocks have magnitudes and signs apart.
macro_rules! split {
    ($name:ident, |$unit:ident| $head:expr, |$at:ident, $run:ident| $magnitudes_and_signs:expr) => {
        impl Layout for $name {
            const BIAS: Option<u8> = None;
            const SPLIT: bool = true;
            #[inline(always)]
            unsafe fn head($unit: *const u8) -> Head {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $head }
            }
            #[inline(always)]
            unsafe fn codes(unit: *const u8, run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe {
                    let [magnitudes, signs] = Self::split(unit, run);
                    _mm256_sign_epi8(magnitudes, signs)
                }
            }
            #[inline(always)]
            unsafe fn split($at: *const u8, $run: usize) -> [__m256i; 2] {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $magnitudes_and_signs }
            }
        }
    };
}

/// Eight scales: `factor` times the half at `unit`, times the odd numbers 2 · v + 1 for what is in the upper four bits.
#[inline(always)]
unsafe fn odd_multiples(words: __m256i, unit: *const u8, factor: f32) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let odd = _mm256_or_si256(_mm256_srli_epi32::<27>(words), _mm256_set1_epi32(1));
        let scale = times(splat_half(unit), factor);
        only(_mm256_mul_ps(_mm256_cvtepi32_ps(odd), scale))
    }
}

/// Sixteen scales, the odd numbers 2 · v + 1 for nibbles v, the lower one of a byte first, times an eighth of the half at
/// `unit`.
#[inline(always)]
unsafe fn odd_nibbles(unit: *const u8, nibbles: *const u8) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let odd = odd_of_nibbles(_mm_cvtsi64_si128(long(nibbles)));
        Head {
            scales: signed_bytes(odd, times(splat_half(unit), 0.125)),
            mins: zero2(),
        }
    }
}

/// 2 · v + 1 for nibbles v of eight bytes, the lower one first.
#[inline(always)]
unsafe fn odd_of_nibbles(bytes: __m128i) -> __m128i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let mask = _mm_set1_epi8(30);
        let low = _mm_and_si128(_mm_slli_epi16::<1>(bytes), mask);
        let high = _mm_and_si128(_mm_srli_epi16::<3>(bytes), mask);
        _mm_or_si128(_mm_unpacklo_epi8(low, high), _mm_set1_epi8(1))
    }
}

/// The upper words of eight pairs: four times seven signs, and a scale.
#[inline(always)]
unsafe fn upper_words(pairs: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let (a, b) = (load32(pairs), load32(pairs.add(32)));
        let words = _mm256_shuffle_ps::<0xdd>(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b));
        _mm256_permute4x64_epi64::<0xd8>(_mm256_castps_si256(words))
    }
}

/// Four indices that are bytes.
#[inline(always)]
unsafe fn four_bytes(at: *const u8) -> [usize; 4] {
    // SAFETY: the caller's promise: the bytes of the blocks that are read.
    unsafe { [byte(at, 0), byte(at, 1), byte(at, 2), byte(at, 3)] }
}

// The sign bits of a whole unit are made ready at once: the same for all runs, it is computed once where they are inlined.
split!(
    IQ2_XXS,
    |unit| odd_multiples(upper_words(unit.add(2)), unit, 0.125),
    |unit, run| {
        let bits = even_signs(sevens_of_words(upper_words(unit.add(2))));
        [
            eights(&grid::IQ2_XXS_POINTS, four_bytes(unit.add(2 + 8 * run))),
            signs_of_run(bits, run),
        ]
    }
);
split!(
    IQ3_XXS,
    |unit| odd_multiples(load32(unit.add(66)), unit, 0.25),
    |unit, run| {
        let at = unit.add(2 + 8 * run);
        let bits = even_signs(sevens_of_words(load32(unit.add(66))));
        let ([a, b, c, d], [e, f, g, h]) = (four_bytes(at), four_bytes(at.add(4)));
        let indices = [a, b, c, d, e, f, g, h];
        [
            fours(&grid::IQ3_XXS_POINTS, indices),
            signs_of_run(bits, run),
        ]
    }
);
split!(
    IQ2_XS,
    |unit| odd_nibbles(unit, unit.add(66)),
    |unit, run| {
        let at = unit.add(2 + 8 * run);
        let index = |i: usize| short(at.add(2 * i)) & 511;
        let points = eights(
            &grid::IQ2_XS_POINTS,
            [index(0), index(1), index(2), index(3)],
        );
        let sevens = |i: usize| short(at.add(2 * i)) >> 9;
        [
            points,
            even_factors([sevens(0), sevens(1), sevens(2), sevens(3)]),
        ]
    }
);
split!(
    IQ2_S,
    |unit| odd_nibbles(unit, unit.add(74)),
    |unit, run| {
        let (at, high) = (unit.add(2 + 4 * run), byte(unit, 66 + run));
        let index = |i: usize| byte(at, i) | high << (8 - 2 * i) & 0x300;
        let points = eights(
            &grid::IQ2_S_POINTS,
            [index(0), index(1), index(2), index(3)],
        );
        [points, signs(unit.add(34 + 4 * run))]
    }
);
split!(
    IQ3_S,
    |unit| {
        let odd = odd_of_nibbles(_mm_cvtsi32_si128(word(unit.add(106)) as i32));
        let scales = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(odd));
        only(_mm256_mul_ps(scales, splat_half(unit)))
    },
    |unit, run| {
        let (at, high) = (unit.add(2 + 8 * run), byte(unit, 66 + run));
        let index = |i: usize| byte(at, i) | high << (8 - i) & 0x100;
        let indices = [
            index(0),
            index(1),
            index(2),
            index(3),
            index(4),
            index(5),
            index(6),
            index(7),
        ];
        [
            fours(&grid::IQ3_S_POINTS, indices),
            signs(unit.add(74 + 4 * run)),
        ]
    }
);

// Codes of the IQ1 types are points of -8, 0 and 8 and a shift of 1 or -1; the bias of 9 makes that 10 or 8.
large!(IQ1_S, bias: Some(9),
|unit| {
    let words = load16(unit.add(34));
    // 2 · v + 1 for the three bits below the uppermost.
    let odd = _mm_and_si128(_mm_srli_epi16::<11>(words), _mm_set1_epi16(14));
    let odd = _mm256_cvtepu16_epi32(_mm_or_si128(odd, _mm_set1_epi16(1)));
    only(_mm256_mul_ps(_mm256_cvtepi32_ps(odd), times(splat_half(unit), 0.125)))
},
|unit, run| {
    let (at, high) = (unit.add(2 + 4 * run), short(unit.add(34 + 2 * run)));
    let index = |i: usize| byte(at, i) | high << 8 >> (3 * i) & 0x700;
    let points = eights(&grid::IQ1_POINTS, [index(0), index(1), index(2), index(3)]);
    _mm256_add_epi8(points, _mm256_set1_epi8(10 - 2 * (high >> 15) as i8))
});
large!(IQ1_M, bias: Some(9),
|unit| {
    let words = long(unit.add(48)) as u64;
    // The scale's nibbles are the uppermost of four shorts.
    let nibble = |i: usize| words >> (12 + 16 * i) & 15;
    let half = nibble(0) | nibble(1) << 4 | nibble(2) << 8 | nibble(3) << 12;
    let scale = times(_mm256_cvtph_ps(_mm_set1_epi16(half as i16)), 0.125);
    // Four multiples of three bits in each short: it is copied four times, and each is moved to the top.
    let copies = _mm256_shuffle_epi8(
        _mm256_set1_epi64x(words as i64),
        _mm256_setr_epi64x(0x0100_0100_0100_0100, 0x0302_0302_0302_0302, 0x0504_0504_0504_0504, 0x0706_0706_0706_0706),
    );
    let moved = _mm256_mullo_epi16(copies, _mm256_set1_epi64x(0x0010_0080_0400_2000));
    let odd = _mm256_or_si256(_mm256_srli_epi16::<12>(moved), _mm256_set1_epi16(1));
    let low = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(odd)));
    let high = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm256_extracti128_si256::<1>(odd)));
    let scales = even_then_odd([_mm256_mul_ps(low, scale), _mm256_mul_ps(high, scale)]);
    Head { scales, mins: zero2() }
},
|unit, run| {
    // A nibble a vector: three bits of its index, and whether the shift is downwards.
    let (at, high) = (unit.add(4 * run), short(unit.add(32 + 2 * run)));
    let index = |i: usize| byte(at, i) | high << 8 >> (4 * i) & 0x700;
    let points = eights(&grid::IQ1_POINTS, [index(0), index(1), index(2), index(3)]);
    let bits = _mm256_setr_epi64x(8, 0x80, 0x800, 0x8000);
    let down = _mm256_and_si256(_mm256_set1_epi64x(high as i64), bits);
    let down = masked(_mm256_cmpeq_epi64(down, bits), -2);
    _mm256_add_epi8(points, _mm256_add_epi8(_mm256_set1_epi8(10), down))
});
