//! Embeddings: a vector for each text, or for each of its tokens, out of an encoder or out of a decoder's hidden states.
//! Texts go through a model several at a time where that fits; their vectors are the same bits as one by one.
//! Flows in: token ids of texts. Flows out: [`Embedding`]s.

use std::sync::Arc;

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops;
use gristmill_kernels::{Compute, ComputeOptions};

use crate::cache::States;
use crate::damage;
use crate::error::Error;
use crate::layers::{Batch, Buffers, Pass, Pool, Pooling, Workspace};
use crate::memory::{self, MemoryPlan};
use crate::model::Model;
use crate::options::{ContextOptions, Logits};
use crate::runner::{Runner, room};
use crate::sequence::{Feed, SequenceId};
use crate::stop::StopHandle;

/// What is made of hidden states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedOptions {
    /// How a text's tokens are joined; `None`: as the file says, and where it does not, by the mean in an encoder and by
    /// the last token in a decoder, the only one that has seen all others.
    pub pooling: Option<Pooling>,
    /// Vectors are given a length of 1. Scores of a classifier are left as they are.
    pub normalize: bool,
}

impl Default for EmbedOptions {
    fn default() -> Self {
        Self {
            pooling: None,
            normalize: true,
        }
    }
}

/// The embedding of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Tokens of the text.
    pub tokens: usize,
    /// Values of a vector.
    pub width: usize,
    /// One vector, or one for each token ([`Pooling::None`]).
    pub values: Vec<f32>,
}

/// A model with what it takes to embed texts: buffers and threads.
pub struct Embedder {
    model: Arc<Model>,
    compute: Compute,
    pooling: Pooling,
    normalize: bool,
    limit: usize,
    state: State,
}

enum State {
    /// Positions see what is before and behind them: nothing outlives a pass.
    Whole(Box<Whole>),
    /// They see what is before them: each text begins a sequence anew.
    Causal {
        /// For one text, of any length.
        long: Box<Sequences>,
        /// For several that fit in one pass, if there is memory for them.
        short: Option<Box<Sequences>>,
    },
}

/// Sequences of a decoder.
struct Sequences {
    runner: Runner,
    ids: Vec<SequenceId>,
}

/// Texts that go through a decoder together at most: each takes a page of the cache at least.
const TOGETHER: usize = 8;

/// What a pass of whole texts works with.
struct Whole {
    buffers: Buffers,
    /// Rows that the buffers hold.
    rows: usize,
    work: Workspace,
    texts: Batch,
    /// Tokens of several texts that go through together, if there is no longer text.
    batch: usize,
}

impl Model {
    /// What makes embeddings of texts. Any model will do, though most decoders are not trained for it.
    pub fn embedder(
        self: &Arc<Self>,
        options: &ContextOptions,
        embed: EmbedOptions,
    ) -> Result<Embedder, Error> {
        Embedder::new(self, options, embed)
    }
}

impl Embedder {
    fn new(
        model: &Arc<Model>,
        options: &ContextOptions,
        embed: EmbedOptions,
    ) -> Result<Self, Error> {
        if options.batch == 0 || options.context_length == Some(0) {
            return Err(Error::Option(
                "the batch and the context must hold at least 1 token".into(),
            ));
        }
        let decoder = &model.decoder;
        let default = if decoder.is_causal {
            Pooling::Last
        } else {
            Pooling::Mean
        };
        let head = &decoder.head.pooling;
        let pooling = embed.pooling.or(head.kind).unwrap_or(default);
        if pooling == Pooling::Rank && !head.has_classifier() {
            return Err(Error::Unsupported(
                "the file has no classifier (cls.weight, cls.output.weight), and pooling by rank needs one".into(),
            ));
        }
        let compute = Compute::new(&ComputeOptions {
            threads: options.threads,
            threads_prompt: options.threads_prompt,
            isa: options.isa.clone(),
        })?;
        let (state, limit) = if decoder.is_causal {
            let plan = model.memory(options);
            if !plan.fits() {
                return Err(Error::Memory(Box::new(plan)));
            }
            let limit = plan.context_length;
            let short = ContextOptions {
                context_length: Some(options.batch.min(limit)),
                ..options.clone()
            };
            let mut both = model.memory_of(&short, TOGETHER);
            both.cache = both.cache.saturating_add(plan.cache);
            both.scratch = both.scratch.saturating_add(plan.scratch);
            let sequences = |options, count, length| -> Result<_, Error> {
                let mut runner = Runner::new(model, options, count, length)?;
                let ids = (0..count)
                    .map(|_| runner.open())
                    .collect::<Result<_, _>>()?;
                Ok(Box::new(Sequences { runner, ids }))
            };
            let state = State::Causal {
                long: sequences(options, 1, limit)?,
                short: match both.fits() {
                    true => Some(sequences(&short, TOGETHER, both.context_length)?),
                    false => None,
                },
            };
            (state, limit)
        } else {
            decoder.check_whole()?;
            let trained = model.trained_context();
            let limit = options.context_length.unwrap_or(trained).min(trained);
            let whole = Whole {
                buffers: decoder.buffers(0),
                rows: 0,
                work: Workspace::new(decoder, room(options, 1, 1), 0, limit),
                texts: Batch::default(),
                batch: options.batch,
            };
            (State::Whole(Box::new(whole)), limit)
        };
        Ok(Self {
            model: Arc::clone(model),
            compute,
            pooling,
            normalize: embed.normalize && pooling != Pooling::Rank,
            limit,
            state,
        })
    }

