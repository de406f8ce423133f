//! The tile for CPUs with VNNI: two vectors of rows times a few columns, 32-bit sums.
//!
//! The instruction multiplies unsigned with signed bytes. Activations are the unsigned side, biased by 128, so a group's
//! sums start at -128 · Σ codes, which is the same for all columns. Nothing can saturate: 32 codes a group at most, each
//! product below 2^15.

use super::pack;
use crate::isa::{RUN, RUNS, Slab, SlabBuffers, SlabRows, TileColumns, UNIT};
use std::arch::x86_64::*;

/// A vector of 32-bit lanes, one for each of `LANES` rows.
pub trait Lanes: Copy {
    /// Integers.
    type I: Copy;
    /// Floats.
    type F: Copy;
    /// How many.
    const LANES: usize;
    /// Integers at `at`.
    /// # Safety
    /// For this and all below: the CPU must have the instructions, `at` be readable (writable) for all lanes.
    unsafe fn load(at: *const u8) -> Self::I;
    /// Integers to `at`.
    /// # Safety
    /// See `load`.
    unsafe fn store(v: Self::I, at: *mut i32);
    /// The four bytes at `at` in all lanes.
    /// # Safety
    /// See `load`.
    unsafe fn splat4(at: *const u8) -> Self::I;
    /// `sum` + the products of four unsigned and four signed bytes a lane.
    /// # Safety
    /// See `load`.
    unsafe fn dot4(sum: Self::I, unsigned: Self::I, signed: Self::I) -> Self::I;
    /// 0 - v.
    /// # Safety
    /// See `load`.
    unsafe fn negated(v: Self::I) -> Self::I;
    /// To floats.
    /// # Safety
    /// See `load`.
    unsafe fn to_floats(v: Self::I) -> Self::F;
    /// Floats at `at`.
    /// # Safety
    /// See `load`.
    unsafe fn load_floats(at: *const f32) -> Self::F;
    /// Floats to `at`.
    /// # Safety
    /// See `load`.
    unsafe fn store_floats(v: Self::F, at: *mut f32);
    /// The float at `at` in all lanes.
    /// # Safety
    /// See `load`.
    unsafe fn splat_float(at: *const f32) -> Self::F;
    /// a · b.
    /// # Safety
    /// See `load`.
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// a · b + c.
    /// # Safety
    /// See `load`.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// c - a · b.
    /// # Safety
    /// See `load`.
    unsafe fn fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
}

