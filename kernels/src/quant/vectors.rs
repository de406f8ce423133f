//! Quantizing blocks of 256 made of codebook vectors (the IQ1, IQ2 and IQ3 types): every group has an odd multiple of
//! one block scale, every vector an index, every eight values a byte of signs (or, in IQ1, of shifts).
//!
//! As in `superblock`: each group's best float scale first, then the nearest odd multiples, then the block's scale
//! fitted to what was chosen. In: 256 values and weights. Out: scales, indices, signs; packing is the types' business.

use half::f16;

use super::grid::Grid;
use super::search::largest;
use super::{MAX_BLOCK_GROUPS, inverse};

/// What the vectors of a group of 16 or 32 became.
#[derive(Clone, Copy, Default)]
pub(crate) struct Group {
    /// The group's scale is `2·multiple + 1` times the block's.
    pub multiple: u8,
    /// Indices of the vectors.
    pub points: [u16; 8],
    /// For each eight values: which are negative. In IQ1: 1 where the values are shifted down.
    pub signs: [u8; 4],
}

/// A type made of vectors.
pub(crate) trait Vectors {
    /// Values in a group.
    const GROUP: usize;
    /// How many multiples a group can choose from.
    const MULTIPLES: u8;
    /// The largest code.
    const LARGEST: f32;
    /// What the block stores is this times the scale of multiple 1 and code 1.
    const STORED: f32;

    /// Chooses points and signs for eight or more values at a scale; returns `Σ weight·value·code` and
    /// `Σ weight·code²`.
    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32);
}

/// First guesses of a group's scale: this many, each smaller than the last by [`SHRINK`], from the one that makes the
/// largest value the largest code.
const GUESSES: i32 = 18;
const SHRINK: f32 = 0.92;

/// Rounds of choosing multiples for the block scale, then the block scale for them.
const ROUNDS: usize = 3;

/// The block's stored scale, exact in half precision, and its groups.
pub(crate) fn quantize<T: Vectors>(
    values: &[f32],
    weights: &[f32],
) -> (f32, [Group; MAX_BLOCK_GROUPS]) {
    let groups = || {
        values
            .chunks_exact(T::GROUP)
            .zip(weights.chunks_exact(T::GROUP))
            .enumerate()
    };
    let mut wanted = [0.0_f32; MAX_BLOCK_GROUPS];
    for (g, (values, weights)) in groups() {
        wanted[g] = best_scale::<T>(values, weights);
    }
    let top = f32::from(2 * T::MULTIPLES - 1);
    let stored =
        |scale: f32| f16::from_f32((scale * T::STORED).clamp(0.0, f16::MAX.to_f32())).to_f32();
    let mut scale = stored(wanted.iter().fold(0.0, |a: f32, &b| a.max(b)) / top) / T::STORED;
    let mut best = (f32::INFINITY, 0.0, [Group::default(); MAX_BLOCK_GROUPS]);
    for _ in 0..ROUNDS {
        let mut chosen = [Group::default(); MAX_BLOCK_GROUPS];
        let (mut total, mut value_code, mut code_code) = (0.0, 0.0, 0.0);
        for (g, (values, weights)) in groups() {
            let near = ((wanted[g] * inverse(scale) - 1.0) * 0.5).round_ties_even();
            let near = near.clamp(0.0, f32::from(T::MULTIPLES - 1)) as u8;
            let mut least = (f32::INFINITY, 0.0, 0.0);
            for multiple in near.saturating_sub(1)..=(near + 1).min(T::MULTIPLES - 1) {
                let odd = f32::from(2 * multiple + 1);
                let mut group = Group {
                    multiple,
                    ..Group::default()
                };
                let (xc, cc) = T::encode(values, weights, scale * odd, &mut group);
                let error = scale * odd * (scale * odd * cc - 2.0 * xc);
                if error < least.0 {
                    least = (error, odd * xc, odd * odd * cc);
                    chosen[g] = group;
                }
            }
            total += least.0;
            value_code += least.1;
            code_code += least.2;
        }
        if total < best.0 {
            best = (total, scale, chosen);
        }
        if value_code <= 0.0 || code_code <= 0.0 {
            break;
        }
        scale = stored(value_code / code_code) / T::STORED;
    }
    (best.1 * T::STORED, best.2)
}

