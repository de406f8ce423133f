//! Top-k: keeps the k most likely tokens (Fan, Lewis, Dauphin, "Hierarchical Neural Story Generation", 2018).

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "top_k",
    aliases: &["top-k"],
    help: "keeps the k most likely tokens",
    role: Role::Ordered,
    build: |options, setup| {
        let on = options.top_k > 0 && options.top_k < setup.vocab_size;
        Ok(on.then(|| Box::new(TopK(options.top_k.max(options.min_keep))) as Box<dyn Sampler>))
    },
};

struct TopK(usize);

impl Sampler for TopK {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.keep_largest(self.0);
    }
}
