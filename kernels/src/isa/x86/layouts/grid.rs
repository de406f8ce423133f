//! The types whose codes are points of a grid (see `quant/grid.rs`): a point is one load by its index, a vector of codes
//! four or eight of them, and signs are factors of 1 and -1.
//!
//! SAFETY: as in the file above this one; indices have no more bits than their grid has points for.

use super::*;
use crate::quant::grid;
use std::arch::asm;

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

/// Points of four elements with room on both sides, so that a vector with a point at any of its places can be read.
#[repr(C)]
struct Padded<const N: usize> {
    before: [i8; 16],
    points: [[i8; 4]; N],
    after: [i8; 16],
}

impl<const N: usize> Padded<N> {
    const fn new(points: &[[i8; 4]; N]) -> Self {
        Self {
            before: [0; 16],
            points: *points,
            after: [0; 16],
        }
    }

    /// Four points, at the places of their indices: each load brings one, a blend takes it.
    #[inline(always)]
    unsafe fn four(&self, [a, b, c, d]: [usize; 4]) -> __m128i {
        // SAFETY: the caller's promise: AVX2, FMA and F16C; indices have no more bits than the grid has points for. A point's
        // place is at most 12 bytes before or behind it in a vector, which the padding has.
        unsafe {
            let table = std::ptr::from_ref(self).cast::<u8>();
            let at = |index: usize, place: usize| load16(table.add(16 + 4 * index - 4 * place));
            let points = _mm_blend_epi32::<2>(at(a, 0), at(b, 1));
            let points = _mm_blend_epi32::<4>(points, at(c, 2));
            _mm_blend_epi32::<8>(points, at(d, 3))
        }
    }

    /// Eight points.
    #[inline(always)]
    unsafe fn eight(&self, [low, high]: [[usize; 4]; 2]) -> __m256i {
        // SAFETY: the caller's promise: AVX2, FMA and F16C; indices have no more bits than the grid has points for.
        unsafe { _mm256_set_m128i(self.four(high), self.four(low)) }
    }
}

static IQ3_XXS_POINTS: Padded<256> = Padded::new(&grid::IQ3_XXS_POINTS);
static IQ3_S_POINTS: Padded<512> = Padded::new(&grid::IQ3_S_POINTS);

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

/// Keeps the compiler from taking the indices of [`Shared`] out of the registers that they were stored from, one by one:
/// loads are faster.
#[inline(always)]
unsafe fn stored(shared: *mut Shared) {
    // SAFETY: no instruction is added.
    unsafe { asm!("/* {0} */", in(reg) shared, options(nostack, preserves_flags)) }
}

/// Sign bits of eight runs to [`Shared::signs`].
#[inline(always)]
unsafe fn share_signs(bits: __m256i, to: *mut Shared) {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and memory for all of `to`.
    unsafe {
        _mm256_store_si256((&raw mut (*to).signs).cast(), bits);
        stored(to);
    }
}

/// Sixteen numbers of points to [`Shared::indices`], from `first` on.
#[inline(always)]
unsafe fn share_indices(indices: __m256i, to: *mut Shared, first: usize) {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and memory for all of `to`; `first` is at most 48.
    unsafe {
        let to = (&raw mut (*to).indices).cast::<u16>().add(first);
        _mm256_store_si256(to.cast(), indices);
    }
}

/// 16 bytes as words.
#[inline(always)]
unsafe fn words(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { _mm256_cvtepu8_epi16(load16(at)) }
}

/// Bytes of a short vector to words; 0x80 and more give zeros.
#[inline(always)]
unsafe fn spread(bytes: __m128i, places: [i64; 4]) -> __m256i {
    let [a, b, c, d] = places;
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let places = _mm256_setr_epi64x(a, b, c, d);
        _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), places)
    }
}

/// Index `number` of a unit.
#[inline(always)]
unsafe fn index(shared: *const Shared, number: usize) -> usize {
    // SAFETY: the caller's promise: `share` wrote it; a unit has 64 at most.
    unsafe {
        usize::from(
            (&raw const (*shared).indices)
                .cast::<u16>()
                .add(number)
                .read(),
        )
    }
}

/// The points of eight elements of a run, by indices that were shared.
#[inline(always)]
unsafe fn shared_eights<const N: usize>(
    points: &[[i8; 8]; N],
    shared: *const Shared,
    run: usize,
) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and indices below `N`.
    unsafe {
        let at = |i: usize| index(shared, 4 * run + i);
        eights(points, [at(0), at(1), at(2), at(3)])
    }
}

/// The signs of a run that were shared.
#[inline(always)]
unsafe fn shared_signs(shared: *const Shared, run: usize) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and `share` wrote them.
    unsafe { signs((&raw const (*shared).signs).cast::<u8>().add(4 * run)) }
}