fn best_scale<T: Vectors>(values: &[f32], weights: &[f32]) -> f32 {
    let largest = largest(values);
    let mut best = (0.0, 0.0);
    for guess in 0..GUESSES {
        let mut scale = largest / T::LARGEST * SHRINK.powi(guess);
        for _ in 0..2 {
            let (xc, cc) = T::encode(values, weights, scale, &mut Group::default());
            if xc <= 0.0 || cc <= 0.0 {
                break;
            }
            scale = xc / cc;
            if xc * scale > best.0 {
                best = (xc * scale, scale);
            }
        }
    }
    best.1
}

/// Chooses signs and grid points for magnitudes. With `even`, each eight values have an even number of signs: where
/// they haven't, the one that matters least is given the wrong sign.
pub(crate) fn encode_magnitudes<const V: usize>(
    grid: &Grid<V>,
    even: bool,
    values: &[f32],
    weights: &[f32],
    scale: f32,
    group: &mut Group,
) -> (f32, f32) {
    let inverse = inverse(scale);
    let (mut xc, mut cc) = (0.0, 0.0);
    let (eights, weights) = (values.as_chunks::<8>().0, weights.as_chunks::<8>().0);
    for (eight, (values, weights)) in eights.iter().zip(weights).enumerate() {
        let mut signs = values
            .iter()
            .rev()
            .fold(0_u8, |signs, &value| signs << 1 | u8::from(value < 0.0));
        let mut magnitudes = values.map(|value| value.abs() * inverse);
        if even && signs.count_ones() % 2 == 1 {
            let mut least = 0;
            for i in 1..8 {
                if weights[i] * magnitudes[i] < weights[least] * magnitudes[least] {
                    least = i;
                }
            }
            signs ^= 1 << least;
            magnitudes[least] = -magnitudes[least];
        }
        group.signs[eight] = signs;
        let vectors = magnitudes
            .as_chunks::<V>()
            .0
            .iter()
            .zip(weights.as_chunks::<V>().0);
        for (vector, (magnitudes, weights)) in vectors.enumerate() {
            let (index, value_code, code_code) = grid.nearest(magnitudes, weights, 0.0);
            group.points[eight * (8 / V) + vector] = index;
            xc += value_code;
            cc += code_code;
        }
    }
    (xc * scale, cc)
}

/// Chooses ternary grid points shifted by an eighth up or down, the same way for every `run` values.
pub(crate) fn encode_shifted(
    grid: &Grid<8>,
    run: usize,
    values: &[f32],
    weights: &[f32],
    scale: f32,
    group: &mut Group,
) -> (f32, f32) {
    let inverse = inverse(scale);
    let (mut xc, mut cc) = (0.0, 0.0);
    let runs = values.chunks_exact(run).zip(weights.chunks_exact(run));
    for (r, (values, weights)) in runs.enumerate() {
        let mut best = (f32::INFINITY, 0.0, 0.0, Group::default());
        for down in 0..2 {
            let shift = 1.0 - 2.0 * f32::from(down);
            let mut trial = Group {
                signs: [down; 4],
                ..Group::default()
            };
            let (mut run_xc, mut run_cc) = (0.0, 0.0);
            let eights = values
                .as_chunks::<8>()
                .0
                .iter()
                .zip(weights.as_chunks::<8>().0);
            for (point, (values, weights)) in trial.points.iter_mut().zip(eights) {
                let (index, value_code, code_code) =
                    grid.nearest(&values.map(|v| v * inverse), weights, shift);
                *point = index;
                run_xc += value_code;
                run_cc += code_code;
            }
            let error = run_cc - 2.0 * run_xc;
            if error < best.0 {
                best = (error, run_xc, run_cc, trial);
            }
        }
        let eights = run / 8;
        group.points[r * eights..][..eights].copy_from_slice(&best.3.points[..eights]);
        group.signs[r * eights..][..eights].copy_from_slice(&best.3.signs[..eights]);
        xc += best.1;
        cc += best.2;
    }
    (xc * scale, cc)
}