macro_rules! lanes {
    ($name:ident, $doc:literal, $i:ty, $f:ty, $lanes:literal, $load:ident, $store:ident, $splat:ident, $dot:ident, $sub:ident,
     $zero:ident, $convert:ident, $load_f:ident, $store_f:ident, $splat_f:ident, $mul:ident, $fma:ident, $fnma:ident) => {
        #[doc = $doc]
        #[derive(Clone, Copy)]
        pub struct $name;
        // SAFETY of all: the callers', as the trait says.
        #[allow(clippy::undocumented_unsafe_blocks)]
        impl Lanes for $name {
            type I = $i;
            type F = $f;
            const LANES: usize = $lanes;
            #[inline(always)]
            unsafe fn load(at: *const u8) -> $i {
                unsafe { $load(at.cast()) }
            }
            #[inline(always)]
            unsafe fn store(v: $i, at: *mut i32) {
                unsafe { $store(at.cast(), v) }
            }
            #[inline(always)]
            unsafe fn splat4(at: *const u8) -> $i {
                unsafe { $splat(at.cast::<i32>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn dot4(sum: $i, unsigned: $i, signed: $i) -> $i {
                unsafe { $dot(sum, unsigned, signed) }
            }
            #[inline(always)]
            unsafe fn negated(v: $i) -> $i {
                unsafe { $sub($zero(), v) }
            }
            #[inline(always)]
            unsafe fn to_floats(v: $i) -> $f {
                unsafe { $convert(v) }
            }
            #[inline(always)]
            unsafe fn load_floats(at: *const f32) -> $f {
                unsafe { $load_f(at) }
            }
            #[inline(always)]
            unsafe fn store_floats(v: $f, at: *mut f32) {
                unsafe { $store_f(at, v) }
            }
            #[inline(always)]
            unsafe fn splat_float(at: *const f32) -> $f {
                unsafe { $splat_f(*at) }
            }
            #[inline(always)]
            unsafe fn mul(a: $f, b: $f) -> $f {
                unsafe { $mul(a, b) }
            }
            #[inline(always)]
            unsafe fn fma(a: $f, b: $f, c: $f) -> $f {
                unsafe { $fma(a, b, c) }
            }
            #[inline(always)]
            unsafe fn fnma(a: $f, b: $f, c: $f) -> $f {
                unsafe { $fnma(a, b, c) }
            }
        }
    };
}

lanes!(
    Ymm,
    "AVX-VNNI: 256 bits, VEX encoding.",
    __m256i,
    __m256,
    8,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_set1_epi32,
    _mm256_dpbusd_avx_epi32,
    _mm256_sub_epi32,
    _mm256_setzero_si256,
    _mm256_cvtepi32_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps
);
lanes!(
    YmmVl,
    "AVX-512 VNNI + VL: 256 bits, EVEX encoding.",
    __m256i,
    __m256,
    8,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_set1_epi32,
    _mm256_dpbusd_epi32,
    _mm256_sub_epi32,
    _mm256_setzero_si256,
    _mm256_cvtepi32_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps
);
lanes!(
    Zmm,
    "AVX-512 VNNI.",
    __m512i,
    __m512,
    16,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_set1_epi32,
    _mm512_dpbusd_epi32,
    _mm512_sub_epi32,
    _mm512_setzero_si512,
    _mm512_cvtepi32_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_set1_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_fnmadd_ps
);

/// Rows of a slab.
pub const fn slab_rows<V: Lanes>() -> usize {
    2 * V::LANES
}

/// See [`crate::isa::Tile::pack`].
/// # Safety
/// The CPU must have AVX2 and `V`'s instructions; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack<V: Lanes>(from: &SlabRows<'_>, to: &mut SlabBuffers<'_>) {
    let rows = slab_rows::<V>();
    let groups = from.runs * RUN / from.format.group;
    // SAFETY: `groups` groups lie inside the slab.
    unsafe {
        pack::turn(from.scales, rows, groups, to.scales);
        if from.format.has_mins {
            pack::turn(from.mins, rows, groups, to.mins);
        }
        pack::interleave(from.codes, rows, from.runs, 0, to.codes);
        let steps = from.format.group / 4;
        let bias = 0x8080_8080_u32.to_le_bytes();
        let bias = V::splat4(bias.as_ptr());
        let zero = 0u32.to_le_bytes();
        for group in 0..groups {
            for half in 0..2 {
                let mut sum = V::splat4(zero.as_ptr());
                for step in 0..steps {
                    let at = ((group * steps + step) * rows + half * V::LANES) * 4;
                    sum = V::dot4(sum, bias, V::load(to.codes.as_ptr().add(at).cast()));
                }
                let start = to.start.as_mut_ptr().add(group * rows + half * V::LANES);
                V::store(V::negated(sum), start);
            }
        }
    }
}

/// See [`crate::isa::Tile::run`]: `C` columns at a time, at most 6.
/// # Safety
/// The CPU must have `V`'s instructions; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run<V: Lanes, const C: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    sums: &mut [f32],
) {
    // SAFETY: the callers'.
    unsafe {
        match (slab.format.group, slab.format.has_mins) {
            (16, false) => columns::<V, C, 16, false>(slab, x, sums),
            (16, true) => columns::<V, C, 16, true>(slab, x, sums),
            (_, false) => columns::<V, C, 32, false>(slab, x, sums),
            (_, true) => columns::<V, C, 32, true>(slab, x, sums),
        }
    }
}

#[inline(always)]
unsafe fn columns<V: Lanes, const C: usize, const G: usize, const MINS: bool>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    sums: &mut [f32],
) {
    // Blocks of nearly equal size do better than full ones and a small rest.
    let blocks = x.count.div_ceil(C);
    let mut first = 0;
    for block in 0..blocks {
        let count = (x.count - first).div_ceil(blocks - block);
        // SAFETY: first + count <= x.count.
        unsafe {
            match count {
                1 => tile::<V, 1, G, MINS>(slab, x, first, sums),
                2 => tile::<V, 2, G, MINS>(slab, x, first, sums),
                3 => tile::<V, 3, G, MINS>(slab, x, first, sums),
                4 => tile::<V, 4, G, MINS>(slab, x, first, sums),
                5 => tile::<V, 5, G, MINS>(slab, x, first, sums),
                _ => tile::<V, C, G, MINS>(slab, x, first, sums),
            }
        }
        first += count;
    }
}

