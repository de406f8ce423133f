//! How the blocks of the types unpack with AVX2: one [`Layout`] a type, in units of 256 codes. Here the common types; those
//! whose codes are points of a grid are in [`grid`], the ternary ones and the rest in [`narrow`].
//!
//! SAFETY, for these files: a layout reads only the bytes of the blocks it is asked for (`head`: all blocks of a unit;
//! `codes`: one run of 32 codes), and the callers' `target_feature` says the CPU has AVX2, FMA and F16C. What only `head_512`
//! calls also has AVX-512 F, BW and VL.

pub use crate::isa::blocks::*;
use std::arch::x86_64::*;

/// Scales and mins of one unit, eight groups of 32, or sixteen of 16: those of all first halves of runs, then of all second
/// halves.
#[derive(Clone, Copy)]
pub struct Head {
    /// Scales.
    pub scales: [__m256; 2],
    /// Mins, where the type has any.
    pub mins: [__m256; 2],
}

/// How a type's blocks unpack.
pub trait Layout: Blocks {
    /// What `codes` adds to the type's codes so that they are unsigned; `None`: they are signed.
    const BIAS: Option<u8>;
    /// Whether `split` costs nothing: magnitudes and signs come apart from the block.
    const SPLIT: bool = false;

    /// Scales and mins of the unit at `unit`.
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C; at `unit` lie the bytes of a whole unit.
    unsafe fn head(unit: *const u8) -> Head;
    /// The same, where shuffles of AVX-512 gather it faster.
    /// # Safety
    /// As `head`; the CPU must have AVX-512 F, BW and VL too.
    #[inline(always)]
    unsafe fn head_512(unit: *const u8) -> Head {
        // SAFETY: the caller's promise.
        unsafe { Self::head(unit) }
    }
    /// Codes 32 · `run` and on.
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C; at `unit` lie the bytes of a whole unit.
    unsafe fn codes(unit: *const u8, run: usize) -> __m256i;
    /// The magnitudes of signed codes, and bytes with their signs (0 where a code is 0).
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C; at `unit` lie the bytes of a whole unit.
    #[inline(always)]
    unsafe fn split(unit: *const u8, run: usize) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let codes = Self::codes(unit, run);
            [_mm256_abs_epi8(codes), codes]
        }
    }
}

#[inline(always)]
unsafe fn load16(at: *const u8) -> __m128i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { _mm_loadu_si128(at.cast()) }
}

#[inline(always)]
unsafe fn load32(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { _mm256_loadu_si256(at.cast()) }
}

#[inline(always)]
unsafe fn load64(at: *const u8) -> __m512i {
    // SAFETY: the caller's promise: AVX-512 F, and the bytes of the blocks that are read.
    unsafe { _mm512_loadu_si512(at.cast()) }
}

#[inline(always)]
unsafe fn half_at(at: *const u8) -> i16 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { at.cast::<i16>().read_unaligned() }
}

/// One half-precision number in all lanes.
#[inline(always)]
unsafe fn splat_half(at: *const u8) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { _mm256_cvtph_ps(_mm_set1_epi16(half_at(at))) }
}

/// Eight half-precision numbers, `step` bytes apart.
#[inline(always)]
unsafe fn halves(at: *const u8, step: usize) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        _mm256_cvtph_ps(_mm_setr_epi16(
            half_at(at),
            half_at(at.add(step)),
            half_at(at.add(2 * step)),
            half_at(at.add(3 * step)),
            half_at(at.add(4 * step)),
            half_at(at.add(5 * step)),
            half_at(at.add(6 * step)),
            half_at(at.add(7 * step)),
        ))
    }
}

/// 16 bytes to 32 nibbles: the low ones, then the high ones.
#[inline(always)]
unsafe fn nibbles(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let both = _mm256_broadcastsi128_si256(load16(at));
        let shifted = _mm256_srlv_epi64(both, _mm256_setr_epi64x(0, 0, 4, 4));
        _mm256_and_si256(shifted, _mm256_set1_epi8(15))
    }
}

/// 32 bits to bytes of all ones or none.
#[inline(always)]
unsafe fn bit_masks(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { spread_bits(_mm256_set1_epi32(at.cast::<i32>().read_unaligned())) }
}

/// 32 bits, the same in all words, to bytes of all ones or none.
#[inline(always)]
unsafe fn spread_bits(bits: __m256i) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        // Each byte of bits to the eight lanes that take one bit of it.
        let spread = _mm256_setr_epi64x(
            0,
            0x0101_0101_0101_0101,
            0x0202_0202_0202_0202,
            0x0303_0303_0303_0303,
        );
        let bytes = _mm256_shuffle_epi8(bits, spread);
        let mask = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
        _mm256_cmpeq_epi8(_mm256_and_si256(bytes, mask), mask)
    }
}

