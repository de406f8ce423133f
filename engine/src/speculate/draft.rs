//! A draft model: a small model of the same vocabulary, whose most probable tokens are the guesses
//! (arXiv:2211.17192, arXiv:2302.01318). Its context follows the main one's: what it holds beyond the text is dropped,
//! what it lacks is fed. It uses the main model's threads.

use std::sync::Arc;

use gristmill_kernels::Compute;

use super::{Drafter, MOST_GUESSES, Odds};
use crate::context::{ContextOptions, Logits, Session};
use crate::error::Error;
use crate::generate::StopHandle;
use crate::model::Model;

/// A model that guesses for another one.
pub struct Draft {
    model: Arc<Model>,
    session: Session,
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
        Ok(Draft {
            session: Session::new(model, options, positions)?,
            model: Arc::clone(model),
            stop: stop.clone(),
        })
    }

    /// Feeds what is lacking of `ids`; false if that was stopped.
    fn follow(&mut self, compute: &mut Compute, ids: &[u32]) -> Result<bool, Error> {
        let held = self.session.tokens();
        let shared = held.iter().zip(ids).take_while(|(a, b)| a == b).count();
        // The last id is always fed: its logits are asked for.
        if self.session.truncate(shared.min(ids.len() - 1)).is_err() {
            self.session.reset();
        }
        let mut rest = &ids[self.session.tokens().len()..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(self.session.batch()));
            let logits = if later.is_empty() {
                Logits::Last
            } else if self.stop.is_set() {
                return Ok(false);
            } else {
                Logits::None
            };
            self.session.feed(&self.model, compute, batch, logits)?;
            rest = later;
        }
        Ok(true)
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

    fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        most: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), Error> {
        if most == 0 || !self.follow(compute, ids)? {
            return Ok(());
        }
        let before = out.len();
        loop {
            let id = most_probable(self.session.row(&self.model, 0));
            out.push(id);
            if out.len() - before >= most.min(MOST_GUESSES) {
                break;
            }
            self.session.guess(&self.model, compute, id)?;
        }
        self.session.take_back();
        Ok(())
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
