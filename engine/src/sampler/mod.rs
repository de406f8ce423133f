//! Sampling: from a row of logits to the next token.
//!
//! In: [`SamplerOptions`] once, then logits and the accepted tokens, one by one. Out: token ids. A [`SamplerChain`] runs
//! the samplers of [`SAMPLERS`] that the options turn on, in the order they ask for, over one list of [`Candidates`],
//! and draws from what is left. The same seed, logits and accepted tokens give the same ids. A token whose logit is
//! negative infinity or not a number is never drawn.

use crate::Error;
use crate::tokenizer::Tokenizer;

mod candidates;
mod distribution;
mod dry;
mod greedy;
mod logit_bias;
mod min_p;
mod mirostat;
mod options;
mod penalties;
mod random;
mod temperature;
#[cfg(test)]
mod tests;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical;
mod xtc;

pub use candidates::{Candidate, Candidates};
pub use options::SamplerOptions;
pub use random::Random;

/// One step from logits to a token.
pub trait Sampler: Send {
    /// Changes, reorders or removes candidates. At least one of them is left.
    fn apply(&mut self, candidates: &mut Candidates, random: &mut Random);
    /// Draws a token, where the sampler is one that ends a chain.
    fn select(&mut self, candidates: &mut Candidates, random: &mut Random) -> Option<u32> {
        self.apply(candidates, random);
        None
    }
    /// A token was added to the text, by sampling or as part of the prompt.
    fn accept(&mut self, _id: u32) {}
    /// Forgets the text.
    fn reset(&mut self) {}
}

/// What a sampler may know of the model when it is made.
pub struct Setup<'a> {
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// The bytes of a token's text, if the model has a tokenizer.
    pub piece: Option<&'a dyn Fn(u32) -> Vec<u8>>,
}

/// What a sampler does in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Its place is given by [`SamplerOptions::order`].
    Ordered,
    /// It comes before all others.
    First,
    /// It draws the token at the end of the chain.
    Last,
}

type Build = fn(&SamplerOptions, &Setup<'_>) -> Result<Option<Box<dyn Sampler>>, Error>;

/// One kind of sampler: its name in [`SamplerOptions::order`], what it does, and how it is made.
pub struct SamplerKind {
    /// The name, as used in the order.
    pub name: &'static str,
    /// Other names that the field uses for it.
    pub aliases: &'static [&'static str],
    /// What it does, in one line.
    pub help: &'static str,
    /// Its place in a chain.
    pub role: Role,
    /// Makes it; `None` where the options leave it turned off.
    pub build: Build,
}

/// All samplers. Adding one is a file and a line.
pub static SAMPLERS: &[&SamplerKind] = &[
    &logit_bias::KIND,
    &penalties::KIND,
    &dry::KIND,
    &top_n_sigma::KIND,
    &top_k::KIND,
    &typical::KIND,
    &top_p::KIND,
    &min_p::KIND,
    &xtc::KIND,
    &temperature::KIND,
    &greedy::KIND,
    &mirostat::KIND_1,
    &mirostat::KIND_2,
    &distribution::KIND,
];

/// The sampler of that name.
pub fn sampler(name: &str) -> Option<&'static SamplerKind> {
    let name = name.trim();
    SAMPLERS
        .iter()
        .find(|kind| kind.name == name || kind.aliases.contains(&name))
        .copied()
}

/// Samplers in order, and the state they keep over a text.
///
/// ```
/// use gristmill_engine::sampler::{SamplerChain, SamplerOptions};
///
/// let options = SamplerOptions { temperature: 0.0, ..SamplerOptions::default() };
/// let mut chain = SamplerChain::new(&options, None, 3)?;
/// assert_eq!(chain.sample(&[0.5, 2.0, -1.0]), 1);
/// # Ok::<(), gristmill_engine::Error>(())
/// ```
pub struct SamplerChain {
    steps: Vec<(&'static SamplerKind, Box<dyn Sampler>)>,
    candidates: Candidates,
    random: Random,
    seed: u64,
}

impl std::fmt::Debug for SamplerChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SamplerChain")
            .field("steps", &self.names())
            .field("seed", &self.seed)
            .finish()
    }
}

impl SamplerChain {
    /// Makes the chain that the options describe. `vocab_size`: how many logits there will be. The tokenizer is needed
    /// by DRY only, whose sequence breakers are texts.
    pub fn new(
        options: &SamplerOptions,
        tokenizer: Option<&Tokenizer>,
        vocab_size: usize,
    ) -> Result<SamplerChain, Error> {
        match tokenizer {
            Some(tokenizer) => {
                let piece = |id| tokenizer.piece(id, true).into_owned();
                Self::with_setup(
                    options,
                    &Setup {
                        vocab_size,
                        piece: Some(&piece),
                    },
                )
            }
            None => Self::with_setup(
                options,
                &Setup {
                    vocab_size,
                    piece: None,
                },
            ),
        }
    }

    /// As [`new`](Self::new), for a vocabulary that is given as a function.
    pub fn with_setup(options: &SamplerOptions, setup: &Setup<'_>) -> Result<SamplerChain, Error> {
        options.check()?;
        let mut steps = Vec::new();
        for kind in options.chain()? {
            if let Some(sampler) = (kind.build)(options, setup)? {
                steps.push((kind, sampler));
                if kind.role == Role::Last {
                    break;
                }
            }
        }
        let seed = options.seed.unwrap_or_else(random::fresh_seed);
        Ok(SamplerChain {
            steps,
            candidates: Candidates::with_capacity(setup.vocab_size),
            random: Random::new(seed),
            seed,
        })
    }

    /// Draws the next token: an index into `logits`. Nothing is accepted; see [`accept`](Self::accept).
    ///
    /// If no logit is a number above negative infinity there is nothing to draw from, and the answer is 0.
    pub fn sample(&mut self, logits: &[f32]) -> u32 {
        self.candidates.fill(logits);
        for (_, sampler) in &mut self.steps {
            if let Some(id) = sampler.select(&mut self.candidates, &mut self.random) {
                return id;
            }
        }
        distribution::draw(&mut self.candidates, &mut self.random).0
    }

    /// Tells the samplers that a token was added to the text. Tokens of the prompt count too for the penalties, DRY.
    pub fn accept(&mut self, id: u32) {
        for (_, sampler) in &mut self.steps {
            sampler.accept(id);
        }
    }

    /// Forgets the text and starts the random numbers again from the seed.
    pub fn reset(&mut self) {
        for (_, sampler) in &mut self.steps {
            sampler.reset();
        }
        self.random = Random::new(self.seed);
    }

    /// The seed: the one from the options, or the one that was picked instead.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Names of the samplers that are turned on, in order.
    pub fn names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|(kind, _)| kind.name).collect()
    }
}
