//! The ternary types and the formats of activations.
//!
//! SAFETY: as in the file above this one.

use super::*;

large!(TQ2_0, bias: Some(1),
    |unit| biased(splat_half(unit.add(64)), 1.0),
    |unit, run| masked(right(load32(unit.add(run / 4 * 32)), run % 4 * 2), 3));

large!(TQ1_0, bias: Some(1),
|unit| biased(splat_half(unit.add(52)), 1.0),
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
        // SAFETY: see the head of the file.
        bytes = unsafe { _mm256_add_epi8(bytes, _mm256_add_epi8(bytes, bytes)) };
    }
    bytes
}

/// The first base-3 digit of each byte as a fraction of 256: 1 from 86 on, 2 from 171 on.
#[inline(always)]
unsafe fn first_digits(bytes: __m256i) -> __m256i {
    // SAFETY: see the head of the file.
    unsafe {
        let one = _mm256_set1_epi8(1);
        let above =
            |least: i8| _mm256_min_epu8(_mm256_subs_epu8(bytes, _mm256_set1_epi8(least)), one);
        _mm256_add_epi8(above(85), above(170_u8 as i8))
    }
}

small!(Q8_1, bias: None,
    |at| Head { scales: [halves(at, 36); 2], mins: zero2() },
    |block| load32(block.add(4)));
large!(Q8_K, bias: None,
    |unit| Head { scales: [_mm256_set1_ps(unit.cast::<f32>().read_unaligned()); 2], mins: zero2() },
    |unit, run| load32(unit.add(4 + 32 * run)));
