//! Mixture of experts (Mixtral: arXiv:2401.04088): a router picks a few of many feed-forwards for each token.

use gristmill_kernels::Product;
use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Layer, Linear, Pass, Tensor, cut};

/// How many experts there are and how they are picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertRouting {
    /// Experts (`expert_count`).
    pub count: usize,
    /// Experts for each token (`expert_used_count`).
    pub used: usize,
}

/// A softmax router over gated experts; the weights of the chosen ones are made to add up to 1.
#[derive(Debug)]
pub struct MixtureOfExperts {
    pub(crate) routing: ExpertRouting,
    pub(crate) router: Linear,
    /// Stacks of matrices, one for each expert.
    pub(crate) gate: Tensor,
    pub(crate) up: Tensor,
    pub(crate) down: Tensor,
    pub(crate) activation: Activation,
}

impl MixtureOfExperts {
    /// From one token's router outputs to the weights of all experts: zero for those that are not used. Of equal experts
    /// the first one is taken.
    fn choose(&self, with: Floats, scores: &mut [f32], weights: &mut [f32]) {
        ops::softmax(with, scores);
        weights.fill(0.0);
        let mut sum = 0.0;
        for _ in 0..self.routing.used {
            let mut best = 0;
            for expert in 1..scores.len() {
                if scores[expert] > scores[best] {
                    best = expert;
                }
            }
            weights[best] = scores[best];
            sum += scores[best];
            scores[best] = f32::NEG_INFINITY;
        }
        ops::scale(with, weights, 1.0 / sum);
    }
}

impl Layer for MixtureOfExperts {
    fn scratch(&self) -> usize {
        2 * self.routing.count + 2 * self.gate.cols + self.gate.rows
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        let expert: Cost = [&self.gate, &self.up, &self.down]
            .into_iter()
            .map(Tensor::cost)
            .sum();
        self.router.cost() + expert * self.routing.used as u64
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, width, experts) = (pass.n, self.gate.cols, self.routing.count);
        let with = pass.compute.floats();
        let scores = cut(&mut scratch, n * experts);
        let weights = cut(&mut scratch, n * experts);
        let gathered = cut(&mut scratch, n * width);
        let results = cut(&mut scratch, n * width);
        let hidden = cut(&mut scratch, n * self.gate.rows);

        pass.linear(&self.router, x, scores);
        for (scores, weights) in scores
            .chunks_exact_mut(experts)
            .zip(weights.chunks_exact_mut(experts))
        {
            self.choose(with, scores, weights);
        }
        out.fill(0.0);
        // Each expert takes all of its tokens at once. A token's experts are added in the order of their numbers, however
        // many tokens there are.
        for expert in 0..experts {
            let weight = |token: usize| weights[token * experts + expert];
            let tokens = || (0..n).filter(|&t| weight(t) != 0.0);
            let mut count = 0;
            for token in tokens() {
                gathered[count * width..][..width].copy_from_slice(&x[token * width..][..width]);
                count += 1;
            }
            if count == 0 {
                continue;
            }
            let (gathered, results) = (&gathered[..count * width], &mut results[..count * width]);
            let hidden = &mut hidden[..count * self.gate.rows];
            let [gate, up, down] =
                [&self.gate, &self.up, &self.down].map(|t| t.slice(pass.gguf, expert));
            pass.compute
                .gated_matmul(gathered, count, gate, up, self.activation, hidden);
            pass.compute.matmul(
                hidden,
                count,
                &mut [Product {
                    weights: down,
                    out: &mut *results,
                }],
            );
            for (token, result) in tokens().zip(results.chunks_exact_mut(width)) {
                let out = &mut out[token * width..][..width];
                ops::add_scaled(with, out, weight(token), result);
            }
        }
    }
}
