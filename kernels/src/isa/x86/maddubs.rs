//! The tile for CPUs with AVX2 alone, of types with codes of up to six bits: sixteen rows times a few columns, products added
//! up in 16 bits.
//!
//! `vpmaddubsw` adds pairs of unsigned × signed products in 16 bits, with saturation. Codes are the unsigned side, biased to
//! 0 ..= largest; the bias comes off with the sum of a column's activations, still an exact integer. As many steps as can't
//! overflow are added before widening: the constant is chosen from the type's largest code, and tests drive it with the
//! extremes.

use super::pack;
use crate::isa::{
    RUN, RUN_ORDER, Slab, SlabBuffers, SlabRows, TileBlock, TileColumns, TileOrder, TileOut,
    units_with,
};
use crate::quant::Codes;
use std::arch::x86_64::*;
use std::mem::MaybeUninit;

/// Rows of a slab.
pub const ROWS: usize = 16;
/// The most columns that are taken together.
pub const COLUMNS: usize = 4;
/// Activations are the signed side.
pub const ORDER: TileOrder = TileOrder::Words { bias: 0 };

/// The difference of the largest and the smallest code.
const fn width(format: &Codes) -> u8 {
    let (low, high) = format.range;
    high.wrapping_sub(low) as u8
}

/// Whether this tile is for a type: its codes have six bits at most.
pub const fn takes(format: &Codes) -> bool {
    width(format) < 64
}

/// Steps of four codes (two products to a 16-bit lane) that fit in 16 bits with codes up to `largest` and activations
/// up to 127.
const fn steps(largest: u8) -> usize {
    let step = largest as usize * 127 * 2;
    if step * 8 <= i16::MAX as usize {
        8
    } else if step * 4 <= i16::MAX as usize {
        4
    } else {
        2
    }
}

/// See [`crate::isa::Tile::pack`].
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn pack(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
    let bias = -from.format.range.0;
    // SAFETY: the callers'.
    unsafe {
        pack::values(from, unit, ROWS, to);
        pack::interleave(from, unit, ROWS, bias, to);
    }
}

/// See [`crate::isa::Tile::run`].
/// # Safety
/// The CPU must have AVX2 and FMA; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run(slab: &Slab<'_>, x: &TileColumns<'_>, out: TileOut) {
    // SAFETY: the callers'.
    unsafe {
        match (slab.format.group, steps(width(slab.format))) {
            (32, 8) => columns::<32, 8>(slab, x, out),
            (32, 4) => columns::<32, 4>(slab, x, out),
            (32, _) => columns::<32, 2>(slab, x, out),
            (_, 8 | 4) => columns::<16, 4>(slab, x, out),
            _ => columns::<16, 2>(slab, x, out),
        }
    }
}

#[inline(always)]
unsafe fn columns<const G: usize, const S: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    out: TileOut,
) {
    for (first, count, block) in x.blocks(COLUMNS, slab.length) {
        // SAFETY: the block is of this many columns, `out` has a place for each of all columns.
        unsafe {
            let out = out.from(first);
            match count {
                1 => tile::<1, G, S>(slab, block, out),
                2 => tile::<2, G, S>(slab, block, out),
                3 => tile::<3, G, S>(slab, block, out),
                _ => tile::<COLUMNS, G, S>(slab, block, out),
            }
        }
    }
}

