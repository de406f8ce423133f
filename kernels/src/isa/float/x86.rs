//! [`Simd`] on AVX2 + FMA + F16C (8 lanes) and on AVX-512 (16 lanes).
//!
//! SAFETY of every intrinsic below: a token is made only by `detect`, so the CPU has the instruction; the only
//! memory they touch are arrays whose length was checked first, or what the caller of an unsafe method vouches for.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// Proof of AVX-512 F, BW, DQ and VL (and of all that [`Avx2`] proves).
#[derive(Clone, Copy)]
pub struct Avx512(());

impl Avx2 {
    /// The token, if the CPU has the instructions.
    pub fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c"))
        .then_some(Avx2(()))
    }
}

impl Avx512 {
    /// The token, if the CPU has the instructions.
    pub fn detect() -> Option<Avx512> {
        (Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"))
        .then_some(Avx512(()))
    }
}

/// Compiles and runs `kernel` with AVX2.
/// # Safety
/// The CPU must have AVX2, FMA and F16C.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Compiles and runs `kernel` with AVX-512.
/// # Safety
/// The CPU must have AVX-512 F, BW, DQ, VL and what `run_avx2` needs.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
pub unsafe fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

/// Lanes 0..4 plus lanes 4..8.
#[inline(always)]
fn fold(v: __m256) -> __m128 {
    // SAFETY: see the head of the file.
    unsafe { _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)) }
}

/// The four sums at once: transposes while it adds. Same order as `sum`.
#[inline(always)]
fn sum4_of_8(v: [__m256; 4]) -> [f32; 4] {
    // SAFETY: see the head of the file.
    unsafe {
        let h = [fold(v[0]), fold(v[1]), fold(v[2]), fold(v[3])];
        // Each h is (s0 s1 s2 s3); wanted is (s0+s2) + (s1+s3).
        let ab_low = _mm_movelh_ps(h[0], h[1]); // a0 a1 b0 b1
        let ab_high = _mm_movehl_ps(h[1], h[0]); // a2 a3 b2 b3
        let cd_low = _mm_movelh_ps(h[2], h[3]);
        let cd_high = _mm_movehl_ps(h[3], h[2]);
        let ab = _mm_add_ps(ab_low, ab_high); // a02 a13 b02 b13
        let cd = _mm_add_ps(cd_low, cd_high);
        let even = _mm_shuffle_ps::<0b10_00_10_00>(ab, cd);
        let odd = _mm_shuffle_ps::<0b11_01_11_01>(ab, cd);
        let mut out = [0f32; 4];
        _mm_storeu_ps(out.as_mut_ptr(), _mm_add_ps(even, odd));
        out
    }
}

macro_rules! lanewise {
    ($vector:ty: $($name:ident($($arg:ident),*) = $intrinsic:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $vector),*) -> $vector {
            // SAFETY: see the head of the file.
            unsafe { $intrinsic }
        })*
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    lanewise! { __m256:
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        div(a, b) = _mm256_div_ps(a, b);
        min(a, b) = _mm256_min_ps(a, b);
        max(a, b) = _mm256_max_ps(a, b);
        fma(a, b, c) = _mm256_fmadd_ps(a, b, c);
        round(v) = _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        // The biased exponent is n + 127; it begins at bit 23.
        power_of_two(n) = _mm256_castsi256_ps(_mm256_slli_epi32::<23>(
            _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127))));
        select_less(a, b, yes, no) = _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: see the head of the file.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> __m256 {
        // SAFETY: the slice was checked to hold eight.
        unsafe { _mm256_loadu_ps(values[..8].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32]) {
        // SAFETY: the slice was checked to hold eight.
        unsafe { _mm256_storeu_ps(out[..8].as_mut_ptr(), v) }
    }
    #[inline(always)]
    unsafe fn load_at(self, at: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_at(self, v: __m256, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm256_storeu_ps(at, v) }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        // SAFETY: see the head of the file.
        unsafe {
            let v = fold(v);
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn sum4(self, v: [__m256; 4]) -> [f32; 4] {
        sum4_of_8(v)
    }
    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        // SAFETY: see the head of the file.
        unsafe {
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> __m256 {
        // SAFETY: the slice was checked to hold eight.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bits[..8].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> __m256 {
        // SAFETY: the slice was checked to hold eight.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(bits[..8].as_ptr().cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store_f16(self, v: __m256, bits: &mut [u16]) {
        // SAFETY: the slice was checked to hold eight.
        unsafe {
            let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm_storeu_si128(bits[..8].as_mut_ptr().cast(), narrow);
        }
    }
    #[inline(always)]
    fn load_i8(self, codes: &[i8]) -> __m256 {
        // SAFETY: the slice was checked to hold eight.
        unsafe {
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
                codes[..8].as_ptr().cast(),
            )))
        }
    }
}

/// The two halves of sixteen lanes.
#[inline(always)]
fn halves(v: __m512) -> (__m256, __m256) {
    // SAFETY: see the head of the file.
    unsafe { (_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) }
}

/// Lanes 0..8 plus lanes 8..16.
#[inline(always)]
fn fold512(v: __m512) -> __m256 {
    let (low, high) = halves(v);
    Avx2(()).add(low, high)
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;

    lanewise! { __m512:
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        div(a, b) = _mm512_div_ps(a, b);
        min(a, b) = _mm512_min_ps(a, b);
        max(a, b) = _mm512_max_ps(a, b);
        fma(a, b, c) = _mm512_fmadd_ps(a, b, c);
        round(v) = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
        power_of_two(n) = _mm512_scalef_ps(_mm512_set1_ps(1.0), n);
        select_less(a, b, yes, no) = _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), no, yes);
    }
    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: see the head of the file.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> __m512 {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe { _mm512_loadu_ps(values[..16].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, out: &mut [f32]) {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe { _mm512_storeu_ps(out[..16].as_mut_ptr(), v) }
    }
    #[inline(always)]
    unsafe fn load_at(self, at: *const f32) -> __m512 {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_at(self, v: __m512, at: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { _mm512_storeu_ps(at, v) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        Avx2(()).sum(fold512(v))
    }
    #[inline(always)]
    fn sum4(self, v: [__m512; 4]) -> [f32; 4] {
        sum4_of_8([fold512(v[0]), fold512(v[1]), fold512(v[2]), fold512(v[3])])
    }
    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        let (low, high) = halves(v);
        Avx2(()).largest(Avx2(()).max(low, high))
    }
    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> __m512 {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bits[..16].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> __m512 {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bits[..16].as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store_f16(self, v: __m512, bits: &mut [u16]) {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe {
            let narrow = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
            _mm256_storeu_si256(bits[..16].as_mut_ptr().cast(), narrow);
        }
    }
    #[inline(always)]
    fn load_i8(self, codes: &[i8]) -> __m512 {
        // SAFETY: the slice was checked to hold sixteen.
        unsafe {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
                codes[..16].as_ptr().cast(),
            )))
        }
    }
}
