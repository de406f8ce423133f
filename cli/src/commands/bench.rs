//! `gristmill bench`: how fast a model reads a prompt and generates, on this machine.

use crate::diagnostics::{Interrupted, note};
use crate::options::{MoreEngineArgs, positive};
use crate::render::{self, Align, Table};
use crate::{interrupt, progress, source};
use anyhow::Result;
use clap::Args;
use gristmill_engine::{Context, Error, Logits, Model};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::time::Instant;

/// Measure the speed of prompts and of generation
#[derive(Args)]
#[command(after_long_help = "\
Tests: ppN reads a prompt of N tokens (in batches of --batch), tgN generates N tokens one by one; both after -d \
     tokens that are there already. Token ids are fixed, nothing is sampled. Every test runs once to warm up and then \
     -r times; medians are shown. Lists are separated by commas, and 0 leaves a test out.

JSON: a list of {\"model\":\"\", \"threads\":2, \"isa\":\"\", \"test\":\"pp512\", \"depth\":0, \
     \"tok_s\":{\"median\":0, \"min\":0, \"max\":0}}

Examples:
  gristmill bench model.gguf
  gristmill bench model.gguf -t 1,2,4 -p 512 -n 64
  gristmill bench model.gguf -p 0 -d 0,1024,4096 --json")]
pub struct Bench {
    /// Path, hf:owner/repo[/file] or short name
    model: OsString,
    /// Lengths of prompts
    #[arg(
        short,
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "512"
    )]
    prompt: Vec<usize>,
    /// Numbers of tokens to generate
    #[arg(
        short = 'n',
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "128"
    )]
    generate: Vec<usize>,
    /// Tokens in the context before the test
    #[arg(
        short,
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "0"
    )]
    depth: Vec<usize>,
    /// How often each test runs
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = positive)]
    repetitions: usize,
    /// Numbers of threads [default: the performance cores]
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', value_parser = positive)]
    threads: Vec<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: MoreEngineArgs,
}

#[derive(Serialize)]
struct Row {
    model: String,
    threads: usize,
    isa: &'static str,
    test: String,
    depth: usize,
    tok_s: Speeds,
}

#[derive(Serialize)]
struct Speeds {
    median: f64,
    min: f64,
    max: f64,
}

#[derive(Clone, Copy)]
enum Test {
    Prompt(usize),
    Generation(usize),
}

impl Test {
    fn tokens(self) -> usize {
        match self {
            Test::Prompt(n) | Test::Generation(n) => n,
        }
    }

    fn name(self) -> String {
        match self {
            Test::Prompt(n) => format!("pp{n}"),
            Test::Generation(n) => format!("tg{n}"),
        }
    }
}

impl Bench {
    /// Runs the tests and prints a table or JSON.
    pub fn run(self) -> Result<()> {
        let prompts = self
            .prompt
            .iter()
            .filter(|n| **n > 0)
            .map(|n| Test::Prompt(*n));
        let generations = self
            .generate
            .iter()
            .filter(|n| **n > 0)
            .map(|n| Test::Generation(*n));
        let tests: Vec<Test> = prompts.chain(generations).collect();
        let longest = tests.iter().map(|test| test.tokens()).max().unwrap_or(0);
        let deepest = self.depth.iter().copied().max().unwrap_or(0);
        let path = source::locate(&self.model)?;
        let model = Model::open(&path, &self.engine.model_options())?;
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let needed = deepest.saturating_add(longest);
        if needed > model.trained_context() {
            note!(
                "The model was trained for {} positions; these tests go to {needed}.",
                model.trained_context()
            );
        }
        let threads: Vec<Option<usize>> = if self.threads.is_empty() {
            vec![None]
        } else {
            self.threads.iter().copied().map(Some).collect()
        };
        interrupt::install()?;
        let rounds = threads.len() * self.depth.len() * tests.len() * (self.repetitions + 1);
        let bar = progress::of_steps(rounds as u64, 0);
        let mut rows = Vec::new();
        for threads in threads {
            let mut context =
                model.context(&self.engine.context_options(threads, Some(needed.max(1))))?;
            for &depth in &self.depth {
                for &test in &tests {
                    bar.set_message(format!("{} at depth {depth}", test.name()));
                    let mut speeds = Vec::with_capacity(self.repetitions);
                    for repetition in 0..=self.repetitions {
                        let speed = measure(&mut context, model.vocab_size(), test, depth)?;
                        // The first one warms up caches and clock.
                        if repetition > 0 {
                            speeds.push(speed);
                        }
                        bar.inc(1);
                    }
                    let used = match (test, self.engine.threads_prompt) {
                        (Test::Prompt(_), Some(threads)) => threads,
                        _ => context.threads(),
                    };
                    rows.push(Row {
                        model: name.clone(),
                        threads: used,
                        isa: context.isa(),
                        test: test.name(),
                        depth,
                        tok_s: summary(speeds),
                    });
                }
            }
        }
        bar.finish_and_clear();
        if self.json {
            return render::json(&rows);
        }
        print(&rows)
    }
}

