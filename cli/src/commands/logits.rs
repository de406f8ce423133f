//! `gristmill logits`: the raw output of a model for given token ids, to compare two builds, settings or engines.

use crate::diagnostics::{Interrupted, usage};
use crate::options::EngineArgs;
use crate::{interrupt, render, source, whole_file};
use anyhow::{Context, Result, bail};
use clap::Args;
use gristmill_engine::{CacheType, Error, Logits as Wanted, Model};
use serde::Serialize;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Write the logits for given token ids to a file, or compare them with one
#[derive(Args)]
#[command(after_long_help = "\
The file holds one row of vocabulary-size values for each id, 32-bit little-endian floats, without a header. \
     Keys and values are kept in f32 unless --cache-type-k and --cache-type-v say otherwise. With --batch N the ids \
     are fed N at a time.

With --against: NMSE = sum of squared differences / sum of the file's squares, the largest difference, and at \
     how many positions both have the same largest logit.

JSON (with --against): {\"positions\":0, \"vocab_size\":0, \"nmse\":0, \"max_difference\":0, \
     \"max_difference_at\":[position,id], \"argmax_agree\":0}

Examples:
  gristmill logits model.gguf --ids 1,2,3 --out a.logits
  gristmill logits model.gguf --ids 1,2,3 --batch 1 -t 1 --against a.logits")]
pub struct Logits {
    /// Path, short name or owner/repo:QUANTIZATION
    model: OsString,
    /// The token ids, separated by commas or white space
    #[arg(
        long,
        value_name = "ID,ID,...",
        required_unless_present = "ids_file",
        conflicts_with = "ids_file"
    )]
    ids: Option<String>,
    /// A file with the token ids
    #[arg(long, value_name = "FILE")]
    ids_file: Option<PathBuf>,
    /// Where the logits go
    #[arg(long, value_name = "FILE", required_unless_present = "against")]
    out: Option<PathBuf>,
    /// A file of logits to compare with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Print the comparison as JSON
    #[arg(long, requires = "against")]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Serialize)]
struct Comparison {
    positions: usize,
    vocab_size: usize,
    nmse: f64,
    max_difference: f64,
    max_difference_at: [usize; 2],
    argmax_agree: usize,
}

impl Logits {
    /// Computes the logits, writes or compares them.
    pub fn run(mut self) -> Result<()> {
        let ids = match (&self.ids, &self.ids_file) {
            (Some(ids), _) => crate::input::ids(ids)?,
            (None, Some(file)) => crate::input::ids(&crate::input::text_file(file)?)?,
            (None, None) => return Err(usage("--ids or --ids-file is needed")),
        };
        self.engine.more.check()?;
        if let Some(file) = &self.out {
            // Better now than after all the computing.
            whole_file::check(file)?;
        }
        let reference = self.against.as_deref().map(read_floats).transpose()?;
        let path = source::locate(&self.model)?;
        let model = Model::open(&path, &self.engine.model_options()?)?;
        let vocab = model.vocab_size();
        if let (Some(reference), Some(file)) = (&reference, &self.against)
            && reference.len() != ids.len() * vocab
        {
            bail!(
                "{} holds {} values, but {} ids give {} rows of {vocab} values",
                file.display(),
                reference.len(),
                ids.len(),
                ids.len()
            );
        }
        self.engine.cache_type_k.get_or_insert(CacheType::F32);
        self.engine.cache_type_v.get_or_insert(CacheType::F32);
        let batch = self.engine.context_options(None).batch.max(1);
        let mut context = self.engine.context(&model, Some(ids.len()))?;
        interrupt::install()?;
        let guard = interrupt::guard(context.stop_handle());
        let mut logits = Vec::with_capacity(ids.len() * vocab);
        for part in ids.chunks(batch) {
            match context.feed(part, Wanted::All) {
                Ok(rows) => logits.extend_from_slice(rows),
                Err(Error::Stopped) => return Err(Interrupted.into()),
                Err(error) => return Err(error.into()),
            }
            if guard.pressed() {
                return Err(Interrupted.into());
            }
        }
        if let Some(file) = &self.out {
            whole_file::write(file, |out| {
                logits
                    .iter()
                    .try_for_each(|value| out.write_all(&value.to_le_bytes()))
            })?;
        }
        match reference {
            Some(reference) => self.print(&compare(&logits, &reference, vocab)),
            None => Ok(()),
        }
    }

    fn print(&self, comparison: &Comparison) -> Result<()> {
        if self.json {
            return render::json(comparison);
        }
        let Comparison {
            positions,
            nmse,
            max_difference,
            max_difference_at: [position, id],
            argmax_agree,
            ..
        } = comparison;
        let mut out = render::output();
        writeln!(out, "NMSE {nmse:.3e}")?;
        writeln!(
            out,
            "largest difference {max_difference:.3e} (position {position}, id {id})"
        )?;
        writeln!(
            out,
            "same largest logit at {argmax_agree} of {positions} positions"
        )?;
        out.flush()?;
        Ok(())
    }
}

fn read_floats(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        bail!(
            "{} has {} bytes, which is no whole number of 32-bit floats",
            path.display(),
            bytes.len()
        );
    }
    Ok(floats
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

fn compare(logits: &[f32], reference: &[f32], vocab: usize) -> Comparison {
    let (mut error, mut square, mut largest, mut at) = (0.0f64, 0.0f64, 0.0f64, 0);
    for (i, (&a, &b)) in logits.iter().zip(reference).enumerate() {
        let difference = (f64::from(a) - f64::from(b)).abs();
        error += difference * difference;
        square += f64::from(b) * f64::from(b);
        // Not a number is larger than everything.
        if difference > largest || difference.is_nan() && !largest.is_nan() {
            (largest, at) = (difference, i);
        }
    }
    let rows = || {
        logits
            .chunks(vocab.max(1))
            .zip(reference.chunks(vocab.max(1)))
    };
    Comparison {
        positions: rows().count(),
        vocab_size: vocab,
        nmse: if error == 0.0 { 0.0 } else { error / square },
        max_difference: largest,
        max_difference_at: [at / vocab.max(1), at % vocab.max(1)],
        argmax_agree: rows().filter(|(a, b)| argmax(a) == argmax(b)).count(),
    }
}

/// The first position of the largest value.
fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(
        0,
        |best, (i, value)| if *value > row[best] { i } else { best },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        let same = compare(&[1.0, 2.0, 3.0, 1.0], &[1.0, 2.0, 3.0, 1.0], 2);
        assert_eq!(
            (
                same.nmse,
                same.max_difference,
                same.argmax_agree,
                same.positions
            ),
            (0.0, 0.0, 2, 2)
        );
        let other = compare(&[1.0, 2.0, 3.0, 1.0], &[1.0, 2.0, 1.0, 3.0], 2);
        assert_eq!(
            (other.nmse, other.max_difference, other.argmax_agree),
            (8.0 / 15.0, 2.0, 1)
        );
        assert_eq!(other.max_difference_at, [1, 0]);
        assert!(
            compare(&[f32::NAN, 1.0], &[1.0, 1.0], 2)
                .max_difference
                .is_nan()
        );
    }
}
