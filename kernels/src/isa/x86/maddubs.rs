//! The tile for CPUs with AVX2 alone: sixteen rows times up to four columns, products added up in 16 bits.
//!
//! `vpmaddubsw` adds pairs of unsigned × signed products in 16 bits, with saturation. Codes are the unsigned side: small
//! ones biased to 0 ..= largest (the bias comes off with the sum of a column's activations, still an exact integer), 8-bit ones by their magnitude, with their sign
//! given to the activations. So many steps as can't overflow are added before widening: the constant is chosen from the
//! type's largest code, and tests drive it with the extremes.

use super::pack;
use crate::isa::{ACTIVATION_GROUP, Slab, SlabRows, TileColumns, UNIT, UNIT_GROUPS};
use std::arch::x86_64::*;

/// Rows of a slab.
pub const ROWS: usize = 16;
/// Columns that are taken together.
pub const COLUMNS: usize = 4;

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
pub unsafe fn pack(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    let (low, high) = from
        .quant
        .codes
        .as_ref()
        .map_or((-128, 127), |codes| codes.range);
    let width = i16::from(high) - i16::from(low);
    let (bias, largest) = if width < 64 {
        (-low, Some(width as u8))
    } else {
        (0, None)
    };
    slab.groups = from.groups;
    slab.largest = largest;
    slab.bias = bias;
    slab.has_mins = pack::has_mins(from);
    // SAFETY: the callers'.
    unsafe {
        pack::turn(from.scales, ROWS, from.groups, slab.scales);
        if slab.has_mins {
            pack::turn(from.mins, ROWS, from.groups, slab.mins);
        }
        pack::interleave(from.codes, ROWS, from.groups * from.group, bias, slab.codes);
    }
}

/// See [`crate::isa::Tile::run`].
/// # Safety
/// The CPU must have AVX2 and FMA; lengths as `ReadyTile::run` checks them.
#[inline(always)]
pub unsafe fn run(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: the callers'.
    unsafe {
        match (slab.group, slab.largest.map(steps)) {
            (32, Some(8)) => columns::<32, 8>(slab, x, sums),
            (32, Some(4)) => columns::<32, 4>(slab, x, sums),
            (32, Some(2)) => columns::<32, 2>(slab, x, sums),
            (32, _) => columns::<32, 0>(slab, x, sums),
            (_, Some(8 | 4)) => columns::<16, 4>(slab, x, sums),
            (_, Some(2)) => columns::<16, 2>(slab, x, sums),
            _ => columns::<16, 0>(slab, x, sums),
        }
    }
}

#[inline(always)]
unsafe fn columns<const G: usize, const S: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    sums: &mut [f32],
) {
    let blocks = x.count.div_ceil(COLUMNS);
    let mut first = 0;
    for block in 0..blocks {
        let count = (x.count - first).div_ceil(blocks - block);
        // SAFETY: first + count <= x.count.
        unsafe {
            match count {
                1 => tile::<1, G, S>(slab, x, first, sums),
                2 => tile::<2, G, S>(slab, x, first, sums),
                3 => tile::<3, G, S>(slab, x, first, sums),
                _ => tile::<4, G, S>(slab, x, first, sums),
            }
        }
        first += count;
    }
}

