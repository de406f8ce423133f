//! The tile for CPUs with AVX2 alone: sixteen rows times a few columns, products added up in 16 bits.
//!
//! `vpmaddubsw` adds pairs of unsigned × signed products in 16 bits, with saturation. Codes are the unsigned side: small
//! ones biased to 0 ..= largest (the bias comes off with the sum of a column's activations, still an exact integer), 8-bit
//! ones by their magnitude, with their sign given to the activations. As many steps as can't overflow are added before
//! widening: the constant is chosen from the type's largest code, and tests drive it with the extremes.

use super::pack;
use crate::isa::{RUN, RUNS, Slab, SlabBuffers, SlabRows, TileColumns, UNIT};
use crate::quant::Codes;
use std::arch::x86_64::*;

/// Rows of a slab.
pub const ROWS: usize = 16;
/// The most columns that are taken together.
pub const COLUMNS: usize = 4;

/// What is added to codes to make them unsigned, and the largest they can be then; `None`: they stay signed.
fn unsigned(format: &Codes) -> (i8, Option<u8>) {
    let (low, high) = format.range;
    let width = i16::from(high) - i16::from(low);
    if width < 64 {
        (-low, Some(width as u8))
    } else {
        (0, None)
    }
}

/// Steps of four codes (two products to a 16-bit lane) that fit in 16 bits with codes up to `largest` and activations
/// up to 127.
const fn steps(largest: u8) -> usize {
    let step = largest as usize * 127 * 2;
    if step * 8 <= i16::MAX as usize {
        8
    } else if step * 4 <= i16::MAX as usize {
        4
    } else if step * 2 <= i16::MAX as usize {
        2
    } else {
        1
    }
}

/// See [`crate::isa::Tile::pack`].
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack(from: &SlabRows<'_>, to: &mut SlabBuffers<'_>) {
    let groups = from.runs * RUN / from.format.group;
    let (bias, _) = unsigned(from.format);
    // SAFETY: `groups` groups lie inside the slab.
    unsafe {
        pack::turn(from.scales, ROWS, groups, to.scales);
        if from.format.has_mins {
            pack::turn(from.mins, ROWS, groups, to.mins);
        }
        pack::interleave(from.codes, ROWS, from.runs, bias, to.codes);
    }
}

/// See [`crate::isa::Tile::run`].
/// # Safety
/// The CPU must have AVX2 and FMA; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    let (bias, largest) = unsigned(slab.format);
    // SAFETY: the callers'.
    unsafe {
        // Columns: as many as leave their sums in registers.
        match (slab.format.group, largest.map(steps)) {
            (32, Some(8)) => columns::<4, 32, 8>(slab, bias, x, sums),
            (32, Some(4)) => columns::<3, 32, 4>(slab, bias, x, sums),
            (32, Some(2)) => columns::<3, 32, 2>(slab, bias, x, sums),
            (32, _) => columns::<3, 32, 0>(slab, bias, x, sums),
            (_, Some(8 | 4)) => columns::<4, 16, 4>(slab, bias, x, sums),
            (_, Some(2)) => columns::<3, 16, 2>(slab, bias, x, sums),
            _ => columns::<3, 16, 0>(slab, bias, x, sums),
        }
    }
}

#[inline(always)]
unsafe fn columns<const C: usize, const G: usize, const S: usize>(
    slab: &Slab<'_>,
    bias: i8,
    x: &TileColumns<'_>,
    sums: &mut [f32],
) {
    let blocks = x.count.div_ceil(C);
    let mut first = 0;
    for block in 0..blocks {
        let count = (x.count - first).div_ceil(blocks - block);
        // SAFETY: first + count <= x.count.
        unsafe {
            match count {
                1 => tile::<1, G, S>(slab, bias, x, first, sums),
                2 => tile::<2, G, S>(slab, bias, x, first, sums),
                3 => tile::<3, G, S>(slab, bias, x, first, sums),
                _ => tile::<C, G, S>(slab, bias, x, first, sums),
            }
        }
        first += count;
    }
}

