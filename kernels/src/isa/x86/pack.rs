//! From blocks to slabs: rows of codes by the types' layouts, then the interleaving that the tiles want.

use super::layouts::Layout;
use crate::isa::{RUN, RUNS, SlabBuffers, SlabRows, UNIT, UNIT_GROUPS, places};
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
    let bias = L::BIAS.unwrap_or(0) as i8;
    let groups = codes.len() / if L::HALVES { 16 } else { 32 };
    // SAFETY: a whole unit has `groups` scales and mins; a part of one is copied first, so that `head` and `codes` read
    // whole units, and goes through values of its own.
    unsafe {
        let bias = _mm256_set1_epi8(bias);
        let to = codes.as_mut_ptr();
        if codes.len() == UNIT {
            let unit = blocks.as_ptr();
            // The row's next unit is wanted after this one has been multiplied; a prefetch outside the file does nothing.
            let next = unit.wrapping_add(L::UNIT_BYTES);
            for line in (0..L::UNIT_BYTES).step_by(64) {
                _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line).cast());
            }
            _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(L::UNIT_BYTES - 1).cast());
            let head = L::head(unit);
            store_floats::<L>(head.scales, scales.as_mut_ptr());
            if L::MINS {
                store_floats::<L>(head.mins, mins.as_mut_ptr());
            }
            // Not a loop: the number of a run must be a constant when it is compiled.
            store_run::<L>(unit, 0, bias, to);
            store_run::<L>(unit, 1, bias, to);
            store_run::<L>(unit, 2, bias, to);
            store_run::<L>(unit, 3, bias, to);
            store_run::<L>(unit, 4, bias, to);
            store_run::<L>(unit, 5, bias, to);
            store_run::<L>(unit, 6, bias, to);
            store_run::<L>(unit, 7, bias, to);
        } else {
            let mut copy = [0u8; 512];
            copy[..blocks.len()].copy_from_slice(blocks);
            let unit = copy.as_ptr();
            let head = L::head(unit);
            let mut values = [0f32; UNIT_GROUPS];
            store_floats::<L>(head.scales, values.as_mut_ptr());
            scales[..groups].copy_from_slice(&values[..groups]);
            if L::MINS {
                store_floats::<L>(head.mins, values.as_mut_ptr());
                mins[..groups].copy_from_slice(&values[..groups]);
            }
            for run in 0..codes.len() / 32 {
                store_run::<L>(unit, run, bias, to);
            }
        }
    }
}

/// A value for each group of a unit, in order.
#[inline(always)]
unsafe fn store_floats<L: Layout>([first, second]: [__m256; 2], to: *mut f32) {
    // SAFETY: as `unpack`.
    unsafe {
        if L::HALVES {
            let (low, high) = (
                _mm256_unpacklo_ps(first, second),
                _mm256_unpackhi_ps(first, second),
            );
            _mm256_storeu_ps(to, _mm256_permute2f128_ps::<0x20>(low, high));
            _mm256_storeu_ps(to.add(8), _mm256_permute2f128_ps::<0x31>(low, high));
        } else {
            _mm256_storeu_ps(to, first);
        }
    }
}

#[inline(always)]
unsafe fn store_run<L: Layout>(unit: *const u8, run: usize, bias: __m256i, to: *mut i8) {
    // SAFETY: as `unpack`.
    unsafe {
        let signed = _mm256_sub_epi8(L::codes(unit, run), bias);
        _mm256_storeu_si256(to.add(run * 32).cast(), signed);
    }
}

/// Codes row by row to `[RUN / 4][rows][4]` for each run of the unit, `bias` added; `rows` is a multiple of 8.
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn interleave(
    from: &SlabRows<'_>,
    unit: usize,
    rows: usize,
    bias: i8,
    to: &mut SlabBuffers<'_>,
) {
    let places = places(to.length);
    // SAFETY: 8 x 8 words of four codes at a time, all inside the two slices.
    unsafe {
        let bias = _mm256_set1_epi8(bias);
        for row in (0..rows).step_by(8) {
            for (run, place) in places.into_iter().enumerate().take(from.runs) {
                let codes = from.codes.as_ptr().add(row * UNIT + run * RUN);
                let mut lines = [bias; 8];
                for (i, line) in lines.iter_mut().enumerate() {
                    let codes = _mm256_loadu_si256(codes.add(i * UNIT).cast());
                    *line = _mm256_add_epi8(codes, bias);
                }
                let to = to.codes.as_mut_ptr().add((place + unit) * RUN * rows);
                for (k, column) in transposed(lines).iter().enumerate() {
                    _mm256_storeu_si256(to.add((k * rows + row) * 4).cast(), *column);
                }
            }
        }
    }
}

