//! The types of one or two bits, ternary ones, NVFP4 with its scales of eight bits, and the formats of activations.
//!
//! SAFETY: as in the file above this one.

use super::*;

/// Eight blocks of 32 with a half each, in blocks of more: `blocks` of them, `step` bytes apart, each for all its groups.
#[inline(always)]
unsafe fn shared_halves(unit: *const u8, blocks: usize, step: usize) -> __m256 {
    // SAFETY: the caller's promise: AVX2, FMA and F16C, and the bytes of the blocks that are read.
    unsafe {
        let half = |run: usize| half_at(unit.add(run * blocks / 8 * step));
        let halves = _mm_setr_epi16(
            half(0),
            half(1),
            half(2),
            half(3),
            half(4),
            half(5),
            half(6),
            half(7),
        );
        _mm256_cvtph_ps(halves)
    }
}

large!(TQ2_0, bias: Some(1),
    |unit| only(splat_half(unit.add(64))),
    |unit, run| masked(right(load32(unit.add(run / 4 * 32)), run % 4 * 2), 3));

large!(TQ1_0, bias: Some(1),
|unit| only(splat_half(unit.add(52))),
|unit, run| first_digits(match run {
    0..5 => times_power_of_3(load32(unit), run),
    5..7 => {
        let both = _mm256_broadcastsi128_si256(load16(unit.add(32)));
        let upper = _mm256_add_epi8(both, _mm256_add_epi8(both, both));
        times_power_of_3(_mm256_blend_epi32::<0xf0>(both, upper), 2 * (run - 5))
    }
    _ => {
        let low = times_power_of_3(_mm256_castsi128_si256(load16(unit.add(32))), 4);
        // Four bytes of four digits.
        let bytes = _mm256_cvtepu8_epi16(_mm_set1_epi32(unit.add(48).cast::<i32>().read_unaligned()));
        let powers = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
        let products = _mm256_and_si256(_mm256_mullo_epi16(bytes, powers), _mm256_set1_epi16(255));
        let (first, second) = (_mm256_castsi256_si128(products), _mm256_extracti128_si256::<1>(products));
        _mm256_set_m128i(_mm_packus_epi16(first, second), _mm256_castsi256_si128(low))
    }
}));

/// Bytes times 3 to the power of `power`, modulo 256: leaves the digits from that one on.
#[inline(always)]
unsafe fn times_power_of_3(mut bytes: __m256i, power: usize) -> __m256i {
    for _ in 0..power {
        // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
        bytes = unsafe { _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes)) };
    }
    bytes
}

/// The first base-3 digit of each byte as a fraction of 256: 1 from 86 on, 2 from 171 on.
#[inline(always)]
unsafe fn first_digits(bytes: __m256i) -> __m256i {
    // SAFETY: the caller's promise: AVX2, FMA and F16C. Nothing is read from memory.
    unsafe {
        let one = _mm256_set1_epi8(1);
        let above =
            |least: i8| _mm256_min_epu8(_mm256_subs_epu8(bytes, _mm256_set1_epi8(least)), one);
        _mm256_add_epi8(above(85), above(170_u8 as i8))
    }
}

large!(Q1_0, bias: Some(1),
    |unit| only(shared_halves(unit, 2, 18)),
    |unit, run| masked(bit_masks(unit.add(run / 4 * 18 + 2 + run % 4 * 4)), 2));

large!(Q2_0, bias: Some(1),
|unit| only(shared_halves(unit, 4, 18)),
|unit, run| {
    // A byte to four: copies of it, shifted to where their two bits belong.
    let bytes = _mm_loadl_epi64(unit.add(run / 2 * 18 + 2 + run % 2 * 8).cast());
    let bytes = _mm256_cvtepu8_epi32(bytes);
    let pairs = _mm256_or_si256(bytes, _mm256_slli_epi32::<6>(bytes));
    masked(_mm256_or_si256(pairs, _mm256_slli_epi32::<12>(pairs)), 3)
});

large!(NVFP4, bias: None,
|unit| {
    let scales = |block: usize| unit.add(block * 36).cast::<i32>().read_unaligned();
    let bytes = _mm_setr_epi32(scales(0), scales(1), scales(2), scales(3));
    let bytes = _mm256_cvtepu8_epi16(bytes);
    // Four bits of exponent and three of mantissa at their place in a half, whose exponents are biased by eight more.
    let halves = _mm256_slli_epi16::<7>(_mm256_and_si256(bytes, _mm256_set1_epi16(0x7f)));
    let not_a_number = _mm256_cmpeq_epi16(bytes, _mm256_set1_epi16(0x7f));
    let halves = _mm256_andnot_si256(not_a_number, halves);
    let low = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
    let high = _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(halves));
    Head { scales: even_then_odd([times(low, 128.0), times(high, 128.0)]), mins: zero2() }
},
|unit, run| {
    // Eight bytes twice for the first group of 16, then for the second.
    let bytes = load16(unit.add(run / 2 * 36 + 4 + run % 2 * 16));
    let bytes = _mm256_permute4x64_epi64::<0x50>(_mm256_castsi128_si256(bytes));
    let nibbles = masked(_mm256_srlv_epi64(bytes, _mm256_setr_epi64x(0, 4, 0, 4)), 15);
    looked_up(&crate::quant::mxfp4::CODES, nibbles)
});

small!(Q8_1, bias: None,
    |at| only(halves(at, 36)),
    |block| load32(block.add(4)));
large!(Q8_K, bias: None,
    |unit| only(_mm256_set1_ps(unit.cast::<f32>().read_unaligned())),
    |unit, run| load32(unit.add(4 + 32 * run)));
