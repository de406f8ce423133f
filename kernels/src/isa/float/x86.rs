//! [`Simd`] on AVX2 + FMA + F16C (8 lanes) and on AVX-512 (16 lanes).
//!
//! [`Avx2`] and [`Avx512`] are proofs: their private field is filled only where the features are known to be there, so
//! whoever holds one may call the intrinsics. The methods can't be `#[target_feature]` functions (they are generic code's
//! and must be inlined into it), so each states this proof where it calls them.

use super::{Kernel, Simd};
use std::arch::x86_64::*;

/// Proof of AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub struct Avx2(());

/// Proof of AVX-512 F, BW, DQ and VL, and of all that [`Avx2`] proves.
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

    /// Lanes 0..4 plus lanes 4..8.
    #[inline(always)]
    fn fold(self, v: __m256) -> __m128 {
        // SAFETY: `self` proves AVX2; only values are touched.
        unsafe { _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v)) }
    }

    /// [`Avx2::fold`] of `a` and of `b`.
    #[inline(always)]
    fn fold2(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: `self` proves AVX2; only values are touched.
        unsafe {
            _mm256_add_ps(
                _mm256_permute2f128_ps::<0x20>(a, b),
                _mm256_permute2f128_ps::<0x31>(a, b),
            )
        }
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

    /// Lanes 0..8 and lanes 8..16.
    #[inline(always)]
    fn halves(self, v: __m512) -> (__m256, __m256) {
        // SAFETY: `self` proves AVX-512 F and DQ; only values are touched.
        unsafe { (_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)) }
    }

    /// Lanes 0..4 plus 4..8 and 8..12 plus 12..16, of `a` and then of `b`.
    #[inline(always)]
    fn fold2(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; only values are touched.
        unsafe {
            _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b10_00_10_00>(a, b),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(a, b),
            )
        }
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

/// As [`run_avx2`], never inlined.
/// # Safety
/// As [`run_avx2`].
#[inline(never)]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn apart_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// As [`run_avx512`], never inlined.
/// # Safety
/// As [`run_avx512`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
unsafe fn apart_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(()))
}