/// 32 bits to bytes of 0 or 16.
#[inline(always)]
unsafe fn fifth_bits(at: *const u8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe { masked(bit_masks(at), 16) }
}

#[inline(always)]
unsafe fn zero2() -> [__m256; 2] {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { [_mm256_setzero_ps(); 2] }
}

#[inline(always)]
unsafe fn times(scales: __m256, factor: f32) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { _mm256_mul_ps(scales, _mm256_set1_ps(factor)) }
}

/// The layout of a type of 32-blocks with one scale.
macro_rules! small {
    ($name:ident, bias: $bias:expr, |$at:ident| $head:expr, $(head_512: $head_512:expr,)? |$block:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: Option<u8> = $bias;
            #[inline(always)]
            unsafe fn head($at: *const u8) -> Head {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $head }
            }
            $(
                #[inline(always)]
                unsafe fn head_512($at: *const u8) -> Head {
                    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                    unsafe { $head_512 }
                }
            )?
            #[inline(always)]
            unsafe fn codes(unit: *const u8, run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe {
                    let $block = unit.add(run * Self::BYTES);
                    $codes
                }
            }
        }
    };
}

/// Scales and no mins.
#[inline(always)]
unsafe fn only(scales: __m256) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        Head {
            scales: [scales; 2],
            mins: zero2(),
        }
    }
}

/// A scale and an added minimum, side by side: one load brings both.
#[inline(always)]
unsafe fn with_added(at: *const u8, step: usize) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let low = _mm_setr_epi32(
            at.cast::<i32>().read_unaligned(),
            at.add(step).cast::<i32>().read_unaligned(),
            at.add(2 * step).cast::<i32>().read_unaligned(),
            at.add(3 * step).cast::<i32>().read_unaligned(),
        );
        let high = _mm_setr_epi32(
            at.add(4 * step).cast::<i32>().read_unaligned(),
            at.add(5 * step).cast::<i32>().read_unaligned(),
            at.add(6 * step).cast::<i32>().read_unaligned(),
            at.add(7 * step).cast::<i32>().read_unaligned(),
        );
        let first = _mm_set1_epi32(0xffff);
        let scales = _mm_packus_epi32(_mm_and_si128(low, first), _mm_and_si128(high, first));
        let mins = _mm_packus_epi32(_mm_srli_epi32::<16>(low), _mm_srli_epi32::<16>(high));
        scales_and_added(scales, mins)
    }
}

/// Halves to scales and what is added; mins are taken off.
#[inline(always)]
unsafe fn scales_and_added(scales: __m128i, added: __m128i) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        // The sign bit of a half turned.
        let mins = _mm_xor_si128(added, _mm_set1_epi16(i16::MIN));
        Head {
            scales: [_mm256_cvtph_ps(scales); 2],
            mins: [_mm256_cvtph_ps(mins); 2],
        }
    }
}

/// As [`with_added`] for blocks of 20 bytes: every fifth word is a pair. The first four lie in 64 bytes, the others in the
/// 64 from byte 80 on.
#[inline(always)]
unsafe fn fifth_pairs(at: *const u8) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let (first, second) = (load64(at), load64(at.add(80)));
        // Scales of both, then mins of both; the sixth bit of an index chooses the second.
        let words = _mm512_castsi256_si512(_mm256_setr_epi16(
            0, 10, 20, 30, 32, 42, 52, 62, 1, 11, 21, 31, 33, 43, 53, 63,
        ));
        let halves = _mm512_castsi512_si256(_mm512_permutex2var_epi16(first, words, second));
        scales_and_added(
            _mm256_castsi256_si128(halves),
            _mm256_extracti128_si256::<1>(halves),
        )
    }
}

/// As [`halves`] for blocks of 18 bytes: every ninth half of 128 bytes.
#[inline(always)]
unsafe fn ninth_halves(at: *const u8) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let words = _mm512_castsi128_si512(_mm_setr_epi16(0, 9, 18, 27, 36, 45, 54, 63));
        let halves = _mm512_permutex2var_epi16(load64(at), words, load64(at.add(64)));
        _mm256_cvtph_ps(_mm512_castsi512_si128(halves))
    }
}

small!(Q4_0, bias: Some(8),
    |at| only(halves(at, 18)),
    head_512: only(ninth_halves(at)),
    |block| nibbles(block.add(2)));
small!(Q4_1, bias: Some(0),
    |at| with_added(at, 20),
    head_512: fifth_pairs(at),
    |block| nibbles(block.add(4)));
small!(Q5_0, bias: Some(16),
    |at| only(halves(at, 22)),
    |block| _mm256_or_si256(nibbles(block.add(6)), fifth_bits(block.add(2))));
