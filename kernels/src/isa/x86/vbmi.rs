//! The types of grids with AVX-512 VBMI: all points of a unit are looked up at once, in tables that lie in registers.
//!
//! A point is two or three bits for each of its elements, the number of the element's level; 16 bits hold it, and one
//! instruction looks 32 of them up in 64. Another spreads the bits to bytes, a third turns them to levels, and signs negate
//! by a mask. `codes` does so for the whole unit and takes its run: inlined for every run, what is common is computed once.
//! (The 1024 points of IQ2_S are too many for this to pay.)
//!
//! SAFETY, for the whole file: as in [`super::layouts`], and the callers' `target_feature` says that the CPU has AVX-512 VBMI
//! and GFNI.

#![allow(non_camel_case_types)] // the format's own names

pub use super::layouts::*;
use crate::quant::{QuantType, grid};
use std::arch::x86_64::*;

/// The levels of every point's elements as numbers, two bits for each of eight or three for each of four.
const fn packed<const V: usize, const N: usize>(points: &[[i8; V]; N], levels: &[i8]) -> [u16; N] {
    let bits = if V == 8 { 2 } else { 3 };
    let mut packed = [0; N];
    let mut point = 0;
    while point < N {
        let mut element = 0;
        while element < V {
            let mut level = 0;
            while levels[level] != points[point][element] {
                level += 1;
            }
            packed[point] |= (level << (bits * element)) as u16;
            element += 1;
        }
        point += 1;
    }
    packed
}

/// Levels over and over, so that the uppermost of six bits don't matter.
const fn repeated(levels: &[i8], period: usize) -> [i8; 64] {
    let mut repeated = [0; 64];
    let mut at = 0;
    while at < 64 {
        if at % period < levels.len() {
            repeated[at] = levels[at % period];
        }
        at += 1;
    }
    repeated
}

static IQ2_XXS_PACKED: [u16; 256] = packed(&grid::IQ2_XXS_POINTS, grid::IQ2_LEVELS);
static IQ2_XS_PACKED: [u16; 512] = packed(&grid::IQ2_XS_POINTS, grid::IQ2_LEVELS);
static IQ3_XXS_PACKED: [u16; 256] = packed(&grid::IQ3_XXS_POINTS, grid::IQ3_XXS_LEVELS);
static IQ3_S_PACKED: [u16; 512] = packed(&grid::IQ3_S_POINTS, grid::IQ3_S_LEVELS);

static IQ2_LEVELS: [i8; 64] = repeated(grid::IQ2_LEVELS, 4);
static IQ3_XXS_LEVELS: [i8; 64] = repeated(grid::IQ3_XXS_LEVELS, 8);
static IQ3_S_LEVELS: [i8; 64] = repeated(grid::IQ3_S_LEVELS, 8);

#[inline(always)]
unsafe fn load64<T>(at: *const T) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

#[inline(always)]
unsafe fn load32(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline(always)]
unsafe fn long(at: *const u8) -> u64 {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe { at.cast::<u64>().read_unaligned() }
}

/// 32 words of a table of 64 by the six lowest bits of the indices.
#[inline(always)]
unsafe fn of_64(table: *const u16, indices: __m512i) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe { _mm512_permutex2var_epi16(load64(table), indices, load64(table.add(32))) }
}

/// 32 words of a table of 256; the seventh bits of the indices are in `masks`, then the eighth.
#[inline(always)]
unsafe fn of_256(table: *const u16, indices: __m512i, masks: [u32; 2]) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe {
        let low = _mm512_mask_blend_epi16(
            masks[0],
            of_64(table, indices),
            of_64(table.add(64), indices),
        );
        let high = _mm512_mask_blend_epi16(
            masks[0],
            of_64(table.add(128), indices),
            of_64(table.add(192), indices),
        );
        _mm512_mask_blend_epi16(masks[1], low, high)
    }
}

/// 32 words of a table of 512, as [`of_256`].
#[inline(always)]
unsafe fn of_512(table: *const u16, indices: __m512i, masks: [u32; 3]) -> __m512i {
    let [a, b, c] = masks;
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe {
        let (low, high) = (
            of_256(table, indices, [a, b]),
            of_256(table.add(256), indices, [a, b]),
        );
        _mm512_mask_blend_epi16(c, low, high)
    }
}

/// Which words have a bit set.
#[inline(always)]
unsafe fn with_bit(words: __m512i, bit: u32) -> u32 {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI. Nothing is read from memory.
    unsafe { _mm512_test_epi16_mask(words, _mm512_set1_epi16(1 << bit)) }
}

/// 32 bytes as words.
#[inline(always)]
unsafe fn words(bytes: __m256i) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI. Nothing is read from memory.
    unsafe { _mm512_cvtepu8_epi16(bytes) }
}

/// 0, 1, 2 and so on, eight bytes each.
#[inline(always)]
unsafe fn counted() -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI. Nothing is read from memory.
    unsafe { _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7) }
}

/// Codes 64 · `part` and on, without signs, of points of eight.
#[inline(always)]
unsafe fn levels_of_eights(points: __m512i, part: usize, levels: &[i8; 64]) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI; the table is as long as the load.
    unsafe {
        // A point to eight bytes.
        let from = _mm512_add_epi64(counted(), _mm512_set1_epi64(8 * part as i64));
        let each = _mm512_permutexvar_epi16(from, points);
        // Bits 0, 2, 4 and on to bytes.
        let spread = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x0e0c_0a08_0604_0200), each);
        _mm512_permutexvar_epi8(spread, load64(levels))
    }
}

