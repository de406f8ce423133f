//! Logit bias: adds a number to the logits of chosen tokens; negative infinity bans a token.

use super::{Candidates, Random, Role, Sampler, SamplerKind};
use crate::Error;

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "logit_bias",
    aliases: &[],
    help: "adds to the logits of chosen tokens, or bans them",
    role: Role::First,
    build: |options, setup| {
        for &(id, bias) in &options.logit_bias {
            if id as usize >= setup.vocab_size {
                return Err(Error::Sampling {
                    option: "logit_bias",
                    problem: format!(
                        "is {id}={bias}; the vocabulary has ids from 0 to {}",
                        setup.vocab_size.saturating_sub(1)
                    ),
                });
            }
        }
        Ok((!options.logit_bias.is_empty())
            .then(|| Box::new(LogitBias(options.logit_bias.clone())) as Box<dyn Sampler>))
    },
};

struct LogitBias(Vec<(u32, f32)>);

impl Sampler for LogitBias {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        for &(id, bias) in &self.0 {
            if bias == f32::NEG_INFINITY {
                candidates.ban(id);
            } else {
                candidates.change(id, |logit| logit + bias);
            }
        }
    }
}
