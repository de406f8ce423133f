//! Min-p: keeps tokens that are at least p times as likely as the most likely one (Nguyen et al., "Turning Up the Heat:
//! Min-p Sampling for Creative and Coherent LLM Outputs", 2024). A ratio of probabilities is a difference of logits.

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "min_p",
    aliases: &["min-p"],
    help: "keeps tokens at least p times as likely as the most likely one",
    role: Role::Ordered,
    build: |options, _| {
        let sampler = MinP {
            log_p: options.min_p.ln(),
            min_keep: options.min_keep.max(1),
        };
        Ok((options.min_p > 0.0).then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct MinP {
    log_p: f32,
    min_keep: usize,
}

impl Sampler for MinP {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        let bar = candidates.max_logit() + self.log_p;
        let kept = candidates
            .items()
            .iter()
            .filter(|item| item.logit >= bar)
            .count();
        if kept < self.min_keep {
            candidates.keep_largest(self.min_keep);
        } else {
            candidates.retain(|item| item.logit >= bar);
        }
    }
}
