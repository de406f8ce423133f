//! The draw at the end of a chain: a token with the probability that the softmax of its logit gives it.

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "distribution",
    aliases: &["dist"],
    help: "draws a token with its probability",
    role: Role::Last,
    build: |_, _| Ok(Some(Box::new(Distribution))),
};

struct Distribution;

impl Sampler for Distribution {
    fn apply(&mut self, _candidates: &mut Candidates, _random: &mut Random) {}

    fn select(&mut self, candidates: &mut Candidates, random: &mut Random) -> Option<u32> {
        Some(draw(candidates, random).0)
    }
}

/// A token and the probability it was drawn with. One random number is used, whatever the candidates.
pub(super) fn draw(candidates: &mut Candidates, random: &mut Random) -> (u32, f32) {
    candidates.softmax();
    let mut left = random.unit()
        * candidates
            .items()
            .iter()
            .map(|item| f64::from(item.probability))
            .sum::<f64>();
    let mut drawn = None;
    for item in candidates
        .items()
        .iter()
        .filter(|item| item.probability > 0.0)
    {
        drawn = Some((item.id, item.probability));
        left -= f64::from(item.probability);
        if left < 0.0 {
            break;
        }
    }
    drawn
        .or_else(|| candidates.items().first().map(|item| (item.id, 1.0)))
        .unwrap_or((0, 1.0))
}
