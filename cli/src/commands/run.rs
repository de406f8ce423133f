//! `gristmill run`: a plain completion of a text, without a chat template.

use crate::diagnostics::{Interrupted, note};
use crate::options::{EngineArgs, SpeculationArgs, positive, text, whole};
use crate::sampling::SamplingArgs;
use crate::{input, interrupt, prompt_cache, render, source, whole_file};
use anyhow::Result;
use clap::Args;
use gristmill_engine::{Counts, GenerateOptions, Model, StopReason, Timings};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

/// Complete a text
#[derive(Args)]
#[command(after_long_help = "\
The text is continued as it stands; 'chat' is for questions. Control tokens spelled in the text are text, unless \
     --parse-special. Ctrl-C ends the completion.

JSON: {\"prompt_ids\":[], \"ids\":[], \"text\":\"\", \"stop\":\"length|end|string|interrupt\", \
     \"timings\":{\"load_s\":0, \"prompt_tokens\":0, \"prompt_s\":0, \"generated_tokens\":0, \
     \"generate_s\":0}}. A context that is full counts as length, and that is said on standard error. With --lookup or \
     --draft also \"speculation\":{\"proposed\":0, \"accepted\":0}: tokens that were guessed, and those that were right. \
     prompt_tokens are those that were evaluated: fewer than prompt_ids, if --prompt-cache had some.

Examples:
  gristmill run smollm2 -p 'The capital of France is' -n 16 --temp 0
  gristmill run model.gguf -f story.txt -n 200 --seed 7 --timings
  gristmill run model.gguf -p 'Q: why? A:' --stop Q: --json
  gristmill run model.gguf -f edit.txt --lookup --timings
  gristmill run model.gguf -f question.txt --prompt-cache question.cache
  gristmill run large.gguf -p 'Once upon a time' --draft small.gguf")]
pub struct Run {
    /// Path, short name or owner/repo:QUANTIZATION
    model: OsString,
    /// The text to complete
    #[arg(
        short,
        long,
        value_name = "TEXT",
        required_unless_present = "file",
        conflicts_with = "file"
    )]
    prompt: Option<String>,
    /// A file with the text to complete ('-': standard input)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The most new tokens [default: until the model ends its text or the context is full]
    #[arg(short = 'n', long = "tokens", value_name = "N", value_parser = whole)]
    tokens: Option<usize>,
    /// Tokens of context [default: what the model was trained for, as far as memory goes]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// End at this text (may be given several times)
    #[arg(long, value_name = "TEXT", value_parser = text)]
    stop: Vec<String>,
    /// Go on after a token that ends the text
    #[arg(long)]
    ignore_end: bool,
    /// Read control tokens that are spelled in the prompt as such
    #[arg(long)]
    parse_special: bool,
    /// Keep what the model knows after the prompt in FILE, and take from there what is known of this one's beginning. A
    /// file of another model, of other adapters or cache types is refused
    #[arg(long, value_name = "FILE")]
    prompt_cache: Option<PathBuf>,
    /// Show control tokens in the output
    #[arg(long)]
    show_special: bool,
    /// Print the prompt in front of its completion
    #[arg(long, conflicts_with = "json")]
    echo: bool,
    /// Say how fast it was
    #[arg(long)]
    timings: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    speculation: SpeculationArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Serialize)]
struct Report<'a> {
    prompt_ids: &'a [u32],
    ids: &'a [u32],
    text: &'a str,
    stop: &'a str,
    timings: Times,
    #[serde(skip_serializing_if = "Option::is_none")]
    speculation: Option<Guesses>,
}

#[derive(Serialize)]
struct Guesses {
    proposed: usize,
    accepted: usize,
}

#[derive(Serialize)]
struct Times {
    load_s: f64,
    prompt_tokens: usize,
    prompt_s: f64,
    generated_tokens: usize,
    generate_s: f64,
}

