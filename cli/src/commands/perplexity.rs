//! `gristmill perplexity`: how well a model predicts a text, by the protocol that published figures follow.

use crate::diagnostics::{Interrupted, note, usage};
use crate::options::{EngineArgs, positive, whole};
use crate::render::{self, count};
use crate::{input, interrupt, progress, source, whole_file};
use anyhow::{Context, Result, bail};
use clap::Args;
use gristmill_engine::eval::perplexity::{Options, Perplexity as Evaluation, State};
use gristmill_engine::{Error, Model};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Measure how well a model predicts a text
#[derive(Args)]
#[command(after_long_help = "\
The text, less one final newline, is tokenized once as a whole and cut into windows of -c tokens. Each window is \
     evaluated on its own (its first token replaced by BOS where the model's vocabulary adds one), and the second \
     half of it is scored. The result is exp(mean negative log-likelihood) with its standard error: llama.cpp's \
     protocol, so that values can be compared.

With --resume the sums are kept in a file after every few windows; the same command line goes on from there. A \
     finished run can be extended with a larger --chunks.

JSON: {\"model\":\"\", \"n_ctx\":512, \"chunks\":[cumulative value after each window], \"ppl\":0, \"stderr\":0, \
     \"scored_tokens\":0}

Examples:
  gristmill perplexity model.gguf -f text.txt
  gristmill perplexity smollm2 -f text.txt --chunks 20 --json
  gristmill perplexity model.gguf -f long.txt --resume long.state")]
pub struct Perplexity {
    /// Path, short name or owner/repo:QUANTIZATION
    model: OsString,
    /// The text ('-': standard input)
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Tokens in a window
    #[arg(short = 'c', long = "context", value_name = "N", default_value_t = 512, value_parser = whole)]
    context: usize,
    /// Use only the first N windows
    #[arg(long, value_name = "N", value_parser = positive)]
    chunks: Option<usize>,
    /// Keep the state in this file, and go on from it if it is there
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    n_ctx: usize,
    chunks: &'a [f64],
    ppl: f64,
    stderr: f64,
    scored_tokens: u64,
}

/// What `--resume` keeps: the sums, and which model they belong to.
#[derive(Serialize, Deserialize)]
struct Saved {
    model: String,
    fingerprint: String,
    state: State,
}

/// How often the state is written at most.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);
/// How often a line is written where no progress bar can be drawn.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

impl Perplexity {
    /// Evaluates the text and prints the result.
    pub fn run(self) -> Result<()> {
        if self.context < 4 {
            return Err(usage("a window needs at least 4 tokens (-c)"));
        }
        self.engine.more.check()?;
        if let Some(file) = &self.resume {
            // Better now than after the first windows.
            whole_file::check(file)?;
        }
        let text = input::text_file(&self.file)?;
        let path = source::locate(&self.model)?;
        let model = Model::open(&path, &self.engine.model_options()?)?;
        let name = self.engine.more.title(&path);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let tokens = model.tokenizer()?.encode(text, true, false);
        let resume = match &self.resume {
            Some(file) => Some((file, model.fingerprint()?)),
            None => None,
        };
        let saved = match &resume {
            Some((file, fingerprint)) => load(file, &name, fingerprint)?,
            None => None,
        };
        let mut context = self.engine.context(&model, Some(self.context))?;
        let stop = context.stop_handle();
        let options = Options {
            n_ctx: self.context,
            chunks: self.chunks,
        };
        let done = saved.as_ref().map_or(0, |state| state.cumulative.len());
        let evaluation = Evaluation::new(&mut context, tokens, options, saved);
        let mut evaluation = match &self.resume {
            Some(file) if done > 0 => {
                evaluation.with_context(|| format!("cannot go on from {}", file.display()))?
            }
            _ => evaluation?,
        };

        interrupt::install()?;
        let guard = interrupt::guard(stop);
        let save = |state: &State| match &resume {
            Some((file, fingerprint)) => {
                let saved = Saved {
                    model: name.clone(),
                    fingerprint: fingerprint.clone(),
                    state: state.clone(),
                };
                store(file, &saved)
            }
            None => Ok(()),
        };
        let total = evaluation.chunks();
        if let (Some(file), true) = (&self.resume, done > total) {
            bail!(
                "{} has {done} windows already, more than the {total} asked for; name another file with --resume",
                file.display()
            );
        }
        if done > 0 {
            note!("Going on after {done} of {total} windows.");
        }
        let bar = progress::of_steps(total as u64, done as u64);
        let (mut last_saved, mut last_line) = (Instant::now(), Instant::now());
        loop {
            let chunk = match evaluation.next() {
                Some(Ok(chunk)) => chunk,
                Some(Err(Error::Stopped)) => break,
                Some(Err(error)) => {
                    save(evaluation.state())?;
                    return Err(error.into());
                }
                None => break,
            };
            let estimate = format!(
                "perplexity {:.4} ± {:.4}",
                chunk.cumulative, chunk.standard_error
            );
            if bar.is_hidden() && last_line.elapsed() >= LINE_INTERVAL {
                note!("window {} of {total}: {estimate}", chunk.index + 1);
                last_line = Instant::now();
            }
            bar.set_message(estimate);
            bar.inc(1);
            if last_saved.elapsed() >= SAVE_INTERVAL {
                save(evaluation.state())?;
                last_saved = Instant::now();
            }
            if guard.pressed() {
                break;
            }
        }
        bar.finish_and_clear();
        let state = evaluation.state();
        save(state)?;
        let finished = state.cumulative.len();
        if finished < total {
            match &self.resume {
                Some(file) => note!(
                    "Interrupted after {finished} of {total} windows; {} has the state.",
                    file.display()
                ),
                None => note!(
                    "Interrupted after {finished} of {total} windows; with --resume FILE a run can go on."
                ),
            }
            return Err(Interrupted.into());
        }
        self.print(&name, state)
    }

    fn print(&self, name: &str, state: &State) -> Result<()> {
        if self.json {
            return render::json(&Report {
                model: name,
                n_ctx: self.context,
                chunks: &state.cumulative,
                ppl: state.perplexity(),
                stderr: state.standard_error(),
                scored_tokens: state.scored_tokens,
            });
        }
        let mut out = render::output();
        writeln!(
            out,
            "perplexity {:.4} ± {:.4} ({} windows of {} tokens, {} tokens scored)",
            state.perplexity(),
            state.standard_error(),
            count(state.cumulative.len() as u64),
            self.context,
            count(state.scored_tokens)
        )?;
        out.flush()?;
        Ok(())
    }
}

/// The saved state, if the file is there. It must be of the model with this name and fingerprint.
fn load(file: &Path, name: &str, fingerprint: &str) -> Result<Option<State>> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let saved: Saved = serde_json::from_str(&text).with_context(|| {
        format!(
            "{} holds no state of a perplexity run; remove it or name another file",
            file.display()
        )
    })?;
    let file = file.display();
    if saved.model != name {
        bail!(
            "{file} belongs to the model {}, not to {name}; name another file with --resume",
            saved.model
        );
    }
    if saved.fingerprint != fingerprint {
        bail!(
            "{file} belongs to another {name} with other weights or metadata; name another file with --resume"
        );
    }
    Ok(Some(saved.state))
}

/// Writes the state under a temporary name and renames it, so that a crash leaves the old or the new one.
fn store(file: &Path, saved: &Saved) -> Result<()> {
    let text = serde_json::to_vec(saved)?;
    whole_file::write(file, |out| out.write_all(&text))
}