/// The same of points of four, of which there are two vectors.
#[inline(always)]
unsafe fn levels_of_fours(points: [__m512i; 2], part: usize, levels: &[i8; 64]) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI; the table is as long as the load.
    unsafe {
        // Two points to eight bytes.
        let from = _mm512_add_epi64(counted(), _mm512_set1_epi64(8 * (part % 2) as i64));
        let each = _mm512_permutexvar_epi32(from, points[part / 2]);
        // Bits 0, 3, 6 and 9 of either to bytes.
        let spread = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1916_1310_0906_0300), each);
        _mm512_permutexvar_epi8(spread, load64(levels))
    }
}

/// Run `run` of the 64 magnitudes it is in, negative where bits of `signs` are set.
#[inline(always)]
unsafe fn signed_run(magnitudes: __m512i, signs: u64, run: usize) -> __m256i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI. Nothing is read from memory.
    unsafe {
        let signed = _mm512_mask_sub_epi8(magnitudes, signs, _mm512_setzero_si512(), magnitudes);
        if run.is_multiple_of(2) {
            _mm512_castsi512_si256(signed)
        } else {
            _mm512_extracti64x4_epi64::<1>(signed)
        }
    }
}

/// Sign bits 64 · `part` and on, of 32 bytes with seven sign bits each (the uppermost bit is ignored); the eighth sign makes
/// the number of negative ones even.
#[inline(always)]
unsafe fn even_signs(sevens: __m256i, part: usize) -> u64 {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI. Nothing is read from memory.
    unsafe {
        // A matrix over the field of two elements, a row a bit: each of the seven by itself, then their sum.
        let matrix = _mm256_set1_epi64x(0x0102_0408_1020_407f);
        let bits = _mm256_gf2p8affine_epi64_epi8::<0>(sevens, matrix);
        let half = if part < 2 {
            _mm256_castsi256_si128(bits)
        } else {
            _mm256_extracti128_si256::<1>(bits)
        };
        let long = if part.is_multiple_of(2) {
            half
        } else {
            _mm_unpackhi_epi64(half, half)
        };
        _mm_cvtsi128_si64(long) as u64
    }
}

/// A type's layout: the scales of the common one, and the codes of `run` of the unit.
macro_rules! vbmi {
    ($name:ident, |$unit:ident, $run:ident| $codes:expr) => {
        #[doc = concat!("Blocks of ", stringify!($name), ".")]
        pub struct $name;
        impl Blocks for $name {
            const QUANT: &'static QuantType = <super::layouts::$name as Blocks>::QUANT;
        }
        impl Layout for $name {
            const BIAS: Option<u8> = <super::layouts::$name as Layout>::BIAS;
            #[inline(always)]
            unsafe fn head(unit: *const u8) -> Head {
                // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
                unsafe { <super::layouts::$name as Layout>::head(unit) }
            }
            #[inline(always)]
            unsafe fn codes($unit: *const u8, $run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
                unsafe { $codes }
            }
        }
    };
}

vbmi!(IQ2_XXS, |unit, run| {
    // Eight times four indices, then four times seven sign bits.
    let groups = load64(unit.add(2));
    let indices = words(_mm512_cvtepi64_epi32(groups));
    let masks = [with_bit(indices, 6), with_bit(indices, 7)];
    let points = of_256(IQ2_XXS_PACKED.as_ptr(), indices, masks);
    let sevens = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x352e_2720), groups);
    let signs = even_signs(_mm512_cvtepi64_epi32(sevens), run / 2);
    signed_run(levels_of_eights(points, run / 2, &IQ2_LEVELS), signs, run)
});
vbmi!(IQ2_XS, |unit, run| {
    let indices = load64(unit.add(2));
    let masks = [
        with_bit(indices, 6),
        with_bit(indices, 7),
        with_bit(indices, 8),
    ];
    let points = of_512(IQ2_XS_PACKED.as_ptr(), indices, masks);
    let sevens = _mm512_cvtepi16_epi8(_mm512_srli_epi16::<9>(indices));
    let signs = even_signs(sevens, run / 2);
    signed_run(levels_of_eights(points, run / 2, &IQ2_LEVELS), signs, run)
});
/// 32 points of IQ3_XXS.
#[inline(always)]
unsafe fn iq3_xxs_points(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe {
        let indices = words(load32(at));
        of_256(
            IQ3_XXS_PACKED.as_ptr(),
            indices,
            [with_bit(indices, 6), with_bit(indices, 7)],
        )
    }
}

/// 32 points of IQ3_S, with the ninth bits of their indices.
#[inline(always)]
unsafe fn iq3_s_points(at: *const u8, ninth: u32) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 with VBMI, and GFNI, and the bytes of the blocks that are read.
    unsafe {
        let indices = words(load32(at));
        let masks = [with_bit(indices, 6), with_bit(indices, 7), ninth];
        of_512(IQ3_S_PACKED.as_ptr(), indices, masks)
    }
}

vbmi!(IQ3_XXS, |unit, run| {
    let points = [iq3_xxs_points(unit.add(2)), iq3_xxs_points(unit.add(34))];
    let groups = _mm512_cvtepu32_epi64(load32(unit.add(66)));
    let sevens = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x150e_0700), groups);
    let signs = even_signs(_mm512_cvtepi64_epi32(sevens), run / 2);
    signed_run(
        levels_of_fours(points, run / 2, &IQ3_XXS_LEVELS),
        signs,
        run,
    )
});
vbmi!(IQ3_S, |unit, run| {
    let ninth = long(unit.add(66));
    let points = [
        iq3_s_points(unit.add(2), ninth as u32),
        iq3_s_points(unit.add(34), (ninth >> 32) as u32),
    ];
    let signs = long(unit.add(74 + run / 2 * 8));
    signed_run(levels_of_fours(points, run / 2, &IQ3_S_LEVELS), signs, run)
});
