//! Greedy: the most likely token, the one with the smaller id where two are equal. Ends the chain when the temperature
//! is 0.

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "greedy",
    aliases: &[],
    help: "takes the most likely token; used when the temperature is 0",
    role: Role::Last,
    build: |options, _| {
        Ok((options.temperature <= 0.0).then(|| Box::new(Greedy) as Box<dyn Sampler>))
    },
};

struct Greedy;

impl Sampler for Greedy {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.keep_largest(1);
    }

    fn select(&mut self, candidates: &mut Candidates, _random: &mut Random) -> Option<u32> {
        Some(candidates.best().unwrap_or(0))
    }
}
