//! What the quantizers share: finding the scale (and minimum) with which rounding loses least.
//!
//! The error is `Σ weight·(value − scale·code)²`. For given codes the best scale has a closed form (least squares), and
//! for a given scale the best codes are the nearest ones; the searches try a row of first guesses and refine each so.
//! In: the values of a group (a multiple of [`LANES`]), what each one's error counts. Out: a scale, a minimum.
//! Nothing here knows a layout.

use super::inverse;

/// Sums run in this many independent lanes, which the compiler turns into vectors.
const LANES: usize = 8;

/// Guesses tried on each side of the plain one.
const STEPS: i32 = 12;

/// How far apart the guesses lie, in codes of the largest value.
const STEP: f32 = 0.1;

/// The codes that a type has, as numbers in ascending order of what they stand for.
pub(crate) trait Codebook {
    /// The smallest and the largest code.
    const RANGE: (i8, i8);
    /// How many codes lie on the longer side of 0: how fine a search must be.
    const CODES_A_SIDE: f32;
    /// The code nearest to `x`.
    fn nearest(x: f32) -> f32;
}

/// All whole numbers from `LOW` to `HIGH`.
pub(crate) struct Whole<const LOW: i8, const HIGH: i8>;

impl<const LOW: i8, const HIGH: i8> Codebook for Whole<LOW, HIGH> {
    const RANGE: (i8, i8) = (LOW, HIGH);
    const CODES_A_SIDE: f32 = longest((LOW, HIGH));

    fn nearest(x: f32) -> f32 {
        round_small(x.clamp(f32::from(LOW), f32::from(HIGH)))
    }
}

/// The larger of a range's two magnitudes.
const fn longest(range: (i8, i8)) -> f32 {
    let (below, above) = (-(range.0 as f32), range.1 as f32);
    if below > above { below } else { above }
}

/// What to multiply the plain guess with at a step: around 1, close by for many codes; for very few, where the largest
/// values are better cut off, down to a tenth.
fn shrink(step: i32, codes_a_side: f32) -> f32 {
    if codes_a_side < 4.0 {
        0.91_f32.powi(step + STEPS - 1)
    } else {
        1.0 / (1.0 + step as f32 * STEP / codes_a_side.max(8.0))
    }
}

/// To the nearest whole number, for magnitudes below 2²²: adding 1.5·2²³ leaves no bits for a fraction.
fn round_small(x: f32) -> f32 {
    const SHIFT: f32 = 12_582_912.0;
    (x + SHIFT) - SHIFT
}

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
    round_small(x.clamp(f32::from(range.0), f32::from(range.1))) as i8
}

/// The scale with which codes of the book come closest to the values. Negative where the longer side of the range is
/// better spent on positive values.
pub(crate) fn scale<B: Codebook>(values: &[f32], weights: &[f32]) -> f32 {
    let largest = largest(values);
    if largest == 0.0 {
        return 0.0;
    }
    let signs: &[f32] = if B::RANGE.0 == -B::RANGE.1 {
        &[1.0]
    } else {
        &[1.0, -1.0]
    };
    let mut best = (0.0, 0.0);
    for sign in signs {
        for step in -STEPS..=STEPS {
            let mut scale = sign * largest / longest(B::RANGE) * shrink(step, B::CODES_A_SIDE);
            for _ in 0..2 {
                let (gain, better) = fit::<B>(values, weights, inverse(scale));
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
fn fit<B: Codebook>(values: &[f32], weights: &[f32], inverse: f32) -> (f32, f32) {
    let [value_code, code_code] = sums(values, weights, |value, weight| {
        let code = B::nearest(value * inverse);
        [weight * value * code, weight * code * code]
    });
    if code_code > 0.0 {
        (
            value_code * (value_code / code_code),
            value_code / code_code,
        )
    } else {
        (0.0, 0.0)
    }
}

/// Several sums over the values of a group and their weights.
fn sums<const N: usize>(
    values: &[f32],
    weights: &[f32],
    term: impl Fn(f32, f32) -> [f32; N],
) -> [f32; N] {
    let mut lanes = [[0.0_f32; LANES]; N];
    let (values, _) = values.as_chunks::<LANES>();
    let (weights, _) = weights.as_chunks::<LANES>();
    for (values, weights) in values.iter().zip(weights) {
        for lane in 0..LANES {
            let terms = term(values[lane], weights[lane]);
            for n in 0..N {
                lanes[n][lane] += terms[n];
            }
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// `Σ weight·(value − scale·code)²` with the nearest codes.
pub(crate) fn error<B: Codebook>(values: &[f32], weights: &[f32], scale: f32) -> f32 {
    let inverse = inverse(scale);
    let [error] = sums(values, weights, |value, weight| {
        let difference = value - scale * B::nearest(value * inverse);
        [weight * difference * difference]
    });
    error
}

/// `Σ weight·(value − scale·code + min)²` with the nearest codes in `0..=codes`.
pub(crate) fn error_with_min(
    values: &[f32],
    weights: &[f32],
    scale: f32,
    min: f32,
    codes: f32,
) -> f32 {
    let inverse = inverse(scale);
    let [error] = sums(values, weights, |value, weight| {
        let code = round_small(((value + min) * inverse).clamp(0.0, codes));
        let difference = value - (scale * code - min);
        [weight * difference * difference]
    });
    error
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
        return (0.0, -low); // all equal: the minimum alone says it
    }
    let codes = f32::from(levels);
    let mut best = (f32::INFINITY, (high - low) / codes, -low);
    for step in -STEPS..=STEPS {
        let mut scale = (high - low) / (codes + step as f32 * STEP * (codes / 8.0).min(1.0));
        let mut min = -low;
        for _ in 0..3 {
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
    let [w, q, qq, x, xq] = sums(values, weights, |value, weight| {
        let code = round_small(((value + min) * inverse).clamp(0.0, codes));
        let weighted = weight * code;
        [
            weight,
            weighted,
            weighted * code,
            weight * value,
            weighted * value,
        ]
    });
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
    if kind == Min::NotNegative && scale < 0.0 {
        return (f32::INFINITY, 0.0, 0.0);
    }
    let error = scale * scale * qq + min * min * w - 2.0 * scale * min * q - 2.0 * scale * xq
        + 2.0 * min * x;
    if error.is_finite() {
        (error, scale, min)
    } else {
        (f32::INFINITY, 0.0, 0.0)
    }
}
