//! Sequences of tokens, and passes of a model over them: everything of an engine but the model and the threads, which are
//! lent to each call. Flows in: token ids by sequence. Flows out: rows of logits.
//!
//! The last tokens of a sequence may be guesses, which are accepted or taken back. States of recurrent layers can't be gone
//! back in: where tokens were taken back, they go on from a copy, and what follows it is fed again ([`Moment`]).

mod guesses;
mod saved;
mod text;

use std::ops::Range;

use gristmill_kernels::Compute;

use crate::cache::{CacheType, Moment, Room};
use crate::damage;
use crate::error::Error;
use crate::layers::{Batch, Buffers, Input, Selection, Workspace};
use crate::model::Model;
use crate::options::ContextOptions;
use crate::sequence::{Feed, ROW, SequenceId};
use crate::speculate::MOST_GUESSES;
use crate::stop::StopHandle;
use text::Text;

/// See the head of the file.
pub(crate) struct Runner {
    work: Workspace,
    /// Storage of keys and of values.
    kinds: [CacheType; 2],
    /// By slot.
    texts: Vec<Option<Text>>,
    opened: u64,
    batch: Batch,
    buffers: Buffers,
    logits: Vec<f32>,
    /// Tokens of a pass at most.
    rows: usize,
    /// Positions of a sequence.
    capacity: usize,
    /// Values of a row that is fed in place of a token.
    width: usize,
    /// Such rows are kept: recurrent layers may have to read them again.
    keeps_rows: bool,
}

/// Rows of logits that are computed together in an evaluation.
const SLAB: usize = 32;

/// What is fed in one pass: `len` tokens of a sequence from a position on, those from number `wanted` on with logits.
struct Share<'a> {
    slot: usize,
    first: usize,
    input: Input<'a>,
    len: usize,
    wanted: usize,
    /// How many of them are no guesses.
    certain: usize,
}

/// How much a model's states may hold with these options.
pub(crate) fn room(options: &ContextOptions, sequences: usize, positions: usize) -> Room {
    Room {
        sequences,
        positions,
        batch: options.batch.max(1).min(positions),
        guesses: MOST_GUESSES,
        keys: options.cache_keys,
        values: options.cache_values,
    }
}

impl Runner {
    /// For this number of sequences of up to `capacity` positions.
    pub(crate) fn new(
        model: &Model,
        options: &ContextOptions,
        sequences: usize,
        capacity: usize,
    ) -> Result<Self, Error> {
        let decoder = &model.decoder;
        let (keys, values) = (options.cache_keys, options.cache_values);
        if let Some(shape) = decoder.caches.iter().find(|s| !s.supports(keys, values)) {
            return Err(Error::Option(format!(
                "a q8_0 cache needs heads of a multiple of 32 values, and this model's have {} and {}; use f16",
                shape.key_length, shape.value_length
            )));
        }
        let room = room(options, sequences, capacity);
        let rows = room.batch;
        Ok(Self {
            work: Workspace::new(decoder, room, rows, capacity),
            kinds: [keys, values],
            texts: (0..sequences).map(|_| None).collect(),
            opened: 0,
            batch: Batch::new(rows, sequences),
            buffers: decoder.buffers(rows),
            logits: vec![0.0; model.vocab_size()],
            rows,
            capacity,
            width: decoder.width(),
            keeps_rows: !decoder.fixed.is_empty(),
        })
    }

    fn name(&mut self, slot: usize, mut text: Text) -> SequenceId {
        self.opened += 1;
        text.serial = self.opened;
        self.texts[slot] = Some(text);
        SequenceId {
            slot,
            serial: self.opened,
        }
    }

    /// A new, empty sequence.
    pub(crate) fn open(&mut self) -> Result<SequenceId, Error> {
        let slot = self
            .work
            .states
            .open()
            .ok_or(Error::Sequences(self.texts.len()))?;
        let room = self.capacity.min(1 << 16);
        let text = Text {
            tokens: Vec::with_capacity(room),
            ..Text::default()
        };
        Ok(self.name(slot, text))
    }

    /// A sequence with the tokens of another one, guesses left aside.
    pub(crate) fn fork(&mut self, of: SequenceId) -> Result<SequenceId, Error> {
        self.take_back(of)?;
        let slot = self.work.states.fork(of.slot);
        let slot = slot.ok_or(Error::Sequences(self.texts.len()))?;
        let text = self.text(of)?.clone();
        Ok(self.name(slot, text))
    }

    /// Ends a sequence.
    pub(crate) fn release(&mut self, sequence: SequenceId) -> Result<(), Error> {
        self.text(sequence)?;
        self.work.states.release(sequence.slot);
        self.texts[sequence.slot] = None;
        Ok(())
    }

