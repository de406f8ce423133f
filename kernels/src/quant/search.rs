//! What the quantizers share: finding the scale (and minimum) with which rounding loses least.
//!
//! The error is `Σ weight·(value − scale·code)²`. For given codes the best scale has a closed form (least squares), and
//! for a given scale the best codes are the nearest ones; the searches try a row of first guesses and refine each so.
//! In: the values of a group, what each one's error counts. Out: a scale, a minimum. Nothing here knows a layout.

use super::inverse;

/// Guesses tried on each side of the plain one.
const STEPS: i32 = 12;

/// How far apart the guesses lie, in codes of the largest value.
const STEP: f32 = 0.1;

/// What errors count: `importance`, made finite and not negative; all equal if there is nothing else to go by.
pub(crate) fn weights(importance: &[f32], weights: &mut [f32]) {
    for (weight, &importance) in weights.iter_mut().zip(importance) {
        *weight = if importance.is_finite() {
            importance.max(0.0)
        } else {
            0.0
        };
    }
    let largest = largest(weights);
    if largest > 0.0 {
        // Sums of squares must neither overflow nor vanish; the floor keeps columns never seen from being ruined.
        weights
            .iter_mut()
            .for_each(|weight| *weight = (*weight / largest).max(1e-6));
    } else {
        weights.fill(1.0);
    }
}

/// The largest magnitude.
pub(crate) fn largest(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |largest, value| largest.max(value.abs()))
}

/// The nearest code in a range.
pub(crate) fn round(x: f32, range: (i8, i8)) -> i8 {
    x.round_ties_even()
        .clamp(f32::from(range.0), f32::from(range.1)) as i8
}

/// The scale with which codes in `range` come closest to the values. Negative where the longer side of the range is
/// better spent on positive values.
pub(crate) fn scale(values: &[f32], weights: &[f32], range: (i8, i8)) -> f32 {
    let largest = largest(values);
    if largest == 0.0 {
        return 0.0;
    }
    let longest = -f32::from(range.0);
    let signs: &[f32] = if range.0 == -range.1 {
        &[1.0]
    } else {
        &[1.0, -1.0]
    };
    let mut best = (0.0, 0.0);
    for sign in signs {
        for step in -STEPS..=STEPS {
            let guess = sign * largest / (longest + step as f32 * STEP * (longest / 8.0).min(1.0));
            let mut scale = guess;
            for _ in 0..2 {
                let (gain, better) = fit(values, weights, inverse(scale), range);
                if gain > best.0 {
                    best = (gain, better);
                }
                scale = better;
            }
        }
    }
    best.1
}

/// How much of `Σ weight·value²` the codes nearest to `value·inverse` explain, and the best scale for these codes.
pub(crate) fn fit(values: &[f32], weights: &[f32], inverse: f32, range: (i8, i8)) -> (f32, f32) {
    let (mut value_code, mut code_code) = (0.0, 0.0);
    let (low, high) = (f32::from(range.0), f32::from(range.1));
    for (&value, &weight) in values.iter().zip(weights) {
        let code = (value * inverse).round_ties_even().clamp(low, high);
        value_code += weight * value * code;
        code_code += weight * code * code;
    }
    if code_code > 0.0 {
        (
            value_code * (value_code / code_code),
            value_code / code_code,
        )
    } else {
        (0.0, 0.0)
    }
}

/// What minimum a layout can express.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Min {
    /// Any.
    Any,
    /// Not negative: codes of 0 stand for values at or below 0.
    NotNegative,
}

/// The scale and minimum with which `scale·code − min`, codes in `0..=levels`, comes closest to the values.
pub(crate) fn scale_and_min(values: &[f32], weights: &[f32], levels: i8, kind: Min) -> (f32, f32) {
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut low = values.iter().copied().fold(f32::INFINITY, f32::min);
    if kind == Min::NotNegative {
        low = low.min(0.0);
    }
    if high <= low {
        // All equal: the minimum alone says it (0 for positive values of a layout that has no negative minimum).
        return (0.0, -low);
    }
    let codes = f32::from(levels);
    let mut best = (f32::INFINITY, (high - low) / codes, -low);
    for step in -STEPS..=STEPS {
        let mut scale = (high - low) / (codes + step as f32 * STEP * (codes / 15.0).min(1.0));
        let mut min = -low;
        for _ in 0..2 {
            let (error, better_scale, better_min) =
                fit_line(values, weights, scale, min, codes, kind);
            if error < best.0 {
                best = (error, better_scale, better_min);
            }
            (scale, min) = (better_scale, better_min);
        }
    }
    (best.1, best.2)
}

/// The best scale and minimum for the codes nearest to `(value + min) / scale`, and the error that is left (less the
/// constant `Σ weight·value²`).
fn fit_line(
    values: &[f32],
    weights: &[f32],
    scale: f32,
    min: f32,
    codes: f32,
    kind: Min,
) -> (f32, f32, f32) {
    let inverse = inverse(scale);
    let (mut w, mut q, mut qq, mut x, mut xq) = (0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32, 0.0_f32);
    for (&value, &weight) in values.iter().zip(weights) {
        let code = ((value + min) * inverse)
            .round_ties_even()
            .clamp(0.0, codes);
        w += weight;
        q += weight * code;
        qq += weight * code * code;
        x += weight * value;
        xq += weight * value * code;
    }
    let determinant = w * qq - q * q;
    let (mut scale, mut min) = (scale, min);
    if determinant > 0.0 {
        scale = (w * xq - x * q) / determinant;
        min = (q * xq - qq * x) / determinant;
    }
    if kind == Min::NotNegative && min < 0.0 {
        min = 0.0;
        scale = if qq > 0.0 { xq / qq } else { 0.0 };
    }
    let error = scale * scale * qq + min * min * w - 2.0 * scale * min * q - 2.0 * scale * xq
        + 2.0 * min * x;
    if error.is_finite() {
        (error, scale, min)
    } else {
        (f32::INFINITY, 0.0, 0.0)
    }
}