small!(Q5_1, bias: Some(0),
    |at| with_added(at, 24),
    |block| _mm256_or_si256(nibbles(block.add(8)), fifth_bits(block.add(4))));
small!(Q8_0, bias: None,
    |at| only(halves(at, 34)),
    |block| load32(block.add(2)));
small!(IQ4_NL, bias: None,
    |at| only(halves(at, 18)),
    head_512: only(ninth_halves(at)),
    |block| looked_up(&crate::quant::iq4_nl::CODES, nibbles(block.add(2))));

small!(MXFP4, bias: None,
    |at| only(half_powers(at, 17)),
    |block| looked_up(&crate::quant::mxfp4::CODES, nibbles(block.add(1))));

/// 2 to the power of `byte − 128` for eight bytes, `step` apart, see `quant::mxfp4`.
#[inline(always)]
unsafe fn half_powers(at: *const u8, step: usize) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let exponent = |block: usize| i32::from(*at.add(block * step));
        let exponents = _mm256_setr_epi32(
            exponent(0),
            exponent(1),
            exponent(2),
            exponent(3),
            exponent(4),
            exponent(5),
            exponent(6),
            exponent(7),
        );
        let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(exponents, _mm256_set1_epi32(1)));
        // The two smallest are subnormal: a bit of the mantissa.
        let subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), exponents);
        let is_normal = _mm256_cmpgt_epi32(exponents, _mm256_set1_epi32(1));
        _mm256_castsi256_ps(_mm256_blendv_epi8(subnormal, normal, is_normal))
    }
}

/// Nibbles to what a table has for them.
#[inline(always)]
unsafe fn looked_up(table: &[i8; 16], nibbles: __m256i) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C; the table is as long as the load.
    unsafe {
        let table = _mm256_broadcastsi128_si256(load16(table.as_ptr().cast()));
        _mm256_shuffle_epi8(table, nibbles)
    }
}

/// The 6-bit scales and mins of Q4_K and Q5_K (see `quant/q4_k.rs`): scales in bytes 0 to 7, mins in the others.
#[inline(always)]
unsafe fn k_scales(unit: *const u8) -> Head {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        // The block begins with two halves and three words. Four scales are the lower six bits of the first word, four mins
        // those of the second; of the others, the third word has the lower nibbles, the first two have the upper two bits.
        let words = load16(unit);
        let low = _mm_shuffle_epi32::<0b11_10_11_01>(words);
        let low = _mm_srlv_epi32(low, _mm_setr_epi32(0, 0, 0, 4));
        let low_mask = _mm_setr_epi32(0x3f3f_3f3f, 0x0f0f_0f0f, 0x3f3f_3f3f, 0x0f0f_0f0f);
        let high = _mm_srli_epi32::<2>(_mm_shuffle_epi32::<0b10_10_01_01>(words));
        let high_mask = _mm_setr_epi32(0, 0x3030_3030, 0, 0x3030_3030);
        let multiples = _mm_or_si128(_mm_and_si128(low, low_mask), _mm_and_si128(high, high_mask));
        let float = |bytes| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
        let (scales, mins) = (
            float(multiples),
            float(_mm_unpackhi_epi64(multiples, multiples)),
        );
        let factors = _mm_cvtph_ps(words);
        let scale = _mm256_broadcastss_ps(factors);
        let min = _mm256_broadcastss_ps(_mm_movehdup_ps(factors));
        Head {
            scales: [_mm256_mul_ps(scale, scales); 2],
            mins: [_mm256_mul_ps(min, mins); 2],
        }
    }
}

/// Sixteen bytes as floats, signed: those at even places, then the others.
#[inline(always)]
unsafe fn signed_bytes(bytes: __m128i, scale: __m256) -> [__m256; 2] {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
        let bytes = _mm_shuffle_epi8(bytes, order);
        let low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
        let high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)));
        [_mm256_mul_ps(low, scale), _mm256_mul_ps(high, scale)]
    }
}

/// Sixteen values in order to those at even places, then the others.
#[inline(always)]
unsafe fn even_then_odd([low, high]: [__m256; 2]) -> [__m256; 2] {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let ordered = |v| _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(_mm256_castps_pd(v)));
        [
            ordered(_mm256_shuffle_ps::<0x88>(low, high)),
            ordered(_mm256_shuffle_ps::<0xdd>(low, high)),
        ]
    }
}

/// The layout of a type of 256-blocks.
macro_rules! large {
    ($name:ident, bias: $bias:expr, |$unit:ident| $head:expr, |$at:ident, $run:ident| $codes:expr) => {
        impl Layout for $name {
            const BIAS: Option<u8> = $bias;
            #[inline(always)]
            unsafe fn head($unit: *const u8) -> Head {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $head }
            }
            #[inline(always)]
            unsafe fn codes($at: *const u8, $run: usize) -> __m256i {
                // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
                unsafe { $codes }
            }
        }
    };
}