    /// How tokens are joined.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Values of a vector.
    pub fn width(&self) -> usize {
        let decoder = &self.model.decoder;
        decoder.head.pooling.width(self.pooling, decoder.width())
    }

    /// Tokens that a text may have.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether all texts can be embedded: none is empty or too long, and all ids are of the vocabulary. Texts are counted
    /// from 1.
    pub fn check<T: AsRef<[u32]>>(&self, texts: &[T]) -> Result<(), Error> {
        let vocab_size = self.model.vocab_size();
        for (text, ids) in (1..).zip(texts) {
            let ids = ids.as_ref();
            if ids.is_empty() || ids.len() > self.limit {
                return Err(Error::TextLength {
                    text,
                    tokens: ids.len(),
                    limit: self.limit,
                });
            }
            if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
                return Err(Error::TokenId { id, vocab_size });
            }
        }
        Ok(())
    }

    /// The embeddings of texts, in their order.
    pub fn embed<T: AsRef<[u32]>>(&mut self, texts: &[T]) -> Result<Vec<Embedding>, Error> {
        self.check(texts)?;
        let mut all = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.together(rest));
            let pooled = self.pooled(now)?;
            damage::check(&self.model, &pooled)?;
            self.project(now, pooled, &mut all);
            rest = later;
        }
        // After the work, since the file can change while it is read.
        self.model.gguf.check_unchanged()?;
        Ok(all)
    }

    /// How many of the texts go through the model in the next pass.
    fn together<T: AsRef<[u32]>>(&self, texts: &[T]) -> usize {
        let (texts, batch) = match &self.state {
            State::Whole(whole) => (texts, whole.batch),
            State::Causal { short: None, .. } => return 1,
            State::Causal {
                short: Some(short), ..
            } => (
                &texts[..texts.len().min(short.ids.len())],
                short.runner.rows(),
            ),
        };
        let mut tokens = 0;
        let fitting = texts.iter().take_while(|ids| {
            tokens += ids.as_ref().len();
            tokens <= batch
        });
        fitting.count().max(1)
    }

    /// The pooled hidden states of texts, one after the other.
    fn pooled<T: AsRef<[u32]>>(&mut self, texts: &[T]) -> Result<Vec<f32>, Error> {
        let Self {
            model,
            compute,
            state,
            ..
        } = self;
        let reads = model.decoder.head.pooling.reads(self.pooling);
        match state {
            State::Whole(whole) => whole.pooled(model, compute, reads, texts),
            State::Causal {
                short: Some(short), ..
            } if texts.len() > 1 => short.pooled(model, compute, reads, texts),
            State::Causal { long, .. } => {
                let mut pooled = Vec::new();
                for text in texts {
                    pooled.extend(long.pooled_alone(model, compute, reads, text.as_ref())?);
                }
                Ok(pooled)
            }
        }
    }

    /// What is behind the pooling, and each text's share of it.
    fn project<T: AsRef<[u32]>>(
        &mut self,
        texts: &[T],
        pooled: Vec<f32>,
        all: &mut Vec<Embedding>,
    ) {
        let decoder = &self.model.decoder;
        let n = pooled.len() / decoder.width();
        let mut pass = Pass {
            gguf: &self.model.gguf,
            compute: &mut self.compute,
            states: &mut States::new(&[], &[], room(&ContextOptions::default(), 1, 1)),
            runs: &[],
            rows: &[],
            ropes: &[],
            inputs: &mut [],
            left: &mut [],
            spare: &mut vec![0.0; decoder.adapted_values(n)],
            n,
        };
        let head = &decoder.head.pooling;
        let mut values = head.project(&mut pass, self.pooling, pooled);
        let width = values.len() / n;
        if self.normalize {
            // A vector of zeros has no direction, and stays as it is.
            ops::l2_norm(self.compute.floats(), &mut values, width, f32::MIN_POSITIVE);
        }
        let mut values = values.as_slice();
        for tokens in texts.iter().map(|ids| ids.as_ref().len()) {
            let rows = match self.pooling {
                Pooling::None => tokens,
                _ => 1,
            };
            let (own, rest) = values.split_at(rows * width);
            values = rest;
            all.push(Embedding {
                tokens,
                width,
                values: own.to_vec(),
            });
        }
    }
}

