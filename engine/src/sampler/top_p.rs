//! Top-p, or nucleus sampling: keeps the smallest set of most likely tokens whose probabilities add up to at least p
//! (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2019).

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "top_p",
    aliases: &["top-p", "nucleus"],
    help: "keeps the most likely tokens that together have probability p",
    role: Role::Ordered,
    build: |options, _| {
        let sampler = TopP {
            p: options.top_p,
            min_keep: options.min_keep.max(1),
        };
        Ok((options.top_p < 1.0).then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct TopP {
    p: f32,
    min_keep: usize,
}

impl Sampler for TopP {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.softmax();
        let mut sum = 0.0f64;
        let mut counted = 0;
        // The nucleus is small as a rule: sort as many as it takes.
        let mut sorted = 64;
        while counted < candidates.len() {
            candidates.sort(sorted);
            for item in &candidates.items()[counted..sorted.min(candidates.len())] {
                sum += f64::from(item.probability);
                counted += 1;
                if sum >= f64::from(self.p) && counted >= self.min_keep {
                    candidates.truncate(counted);
                    return;
                }
            }
            sorted *= 4;
        }
    }
}
