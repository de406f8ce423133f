//! Locally typical sampling: keeps the tokens whose information -log p(x) is closest to the entropy, until their
//! probabilities add up to p (Meister et al., "Locally Typical Sampling", 2022).

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "typ_p",
    aliases: &["typical", "typical_p", "typ-p"],
    help: "keeps the tokens whose information is closest to the expected",
    role: Role::Ordered,
    build: |options, _| {
        let sampler = Typical {
            p: options.typical_p,
            min_keep: options.min_keep.max(1),
        };
        Ok((options.typical_p < 1.0).then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct Typical {
    p: f32,
    min_keep: usize,
}

impl Sampler for Typical {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.softmax();
        let entropy = entropy(candidates);
        candidates.sort_by_key(|item| (-item.probability.ln() - entropy).abs());
        let mut sum = 0.0f64;
        let mut kept = 0;
        for item in candidates.items() {
            sum += f64::from(item.probability);
            kept += 1;
            if sum >= f64::from(self.p) && kept >= self.min_keep {
                break;
            }
        }
        candidates.truncate(kept);
    }
}

/// The entropy of the candidates' probabilities, in nats.
pub(super) fn entropy(candidates: &Candidates) -> f32 {
    let sum: f64 = candidates
        .items()
        .iter()
        .filter(|item| item.probability > 0.0)
        .map(|item| -f64::from(item.probability) * f64::from(item.probability).ln())
        .sum();
    sum as f32
}