    fn text(&self, id: SequenceId) -> Result<&Text, Error> {
        let text = self.texts.get(id.slot).and_then(Option::as_ref);
        text.filter(|text| text.serial == id.serial)
            .ok_or(Error::Released)
    }

    fn text_mut(&mut self, id: SequenceId) -> Result<&mut Text, Error> {
        let text = self.texts.get_mut(id.slot).and_then(Option::as_mut);
        text.filter(|text| text.serial == id.serial)
            .ok_or(Error::Released)
    }

    /// The tokens that a sequence holds, guesses left aside; none of one that was released.
    pub(crate) fn tokens(&self, sequence: SequenceId) -> &[u32] {
        match self.text(sequence) {
            Ok(text) => &text.tokens[..text.tokens.len() - text.guesses],
            Err(_) => &[],
        }
    }

    /// The position of text that follows what a sequence holds.
    pub(crate) fn next_position(&self, sequence: SequenceId) -> Result<usize, Error> {
        Ok(self.text(sequence)?.next())
    }

    /// Tokens that can still be added to a sequence.
    pub(crate) fn room(&self, sequence: SequenceId) -> usize {
        self.capacity.saturating_sub(self.tokens(sequence).len())
    }

    /// Positions of a sequence at most.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens of a pass at most.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Whether this can follow what a sequence holds.
    pub(crate) fn check(
        &self,
        model: &Model,
        sequence: SequenceId,
        input: Input<'_>,
    ) -> Result<(), Error> {
        self.text(sequence)?;
        let (position, tokens) = (self.tokens(sequence).len(), input.len(self.width));
        if tokens > self.capacity - position {
            return Err(Error::ContextFull {
                position,
                tokens,
                capacity: self.capacity,
            });
        }
        let vocab_size = model.vocab_size();
        match input {
            Input::Tokens(ids) => match ids.iter().find(|&&id| id as usize >= vocab_size) {
                Some(&id) => Err(Error::TokenId { id, vocab_size }),
                None => Ok(()),
            },
            Input::Rows(values) => model.decoder.check_rows(values),
            Input::Placed { positions, .. } if positions.len() != tokens => Err(Error::Option(
                format!("{tokens} rows have {} positions", positions.len()),
            )),
            Input::Placed { .. } if !model.decoder.has_position_parts() => Err(Error::Unsupported(
                "this model's positions have no parts: feed rows without positions".into(),
            )),
            Input::Placed { rows, .. } => model.decoder.check_rows(rows),
        }
    }

