//! Which of many experts a token goes through, and with what weights.

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation};

use crate::error::Error;
use crate::hparams::Keys;

/// From a router's outputs to scores (`expert_gating_func`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gating {
    /// Softmax over all experts (1).
    Softmax,
    /// The logistic function of each (2).
    Sigmoid,
    /// The outputs themselves choose; their softmax over the chosen ones weighs (3).
    SoftmaxOfChosen,
}

/// How experts are chosen and weighed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Router {
    /// Experts (`expert_count`).
    pub count: usize,
    /// Experts for each token (`expert_used_count`).
    pub used: usize,
    /// Scores.
    pub gating: Gating,
    /// The weights of the chosen ones are made to add up to 1 (`expert_weights_norm`).
    pub normalise: bool,
    /// Factor on the weights (`expert_weights_scale`).
    pub scale: f32,
    /// Experts come in groups, of which only the best are chosen from: their number, and how many are
    /// (`expert_group_count`, `expert_group_used_count`; arXiv:2412.19437).
    pub groups: Option<(usize, usize)>,
    /// Bound of the router's outputs, which tanh keeps them in.
    pub softcap: Option<f32>,
}

/// The smallest sum that weights are divided by: the smallest normal half, as the models were trained.
const LEAST_SUM: f32 = 6.103_515_6e-5;

impl Router {
    /// The usual keys, if the model has experts: without `expert_gating_func` softmax, weights as they are.
    pub fn read(keys: &Keys<'_>) -> Result<Option<Self>, Error> {
        let Some(count) = keys.opt_number("expert_count")?.filter(|&n| n > 0) else {
            return Ok(None);
        };
        let used = keys.count("expert_used_count")?;
        if used > count {
            return Err(keys.wrong(
                "expert_used_count",
                format!("is {used}, more than the {count} experts"),
            ));
        }
        let gating = match keys.opt_number("expert_gating_func")?.unwrap_or(0) {
            0 | 1 => Gating::Softmax,
            2 => Gating::Sigmoid,
            3 => Gating::SoftmaxOfChosen,
            other => {
                return Err(keys.wrong(
                    "expert_gating_func",
                    format!("is {other}, and must be 1 (softmax), 2 (sigmoid) or 3"),
                ));
            }
        };
        let groups = keys.opt_number("expert_group_count")?.unwrap_or(1);
        let groups = if groups > 1 {
            let chosen = keys.count("expert_group_used_count")?;
            let sound = count.is_multiple_of(groups) && chosen <= groups;
            if !sound || used > count / groups * chosen {
                return Err(keys.wrong(
                    "expert_group_count",
                    format!(
                        "{used} of {count} experts can't come from {chosen} of {groups} groups"
                    ),
                ));
            }
            Some((groups, chosen))
        } else {
            None
        };
        let scale = keys.opt_f32("expert_weights_scale")?.unwrap_or(0.0);
        Ok(Some(Self {
            count,
            used,
            gating,
            normalise: keys.opt_bool("expert_weights_norm")?.unwrap_or(false),
            scale: if scale == 0.0 { 1.0 } else { scale },
            groups,
            softcap: None,
        }))
    }