/// A slab times `C` columns from `first`, run by run. `S`: steps that are added in 16 bits; 0: signed codes, one by one.
#[inline(always)]
unsafe fn tile<const C: usize, const G: usize, const S: usize>(
    slab: &Slab<'_>,
    bias: i8,
    x: &TileColumns<'_>,
    first: usize,
    sums: &mut [f32],
) {
    // SAFETY: `runs` runs of the slab and of columns first .. first + C, which the slices hold.
    unsafe {
        let mut weights = slab.codes.as_ptr();
        let mut activations = x.codes.as_ptr().add(first * UNIT);
        let mut acc = sums.as_mut_ptr().add(first * RUNS * ROWS);
        for run in 0..slab.runs {
            let mut scaled = [[_mm256_setzero_ps(); 2]; C];
            for half in 0..RUN / G {
                let sums = group::<C, G, S>(weights, activations);
                weights = weights.add(G * ROWS);
                activations = activations.add(G);
                let group = run * (RUN / G) + half;
                let scales = slab.scales.as_ptr().add(group * ROWS);
                let of_group = if G == 16 { x.half_sums } else { x.sums };
                let of_group = of_group.as_ptr().add(group * x.count + first);
                for (c, scaled) in scaled.iter_mut().enumerate() {
                    for part in 0..2 {
                        let mut sum = _mm256_cvtepi32_ps(sums[c][part]);
                        if S > 0 && bias != 0 {
                            // Integers far below 2^24: nothing is rounded.
                            let bias = _mm256_set1_ps(f32::from(bias));
                            sum = _mm256_fnmadd_ps(bias, _mm256_set1_ps(*of_group.add(c)), sum);
                        }
                        let scales = _mm256_loadu_ps(scales.add(part * 8));
                        scaled[part] = if half == 0 {
                            _mm256_mul_ps(sum, scales)
                        } else {
                            _mm256_fmadd_ps(sum, scales, scaled[part])
                        };
                    }
                }
            }
            if slab.format.has_mins {
                for half in 0..RUN / G {
                    let group = run * (RUN / G) + half;
                    let mins = slab.mins.as_ptr().add(group * ROWS);
                    let mins = [_mm256_loadu_ps(mins), _mm256_loadu_ps(mins.add(8))];
                    let of_group = if G == 16 { x.half_sums } else { x.sums };
                    let of_group = of_group.as_ptr().add(group * x.count + first);
                    for (c, scaled) in scaled.iter_mut().enumerate() {
                        let sum = _mm256_set1_ps(*of_group.add(c));
                        scaled[0] = _mm256_fnmadd_ps(mins[0], sum, scaled[0]);
                        scaled[1] = _mm256_fnmadd_ps(mins[1], sum, scaled[1]);
                    }
                }
            }
            let scales = x.scales.as_ptr().add(run * x.count + first);
            for (c, scaled) in scaled.into_iter().enumerate() {
                let scale = _mm256_set1_ps(*scales.add(c));
                for (part, scaled) in scaled.into_iter().enumerate() {
                    let at = acc.add(c * RUNS * ROWS + part * 8);
                    _mm256_storeu_ps(at, _mm256_fmadd_ps(scaled, scale, _mm256_loadu_ps(at)));
                }
            }
            acc = acc.add(ROWS);
        }
    }
}

/// The integer sums of a group of `G` codes of all rows with `C` columns.
#[inline(always)]
unsafe fn group<const C: usize, const G: usize, const S: usize>(
    mut weights: *const i8,
    activations: *const u8,
) -> [[__m256i; 2]; C] {
    // SAFETY: the callers': G codes of every row and column.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let mut wide = [[_mm256_setzero_si256(); 2]; C];
        let batch = if S == 0 { 1 } else { S };
        for first in (0..G / 4).step_by(batch) {
            let mut narrow = [[_mm256_setzero_si256(); 2]; C];
            for step in first..first + batch {
                let low = _mm256_loadu_si256(weights.cast());
                let high = _mm256_loadu_si256(weights.add(32).cast());
                weights = weights.add(ROWS * 4);
                for (c, narrow) in narrow.iter_mut().enumerate() {
                    let x = activations.add(c * UNIT + step * 4).cast::<i32>();
                    let x = _mm256_set1_epi32(x.read_unaligned());
                    for (narrow, codes) in narrow.iter_mut().zip([low, high]) {
                        let products = if S == 0 {
                            _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes))
                        } else {
                            _mm256_maddubs_epi16(codes, x)
                        };
                        *narrow = if step == first {
                            products
                        } else {
                            _mm256_add_epi16(*narrow, products)
                        };
                    }
                }
            }
            for (wide, narrow) in wide.iter_mut().zip(narrow) {
                for (wide, narrow) in wide.iter_mut().zip(narrow) {
                    let pairs = _mm256_madd_epi16(narrow, ones);
                    *wide = if first == 0 {
                        pairs
                    } else {
                        _mm256_add_epi32(*wide, pairs)
                    };
                }
            }
        }
        wide
    }
}