fn print(rows: &[Row]) -> Result<()> {
    let mut table = Table::new(&[
        ("model", Align::Left),
        ("isa", Align::Left),
        ("threads", Align::Right),
        ("depth", Align::Right),
        ("test", Align::Left),
        ("tokens/s", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
    ]);
    for row in rows {
        table.row([
            render::safe(&row.model),
            row.isa.to_owned(),
            row.threads.to_string(),
            row.depth.to_string(),
            row.test.clone(),
            format!("{:.1}", row.tok_s.median),
            format!("{:.1}", row.tok_s.min),
            format!("{:.1}", row.tok_s.max),
        ]);
    }
    let mut out = render::output();
    write!(out, "{}", table.plain())?;
    out.flush()?;
    Ok(())
}

/// Tokens per second of one run of one test.
fn measure(context: &mut Context, vocab: usize, test: Test, depth: usize) -> Result<f64> {
    let guard = interrupt::guard(context.stop_handle());
    // What is there from the run before is kept where the cache can go back to it.
    if context.position() < depth || context.truncate(depth).is_err() {
        context.reset();
        if depth > 0 {
            feed(context, &ids(depth, vocab, 1), Logits::None)?;
        }
    }
    let tokens = ids(test.tokens(), vocab, 2);
    let start = Instant::now();
    match test {
        Test::Prompt(_) => feed(context, &tokens, Logits::Last)?,
        Test::Generation(_) => {
            for id in &tokens {
                feed(context, std::slice::from_ref(id), Logits::Last)?;
                if guard.pressed() {
                    return Err(Interrupted.into());
                }
            }
        }
    }
    Ok(tokens.len() as f64 / start.elapsed().as_secs_f64())
}

fn feed(context: &mut Context, ids: &[u32], want: Logits) -> Result<()> {
    match context.feed(ids, want) {
        Ok(_) => Ok(()),
        Err(Error::Stopped) => Err(Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}

/// Token ids that look like no pattern but are the same every time (a linear congruential generator; Knuth's constants).
fn ids(count: usize, vocab: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % vocab.max(1) as u64) as u32
    };
    (0..count).map(|_| next()).collect()
}

fn summary(mut speeds: Vec<f64>) -> Speeds {
    speeds.sort_by(f64::total_cmp);
    let middle = speeds.len() / 2;
    let median = if speeds.len() % 2 == 1 {
        speeds[middle]
    } else {
        (speeds[middle - 1] + speeds[middle]) / 2.0
    };
    Speeds {
        median,
        min: speeds[0],
        max: speeds[speeds.len() - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let odd = summary(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(summary(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn token_ids_are_in_the_vocabulary() {
        let tokens = ids(1000, 7, 2);
        assert!(tokens.iter().all(|id| *id < 7) && tokens.windows(8).any(|w| w[0] != w[7]));
        assert_eq!(tokens, ids(1000, 7, 2));
    }
}