/// As [`interleave`], codes widened to 16 bits: `[RUN / 2][rows][2]` for each run.
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn interleave_wide(
    from: &SlabRows<'_>,
    unit: usize,
    rows: usize,
    to: &mut SlabBuffers<'_>,
) {
    let places = places(to.length);
    // SAFETY: 8 x 8 words of two codes at a time, all inside the two slices.
    unsafe {
        for row in (0..rows).step_by(8) {
            for half in 0..2 * from.runs {
                let codes = from.codes.as_ptr().add(row * UNIT + half * RUN / 2);
                let mut lines = [_mm256_setzero_si256(); 8];
                for (i, line) in lines.iter_mut().enumerate() {
                    let codes = _mm_loadu_si128(codes.add(i * UNIT).cast());
                    *line = _mm256_cvtepi8_epi16(codes);
                }
                let place = 2 * (places[half / 2] + unit) + half % 2;
                let to = to.codes.as_mut_ptr().add(place * RUN * rows);
                for (k, column) in transposed(lines).iter().enumerate() {
                    _mm256_storeu_si256(to.add((k * rows + row) * 4).cast(), *column);
                }
            }
        }
    }
}

/// Scales, and mins where there are any, to their places in the slab.
/// # Safety
/// The CPU must have AVX2; lengths as `ReadyTile::pack` checks them.
#[inline(always)]
pub unsafe fn values(from: &SlabRows<'_>, unit: usize, rows: usize, to: &mut SlabBuffers<'_>) {
    // SAFETY: the callers'.
    unsafe {
        let places = places(to.length).map(|place| place + unit);
        turn(from, from.scales, places, rows, to.scales);
        if from.format.has_mins {
            turn(from, from.mins, places, rows, to.mins);
        }
    }
}

/// Eight rows of eight words to eight columns.
#[inline(always)]
unsafe fn transposed(mut a: [__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: AVX2, as the callers'.
    unsafe {
        let mut b = a;
        for i in 0..4 {
            b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
            b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
        }
        // a[4 h + j]: column j of each half of the lanes, rows 4 h .. 4 h + 4.
        for h in [0, 4] {
            a[h] = _mm256_unpacklo_epi64(b[h], b[h + 2]);
            a[h + 1] = _mm256_unpackhi_epi64(b[h], b[h + 2]);
            a[h + 2] = _mm256_unpacklo_epi64(b[h + 1], b[h + 3]);
            a[h + 3] = _mm256_unpackhi_epi64(b[h + 1], b[h + 3]);
        }
        for k in 0..4 {
            b[k] = _mm256_permute2x128_si256::<0x20>(a[k], a[4 + k]);
            b[4 + k] = _mm256_permute2x128_si256::<0x31>(a[k], a[4 + k]);
        }
        b
    }
}

/// Values row by row, [`UNIT_GROUPS`] each, to `[group][rows]` for each run; `rows` is a multiple of 8.
/// # Safety
/// The CPU must have AVX2; `values` are `rows` times [`UNIT_GROUPS`], `out` has all runs at `places`.
#[inline(always)]
unsafe fn turn(
    from: &SlabRows<'_>,
    values: &[f32],
    places: [usize; RUNS],
    rows: usize,
    out: &mut [f32],
) {
    let in_run = RUN / from.format.group;
    let groups = from.runs * in_run;
    // SAFETY: 8 x 8 values at a time, all inside the two slices.
    unsafe {
        for group in (0..groups).step_by(8) {
            for row in (0..rows).step_by(8) {
                let mut lines = [_mm256_setzero_si256(); 8];
                for (i, line) in lines.iter_mut().enumerate() {
                    let at = values.as_ptr().add((row + i) * UNIT_GROUPS + group);
                    *line = _mm256_loadu_si256(at.cast());
                }
                let columns = transposed(lines);
                for (k, column) in columns.iter().enumerate().take(groups - group) {
                    let (run, part) = ((group + k) / in_run, (group + k) % in_run);
                    let at = (places[run] * in_run + part) * rows + row;
                    _mm256_storeu_si256(out.as_mut_ptr().add(at).cast(), *column);
                }
            }
        }
    }
}
