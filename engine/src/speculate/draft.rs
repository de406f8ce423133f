//! A draft model: a small model of the same vocabulary, whose most probable tokens are the guesses
//! (arXiv:2211.17192, arXiv:2302.01318). Its context follows the main one's: what it holds beyond the text is dropped,
//! what it lacks is fed. Where that would be too much, it begins anew with the first token (models lean on it) and the
//! text's end. It uses the main model's threads.

use std::sync::Arc;
use std::time::Instant;

use gristmill_kernels::{Compute, FEW_COLUMNS};

use super::{Drafter, MOST_GUESSES, Odds, Spent};
use crate::error::Error;
use crate::model::Model;
use crate::options::{ContextOptions, Logits};
use crate::runner::Runner;
use crate::sequence::{Feed, SequenceId};
use crate::stop::StopHandle;

/// A model that guesses for another one.
pub struct Draft {
    model: Arc<Model>,
    runner: Runner,
    sequence: SequenceId,
    /// It has the text's first token and those from here on.
    from: usize,
    /// The generation's: it ends the reading of a long text here, too.
    stop: StopHandle,
}

impl Draft {
    /// A draft model with a context of `positions`, for `main`. Refused if their vocabularies differ.
    pub fn new(
        model: &Arc<Model>,
        main: &Model,
        options: &ContextOptions,
        positions: usize,
        stop: &StopHandle,
    ) -> Result<Draft, Error> {
        same_vocabulary(model, main)?;
        let mut runner = Runner::new(model, options, 1, positions)?;
        Ok(Draft {
            sequence: runner.open()?,
            runner,
            model: Arc::clone(model),
            from: 1,
            stop: stop.clone(),
        })
    }

    /// How many tokens are held of what it is to know of `ids`, and how many that is. The last one is always to be fed:
    /// its logits are asked for.
    fn held(&self, ids: &[u32]) -> (usize, usize) {
        let all = 1 + ids.len().saturating_sub(self.from);
        let pairs = self
            .runner
            .tokens(self.sequence)
            .iter()
            .zip(self.known(ids));
        let held = pairs.take_while(|(a, b)| **a == *b).count();
        (held.min(all - 1), all)
    }

    fn known<'a>(&self, ids: &'a [u32]) -> impl Iterator<Item = u32> + use<'a> {
        let rest = ids.get(self.from..).unwrap_or(&[]);
        ids[..1].iter().chain(rest).copied()
    }

    /// Feeds what is lacking of `ids`, from its end alone where that is more than `reads` tokens. How many tokens that
    /// was; `None` if it was stopped.
    fn follow(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        reads: usize,
    ) -> Result<Option<usize>, Error> {
        let (mut held, mut all) = self.held(ids);
        if held <= usize::from(self.from > 1) || self.runner.truncate(self.sequence, held).is_err()
        {
            // Another text, or one that can't be gone back in.
            (held, all, self.from) = (0, ids.len(), 1);
        }
        if all - held > reads {
            (held, self.from) = (0, ids.len() - (reads - 1));
        }
        if held == 0 {
            self.runner.reset(self.sequence)?;
        }
        let lacking: Vec<u32> = self.known(ids).skip(held).collect();
        let mut rest = &lacking[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(self.runner.rows()));
            let want = if later.is_empty() {
                Logits::Last
            } else if self.stop.is_set() {
                return Ok(None);
            } else {
                Logits::None
            };
            let feed = Feed {
                sequence: self.sequence,
                input: batch.into(),
                want,
            };
            // The generation that the stop is meant for sees it itself.
            let never = StopHandle::default();
            self.runner.feed(&self.model, compute, feed, &never)?;
            rest = later;
        }
        Ok(Some(lacking.len()))
    }
}

impl Drafter for Draft {
    fn odds(&self) -> Vec<Odds> {
        vec![Odds::assumed(0.6, 0.7)]
    }

    fn is_free(&self) -> bool {
        false
    }

    fn look(&mut self, ids: &[u32]) -> Option<usize> {
        (!ids.is_empty()).then_some(0)
    }

    fn lacks(&self, ids: &[u32]) -> usize {
        let (held, all) = self.held(ids);
        all - held
    }

    fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        most: usize,
        reads: usize,
        out: &mut Vec<u32>,
    ) -> Result<Spent, Error> {
        let start = Instant::now();
        if most == 0 || ids.is_empty() {
            return Ok(Spent::default());
        }
        let Some(read) = self.follow(compute, ids, reads.max(2))? else {
            return Ok(Spent::default());
        };
        let mut spent = Spent::default();
        if read > FEW_COLUMNS {
            (spent.read, spent.reading) = (read, start.elapsed().as_secs_f64());
        }
        let before = out.len();
        loop {
            let id = most_probable(self.runner.row(&self.model, 0));
            out.push(id);
            if out.len() - before >= most.min(MOST_GUESSES) {
                break;
            }
            let (runner, sequence) = (&mut self.runner, self.sequence);
            runner.guess(&self.model, compute, sequence, id)?;
        }
        self.runner.take_back(self.sequence)?;
        spent.guessing = start.elapsed().as_secs_f64() - spent.reading;
        Ok(spent)
    }
}

/// The first of the largest logits.
fn most_probable(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

/// Refuses a draft model whose tokens are not those of the main model, one by one.
fn same_vocabulary(draft: &Model, main: &Model) -> Result<(), Error> {
    let advice = "a draft model must be of the same family as the model";
    let (ours, its) = (main.vocab_size(), draft.vocab_size());
    if ours != its {
        return Err(Error::Draft(format!(
            "it has {its} tokens, and the model has {ours}: {advice}"
        )));
    }
    let texts = |model: &Model| -> Result<Vec<String>, Error> {
        let tokens = model
            .gguf()
            .metadata()
            .opt_strings("tokenizer.ggml.tokens")?;
        Ok(tokens.map_or(Vec::new(), |tokens| {
            tokens.iter().map(str::to_owned).collect()
        }))
    };
    let (ours, its) = (texts(main)?, texts(draft)?);
    let differs = (0..ours.len().max(its.len())).find(|&id| ours.get(id) != its.get(id));
    let Some(id) = differs else { return Ok(()) };
    let text = |texts: &[String]| {
        texts
            .get(id)
            .map_or("missing".into(), |text| format!("{text:?}"))
    };
    Err(Error::Draft(format!(
        "its token {id} is {}, and the model's is {}: {advice}",
        text(&its),
        text(&ours)
    )))
}
