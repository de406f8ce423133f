//! XTC, "exclude top choices": with some probability removes all tokens that are at least as likely as a threshold, but
//! the least likely of them (p-e-w, text-generation-webui pull request 6335, 2024). More variety without nonsense.

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "xtc",
    aliases: &[],
    help: "now and then removes the most likely tokens but the last that passes a threshold",
    role: Role::Ordered,
    build: |options, _| {
        // Above one half no two tokens can pass the threshold.
        if options.xtc_probability <= 0.0 || options.xtc_threshold > 0.5 {
            return Ok(None);
        }
        Ok(Some(Box::new(Xtc {
            probability: options.xtc_probability,
            threshold: options.xtc_threshold,
            min_keep: options.min_keep.max(1),
        })))
    },
};

struct Xtc {
    probability: f32,
    threshold: f32,
    min_keep: usize,
}

impl Sampler for Xtc {
    fn apply(&mut self, candidates: &mut Candidates, random: &mut Random) {
        if random.unit() >= f64::from(self.probability) {
            return;
        }
        candidates.softmax();
        let passing = candidates
            .items()
            .iter()
            .filter(|item| item.probability >= self.threshold)
            .count();
        if passing < 2 || candidates.len() - (passing - 1) < self.min_keep {
            return;
        }
        candidates.sort(passing);
        candidates.remove_front(passing - 1);
    }
}
