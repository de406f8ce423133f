//! Top-nσ: keeps tokens whose logits are at most n standard deviations of all logits below the largest (Tang et al.,
//! "Top-nσ: Not All Logits Are You Need", 2024). Works on logits, so the temperature doesn't change what is kept.

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "top_n_sigma",
    aliases: &["top-n-sigma", "top_nsigma"],
    help: "keeps tokens whose logits are within n standard deviations of the largest",
    role: Role::Ordered,
    build: |options, _| {
        Ok((options.top_n_sigma > 0.0)
            .then(|| Box::new(TopNSigma(options.top_n_sigma)) as Box<dyn Sampler>))
    },
};

struct TopNSigma(f32);

impl Sampler for TopNSigma {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        let finite = || {
            candidates
                .items()
                .iter()
                .map(|item| f64::from(item.logit))
                .filter(|logit| logit.is_finite())
        };
        let count = finite().count();
        if count < 2 {
            return;
        }
        let mean = finite().sum::<f64>() / count as f64;
        let variance = finite().map(|logit| (logit - mean).powi(2)).sum::<f64>() / count as f64;
        let bar = f64::from(candidates.max_logit()) - f64::from(self.0) * variance.sqrt();
        candidates.retain(|item| f64::from(item.logit) >= bar);
    }
}
