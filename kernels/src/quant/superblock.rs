//! Quantizing blocks of 256 whose groups have small integer scales under one half-precision scale (the K types, IQ4_XS).
//!
//! Each group's best float scale comes from `search`; these are rounded to multiples of the block's scale, neighbouring
//! multiples are tried, and the block's scale is then fitted to the codes found. In: 256 values and weights.
//! Out: the block's scale, the integer scales, the codes. The packing is the types' own business.

use half::f16;

use super::search::{self, Codebook, Min};
use super::{MAX_BLOCK_ELEMENTS, MAX_BLOCK_GROUPS, inverse};

/// Rounds of choosing integer scales for the block scale, then the block scale for them.
const ROUNDS: usize = 3;

/// A block whose values are `scale · scales[group] · code`.
pub(crate) struct Signed {
    pub scale: f32,
    pub scales: [i8; MAX_BLOCK_GROUPS],
    pub codes: [i8; MAX_BLOCK_ELEMENTS],
}

/// A block whose values are `scale · scales[group] · code − min · mins[group]`.
pub(crate) struct WithMins {
    pub scale: f32,
    pub min: f32,
    pub scales: [u8; MAX_BLOCK_GROUPS],
    pub mins: [u8; MAX_BLOCK_GROUPS],
    pub codes: [u8; MAX_BLOCK_ELEMENTS],
}

/// What `value` becomes in half precision; too large becomes the largest.
fn halved(value: f32) -> f32 {
    let limit = f16::MAX.to_f32();
    f16::from_f32(value.clamp(-limit, limit)).to_f32()
}

/// Codes of book `B`, signed integer scales in `range` for each `group` codes.
pub(crate) fn signed<B: Codebook>(
    values: &[f32],
    weights: &[f32],
    group: usize,
    range: (i8, i8),
) -> Signed {
    let mut block = Signed {
        scale: 0.0,
        scales: [0; _],
        codes: [0; _],
    };
    let groups = || {
        values
            .chunks_exact(group)
            .zip(weights.chunks_exact(group))
            .enumerate()
    };
    let mut wanted = [0.0_f32; MAX_BLOCK_GROUPS];
    for (g, (values, weights)) in groups() {
        wanted[g] = search::scale::<B>(values, weights);
    }
    // The group with the largest scale gets the integer with the largest magnitude, which is the range's low end.
    let widest = wanted
        .iter()
        .copied()
        .fold(0.0, |a: f32, b| if b.abs() > a.abs() { b } else { a });
    let mut scale = halved(widest / f32::from(range.0));
    let mut least = f32::INFINITY;
    for _ in 0..ROUNDS {
        let (mut scales, mut codes, mut total) =
            ([0_i8; MAX_BLOCK_GROUPS], [0; MAX_BLOCK_ELEMENTS], 0.0);
        let (mut value_code, mut code_code) = (0.0, 0.0);
        for (g, (values, weights)) in groups() {
            let near = search::round(wanted[g] * inverse(scale), range);
            let mut best = (f32::INFINITY, 0);
            for multiple in
                near.saturating_sub(1).max(range.0)..=near.saturating_add(1).min(range.1)
            {
                let error = search::error::<B>(values, weights, scale * f32::from(multiple));
                if error < best.0 {
                    best = (error, multiple);
                }
            }
            scales[g] = best.1;
            total += best.0;
            let inverse = inverse(scale * f32::from(best.1));
            for (i, (&value, &weight)) in values.iter().zip(weights).enumerate() {
                let code = B::nearest(value * inverse);
                codes[g * group + i] = code as i8;
                let code = code * f32::from(best.1);
                value_code += weight * value * code;
                code_code += weight * code * code;
            }
        }
        if total < least {
            least = total;
            block = Signed {
                scale,
                scales,
                codes,
            };
        }
        if code_code <= 0.0 {
            break;
        }
        scale = halved(value_code / code_code);
    }
    block
}

/// Codes in `0..=levels`, integer scales and mins in `0..=multiples` for each `group` codes.
pub(crate) fn with_mins(
    values: &[f32],
    weights: &[f32],
    group: usize,
    levels: i8,
    multiples: u8,
) -> WithMins {
    let mut block = WithMins {
        scale: 0.0,
        min: 0.0,
        scales: [0; _],
        mins: [0; _],
        codes: [0; _],
    };
    let groups = || {
        values
            .chunks_exact(group)
            .zip(weights.chunks_exact(group))
            .enumerate()
    };
    let mut wanted = [(0.0_f32, 0.0_f32); MAX_BLOCK_GROUPS];
    for (g, (values, weights)) in groups() {
        wanted[g] = search::scale_and_min(values, weights, levels, Min::NotNegative);
    }
    let top = f32::from(multiples);
    let mut scale = halved(wanted.iter().fold(0.0, |most: f32, w| most.max(w.0)) / top);
    let mut min = halved(wanted.iter().fold(0.0, |most: f32, w| most.max(w.1)) / top);
    let mut least = f32::INFINITY;
    for _ in 0..ROUNDS {
        let mut trial = WithMins {
            scale,
            min,
            scales: [0; _],
            mins: [0; _],
            codes: [0; _],
        };
        let mut total = 0.0;
        // Sums of the least-squares problem in (scale, min): value ≈ scale·a − min·b.
        let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (g, (values, weights)) in groups() {
            let near =
                |wanted: f32, unit: f32| (wanted * inverse(unit)).round_ties_even().clamp(0.0, top);
            let (near_scale, near_min) = (near(wanted[g].0, scale), near(wanted[g].1, min));
            let mut best = (f32::INFINITY, 0.0, 0.0);
            for (ds, dm) in NEIGHBOURS {
                let (s, m) = (
                    (near_scale + ds).clamp(0.0, top),
                    (near_min + dm).clamp(0.0, top),
                );
                let error =
                    search::error_with_min(values, weights, scale * s, min * m, f32::from(levels));
                if error < best.0 {
                    best = (error, s, m);
                }
            }
            let (error, a, b) = best;
            total += error;
            (trial.scales[g], trial.mins[g]) = (a as u8, b as u8);
            let inverse = inverse(scale * a);
            for (i, (&value, &weight)) in values.iter().zip(weights).enumerate() {
                let code = search::round((value + min * b) * inverse, (0, levels));
                trial.codes[g * group + i] = code as u8;
                let a = a * f32::from(code);
                aa += weight * a * a;
                ab += weight * a * b;
                bb += weight * b * b;
                xa += weight * value * a;
                xb += weight * value * b;
            }
        }
        if total < least {
            least = total;
            block = trial;
        }
        let determinant = aa * bb - ab * ab;
        if determinant > 0.0 {
            scale = halved((xa * bb - xb * ab) / determinant);
            min = halved((xa * ab - xb * aa) / determinant);
        } else if aa > 0.0 {
            scale = halved(xa / aa);
        }
        if scale < 0.0 || min < 0.0 {
            break;
        }
    }
    block
}

/// Where the best pair of integers may lie around the rounded one.
const NEIGHBOURS: [(f32, f32); 9] = [
    (0.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (-1.0, 0.0),
    (1.0, 0.0),
    (-1.0, -1.0),
    (-1.0, 1.0),
    (1.0, -1.0),
    (1.0, 1.0),
];