/// A slab times `C` columns from `first`, run by run. Only a run's integer sums are in registers all the time: its running
/// sums in floats are touched once.
#[inline(always)]
unsafe fn tile<V: Lanes, const C: usize, const G: usize, const MINS: bool>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    first: usize,
    sums: &mut [f32],
) {
    let rows = slab_rows::<V>();
    let lanes = V::LANES;
    // SAFETY: `runs` runs of the slab and of columns first .. first + C, which the slices hold.
    unsafe {
        let mut weights = slab.codes.as_ptr().cast::<u8>();
        let mut activations = x.codes.as_ptr().add(first * UNIT);
        let mut acc = sums.as_mut_ptr().add(first * RUNS * rows);
        let zero = 0f32;
        for run in 0..slab.runs {
            let mut scaled = [[V::splat_float(&zero); 2]; C];
            for half in 0..RUN / G {
                let at = (run * (RUN / G) + half) * rows;
                let start = slab.start.as_ptr().add(at);
                let start = [V::load(start.cast()), V::load(start.add(lanes).cast())];
                let mut sum = [start; C];
                for step in 0..G / 4 {
                    let low = V::load(weights);
                    let high = V::load(weights.add(lanes * 4));
                    weights = weights.add(rows * 4);
                    for (c, sum) in sum.iter_mut().enumerate() {
                        let x = V::splat4(activations.add(c * UNIT + step * 4));
                        sum[0] = V::dot4(sum[0], x, low);
                        sum[1] = V::dot4(sum[1], x, high);
                    }
                }
                activations = activations.add(G);
                let scales = slab.scales.as_ptr().add(at);
                let scales = [V::load_floats(scales), V::load_floats(scales.add(lanes))];
                for (scaled, sum) in scaled.iter_mut().zip(sum) {
                    for part in 0..2 {
                        let sum = V::to_floats(sum[part]);
                        scaled[part] = if half == 0 {
                            V::mul(sum, scales[part])
                        } else {
                            V::fma(sum, scales[part], scaled[part])
                        };
                    }
                }
            }
            if MINS {
                for half in 0..RUN / G {
                    let group = run * (RUN / G) + half;
                    let mins = slab.mins.as_ptr().add(group * rows);
                    let mins = [V::load_floats(mins), V::load_floats(mins.add(lanes))];
                    let of_group = if G == 16 { x.half_sums } else { x.sums };
                    let of_group = of_group.as_ptr().add(group * x.count + first);
                    for (c, scaled) in scaled.iter_mut().enumerate() {
                        let sum = V::splat_float(of_group.add(c));
                        scaled[0] = V::fnma(mins[0], sum, scaled[0]);
                        scaled[1] = V::fnma(mins[1], sum, scaled[1]);
                    }
                }
            }
            let scales = x.scales.as_ptr().add(run * x.count + first);
            for (c, scaled) in scaled.into_iter().enumerate() {
                let scale = V::splat_float(scales.add(c));
                for (part, scaled) in scaled.into_iter().enumerate() {
                    let at = acc.add(c * RUNS * rows + part * lanes);
                    V::store_floats(V::fma(scaled, scale, V::load_floats(at)), at);
                }
            }
            acc = acc.add(rows);
        }
    }
}
