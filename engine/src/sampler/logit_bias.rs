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
                return Err(Error::Option(format!(
                    "logit bias for token {id}, but the vocabulary has {} tokens",
                    setup.vocab_size
                )));
            }
            if bias.is_nan() || bias == f32::INFINITY {
                return Err(Error::Option(format!(
                    "the logit bias for token {id} is {bias}; it must be a number, or -inf to ban the token"
                )));
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
