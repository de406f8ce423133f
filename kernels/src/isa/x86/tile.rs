//! Tiles with 32-bit sums, two vectors of rows times a few columns: for CPUs with VNNI, and with AVX2 alone for the types of
//! 8-bit codes.
//!
//! VNNI multiplies unsigned with signed bytes, four to a lane. Activations are the unsigned side, biased by 128, so a group's
//! sums start at -128 · Σ codes, which is the same for all columns. Nothing can saturate: 32 codes a group at most, each
//! product below 2^15. AVX2 multiplies signed 16-bit numbers, two to a lane: for 8-bit codes that takes fewer operations than
//! products of bytes, whose signs would have to be handled and which would have to be widened one by one.

use super::pack;
use crate::isa::{
    RUN, RUN_ORDER, Slab, SlabBuffers, SlabRows, TileBlock, TileColumns, TileOrder, TileOut,
    places, units_with,
};
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// A vector of 32-bit lanes, one for each of `LANES` rows.
pub trait Lanes: Copy {
    /// Integers.
    type I: Copy;
    /// Floats.
    type F: Copy;
    /// How many.
    const LANES: usize;
    /// Codes of a row that are multiplied at once, in a 32-bit word.
    const CODES: usize;
    /// Integers at `at`.
    /// # Safety
    /// For this and all below: the CPU must have the instructions, `at` be readable (writable) for all lanes.
    unsafe fn load(at: *const u8) -> Self::I;
    /// Integers to `at`.
    /// # Safety
    /// See `load`.
    unsafe fn store(v: Self::I, at: *mut i32);
    /// The word at `at` in all lanes.
    /// # Safety
    /// See `load`.
    unsafe fn splat_word(at: *const u8) -> Self::I;
    /// `sum` + the products of the codes in each lane.
    /// # Safety
    /// See `load`.
    unsafe fn dot(sum: Self::I, activations: Self::I, weights: Self::I) -> Self::I;
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
    /// a + b.
    /// # Safety
    /// See `load`.
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
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
    ($name:ident, $doc:literal, $i:ty, $f:ty, $lanes:literal, $codes:literal, $load:ident, $store:ident, $splat:ident, $dot:ident, $sub:ident,
     $zero:ident, $convert:ident, $load_f:ident, $store_f:ident, $splat_f:ident, $add:ident, $mul:ident, $fma:ident, $fnma:ident) => {
        #[doc = $doc]
        #[derive(Clone, Copy)]
        pub struct $name;
        // SAFETY of all: the callers', as the trait says.
        #[allow(clippy::undocumented_unsafe_blocks)]
        impl Lanes for $name {
            type I = $i;
            type F = $f;
            const LANES: usize = $lanes;
            const CODES: usize = $codes;
            #[inline(always)]
            unsafe fn load(at: *const u8) -> $i {
                unsafe { $load(at.cast()) }
            }
            #[inline(always)]
            unsafe fn store(v: $i, at: *mut i32) {
                unsafe { $store(at.cast(), v) }
            }
            #[inline(always)]
            unsafe fn splat_word(at: *const u8) -> $i {
                unsafe { $splat(at.cast::<i32>().read_unaligned()) }
            }
            #[inline(always)]
            unsafe fn dot(sum: $i, activations: $i, weights: $i) -> $i {
                unsafe { $dot(sum, activations, weights) }
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
            unsafe fn add(a: $f, b: $f) -> $f {
                unsafe { $add(a, b) }
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
    4,
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
    _mm256_add_ps,
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
    4,
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
    _mm256_add_ps,
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
    4,
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
    _mm512_add_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    _mm512_fnmadd_ps
);

lanes!(
    Wide,
    "AVX2: 256 bits, codes of 16 bits.",
    __m256i,
    __m256,
    8,
    2,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_set1_epi32,
    add_madd,
    _mm256_sub_epi32,
    _mm256_setzero_si256,
    _mm256_cvtepi32_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    _mm256_fnmadd_ps
);

/// `sum` + products of pairs of 16-bit numbers.
#[inline(always)]
unsafe fn add_madd(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: AVX2, as the callers'.
    unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
}

/// Activations are the unsigned side.
pub const ORDER: TileOrder = TileOrder::Words { bias: 0x80 };

/// Rows of a slab.
pub const fn slab_rows<V: Lanes>() -> usize {
    2 * V::LANES
}

/// See [`crate::isa::Tile::pack`].
/// # Safety
/// The CPU must have AVX2 and `V`'s instructions; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack<V: Lanes>(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
    let rows = slab_rows::<V>();
    let places = places(to.length);
    // SAFETY: runs and groups of this unit lie inside the slab.
    unsafe {
        pack::values(from, unit, rows, to);
        pack::interleave(from, unit, rows, 0, to);
        let groups = RUN / from.format.group;
        let bias = 0x8080_8080_u32.to_le_bytes();
        let bias = V::splat_word(bias.as_ptr());
        let zero = 0u32.to_le_bytes();
        for place in &places[..from.runs] {
            let mut codes = to.codes.as_ptr().add((place + unit) * RUN * rows).cast();
            let mut start = to.start.as_mut_ptr().add((place + unit) * groups * rows);
            for _ in 0..groups {
                let mut sums = [V::splat_word(zero.as_ptr()); 2];
                for _ in 0..RUN / 4 / groups {
                    for sum in &mut sums {
                        *sum = V::dot(*sum, bias, V::load(codes));
                        codes = codes.add(V::LANES * 4);
                    }
                }
                for sum in sums {
                    V::store(V::negated(sum), start);
                    start = start.add(V::LANES);
                }
            }
        }
    }
}

/// The same for [`Wide`].
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack_wide(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
    let rows = slab_rows::<Wide>();
    // SAFETY: the callers'.
    unsafe {
        pack::values(from, unit, rows, to);
        pack::interleave_wide(from, unit, rows, to);
    }
}

/// See [`crate::isa::Tile::run`]: `C` columns at a time, at most 6.
/// # Safety
/// The CPU must have `V`'s instructions; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run<V: Lanes, const C: usize>(slab: &Slab<'_>, x: &TileColumns<'_>, out: TileOut) {
    // SAFETY: the callers'.
    unsafe {
        match (slab.format.group, slab.format.has_mins) {
            (16, false) => columns::<V, C, 16, false>(slab, x, out),
            (16, true) => columns::<V, C, 16, true>(slab, x, out),
            (_, false) => columns::<V, C, 32, false>(slab, x, out),
            (_, true) => columns::<V, C, 32, true>(slab, x, out),
        }
    }
}

#[inline(always)]
unsafe fn columns<V: Lanes, const C: usize, const G: usize, const MINS: bool>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    out: TileOut,
) {
    for (first, count, block) in x.blocks(C, slab.length) {
        // SAFETY: the block is of this many columns, `out` has a place for each of all columns.
        unsafe {
            let out = out.from(first);
            match count {
                1 => tile::<V, 1, G, MINS>(slab, block, out),
                2 => tile::<V, 2, G, MINS>(slab, block, out),
                3 => tile::<V, 3, G, MINS>(slab, block, out),
                // Not compiled where there are never as many.
                4 if const { C > 4 } => tile::<V, 4, G, MINS>(slab, block, out),
                5 if const { C > 5 } => tile::<V, 5, G, MINS>(slab, block, out),
                _ => tile::<V, C, G, MINS>(slab, block, out),
            }
        }
    }
}

/// Sums of a slab's rows, two vectors, with `C` columns.
type Sums<V, const C: usize> = [[<V as Lanes>::F; 2]; C];

/// A slab times a block of `C` columns.
#[inline(always)]
unsafe fn tile<V: Lanes, const C: usize, const G: usize, const MINS: bool>(
    slab: &Slab<'_>,
    x: TileBlock,
    out: TileOut,
) {
    let (rows, lanes, groups) = (slab_rows::<V>(), V::LANES, RUN / G);
    // SAFETY: all runs of the slab and of the columns in order, which the slices hold.
    unsafe {
        let zero = V::splat_float(&0.0);
        let zero_word = [0u8; 4];
        let mut weights = slab.codes.as_ptr().cast::<u8>();
        let mut starts = slab.start.as_ptr();
        let mut scales = slab.scales.as_ptr();
        let mut mins = slab.mins.as_ptr();
        let mut activations = x.codes;
        let mut x_scales = x.scales;
        let mut x_sums = if G == 16 { x.half_sums } else { x.sums };
        // Sums of one, two and four running sums that wait for their neighbours.
        let mut waiting = [const { MaybeUninit::<Sums<V, C>>::uninit() }; 3];
        for (number, run) in RUN_ORDER.into_iter().enumerate() {
            let mut acc = [[zero; 2]; C];
            for _ in 0..units_with(slab.length, run) {
                let mut scaled = [[zero; 2]; C];
                for group in 0..groups {
                    let mut sum = [[V::splat_word(zero_word.as_ptr()); 2]; C];
                    if V::CODES == 4 {
                        let start = [V::load(starts.cast()), V::load(starts.add(lanes).cast())];
                        starts = starts.add(rows);
                        sum = [start; C];
                    }
                    for step in 0..G / V::CODES {
                        let low = V::load(weights.add(step * rows * 4));
                        let high = V::load(weights.add(step * rows * 4 + lanes * 4));
                        for (c, sum) in sum.iter_mut().enumerate() {
                            let x = V::splat_word(activations.add((step * C + c) * 4));
                            sum[0] = V::dot(sum[0], x, low);
                            sum[1] = V::dot(sum[1], x, high);
                        }
                    }
                    weights = weights.add(G * rows * 4 / V::CODES);
                    activations = activations.add(G * C * 4 / V::CODES);
                    let scale = [V::load_floats(scales), V::load_floats(scales.add(lanes))];
                    scales = scales.add(rows);
                    for (scaled, sum) in scaled.iter_mut().zip(sum) {
                        for part in 0..2 {
                            let sum = V::to_floats(sum[part]);
                            scaled[part] = if group == 0 {
                                V::mul(sum, scale[part])
                            } else {
                                V::fma(sum, scale[part], scaled[part])
                            };
                        }
                    }
                }
                if MINS {
                    for _ in 0..groups {
                        let min = [V::load_floats(mins), V::load_floats(mins.add(lanes))];
                        mins = mins.add(rows);
                        for (c, scaled) in scaled.iter_mut().enumerate() {
                            let sum = V::splat_float(x_sums.add(c));
                            scaled[0] = V::fnma(min[0], sum, scaled[0]);
                            scaled[1] = V::fnma(min[1], sum, scaled[1]);
                        }
                        x_sums = x_sums.add(C);
                    }
                }
                for (c, (acc, scaled)) in acc.iter_mut().zip(scaled).enumerate() {
                    let scale = V::splat_float(x_scales.add(c));
                    acc[0] = V::fma(scaled[0], scale, acc[0]);
                    acc[1] = V::fma(scaled[1], scale, acc[1]);
                }
                x_scales = x_scales.add(C);
            }
            // A binary counter: a sum that is full is added to its neighbour.
            let full = number.trailing_ones() as usize;
            for waiting in &waiting[..full] {
                // Written when a smaller `number` was full to here.
                let waiting = waiting.assume_init_ref();
                for (acc, waiting) in acc.iter_mut().zip(waiting) {
                    acc[0] = V::add(waiting[0], acc[0]);
                    acc[1] = V::add(waiting[1], acc[1]);
                }
            }
            if full < waiting.len() {
                waiting[full].write(acc);
            } else {
                for (c, acc) in acc.iter().enumerate() {
                    let out = out.from(c).at;
                    V::store_floats(acc[0], out);
                    V::store_floats(acc[1], out.add(lanes));
                }
            }
        }
    }
}