/// A slab times `C` columns from `first`. `S`: steps that are added in 16 bits; 0: signed codes, one by one.
#[inline(always)]
unsafe fn tile<const C: usize, const G: usize, const S: usize>(
    slab: &Slab<'_>,
    x: &TileColumns<'_>,
    first: usize,
    sums: &mut [f32],
) {
    // SAFETY: `groups` groups of the slab and of columns first .. first + C, which the slices hold.
    unsafe {
        let ones = _mm256_set1_epi16(1);
        let bias = _mm256_set1_ps(f32::from(slab.bias));
        let mut weights = slab.codes.as_ptr();
        let mut activations = x.codes.as_ptr().add(first * UNIT);
        let totals = sums.as_mut_ptr().add(first * ROWS);
        let group_sums = if G == 16 { x.sums } else { x.pair_sums };
        let mut group = 0;
        let mut scale_group = 0;
        while group < slab.groups {
            let end = slab.groups.min(group + ACTIVATION_GROUP / G);
            let mut scaled = [[_mm256_setzero_ps(); 2]; C];
            while group < end {
                let mut wide = [[_mm256_setzero_si256(); 2]; C];
                let batch = if S == 0 { 1 } else { S };
                for batch_index in 0..G / 4 / batch {
                    let mut narrow = [[_mm256_setzero_si256(); 2]; C];
                    for step in 0..batch {
                        let low = _mm256_loadu_si256(weights.cast());
                        let high = _mm256_loadu_si256(weights.add(32).cast());
                        weights = weights.add(ROWS * 4);
                        let at = (batch_index * batch + step) * 4;
                        for (c, narrow) in narrow.iter_mut().enumerate() {
                            let x = activations
                                .add(c * UNIT + at)
                                .cast::<i32>()
                                .read_unaligned();
                            let x = _mm256_set1_epi32(x);
                            let products = if S == 0 {
                                [
                                    _mm256_maddubs_epi16(
                                        _mm256_abs_epi8(low),
                                        _mm256_sign_epi8(x, low),
                                    ),
                                    _mm256_maddubs_epi16(
                                        _mm256_abs_epi8(high),
                                        _mm256_sign_epi8(x, high),
                                    ),
                                ]
                            } else {
                                [_mm256_maddubs_epi16(low, x), _mm256_maddubs_epi16(high, x)]
                            };
                            narrow[0] = _mm256_add_epi16(narrow[0], products[0]);
                            narrow[1] = _mm256_add_epi16(narrow[1], products[1]);
                        }
                    }
                    for (wide, narrow) in wide.iter_mut().zip(narrow) {
                        for half in 0..2 {
                            let pairs = _mm256_madd_epi16(narrow[half], ones);
                            wide[half] = _mm256_add_epi32(wide[half], pairs);
                        }
                    }
                }
                activations = activations.add(G);
                let scales = slab.scales.as_ptr().add(group * ROWS);
                let scales = [_mm256_loadu_ps(scales), _mm256_loadu_ps(scales.add(8))];
                let of_group = group_sums.as_ptr().add(group * x.count + first);
                for (c, (scaled, wide)) in scaled.iter_mut().zip(wide).enumerate() {
                    let mut sums = [_mm256_cvtepi32_ps(wide[0]), _mm256_cvtepi32_ps(wide[1])];
                    if S > 0 && slab.bias != 0 {
                        // Integers far below 2^24: nothing is rounded.
                        let of_column = _mm256_set1_ps(*of_group.add(c));
                        sums[0] = _mm256_fnmadd_ps(bias, of_column, sums[0]);
                        sums[1] = _mm256_fnmadd_ps(bias, of_column, sums[1]);
                    }
                    for half in 0..2 {
                        scaled[half] = _mm256_fmadd_ps(sums[half], scales[half], scaled[half]);
                    }
                }
                if slab.has_mins {
                    let mins = slab.mins.as_ptr().add(group * ROWS);
                    let mins = [_mm256_loadu_ps(mins), _mm256_loadu_ps(mins.add(8))];
                    for (c, scaled) in scaled.iter_mut().enumerate() {
                        let sum = _mm256_set1_ps(*of_group.add(c));
                        scaled[0] = _mm256_fnmadd_ps(mins[0], sum, scaled[0]);
                        scaled[1] = _mm256_fnmadd_ps(mins[1], sum, scaled[1]);
                    }
                }
                group += 1;
            }
            let scales = x.scales.as_ptr().add(scale_group * x.count + first);
            scale_group += 1;
            for (c, scaled) in scaled.iter().enumerate() {
                let scale = _mm256_set1_ps(*scales.add(c));
                for (half, scaled) in scaled.iter().enumerate() {
                    let at = totals.add(c * ROWS + half * 8);
                    _mm256_storeu_ps(at, _mm256_fmadd_ps(*scaled, scale, _mm256_loadu_ps(at)));
                }
            }
        }
    }
}

const _: () = assert!(UNIT_GROUPS * 16 == UNIT);