/// Bytes shifted right by `count` bits (bits of a neighbour come in: mask them).
#[inline(always)]
unsafe fn right(bytes: __m256i, count: usize) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { _mm256_srl_epi16(bytes, _mm_cvtsi32_si128(count as i32)) }
}

/// As [`right`], to the left.
#[inline(always)]
unsafe fn left(bytes: __m256i, count: usize) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { _mm256_sll_epi16(bytes, _mm_cvtsi32_si128(count as i32)) }
}

#[inline(always)]
unsafe fn masked(bytes: __m256i, mask: i8) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe { _mm256_and_si256(bytes, _mm256_set1_epi8(mask)) }
}

large!(Q2_K, bias: Some(0),
    |unit| {
        let packed = load16(unit);
        let low = _mm_and_si128(packed, _mm_set1_epi8(15));
        let high = _mm_and_si128(_mm_srli_epi16::<4>(packed), _mm_set1_epi8(15));
        Head {
            scales: signed_bytes(low, splat_half(unit.add(80))),
            mins: signed_bytes(high, splat_half(unit.add(82))),
        }
    },
    |unit, run| masked(right(load32(unit.add(16 + run / 4 * 32)), run % 4 * 2), 3));
large!(Q3_K, bias: Some(4),
|unit| {
    // Twelve bytes: low nibbles of scales 0..8 and 8..16, then four times two high bits; biased by 32.
    let word = |at: usize| unit.add(at).cast::<u32>().read_unaligned();
    let (a, b, c) = (word(96), word(100), word(104));
    let part = |low: u32, high: u32| (low & 0x0f0f_0f0f | (high & 0x0303_0303) << 4) as i32;
    let packed = _mm_setr_epi32(
        part(a, c),
        part(b, c >> 2),
        part(a >> 4, c >> 4),
        part(b >> 4, c >> 6),
    );
    let signed = _mm_sub_epi8(packed, _mm_set1_epi8(32));
    let scales = signed_bytes(signed, splat_half(unit.add(108)));
    Head { scales, mins: zero2() }
},
|unit, run| {
    let low = masked(right(load32(unit.add(32 + run / 4 * 32)), run % 4 * 2), 3);
    let high = load32(unit);
    let high = if run < 2 { left(high, 2 - run) } else { right(high, run - 2) };
    _mm256_or_si256(low, masked(high, 4))
});
large!(Q4_K, bias: Some(0),
    |unit| k_scales(unit),
    |unit, run| masked(right(load32(unit.add(16 + run / 2 * 32)), run % 2 * 4), 15));
large!(Q5_K, bias: Some(0),
|unit| k_scales(unit),
|unit, run| {
    let low = masked(right(load32(unit.add(48 + run / 2 * 32)), run % 2 * 4), 15);
    let high = load32(unit.add(16));
    let high = if run < 4 { left(high, 4 - run) } else { right(high, run - 4) };
    _mm256_or_si256(low, masked(high, 16))
});
large!(Q6_K, bias: Some(32),
|unit| {
    let scales = signed_bytes(load16(unit.add(192)), splat_half(unit.add(208)));
    Head { scales, mins: zero2() }
},
|unit, run| {
    let (half, quarter) = (run / 4, run % 4);
    let low = load32(unit.add(half * 64 + quarter % 2 * 32));
    let low = masked(right(low, quarter / 2 * 4), 15);
    let high = load32(unit.add(128 + half * 32));
    let high = if quarter < 2 { left(high, 4 - 2 * quarter) } else { right(high, 2 * quarter - 4) };
    _mm256_or_si256(low, masked(high, 48))
});
large!(IQ4_XS, bias: None,
    |unit| {
        let low = unit.add(4).cast::<u32>().read_unaligned();
        let high = u32::from(unit.add(2).cast::<u16>().read_unaligned());
        // Lane g takes nibble g of `low` and bit pair g of `high`; biased by 32.
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        let four = _mm256_slli_epi32::<2>(lanes);
        let two = _mm256_slli_epi32::<1>(lanes);
        let low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(low as i32), four), _mm256_set1_epi32(15));
        let high = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(high as i32), two), _mm256_set1_epi32(3));
        let both = _mm256_or_si256(low, _mm256_slli_epi32::<4>(high));
        let multiples = _mm256_cvtepi32_ps(_mm256_sub_epi32(both, _mm256_set1_epi32(32)));
        only(_mm256_mul_ps(splat_half(unit), multiples))
    },
    |unit, run| looked_up(&crate::quant::iq4_nl::CODES, nibbles(unit.add(8 + 16 * run))));

// After the macros, which they use.
mod grid;
mod narrow;