macro_rules! lanewise {
    ($vector:ty: $($name:ident($($arg:ident),*) = $intrinsic:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, $($arg: $vector),*) -> $vector {
            // SAFETY: `self` proves that the CPU has the instruction; only values are touched.
            unsafe { $intrinsic }
        })*
    };
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    type Eight = Avx2;

    #[inline(always)]
    fn eight(self) -> Avx2 {
        self
    }
    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves AVX2, FMA and F16C.
        unsafe { apart_avx2(kernel) }
    }

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
        // SAFETY: `self` proves AVX2; only values are touched.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> __m256 {
        // SAFETY: `self` proves AVX2; the slice was checked to hold eight.
        unsafe { _mm256_loadu_ps(values[..8].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256, out: &mut [f32]) {
        // SAFETY: `self` proves AVX2; the slice was checked to hold eight.
        unsafe { _mm256_storeu_ps(out[..8].as_mut_ptr(), v) }
    }
    #[inline(always)]
    unsafe fn load_at(self, at: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for eight values.
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_at(self, v: __m256, at: *mut f32) {
        // SAFETY: `self` proves AVX2; the caller vouches for eight places.
        unsafe { _mm256_storeu_ps(at, v) }
    }
    #[inline(always)]
    unsafe fn eights_at(self, at: [*const f32; 2]) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for eight values.
        unsafe { _mm256_loadu_ps(at[0]) }
    }
    #[inline(always)]
    unsafe fn eights_f16_at(self, at: [*const u16; 2]) -> __m256 {
        // SAFETY: `self` proves F16C; the caller vouches for eight values.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at[0].cast())) }
    }
    #[inline(always)]
    unsafe fn eights_bf16_at(self, at: [*const u16; 2]) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for eight values.
        unsafe {
            let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(at[0].cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    unsafe fn eight_at(self, at: *const f32) -> __m256 {
        // SAFETY: `self` proves AVX2; the caller vouches for eight values.
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    fn sum(self, v: __m256) -> f32 {
        let v = self.fold(v);
        // SAFETY: `self` proves AVX2, which includes SSE3; only values are touched.
        unsafe {
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn sums_of_eights(self, v: [__m256; 4]) -> [f32; 8] {
        let mut out = [0f32; 8];
        // Four lanes of each vector are left, 0 | 1 and 2 | 3 side by side.
        let (ab, cd) = (self.fold2(v[0], v[1]), self.fold2(v[2], v[3]));
        // SAFETY: `self` proves AVX2; the store fills the first half of `out`.
        unsafe {
            // Two: (0 0 2 2 | 1 1 3 3).
            let two = _mm256_add_ps(
                _mm256_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let one = _mm256_add_ps(two, _mm256_permute_ps::<0b10_11_00_01>(two));
            let (even, odd) = (_mm256_castps256_ps128(one), _mm256_extractf128_ps::<1>(one));
            _mm_storeu_ps(out.as_mut_ptr(), _mm_blend_ps::<0b1010>(even, odd));
        }
        out
    }
    #[inline(always)]
    fn largest(self, v: __m256) -> f32 {
        // SAFETY: `self` proves AVX2, which includes SSE3; only values are touched.
        unsafe {
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> __m256 {
        // SAFETY: `self` proves F16C; the slice was checked to hold eight.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bits[..8].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> __m256 {
        let bits = &bits[..8];
        // SAFETY: the slice was checked to hold eight.
        unsafe { self.eights_bf16_at([bits.as_ptr(); 2]) }
    }
    #[inline(always)]
    fn store_f16(self, v: __m256, bits: &mut [u16]) {
        // SAFETY: `self` proves F16C; the slice was checked to hold eight.
        unsafe {
            let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v);
            _mm_storeu_si128(bits[..8].as_mut_ptr().cast(), narrow);
        }
    }
    #[inline(always)]
    fn load_i8(self, codes: &[i8]) -> __m256 {
        // SAFETY: `self` proves AVX2; the slice was checked to hold eight.
        unsafe {
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(
                codes[..8].as_ptr().cast(),
            )))
        }
    }
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    type Eight = Avx2;

    #[inline(always)]
    fn eight(self) -> Avx2 {
        // `detect` asked for all that it proves.
        Avx2(())
    }
    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: `self` proves AVX-512 F, BW, DQ and VL, and all that AVX2 needs.
        unsafe { apart_avx512(kernel) }
    }

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
        // SAFETY: `self` proves AVX-512 F; only values are touched.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, values: &[f32]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe { _mm512_loadu_ps(values[..16].as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, out: &mut [f32]) {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe { _mm512_storeu_ps(out[..16].as_mut_ptr(), v) }
    }
    #[inline(always)]
    unsafe fn load_at(self, at: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; the caller vouches for sixteen values.
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store_at(self, v: __m512, at: *mut f32) {
        // SAFETY: `self` proves AVX-512 F; the caller vouches for sixteen places.
        unsafe { _mm512_storeu_ps(at, v) }
    }
    #[inline(always)]
    unsafe fn eights_at(self, at: [*const f32; 2]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F and DQ; the caller vouches for eight values at both places.
        unsafe {
            let low = _mm512_castps256_ps512(_mm256_loadu_ps(at[0]));
            _mm512_insertf32x8::<1>(low, _mm256_loadu_ps(at[1]))
        }
    }
    #[inline(always)]
    unsafe fn eights_f16_at(self, at: [*const u16; 2]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F and AVX2; the caller vouches for eight values at both places.
        unsafe {
            let low = _mm256_castsi128_si256(_mm_loadu_si128(at[0].cast()));
            let bits = _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(at[1].cast()));
            _mm512_cvtph_ps(bits)
        }
    }
    #[inline(always)]
    unsafe fn eights_bf16_at(self, at: [*const u16; 2]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F and AVX2; the caller vouches for eight values at both places.
        unsafe {
            let low = _mm256_castsi128_si256(_mm_loadu_si128(at[0].cast()));
            let bits = _mm256_inserti128_si256::<1>(low, _mm_loadu_si128(at[1].cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
        }
    }
    #[inline(always)]
    unsafe fn eight_at(self, at: *const f32) -> __m512 {
        // SAFETY: `self` proves AVX-512 DQ; the caller vouches for eight values.
        unsafe { _mm512_broadcast_f32x8(_mm256_loadu_ps(at)) }
    }
    #[inline(always)]
    fn sum(self, v: __m512) -> f32 {
        let (low, high) = self.halves(v);
        self.eight().sum(self.eight().add(low, high))
    }
    #[inline(always)]
    fn sums_of_eights(self, v: [__m512; 4]) -> [f32; 8] {
        let mut out = [0f32; 8];
        // Four lanes of each eight are left: 0 1 2 3 and 4 5 6 7 side by side.
        let (ab, cd) = (self.fold2(v[0], v[1]), self.fold2(v[2], v[3]));
        // SAFETY: `self` proves AVX-512 F; the store fills `out`.
        unsafe {
            // Two: (0 0 4 4 | 1 1 5 5 | 2 2 6 6 | 3 3 7 7).
            let two = _mm512_add_ps(
                _mm512_shuffle_ps::<0b01_00_01_00>(ab, cd),
                _mm512_shuffle_ps::<0b11_10_11_10>(ab, cd),
            );
            let one = _mm512_add_ps(two, _mm512_permute_ps::<0b10_11_00_01>(two));
            let order = _mm512_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14, 0, 0, 0, 0, 0, 0, 0, 0);
            let sums = _mm512_castps512_ps256(_mm512_permutexvar_ps(order, one));
            _mm256_storeu_ps(out.as_mut_ptr(), sums);
        }
        out
    }
    #[inline(always)]
    fn largest(self, v: __m512) -> f32 {
        let (low, high) = self.halves(v);
        self.eight().largest(self.eight().max(low, high))
    }
    #[inline(always)]
    fn load_f16(self, bits: &[u16]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(bits[..16].as_ptr().cast())) }
    }
    #[inline(always)]
    fn load_bf16(self, bits: &[u16]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe {
            let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(bits[..16].as_ptr().cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }
    }
    #[inline(always)]
    fn store_f16(self, v: __m512, bits: &mut [u16]) {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe {
            let narrow = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(v);
            _mm256_storeu_si256(bits[..16].as_mut_ptr().cast(), narrow);
        }
    }
    #[inline(always)]
    fn load_i8(self, codes: &[i8]) -> __m512 {
        // SAFETY: `self` proves AVX-512 F; the slice was checked to hold sixteen.
        unsafe {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(
                codes[..16].as_ptr().cast(),
            )))
        }
    }
}
