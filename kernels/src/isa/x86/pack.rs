//! From blocks to slabs: rows of codes by the types' layouts, then the interleaving that the tiles want.

use super::layouts::Layout;
use crate::isa::{SlabRows, UNIT, UNIT_GROUPS};
use std::arch::x86_64::*;

/// Up to a unit of a row to signed codes, scales and mins, see [`crate::isa::UnpackUnit`].
/// # Safety
/// The CPU must have AVX2, FMA and F16C; lengths as `Ready::unpack` checks them.
#[inline(always)]
pub unsafe fn unpack<L: Layout>(
    blocks: &[u8],
    codes: &mut [i8],
    scales: &mut [f32],
    mins: &mut [f32],
) {
    // SAFETY: a part of a unit is copied first, so that `head` and `codes` read whole units; stores are bounded by
    // the slices' lengths, or go to a copy.
    unsafe {
        let mut copy = [0u8; 512];
        let unit = if codes.len() < UNIT {
            copy[..blocks.len()].copy_from_slice(blocks);
            copy.as_ptr()
        } else {
            blocks.as_ptr()
        };
        let head = L::head(unit);
        let mut values = [0f32; 16];
        _mm256_storeu_ps(values.as_mut_ptr(), head.scales[0]);
        _mm256_storeu_ps(values.as_mut_ptr().add(8), head.scales[1]);
        let groups = codes.len() / if L::HALVES { 16 } else { 32 };
        scales[..groups].copy_from_slice(&values[..groups]);
        if L::MINS {
            _mm256_storeu_ps(values.as_mut_ptr(), head.mins[0]);
            _mm256_storeu_ps(values.as_mut_ptr().add(8), head.mins[1]);
            mins[..groups].copy_from_slice(&values[..groups]);
        }
        let bias = _mm256_set1_epi8(L::BIAS.unwrap_or(0) as i8);
        let (to, length) = (codes.as_mut_ptr(), codes.len());
        let one = |run: usize| {
            let signed = _mm256_sub_epi8(L::codes(unit, run), bias);
            _mm256_storeu_si256(to.add(run * 32).cast(), signed);
        };
        if length == UNIT {
            one(0);
            one(1);
            one(2);
            one(3);
            one(4);
            one(5);
            one(6);
            one(7);
        } else {
            for run in 0..length / 32 {
                one(run);
            }
        }
    }
}

/// Codes row by row to `[UNIT / 4][rows][4]`, `bias` added; `rows` is a multiple of 8.
/// # Safety
/// The CPU must have AVX2; `codes` and `out` are `rows` units.
#[inline(always)]
pub unsafe fn interleave(codes: &[i8], rows: usize, depth: usize, bias: i8, out: &mut [i8]) {
    // SAFETY: 8 x 8 words of four codes at a time, all inside the two slices.
    unsafe {
        let bias = _mm256_set1_epi8(bias);
        for row in (0..rows).step_by(8) {
            for run in 0..depth.div_ceil(32) {
                let from = codes.as_ptr().add(row * UNIT + run * 32);
                let lines: [__m256i; 8] = std::array::from_fn(|i| {
                    _mm256_add_epi8(_mm256_loadu_si256(from.add(i * UNIT).cast()), bias)
                });
                for (k, line) in transposed(lines).into_iter().enumerate() {
                    let to = out.as_mut_ptr().add(((run * 8 + k) * rows + row) * 4);
                    _mm256_storeu_si256(to.cast(), line);
                }
            }
        }
    }
}

/// Eight rows of eight words to eight columns.
#[inline(always)]
unsafe fn transposed(a: [__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let b: [__m256i; 8] = std::array::from_fn(|i| {
            let (x, y) = (a[i / 2 * 2], a[i / 2 * 2 + 1]);
            if i % 2 == 0 {
                _mm256_unpacklo_epi32(x, y)
            } else {
                _mm256_unpackhi_epi32(x, y)
            }
        });
        // c[4 h + j]: column j of each half of the lanes, rows 4 h .. 4 h + 4.
        let c: [__m256i; 8] = std::array::from_fn(|i| {
            let (h, j) = (i / 4, i % 4);
            let (x, y) = (b[4 * h + j / 2], b[4 * h + 2 + j / 2]);
            if j % 2 == 0 {
                _mm256_unpacklo_epi64(x, y)
            } else {
                _mm256_unpackhi_epi64(x, y)
            }
        });
        std::array::from_fn(|k| {
            let (x, y) = (c[k % 4], c[4 + k % 4]);
            if k < 4 {
                _mm256_permute2x128_si256::<0x20>(x, y)
            } else {
                _mm256_permute2x128_si256::<0x31>(x, y)
            }
        })
    }
}

/// Values row by row, [`UNIT_GROUPS`] each, to `[group][rows]`.
pub fn turn(from: &[f32], rows: usize, groups: usize, out: &mut [f32]) {
    for (row, from) in from.chunks_exact(UNIT_GROUPS).enumerate() {
        for (group, &value) in from[..groups].iter().enumerate() {
            out[group * rows + row] = value;
        }
    }
}

/// Whether the type has mins.
pub fn has_mins(from: &SlabRows<'_>) -> bool {
    from.quant
        .codes
        .as_ref()
        .is_some_and(|codes| codes.has_mins)
}