    /// One pass over tokens of one or several sequences, which they then hold, with the logits that were asked for, in the
    /// order of `feeds`.
    pub(crate) fn pass(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        feeds: &[Feed<'_>],
        stop: &StopHandle,
    ) -> Result<&[f32], Error> {
        self.through(model, compute, feeds, stop)?;
        let wanted = 0..self.batch.wanted.rows.len();
        let values = wanted.len() * model.vocab_size();
        self.logits(model, compute, wanted, 0)?;
        model.check_unchanged()?;
        Ok(&self.logits[..values])
    }

    /// The same with hidden states behind the last norm in place of logits.
    pub(crate) fn pass_hidden(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        feeds: &[Feed<'_>],
        stop: &StopHandle,
    ) -> Result<&[f32], Error> {
        self.through(model, compute, feeds, stop)?;
        model.check_unchanged()?;
        Ok(self.hidden(model, compute))
    }

    /// One pass over tokens of one or several sequences, which they then hold.
    fn through(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        feeds: &[Feed<'_>],
        stop: &StopHandle,
    ) -> Result<(), Error> {
        let width = self.width;
        let tokens: usize = feeds.iter().map(|feed| feed.input.len(width)).sum();
        if tokens > self.rows {
            return Err(Error::Option(format!(
                "{tokens} tokens in a pass of at most {}",
                self.rows
            )));
        }
        for (number, feed) in feeds.iter().enumerate() {
            let sequence = feed.sequence;
            self.take_back(sequence)?;
            self.check(model, sequence, feed.input)?;
            if feeds[..number].iter().any(|f| f.sequence == sequence) {
                return Err(Error::Option("a sequence is twice in a pass".into()));
            }
        }
        for feed in feeds {
            self.catch_up(model, compute, feed.sequence, Some(stop))?;
            self.work.states.mark(feed.sequence.slot, Moment::Turn);
        }
        let shares: Vec<Share<'_>> = feeds
            .iter()
            .map(|feed| (feed, feed.input.len(width)))
            .filter(|&(_, len)| len > 0)
            .map(|(feed, len)| Share {
                slot: feed.sequence.slot,
                first: self.tokens(feed.sequence).len(),
                input: feed.input,
                len,
                wanted: feed.want.first(len),
                certain: len,
            })
            .collect();
        self.forward(model, compute, &shares, Some(stop))?;
        let keeps_rows = self.keeps_rows;
        for feed in feeds {
            let fed = (feed.input, feed.input.len(width));
            self.text_mut(feed.sequence)?.extend(fed, keeps_rows);
        }
        Ok(())
    }

    /// Feeds any number of tokens to one sequence, in passes of up to [`rows`](Self::rows), and calls `each` after each
    /// pass with the number of its first token and of its wanted rows. Those of tokens from number `from` on are wanted.
    fn in_passes(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        (sequence, input, from): (SequenceId, Input<'_>, usize),
        stop: &StopHandle,
        mut each: impl FnMut(&mut Self, &mut Compute, usize, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check(model, sequence, input)?;
        self.take_back(sequence)?;
        self.catch_up(model, compute, sequence, Some(stop))?;
        self.work.states.mark(sequence.slot, Moment::Turn);
        let width = self.width;
        let parts = input.parts(self.rows, width);
        for (start, part) in (0..).step_by(self.rows).zip(parts) {
            let len = part.len(width);
            let share = Share {
                slot: sequence.slot,
                first: self.tokens(sequence).len(),
                input: part,
                len,
                wanted: from.saturating_sub(start).min(len),
                certain: len,
            };
            let wanted = len - share.wanted;
            self.forward(model, compute, &[share], Some(stop))?;
            let keeps_rows = self.keeps_rows;
            self.text_mut(sequence)?.extend((part, len), keeps_rows);
            each(self, compute, start, wanted)?;
        }
        // After the work, since it can change while it is read.
        Ok(model.check_unchanged()?)
    }

    /// Feeds tokens to one sequence, and gives the logits that were asked for.
    pub(crate) fn feed(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        feed: Feed<'_>,
        stop: &StopHandle,
    ) -> Result<&[f32], Error> {
        let Feed {
            sequence,
            input,
            want,
        } = feed;
        let from = want.first(input.len(self.width));
        let mut done = 0;
        let what = (sequence, input, from);
        self.in_passes(model, compute, what, stop, |runner, compute, _, wanted| {
            runner.logits(model, compute, 0..wanted, done)?;
            done += wanted;
            Ok(())
        })?;
        Ok(&self.logits[..done * model.vocab_size()])
    }

    /// Feeds tokens to one sequence and hands out the logits from number `from` on in slabs of a few rows: the number of the
    /// slab's first token, and the rows. For evaluations, whose logits together would be too large.
    pub(crate) fn feed_slabs(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        what: (SequenceId, Input<'_>, usize),
        stop: &StopHandle,
        mut sink: impl FnMut(&mut Compute, usize, &[f32]),
    ) -> Result<(), Error> {
        let from = what.2;
        self.in_passes(
            model,
            compute,
            what,
            stop,
            |runner, compute, start, wanted| {
                let begin = from.max(start);
                for first in (0..wanted).step_by(SLAB) {
                    let slab = first..wanted.min(first + SLAB);
                    let values = slab.len() * model.vocab_size();
                    runner.logits(model, compute, slab, 0)?;
                    sink(compute, begin + first, &runner.logits[..values]);
                }
                Ok(())
            },
        )
    }

    /// Feeds tokens to one sequence and hands out the hidden states behind the last norm of those from number `from` on, pass
    /// by pass.
    pub(crate) fn feed_hidden(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        what: (SequenceId, Input<'_>, usize),
        stop: &StopHandle,
        mut sink: impl FnMut(&mut Compute, &[f32]),
    ) -> Result<(), Error> {
        self.in_passes(model, compute, what, stop, |runner, compute, _, wanted| {
            if wanted > 0 {
                let hidden = runner.hidden(model, compute);
                sink(compute, hidden);
            }
            Ok(())
        })
    }

    /// Hidden states of the wanted rows of the last pass.
    fn hidden(&mut self, model: &Model, compute: &mut Compute) -> &[f32] {
        let Selection { runs, rows } = &self.batch.wanted;
        let pass = self.work.pass(&model.gguf, compute, runs, rows);
        model.decoder.hidden(&pass, &mut self.buffers, 0)
    }

    /// The logits after one of the tokens that were fed last, counted from the first one with logits.
    pub(crate) fn row(&self, model: &Model, row: usize) -> &[f32] {
        let vocab = model.vocab_size();
        &self.logits[row * vocab..][..vocab]
    }

    /// Brings the states of recurrent layers to where the tokens end, if those were taken back: from a copy of earlier
    /// states, by feeding what follows it again.
    fn catch_up(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        sequence: SequenceId,
        stop: Option<&StopHandle>,
    ) -> Result<(), Error> {
        let held = self.text(sequence)?.tokens.len();
        let lacking = self.work.states.rewind(sequence.slot, held);
        if lacking.is_empty() {
            return Ok(());
        }
        let (mut first, width) = (lacking.start, self.width);
        let text = self.text(sequence)?;
        let mut row = text.rows_before(first);
        let (again, rows) = (text.tokens[lacking].to_vec(), text.rows.clone());
        // Tokens and rows in turn, as they were fed.
        for ids in again.chunk_by(|&a, &b| (a == ROW) == (b == ROW)) {
            let input = match ids[0] {
                ROW => Input::Rows(&rows[row * width..][..ids.len() * width]),
                _ => Input::Tokens(ids),
            };
            for input in input.parts(self.rows, width) {
                let len = input.len(width);
                let share = Share {
                    slot: sequence.slot,
                    first,
                    input,
                    len,
                    wanted: len,
                    certain: len,
                };
                self.forward(model, compute, &[share], stop)?;
                first += len;
            }
            if ids[0] == ROW {
                row += ids.len();
            }
        }
        Ok(())
    }

    /// One pass through all layers.
    fn forward(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        shares: &[Share<'_>],
        stop: Option<&StopHandle>,
    ) -> Result<(), Error> {
        self.batch.clear();
        for share in shares {
            let (first, n) = (share.first, share.len);
            let text = self.texts[share.slot].as_ref().ok_or(Error::Released)?;
            let parts = |number: usize| match share.input {
                Input::Placed { positions, .. } => positions[number].map(|part| part as usize),
                _ => text.parts(first + number),
            };
            self.batch
                .push(share.slot, first, (share.input, n), share.wanted, parts);
            self.work
                .states
                .reserve(share.slot, first..first + n, share.certain)?;
        }
        let Batch { all, .. } = &self.batch;
        if all.rows.is_empty() {
            return Ok(());
        }
        self.work.turn_to(&all.rows);
        let mut pass = self.work.pass(&model.gguf, compute, &all.runs, &all.rows);
        let is_stopped = || stop.is_some_and(StopHandle::is_set);
        let decoder = &model.decoder;
        if decoder.forward(&mut pass, &self.batch, &mut self.buffers, &is_stopped) {
            for share in shares {
                self.work.states.advance(share.slot, share.len);
            }
            return Ok(());
        }
        for share in shares {
            self.work.states.lose(share.slot);
        }
        stop.map(StopHandle::take);
        Err(Error::Stopped)
    }

    /// Logits of some of the wanted rows of the last pass, into the rows from `at` on.
    fn logits(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        rows: Range<usize>,
        at: usize,
    ) -> Result<(), Error> {
        let vocab = model.vocab_size();
        if self.logits.len() < (at + rows.len()) * vocab {
            self.logits.resize((at + rows.len()) * vocab, 0.0);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let wanted = &self.batch.wanted;
        let some = &wanted.rows[rows.clone()];
        let mut pass = self.work.pass(&model.gguf, compute, &wanted.runs, some);
        let out = &mut self.logits[at * vocab..][..rows.len() * vocab];
        let decoder = &model.decoder;
        decoder.logits(&mut pass, &mut self.buffers, rows.start, out);
        damage::check(model, out)
    }

    /// Forgets all tokens of a sequence from position `positions` on.
    pub(crate) fn truncate(&mut self, sequence: SequenceId, positions: usize) -> Result<(), Error> {
        self.take_back(sequence)?;
        if positions == 0 {
            return self.reset(sequence);
        }
        if positions < self.tokens(sequence).len() {
            let done = self.work.states.truncate(sequence.slot, positions);
            done.map_err(|oldest| Error::Truncate {
                to: positions,
                oldest,
            })?;
            let width = self.width;
            let text = self.text_mut(sequence)?;
            let rows = text.rows_before(positions);
            text.tokens.truncate(positions);
            text.rows.truncate(rows * width);
            text.placed.retain(|placed| placed.index < positions);
        }
        Ok(())
    }

    /// Forgets all tokens of a sequence.
    pub(crate) fn reset(&mut self, sequence: SequenceId) -> Result<(), Error> {
        let text = self.text_mut(sequence)?;
        text.tokens.clear();
        text.rows.clear();
        text.placed.clear();
        text.guesses = 0;
        self.work.states.clear(sequence.slot);
        Ok(())
    }
}
