//! Locally typical sampling: keeps the tokens whose information -log p(x) is closest to the entropy, until their
//! probabilities add up to p (Meister et al., "Locally Typical Sampling", 2022).

use super::{Candidate, Candidates, Random, Role, Sampler, SamplerKind};

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
            keyed: Vec::new(),
        };
        Ok((options.typical_p < 1.0).then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct Typical {
    p: f32,
    min_keep: usize,
    /// Scratch: the candidates with their distance from the entropy.
    keyed: Vec<(f32, Candidate)>,
}

impl Sampler for Typical {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.softmax();
        let entropy = entropy(candidates);
        self.keyed.clear();
        self.keyed.extend(candidates.items().iter().map(|item| {
            let distance = (-item.probability.ln() - entropy).abs();
            (distance, *item)
        }));
        let order = |a: &(f32, Candidate), b: &(f32, Candidate)| {
            a.0.total_cmp(&b.0).then(a.1.id.cmp(&b.1.id))
        };
        let mut sum = 0.0f64;
        let mut kept = 0;
        // Sorts as many as it takes, and no more.
        let mut sorted = 64;
        'all: while kept < self.keyed.len() {
            let rest = &mut self.keyed[kept..];
            let more = (sorted - kept).min(rest.len());
            if more < rest.len() {
                rest.select_nth_unstable_by(more - 1, order);
            }
            rest[..more].sort_unstable_by(order);
            for (_, item) in &rest[..more] {
                sum += f64::from(item.probability);
                kept += 1;
                if sum >= f64::from(self.p) && kept >= self.min_keep {
                    break 'all;
                }
            }
            sorted *= 4;
        }
        if kept < self.keyed.len() {
            candidates.replace(self.keyed[..kept].iter().map(|(_, item)| *item));
        }
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