impl Run {
    /// Completes the text.
    pub fn run(self) -> Result<()> {
        let sampler = self.sampling.options()?;
        self.engine.more.check()?;
        if let Some(file) = &self.prompt_cache {
            whole_file::check(file)?;
        }
        let text = match (&self.prompt, &self.file) {
            (Some(text), _) => text.clone(),
            (None, Some(file)) => input::text_file(file)?,
            (None, None) => String::new(),
        };
        let path = source::locate(&self.model)?;
        let start = Instant::now();
        let model = Model::open(&path, &self.engine.model_options()?)?;
        let prompt = model.tokenizer()?.encode(&text, true, self.parse_special);
        let mut context = self.engine.speculative_context(
            &model,
            self.context_length(prompt.len(), model.trained_context()),
            self.speculation.options(&self.engine)?,
        )?;
        let load_s = start.elapsed().as_secs_f64();

        interrupt::install()?;
        let _guard = interrupt::guard(context.stop_handle());
        let options = GenerateOptions {
            max_tokens: self.tokens,
            stop: self.stop.clone(),
            ignore_end: self.ignore_end,
            show_special: self.show_special,
            sampler,
        };
        let mut out = render::output();
        if self.echo {
            write!(out, "{text}")?;
            out.flush()?;
        }
        let (mut ids, mut completion) = (Vec::new(), String::new());
        let (mut known, handle) = (prompt_cache::Read::default(), context.stop_handle());
        if let Some(file) = &self.prompt_cache {
            known = prompt_cache::read(&mut context, &prompt, file)?;
        }
        let mut generation = context.generate(&prompt[known.held..], options)?;
        if known.is_stopped {
            handle.stop();
        }
        for piece in generation.by_ref() {
            let piece = piece?;
            ids.push(piece.id);
            if self.json {
                completion.push_str(&piece.text);
            } else if !piece.text.is_empty() {
                out.write_all(render::generated(&piece.text).as_bytes())?;
                out.flush()?;
            }
        }
        let stop = generation.stop_reason().unwrap_or(StopReason::Interrupt);
        let (mut timings, guesses) = (generation.timings(), generation.speculation());
        timings.prompt_tokens += known.evaluated;
        timings.prompt += known.time;
        if self.json {
            render::json(&Report {
                prompt_ids: &prompt,
                ids: &ids,
                text: &completion,
                stop: if stop == StopReason::ContextFull {
                    StopReason::Length
                } else {
                    stop
                }
                .name(),
                timings: Times {
                    load_s,
                    prompt_tokens: timings.prompt_tokens,
                    prompt_s: timings.prompt.as_secs_f64(),
                    generated_tokens: timings.generated_tokens,
                    generate_s: timings.generate.as_secs_f64(),
                },
                speculation: guesses
                    .map(|Counts { proposed, accepted }| Guesses { proposed, accepted }),
            })?;
        } else {
            writeln!(out)?;
            out.flush()?;
        }
        if stop == StopReason::ContextFull {
            note!(
                "The context of {} tokens is full; -c sets a larger one.",
                context.capacity()
            );
        }
        if self.timings {
            note!("load {:.3} s; {}", load_s, describe(&timings, guesses));
        }
        if stop == StopReason::Interrupt {
            Err(Interrupted.into())
        } else {
            Ok(())
        }
    }

    /// The context asked for, or one that holds just what is asked for, if that is known and less than the model's. What is
    /// in a prompt cache may be longer than that.
    fn context_length(&self, prompt: usize, trained: usize) -> Option<usize> {
        let tokens = match &self.prompt_cache {
            Some(_) => None,
            None => self.tokens,
        };
        let needed = tokens.map(|tokens| prompt.saturating_add(tokens).max(1));
        self.context.or(needed.filter(|needed| *needed < trained))
    }
}

/// Timings for a person: `prompt 5 tokens, 410.0 tokens/s; 64 new tokens, 82.3 tokens/s`, and with guesses also
/// `; 30 of 40 guesses right`.
pub fn describe(timings: &Timings, guesses: Option<Counts>) -> String {
    let speed = |tokens: usize, time: std::time::Duration| {
        if tokens == 0 || time.is_zero() {
            return "-".to_owned();
        }
        format!("{:.1}", tokens as f64 / time.as_secs_f64())
    };
    // The first new token comes out of the prompt's last step.
    let steps = timings.generated_tokens.saturating_sub(1);
    let guesses = guesses.map_or(String::new(), |Counts { proposed, accepted }| {
        format!("; {accepted} of {proposed} guesses right")
    });
    format!(
        "prompt {} tokens, {} tokens/s; {} new tokens, {} tokens/s{guesses}",
        timings.prompt_tokens,
        speed(timings.prompt_tokens, timings.prompt),
        timings.generated_tokens,
        speed(steps, timings.generate)
    )
}