/// The hidden states of texts, each joined to one row or, without pooling, left as they are. `lengths`: rows of each.
fn pool(
    with: Floats,
    reads: Pooling,
    width: usize,
    hidden: &[f32],
    lengths: impl Iterator<Item = usize>,
) -> Vec<f32> {
    let mut hidden = hidden.chunks_exact(width);
    let mut pooled = Vec::new();
    for length in lengths {
        let mut pool = Pool::new(reads, width);
        hidden
            .by_ref()
            .take(length)
            .for_each(|row| pool.add(with, row));
        pooled.extend(pool.finish(with));
    }
    pooled
}

impl Sequences {
    /// A text of any length.
    fn pooled_alone(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        reads: Pooling,
        text: &[u32],
    ) -> Result<Vec<f32>, Error> {
        let mut pool = Pool::new(reads, model.decoder.width());
        let sink = |compute: &mut Compute, hidden: &[f32]| pool.add(compute.floats(), hidden);
        let from = wanted(reads).first(text.len());
        self.runner.reset(self.ids[0])?;
        let what = (self.ids[0], text.into(), from);
        self.runner
            .feed_hidden(model, compute, what, &StopHandle::default(), sink)?;
        Ok(pool.finish(compute.floats()))
    }

    /// All texts in one pass.
    fn pooled<T: AsRef<[u32]>>(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        reads: Pooling,
        texts: &[T],
    ) -> Result<Vec<f32>, Error> {
        let want = wanted(reads);
        let mut feeds = Vec::with_capacity(texts.len());
        for (&sequence, ids) in self.ids.iter().zip(texts) {
            self.runner.reset(sequence)?;
            feeds.push(Feed {
                sequence,
                input: ids.as_ref().into(),
                want,
            });
        }
        let hidden = self
            .runner
            .pass_hidden(model, compute, &feeds, &StopHandle::default())?;
        let lengths = texts.iter().map(|ids| match want {
            Logits::Last => 1,
            _ => ids.as_ref().len(),
        });
        let width = model.decoder.width();
        Ok(pool(compute.floats(), reads, width, hidden, lengths))
    }
}

/// Of which tokens a pooling reads the hidden states.
fn wanted(reads: Pooling) -> Logits {
    match reads {
        Pooling::Last => Logits::Last,
        _ => Logits::All,
    }
}

impl Whole {
    /// All texts in one pass.
    fn pooled<T: AsRef<[u32]>>(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        reads: Pooling,
        texts: &[T],
    ) -> Result<Vec<f32>, Error> {
        self.texts.clear();
        for (number, ids) in texts.iter().enumerate() {
            let ids = ids.as_ref();
            self.texts
                .push(number, 0, (ids.into(), ids.len()), 0, |at| [at; 4]);
        }
        self.grow(model, self.texts.ids.len())?;
        let all = &self.texts.all;
        self.work.turn_to(&all.rows);
        let decoder = &model.decoder;
        let mut pass = self.work.pass(&model.gguf, compute, &all.runs, &all.rows);
        let never = || false;
        decoder.forward(&mut pass, &self.texts, &mut self.buffers, &never);
        let hidden = decoder.hidden(&pass, &mut self.buffers, 0);
        let lengths = all.runs.iter().map(|run| run.n);
        let width = decoder.width();
        Ok(pool(compute.floats(), reads, width, hidden, lengths))
    }

    /// Makes room for `rows` rows, unless there is not enough memory.
    fn grow(&mut self, model: &Model, rows: usize) -> Result<(), Error> {
        if rows <= self.rows {
            return Ok(());
        }
        let bytes = |rows: usize| model.decoder.buffer_values(rows).saturating_mul(4) as u64;
        let available = memory::available();
        let fits = |rows: usize| available.is_none_or(|have| bytes(rows) <= have);
        if !fits(rows) {
            let (mut fitting, mut too_many) = (0, rows);
            while fitting + 1 < too_many {
                let middle = fitting + (too_many - fitting) / 2;
                if fits(middle) {
                    fitting = middle
                } else {
                    too_many = middle
                }
            }
            return Err(Error::Memory(Box::new(MemoryPlan {
                weights: model.gguf.file_bytes(),
                cache: 0,
                scratch: bytes(rows),
                available,
                context_length: rows,
                fitting_context: fitting,
            })));
        }
        self.buffers = model.decoder.buffers(rows);
        self.work.grow(&model.decoder, rows);
        self.rows = rows;
        Ok(())
    }
}
