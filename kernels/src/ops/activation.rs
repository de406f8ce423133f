//! The non-linearities of feed-forward blocks, alone or gated (GLU, arXiv:2002.05202).

use super::elementwise::{map, zip};
use super::exp::{erf, exp, tanh};
use crate::isa::float::{Floats, Kernel, Simd};

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x / (1 + e^-x)`, also called swish.
    Silu,
    /// GELU by its tanh approximation: `0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))`.
    Gelu,
    /// GELU with the error function: `0.5 x (1 + erf(x / √2))`.
    GeluErf,
    /// GELU by the logistic function: `x / (1 + e^(-1.702 x))`.
    GeluQuick,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`.
    ReluSquared,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x`.
    Identity,
    /// Silu whose result is at most `limit`; in [`gated`] the other side is clamped to ±limit (Step 3.5).
    SiluBounded {
        /// The limit.
        limit: f32,
    },
    /// Silu of at most `limit`; in [`gated`] the other side is clamped to ±limit (Maple).
    SiluOfBounded {
        /// The limit.
        limit: f32,
    },
    /// gpt-oss: gate `g = min(x, limit)` gives `g / (1 + e^(-1.702 g))`; in [`gated`] the other side is clamped to
    /// ±limit and has 1 added.
    SiluClamped {
        /// The limit (7 in gpt-oss).
        limit: f32,
    },
    /// Silu whose factor x is squashed: `beta tanh(x / beta) / (1 + e^-x)`; in [`gated`] the other side, y, is
    /// `linear_beta tanh(y / linear_beta)`, and as it is if that bound is 0 (SiTU; Kimi K3).
    SiluSquashed {
        /// Bound of the gate.
        beta: f32,
        /// Bound of the other side.
        linear_beta: f32,
    },
}

/// `x / (1 + e^(-k x))`.
#[inline(always)]
fn swish<S: Simd>(s: S, x: S::V, k: f32) -> S::V {
    let e = exp(s, s.mul(x, s.splat(-k)));
    s.div(x, s.add(s.splat(1.0), e))
}

#[inline(always)]
fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    // 0.5 (1 + tanh u) = 1 / (1 + e^-2u): one exponential, and exact zeros far to the left.
    let cube = s.mul(s.mul(x, x), x);
    let u = s.fma(cube, s.splat(0.044_715), x);
    let factor = -std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::SQRT_2;
    let e = exp(s, s.mul(u, s.splat(factor)));
    s.div(x, s.add(s.splat(1.0), e))
}

#[inline(always)]
fn gelu_erf<S: Simd>(s: S, x: S::V) -> S::V {
    let e = erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2)));
    s.mul(s.mul(x, s.splat(0.5)), s.add(s.splat(1.0), e))
}

#[inline(always)]
fn relu<S: Simd>(s: S, x: S::V) -> S::V {
    s.max(s.splat(0.0), x)
}

#[inline(always)]
fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let e = exp(s, s.sub(s.splat(0.0), x));
    s.div(s.splat(1.0), s.add(s.splat(1.0), e))
}

/// x within ± bound.
#[inline(always)]
fn squash<S: Simd>(s: S, x: S::V, bound: f32) -> S::V {
    s.mul(s.splat(bound), tanh(s, s.mul(x, s.splat(1.0 / bound))))
}

/// Rare (state-space models' step sizes), so plain code.
#[inline(always)]
fn softplus<S: Simd>(s: S, x: S::V) -> S::V {
    let mut lanes = [0f32; 16];
    s.store(x, &mut lanes);
    for x in &mut lanes {
        *x = if *x > 20.0 { *x } else { x.exp().ln_1p() };
    }
    s.load(&lanes)
}

/// The activation of one vector. The choice is a branch that is always the same, not worth a loop of its own each.
#[inline(always)]
fn activate<S: Simd>(s: S, activation: Activation, x: S::V) -> S::V {
    match activation {
        Activation::Silu => swish(s, x, 1.0),
        Activation::Gelu => gelu(s, x),
        Activation::GeluErf => gelu_erf(s, x),
        Activation::GeluQuick => swish(s, x, 1.702),
        Activation::Relu => relu(s, x),
        Activation::ReluSquared => s.mul(relu(s, x), relu(s, x)),
        Activation::Sigmoid => sigmoid(s, x),
        Activation::Tanh => tanh(s, x),
        Activation::Softplus => softplus(s, x),
        Activation::Identity => x,
        Activation::SiluBounded { limit } => s.min(s.splat(limit), swish(s, x, 1.0)),
        Activation::SiluOfBounded { limit } => swish(s, s.min(s.splat(limit), x), 1.0),
        Activation::SiluClamped { limit } => swish(s, s.min(s.splat(limit), x), 1.702),
        Activation::SiluSquashed { beta, .. } => s.mul(squash(s, x, beta), sigmoid(s, x)),
    }
}

struct Apply<'a>(Activation, &'a mut [f32]);

impl Kernel for Apply<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map!(s, self.1, |x| activate(s, self.0, x));
    }
}

struct Gated<'a>(Activation, &'a mut [f32], &'a [f32]);

impl Kernel for Gated<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        zip!(s, self.1, self.2, |gate, up| {
            let up = match self.0 {
                Activation::SiluBounded { limit } | Activation::SiluOfBounded { limit } => {
                    s.max(s.splat(-limit), s.min(s.splat(limit), up))
                }
                Activation::SiluClamped { limit } => {
                    let up = s.max(s.splat(-limit), s.min(s.splat(limit), up));
                    s.add(up, s.splat(1.0))
                }
                Activation::SiluSquashed { linear_beta, .. } if linear_beta > 0.0 => {
                    squash(s, up, linear_beta)
                }
                _ => up,
            };
            s.mul(activate(s, self.0, gate), up)
        });
    }
}

impl Activation {
    /// `x = activation(x)`.
    pub fn apply(self, with: Floats, x: &mut [f32]) {
        with.run(Apply(self, x));
    }
}

/// `gate = activation(gate) * up`: SwiGLU with [`Activation::Silu`], GeGLU with [`Activation::Gelu`].
pub fn gated(with: Floats, activation: Activation, gate: &mut [f32], up: &[f32]) {
    with.run(Gated(activation, gate, up));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definitions, in f64.
    fn exact(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::Silu => x * sigmoid(x),
            Activation::Gelu => {
                0.5 * x
                    * (1.0
                        + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
            }
            Activation::GeluErf => {
                0.5 * x * (1.0 + crate::ops::exp::tests::erf_f64(x / 2f64.sqrt()))
            }
            Activation::GeluQuick => x * sigmoid(1.702 * x),
            Activation::Relu => x.max(0.0),
            Activation::ReluSquared => x.max(0.0).powi(2),
            Activation::Sigmoid => sigmoid(x),
            Activation::Tanh => x.tanh(),
            Activation::Softplus => x.exp().ln_1p(),
            Activation::Identity => x,
            Activation::SiluBounded { limit } => (x * sigmoid(x)).min(limit.into()),
            Activation::SiluOfBounded { limit } => {
                x.min(limit.into()) * sigmoid(x.min(limit.into()))
            }
            Activation::SiluClamped { limit } => {
                x.min(limit.into()) * sigmoid(1.702 * x.min(limit.into()))
            }
            Activation::SiluSquashed { beta, .. } => {
                f64::from(beta) * (x / f64::from(beta)).tanh() * sigmoid(x)
            }
        }
    }

    #[test]
    fn agree_with_their_definitions() {
        let all = [
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluErf,
            Activation::GeluQuick,
            Activation::Relu,
            Activation::ReluSquared,
            Activation::Sigmoid,
            Activation::Tanh,
            Activation::Softplus,
            Activation::Identity,
            Activation::SiluBounded { limit: 2.0 },
            Activation::SiluOfBounded { limit: 2.0 },
            Activation::SiluClamped { limit: 7.0 },
            Activation::SiluSquashed {
                beta: 4.0,
                linear_beta: 3.0,
            },
            Activation::SiluSquashed {
                beta: 4.0,
                linear_beta: 0.0,
            },
        ];
        let x: Vec<f32> = (0..40_003).map(|i| i as f32 / 1000.0 - 20.0).collect();
        let up: Vec<f32> = x.iter().map(|x| (x * 3.0).sin() * 9.0).collect();
        for activation in all {
            for floats in Floats::all() {
                let (mut one, mut two) = (x.clone(), x.clone());
                floats.run(Apply(activation, &mut one));
                floats.run(Gated(activation, &mut two, &up));
                for i in 0..x.len() {
                    let want = exact(activation, x[i].into());
                    let allowed = 4e-7 * want.abs() + 4e-7;
                    let far = (f64::from(one[i]) - want).abs();
                    assert!(
                        far < allowed,
                        "{activation:?}({}) = {} not {want}",
                        x[i],
                        one[i]
                    );
                    let other = match activation {
                        Activation::SiluClamped { limit } => {
                            f64::from(up[i].clamp(-limit, limit)) + 1.0
                        }
                        Activation::SiluBounded { limit } | Activation::SiluOfBounded { limit } => {
                            f64::from(up[i].clamp(-limit, limit))
                        }
                        Activation::SiluSquashed { linear_beta, .. } if linear_beta > 0.0 => {
                            let bound = f64::from(linear_beta);
                            bound * (f64::from(up[i]) / bound).tanh()
                        }
                        _ => f64::from(up[i]),
                    };
                    let far = (f64::from(two[i]) - want * other).abs();
                    assert!(
                        far < allowed * other.abs() * 1.5 + 1e-7,
                        "gated {activation:?}({})",
                        x[i]
                    );
                }
            }
            // The far ends are neither NaN nor wrong.
            let mut ends = [-1e30, -200.0, 200.0];
            activation.apply(Floats::best(), &mut ends);
            assert!(ends.iter().all(|x| !x.is_nan()), "{activation:?}: {ends:?}");
        }
    }
}