/// The layout of a type of points: what its runs share, and codes, or magnitudes and signs apart.
macro_rules! points {
    ($name:ident, bias: $bias:expr, |$unit:ident| $head:expr,
     share: |$from:ident, $to:ident| $share:expr,
     |$at:ident, $shared:ident, $run:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: Option<u8> = Some($bias);
            points!(common, |$unit| $head, |$from, $to| $share);
            #[inline(always)]
            unsafe fn codes($at: *const u8, $shared: *const Shared, $run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $codes }
            }
        }
    };
    ($name:ident, split, |$unit:ident| $head:expr,
     share: |$from:ident, $to:ident| $share:expr,
     |$at:ident, $shared:ident, $run:ident| $split:expr) => {
        impl Layout for $name {
            const BIAS: Option<u8> = None;
            const SPLIT: bool = true;
            points!(common, |$unit| $head, |$from, $to| $share);
            #[inline(always)]
            unsafe fn codes(unit: *const u8, shared: *const Shared, run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe {
                    let [magnitudes, signs] = Self::split(unit, shared, run);
                    _mm256_sign_epi8(magnitudes, signs)
                }
            }
            #[inline(always)]
            unsafe fn split($at: *const u8, $shared: *const Shared, $run: usize) -> [__m256i; 2] {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $split }
            }
        }
    };
    (common, |$unit:ident| $head:expr, |$from:ident, $to:ident| $share:expr) => {
        #[inline(always)]
        unsafe fn head($unit: *const u8) -> Head {
            // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
            unsafe { $head }
        }
        #[inline(always)]
        unsafe fn share($from: *const u8, $to: *mut Shared) {
            // SAFETY: the caller's promise: AVX2, FMA and F16C, the bytes of the blocks that are read, and memory for `to`.
            unsafe { $share }
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

points!(
    IQ2_XXS,
    split,
    |unit| odd_multiples(upper_words(unit.add(2)), unit, 0.125),
    share: |unit, to| share_signs(even_signs(sevens_of_words(upper_words(unit.add(2)))), to),
    |unit, shared, run| [
        eights(&grid::IQ2_XXS_POINTS, four_bytes(unit.add(2 + 8 * run))),
        shared_signs(shared, run),
    ]
);
points!(
    IQ3_XXS,
    split,
    |unit| odd_multiples(load32(unit.add(66)), unit, 0.25),
    share: |unit, to| share_signs(even_signs(sevens_of_words(load32(unit.add(66)))), to),
    |unit, shared, run| {
        let at = unit.add(2 + 8 * run);
        [
            IQ3_XXS_POINTS.eight([four_bytes(at), four_bytes(at.add(4))]),
            shared_signs(shared, run),
        ]
    }
);
points!(
    IQ2_XS,
    split,
    |unit| odd_nibbles(unit, unit.add(66)),
    share: |unit, to| {
        let words = [load32(unit.add(2)), load32(unit.add(34))];
        let [low, high] = words.map(|words| _mm256_and_si256(words, _mm256_set1_epi16(511)));
        share_indices(low, to, 0);
        share_indices(high, to, 16);
        let [low, high] = words.map(|words| _mm256_srli_epi16::<9>(words));
        let sevens = _mm256_permute4x64_epi64::<0xd8>(_mm256_packus_epi16(low, high));
        share_signs(even_signs(sevens), to);
    },
    |_unit, shared, run| [
        shared_eights(&grid::IQ2_XS_POINTS, shared, run),
        shared_signs(shared, run),
    ]
);
points!(
    IQ2_S,
    split,
    |unit| odd_nibbles(unit, unit.add(74)),
    share: |unit, to| {
        // A byte of four pairs of bits a run: each is moved to bits 8 and 9.
        let high = _mm_cvtsi64_si128(long(unit.add(66)));
        let copies = [
            [0x8000_8000_8000_8000_u64 as i64, 0x8001_8001_8001_8001_u64 as i64, 0x8002_8002_8002_8002_u64 as i64, 0x8003_8003_8003_8003_u64 as i64],
            [0x8004_8004_8004_8004_u64 as i64, 0x8005_8005_8005_8005_u64 as i64, 0x8006_8006_8006_8006_u64 as i64, 0x8007_8007_8007_8007_u64 as i64],
        ];
        for (half, places) in copies.into_iter().enumerate() {
            let moved = _mm256_mullo_epi16(spread(high, places), _mm256_set1_epi64x(0x0004_0010_0040_0100));
            let high = _mm256_and_si256(moved, _mm256_set1_epi16(0x300));
            share_indices(_mm256_or_si256(words(unit.add(2 + 16 * half)), high), to, 16 * half);
        }
        stored(to);
    },
    |unit, shared, run| [
        shared_eights(&grid::IQ2_S_POINTS, shared, run),
        signs(unit.add(34 + 4 * run)),
    ]
);
points!(
    IQ3_S,
    split,
    |unit| {
        let odd = odd_of_nibbles(_mm_cvtsi32_si128(word(unit.add(106)) as i32));
        let scales = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(odd));
        only(_mm256_mul_ps(scales, splat_half(unit)))
    },
    share: |unit, to| {
        // A bit for each index.
        for pair in 0..4 {
            let at = unit.add(66 + 2 * pair);
            let bits = _mm256_set1_epi16(at.cast::<i16>().read_unaligned());
            let mask = _mm256_setr_epi16(
                1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, i16::MIN,
            );
            let set = _mm256_cmpeq_epi16(_mm256_and_si256(bits, mask), mask);
            let high = _mm256_and_si256(set, _mm256_set1_epi16(0x100));
            share_indices(_mm256_or_si256(words(unit.add(2 + 16 * pair)), high), to, 16 * pair);
        }
        stored(to);
    },
    |unit, shared, run| {
        let at = |i: usize| index(shared, 8 * run + i);
        [
            IQ3_S_POINTS.eight([[at(0), at(1), at(2), at(3)], [at(4), at(5), at(6), at(7)]]),
            signs(unit.add(74 + 4 * run)),
        ]
    }
);

/// Shares the indices of an IQ1 type: a byte and three bits each. `factors` move the first three threes of a word to bits
/// 8 to 10, and the words of `fourth` have the last one there.
#[inline(always)]
unsafe fn share_iq1(
    low: *const u8,
    high: __m128i,
    factors: i64,
    fourth: impl Fn(__m256i) -> __m256i,
    to: *mut Shared,
) {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, the bytes of the blocks that are read, and memory for `to`.
    unsafe {
        let copies = [
            [
                0x0100_0100_0100_0100,
                0x0302_0302_0302_0302,
                0x0504_0504_0504_0504,
                0x0706_0706_0706_0706,
            ],
            [
                0x0908_0908_0908_0908,
                0x0b0a_0b0a_0b0a_0b0a,
                0x0d0c_0d0c_0d0c_0d0c,
                0x0f0e_0f0e_0f0e_0f0e,
            ],
        ];
        for (half, places) in copies.into_iter().enumerate() {
            let copies = spread(high, places);
            let moved = _mm256_mullo_epi16(copies, _mm256_set1_epi64x(factors));
            let moved = _mm256_blend_epi16::<0x88>(moved, fourth(copies));
            let high = _mm256_and_si256(moved, _mm256_set1_epi16(0x700));
            share_indices(
                _mm256_or_si256(words(low.add(16 * half)), high),
                to,
                16 * half,
            );
        }
        stored(to);
    }
}

points!(IQ1_S, bias: 9,
|unit| {
    let words = load16(unit.add(34));
    // 2 · v + 1 for the three bits below the uppermost.
    let odd = _mm_and_si128(_mm_srli_epi16::<11>(words), _mm_set1_epi16(14));
    let odd = _mm256_cvtepu16_epi32(_mm_or_si128(odd, _mm_set1_epi16(1)));
    only(_mm256_mul_ps(_mm256_cvtepi32_ps(odd), times(splat_half(unit), 0.125)))
},
share: |unit, to| {
    let fourth = |words| _mm256_srli_epi16::<1>(words);
    share_iq1(unit.add(2), load16(unit.add(34)), 0x0000_0004_0020_0100, fourth, to);
},
|unit, shared, run| {
    let high = short(unit.add(34 + 2 * run));
    let points = shared_eights(&grid::IQ1_POINTS, shared, run);
    _mm256_add_epi8(points, _mm256_set1_epi8(10 - 2 * (high >> 15) as i8))
});
points!(IQ1_M, bias: 9,
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
share: |unit, to| {
    // A nibble a point: three bits of its index, and whether the shift is downwards.
    let fourth = |words| _mm256_srli_epi16::<4>(words);
    share_iq1(unit, load16(unit.add(32)), 0x0000_0001_0010_0100, fourth, to);
},
|unit, shared, run| {
    let high = short(unit.add(32 + 2 * run));
    let points = shared_eights(&grid::IQ1_POINTS, shared, run);
    let bits = _mm256_setr_epi64x(8, 0x80, 0x800, 0x8000);
    let down = _mm256_and_si256(_mm256_set1_epi64x(high as i64), bits);
    let down = masked(_mm256_cmpeq_epi64(down, bits), -2);
    _mm256_add_epi8(points, _mm256_add_epi8(_mm256_set1_epi8(10), down))
});
