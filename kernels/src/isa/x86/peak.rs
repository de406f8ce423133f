//! The ceilings of the x86 sets, see [`Peak`]: sums and factors in registers, and as many independent sums as hide the
//! latency of the multiplier.

use crate::isa::Peak;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Sums in flight: five cycles of latency on two ports, and some to spare.
const SUMS: usize = 12;

macro_rules! vnni {
    ($peak:ident, $run:ident, $features:literal, $bytes:literal, $splat:ident, $dot:ident, $what:literal) => {
        #[doc = $what]
        pub const $peak: Peak = Peak {
            multiply_adds: SUMS * $bytes,
            run: $run,
        };

        #[target_feature(enable = $features)]
        fn $run(rounds: usize) {
            // What the compiler doesn't know to be equal it can't merge.
            let mut sums = black_box([$splat(0); SUMS]);
            let factor = black_box($splat(1));
            for _ in 0..rounds {
                for sum in &mut sums {
                    *sum = $dot(*sum, factor, factor);
                }
            }
            black_box(sums);
        }
    };
}

vnni!(
    VNNI,
    vnni,
    "avx2,avxvnni",
    32,
    _mm256_set1_epi8,
    _mm256_dpbusd_avx_epi32,
    "256 bits, VEX encoding."
);
vnni!(
    VNNI_VL,
    vnni_vl,
    "avx512f,avx512vl,avx512vnni",
    32,
    _mm256_set1_epi8,
    _mm256_dpbusd_epi32,
    "256 bits, EVEX encoding."
);
vnni!(
    VNNI_512,
    vnni_512,
    "avx512f,avx512bw,avx512vnni",
    64,
    _mm512_set1_epi8,
    _mm512_dpbusd_epi32,
    "512 bits."
);

/// Products that are added in 16 bits before they are widened: as many as 4-bit codes allow.
const STEPS: usize = 8;

/// AVX2: `vpmaddubsw`, with what 4-bit codes need of `vpmaddwd`.
pub const MADDUBS: Peak = Peak {
    multiply_adds: STEPS * 32,
    run: maddubs,
};

#[target_feature(enable = "avx2")]
fn maddubs(rounds: usize) {
    let ones = _mm256_set1_epi16(1);
    let codes = black_box([_mm256_set1_epi8(1); STEPS]);
    let activations = _mm256_set1_epi8(1);
    let mut wide = _mm256_setzero_si256();
    for _ in 0..rounds {
        // One load a round keeps the compiler from computing the products once for all rounds.
        let x = *black_box(&activations);
        let mut narrow = _mm256_setzero_si256();
        for codes in codes {
            narrow = _mm256_add_epi16(narrow, _mm256_maddubs_epi16(codes, x));
        }
        wide = _mm256_add_epi32(wide, _mm256_madd_epi16(narrow, ones));
    }
    black_box(wide);
}
