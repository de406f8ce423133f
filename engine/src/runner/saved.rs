//! A sequence as a file: its tokens, its keys and values and its recurrent states, as the engine holds them. An engine of the
//! same model goes on from it as if it had read the tokens itself, to the bit, on any processor.
//!
//! Little-endian: the magic bytes, the format's version (u32), SHA-256 of the model's fingerprint, the storage of keys and of
//! values, whether the context is one that LongRoPE turns by other frequencies (a byte each), the number of tokens (u64), the
//! tokens (u32, [`ROW`] for rows), where the engine keeps them the rows (f32), the number of rows with positions (u64),
//! their numbers in the sequence (u64) and positions (four u32), the states (`States::save`), and SHA-256 of all that.

use std::io::{Read, Write};

use gristmill_kernels::Compute;
use sha2::{Digest, Sha256};

use super::Runner;
use super::text::Text;
use crate::cache::CacheType;
use crate::error::Error;
use crate::model::Model;
use crate::sequence::{ROW, SequenceId};
use crate::stop::StopHandle;
use crate::stream::{Reading, Writing, damaged};

const MAGIC: [u8; 8] = *b"GMILLSEQ";
const VERSION: u32 = 2;

impl Runner {
    /// Writes a sequence, guesses left aside. Where recurrent layers have to go back first, tokens are read again.
    pub(crate) fn save(
        &mut self,
        model: &Model,
        compute: &mut Compute,
        sequence: SequenceId,
        stop: &StopHandle,
        out: &mut dyn Write,
    ) -> Result<(), Error> {
        self.take_back(sequence)?;
        self.catch_up(model, compute, sequence, Some(stop))?;
        let tokens = &self.text(sequence)?.tokens;
        let mut out = Writing::new(out);
        out.bytes(&MAGIC)?;
        out.bytes(&VERSION.to_le_bytes())?;
        out.bytes(&hash(model)?)?;
        out.bytes(&self.storage(model))?;
        out.number(tokens.len())?;
        for id in tokens {
            out.bytes(&id.to_le_bytes())?;
        }
        let Text { rows, placed, .. } = self.text(sequence)?;
        out.floats(rows)?;
        out.number(placed.len())?;
        for row in placed {
            out.number(row.index)?;
            row.parts
                .iter()
                .try_for_each(|part| out.bytes(&part.to_le_bytes()))?;
        }
        self.work
            .states
            .save(sequence.slot, tokens.len(), &mut out)?;
        out.finish()
    }

    /// Makes a sequence what was saved. After an error it is empty.
    pub(crate) fn restore(
        &mut self,
        model: &Model,
        sequence: SequenceId,
        from: &mut dyn Read,
    ) -> Result<(), Error> {
        self.reset(sequence)?;
        let restored = self.fill(model, sequence, Reading::new(from));
        if restored.is_err() {
            self.reset(sequence)?;
        }
        restored
    }

    fn fill(
        &mut self,
        model: &Model,
        sequence: SequenceId,
        mut from: Reading<'_>,
    ) -> Result<(), Error> {
        if from.array()? != MAGIC {
            return Err(Error::Saved(
                "is none: the file holds something else".into(),
            ));
        }
        let version = u32::from_le_bytes(from.array()?);
        if version != VERSION {
            return Err(Error::Saved(format!(
                "is of format {version}, and this gristmill reads format {VERSION}"
            )));
        }
        if from.array()? != hash(model)? {
            return Err(Error::Saved(
                "is of another model, or of one with other adapters".into(),
            ));
        }
        self.check_storage(model, from.array()?)?;
        let count = from.number()?;
        if count > self.capacity {
            return Err(Error::ContextFull {
                position: 0,
                tokens: count,
                capacity: self.capacity,
            });
        }
        for _ in 0..count {
            let id = u32::from_le_bytes(from.array()?);
            if id as usize >= model.vocab_size() && id != ROW {
                return Err(damaged());
            }
            self.text_mut(sequence)?.tokens.push(id);
        }
        if self.keeps_rows {
            let width = self.width;
            let text = self.text_mut(sequence)?;
            let values = text.rows_before(count) * width;
            text.rows.resize(values, 0.0);
            from.floats(&mut text.rows)?;
        }
        let text = self.text_mut(sequence)?;
        for _ in 0..from.number()? {
            let index = from.number()?;
            let follows = text.placed.last().is_none_or(|last| last.index < index);
            if text.tokens.get(index) != Some(&ROW) || !follows {
                return Err(damaged());
            }
            let mut parts = [0; 4];
            for part in &mut parts {
                *part = u32::from_le_bytes(from.array()?);
            }
            text.place(index, parts);
        }
        self.work.states.restore(sequence.slot, count, &mut from)?;
        from.finish()
    }

    /// How states are stored, and which frequencies they were turned by.
    fn storage(&self, model: &Model) -> [u8; 3] {
        let code = |kind| CacheType::ALL.iter().position(|&k| k == kind);
        let [keys, values] = self.kinds.map(|kind| code(kind).unwrap_or_default() as u8);
        let mut ropes = model.decoder.ropes.iter();
        let is_long = ropes.any(|rope| rope.is_long(self.capacity));
        [keys, values, u8::from(is_long)]
    }

    fn check_storage(&self, model: &Model, [keys, values, long]: [u8; 3]) -> Result<(), Error> {
        let [our_keys, our_values, our_long] = self.storage(model);
        if [keys, values] != [our_keys, our_values] {
            let name = |code: u8| {
                CacheType::ALL
                    .get(usize::from(code))
                    .map(|kind| kind.name())
            };
            let (Some(keys), Some(values)) = (name(keys), name(values)) else {
                return Err(damaged());
            };
            let [our_keys, our_values] = self.kinds;
            return Err(Error::Saved(format!(
                "has keys in {keys} and values in {values}, and this context has {our_keys} and {our_values}"
            )));
        }
        if long != our_long {
            let length = |is_long: u8| if is_long == 0 { "not longer" } else { "longer" };
            return Err(Error::Saved(format!(
                "is of a context that is {} than what the model was first trained for, and this one is {}: their \
                 positions are turned by other angles",
                length(long),
                length(our_long)
            )));
        }
        Ok(())
    }
}

fn hash(model: &Model) -> Result<[u8; 32], Error> {
    Ok(Sha256::digest(model.fingerprint()?).into())
}