    /// From one token's router outputs to the weights of all experts: zero for those that are not used. `bias` has a part
    /// in the choice, not in the weights. Of equal experts the first one is taken.
    pub(super) fn choose(
        &self,
        with: Floats,
        bias: Option<&[f32]>,
        scores: &mut [f32],
        ranks: &mut [f32],
        weights: &mut [f32],
    ) {
        if let Some(cap) = self.softcap {
            ops::softcap(with, scores, cap);
        }
        match self.gating {
            Gating::Softmax => ops::softmax(with, scores),
            Gating::Sigmoid => Activation::Sigmoid.apply(with, scores),
            Gating::SoftmaxOfChosen => {}
        }
        ranks.copy_from_slice(scores);
        if let Some(bias) = bias {
            ops::add(with, ranks, bias);
        }
        self.leave_groups_out(ranks);
        weights.fill(f32::NEG_INFINITY);
        for _ in 0..self.used {
            let best = ops::largest(ranks);
            weights[best] = scores[best];
            ranks[best] = f32::NEG_INFINITY;
        }
        let chosen = |weight: &f32| *weight != f32::NEG_INFINITY;
        if self.gating == Gating::SoftmaxOfChosen {
            ops::softmax(with, weights);
        } else {
            let sum: f32 = weights.iter().copied().filter(chosen).sum();
            for weight in weights.iter_mut() {
                *weight = if chosen(weight) { *weight } else { 0.0 };
            }
            if self.normalise {
                ops::scale(with, weights, 1.0 / sum.max(LEAST_SUM));
            }
        }
        if self.scale != 1.0 {
            ops::scale(with, weights, self.scale);
        }
    }

    /// The weights of chunks of `size` experts each: the scores of the best experts choose them, and add up to 1. As the
    /// reference has it, a chunk's score is that of the expert with its own number.
    pub(super) fn choose_chunks(
        &self,
        with: Floats,
        size: usize,
        scores: &[f32],
        ranks: &mut [f32],
        weights: &mut [f32],
    ) {
        ranks.copy_from_slice(scores);
        weights.fill(0.0);
        for _ in 0..self.used.min(weights.len()) {
            let best = ops::largest(ranks);
            ranks[best] = f32::NEG_INFINITY;
            weights[best / size] += scores[best / size];
        }
        let sum: f32 = weights.iter().sum();
        ops::scale(with, weights, 1.0 / sum.max(LEAST_SUM));
    }

    /// A group is as good as its two best experts together; those of the others can't be chosen.
    fn leave_groups_out(&self, ranks: &mut [f32]) {
        let Some((groups, used)) = self.groups else {
            return;
        };
        let size = self.count / groups;
        let value = |group: &[f32]| {
            let (mut first, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            for &rank in group {
                if rank > first {
                    (first, second) = (rank, first);
                } else if rank > second {
                    second = rank;
                }
            }
            if size > 1 { first + second } else { first }
        };
        let mut order: Vec<(usize, f32)> =
            ranks.chunks_exact(size).map(value).enumerate().collect();
        order.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (group, _) in order.split_off(used) {
            ranks[group * size..][..size].fill(f32::NEG_INFINITY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(used: usize, size: usize, scores: &[f32]) -> Vec<f32> {
        let router = Router {
            count: scores.len(),
            used,
            gating: Gating::Softmax,
            normalise: true,
            scale: 1.0,
            groups: None,
            softcap: None,
        };
        let mut ranks = vec![0.0; scores.len()];
        let mut weights = vec![0.0; scores.len() / size];
        router.choose_chunks(Floats::PORTABLE, size, scores, &mut ranks, &mut weights);
        weights
    }

    #[test]
    fn chunks_are_those_of_the_best_experts() {
        let near = |found: Vec<f32>, wanted: &[f32]| {
            assert_eq!(found.len(), wanted.len());
            let pairs = found.iter().zip(wanted);
            assert!(
                pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6),
                "{found:?}"
            );
        };
        // Experts 1 and 3 are in chunks 0 and 1.
        near(chunks(2, 2, &[0.1, 0.4, 0.2, 0.3]), &[0.2, 0.8]);
        // Both best ones are in chunk 2.
        near(
            chunks(2, 2, &[0.1, 0.0, 0.1, 0.1, 0.4, 0.3]),
            &[0.0, 0.0, 1.0],
        );
        // No more are chosen than there are chunks.
        near(chunks(3, 2, &[0.1, 0.4, 0.2, 0.3]), &[0.2, 0.8]);
        // Each is its own chunk.
        near(chunks(2, 1, &[0.1, 0.6, 0.3]), &[0.0, 2.0 / 3.0, 1.0 / 3.0]);
    }
}