/// A slab times a block of `C` columns. `S`: steps that are added in 16 bits.
#[inline(always)]
unsafe fn tile<const C: usize, const G: usize, const S: usize>(
    slab: &Slab<'_>,
    x: TileBlock,
    out: TileOut,
) {
    let groups = RUN / G;
    let bias = -slab.format.range.0;
    // SAFETY: all runs of the slab and of the columns in order, which the slices hold.
    unsafe {
        let zero = _mm256_setzero_ps();
        let mut weights = slab.codes.as_ptr();
        let mut scales = slab.scales.as_ptr();
        let mut mins = slab.mins.as_ptr();
        let mut activations = x.codes;
        let mut x_scales = x.scales;
        let mut x_sums = if G == 16 { x.half_sums } else { x.sums };
        // Sums of one, two and four running sums that wait for their neighbours.
        let mut waiting = [const { MaybeUninit::<[[__m256; 2]; C]>::uninit() }; 3];
        for (number, run) in RUN_ORDER.into_iter().enumerate() {
            let mut acc = [[zero; 2]; C];
            for _ in 0..units_with(slab.length, run) {
                let mut scaled = [[zero; 2]; C];
                for group in 0..groups {
                    let sums = self::group::<C, G, S>(weights, activations);
                    weights = weights.add(G * ROWS);
                    activations = activations.add(G * C);
                    for (c, scaled) in scaled.iter_mut().enumerate() {
                        for part in 0..2 {
                            let mut sum = _mm256_cvtepi32_ps(sums[c][part]);
                            if bias != 0 {
                                // Integers far below 2^24: nothing is rounded.
                                let bias = _mm256_set1_ps(f32::from(bias));
                                let of_column = _mm256_set1_ps(*x_sums.add(group * C + c));
                                sum = _mm256_fnmadd_ps(bias, of_column, sum);
                            }
                            let scales = _mm256_loadu_ps(scales.add(part * 8));
                            scaled[part] = if group == 0 {
                                _mm256_mul_ps(sum, scales)
                            } else {
                                _mm256_fmadd_ps(sum, scales, scaled[part])
                            };
                        }
                    }
                    scales = scales.add(ROWS);
                }
                if slab.format.has_mins {
                    for group in 0..groups {
                        let min = [_mm256_loadu_ps(mins), _mm256_loadu_ps(mins.add(8))];
                        mins = mins.add(ROWS);
                        for (c, scaled) in scaled.iter_mut().enumerate() {
                            let sum = _mm256_set1_ps(*x_sums.add(group * C + c));
                            scaled[0] = _mm256_fnmadd_ps(min[0], sum, scaled[0]);
                            scaled[1] = _mm256_fnmadd_ps(min[1], sum, scaled[1]);
                        }
                    }
                }
                x_sums = x_sums.add(groups * C);
                for (c, (acc, scaled)) in acc.iter_mut().zip(scaled).enumerate() {
                    let scale = _mm256_set1_ps(*x_scales.add(c));
                    acc[0] = _mm256_fmadd_ps(scaled[0], scale, acc[0]);
                    acc[1] = _mm256_fmadd_ps(scaled[1], scale, acc[1]);
                }
                x_scales = x_scales.add(C);
            }
            // A binary counter: a sum that is full is added to its neighbour.
            let full = number.trailing_ones() as usize;
            for waiting in &waiting[..full] {
                // Written when a smaller `number` was full to here.
                let waiting = waiting.assume_init_ref();
                for (acc, waiting) in acc.iter_mut().zip(waiting) {
                    acc[0] = _mm256_add_ps(waiting[0], acc[0]);
                    acc[1] = _mm256_add_ps(waiting[1], acc[1]);
                }
            }
            if full < waiting.len() {
                waiting[full].write(acc);
            } else {
                for (c, acc) in acc.iter().enumerate() {
                    let out = out.from(c).at;
                    _mm256_storeu_ps(out, acc[0]);
                    _mm256_storeu_ps(out.add(8), acc[1]);
                }
            }
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
        for first in (0..G / 4).step_by(S) {
            let mut narrow = [[_mm256_setzero_si256(); 2]; C];
            for step in first..first + S {
                let low = _mm256_loadu_si256(weights.cast());
                let high = _mm256_loadu_si256(weights.add(32).cast());
                weights = weights.add(ROWS * 4);
                for (c, narrow) in narrow.iter_mut().enumerate() {
                    let x = activations.add((step * C + c) * 4).cast::<i32>();
                    let x = _mm256_set1_epi32(x.read_unaligned());
                    for (narrow, codes) in narrow.iter_mut().zip([low, high]) {
                        let products = _mm256_maddubs_epi16(codes, x);
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
