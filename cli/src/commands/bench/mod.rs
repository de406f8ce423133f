//! `gristmill bench`: how fast models read prompts and generate on this machine, and what share that is of what the
//! machine can do.
//!
//! Flows in: models and lists of settings. Flows out: one table or JSON ([`measure()`] does a single measurement), and with
//! `--html` a page ([`report`]) that also has every kernel on its own ([`kernels`]).

mod chart;
mod kernels;
mod measure;
mod page;
mod report;

use crate::catalogue::CATALOGUE;
use crate::diagnostics::{note, usage};
use crate::options::{MoreEngineArgs, cache_type, positive, threads, whole};
use crate::render::{self, Align, Table};
use crate::{interrupt, progress, source, whole_file};
use anyhow::Result;
use clap::Args;
use gristmill_engine::memory::MemoryPlan;
use gristmill_engine::{CacheType, Context, Error, Model};
use gristmill_kernels::{Ceilings, Compute, ComputeOptions};
use measure::{Speeds, Test, measure};
use serde::Serialize;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Measure the speed of prompts and of generation
#[derive(Args)]
#[command(after_long_help = "\
Tests: ppN reads a prompt of N tokens (in batches of --batch), tgN generates N tokens one by one; both after -d \
     tokens that are there already. Token ids are fixed, nothing is sampled. Every test runs once to warm up and then \
     -r times; medians are shown. Lists are separated by commas, and 0 leaves a test out. Every setting is combined \
     with every other.

Ceilings (--roofline): how fast all threads together read memory, and how many multiply-adds of bytes they do without \
     touching memory. Every weight must be read once a pass and multiplied once a token, so no engine is faster than \
     the slower of the two; the share says how near a result comes. Weights that fit in the last cache can be read \
     faster than memory: shares above 100 % are possible then. Prompts of models with float weights have no share.

JSON: a list of {\"model\":\"\", \"threads\":2, \"isa\":\"\", \"test\":\"pp512\", \"depth\":0, \
     \"tok_s\":{\"median\":0, \"min\":0, \"max\":0}}; where cache types are asked for also \"cache_k\":\"\", \
     \"cache_v\":\"\", and with --roofline \"roofline\":{\"bound\":\"memory\" or \"int8\" or null, \"share\":0.9 or null, \
     \"stream_gb_s\":0, \"int8_gmac_s\":0}

Examples:
  gristmill bench model.gguf
  gristmill bench model.gguf other.gguf -t 1,2,4 -p 512 -n 64 --roofline
  gristmill bench model.gguf -p 0 -d 0,1024,4096 --cache-type-k f16,q8_0 --json
  gristmill bench model.gguf --html report.html")]
pub struct Bench {
    /// Paths, short names or owner/repo:QUANTIZATION [default with --roofline or --html: as for chat]
    #[arg(value_name = "MODEL", required_unless_present_any = ["roofline", "html"])]
    models: Vec<OsString>,
    /// Lengths of prompts
    #[arg(
        short,
        long,
        value_name = "N,...",
        value_delimiter = ',',
        default_value = "512",
        value_parser = whole
    )]
    prompt: Vec<usize>,
    /// Numbers of tokens to generate [default: 128; with --html: 64]
    #[arg(short = 'n', long, value_name = "N,...", value_delimiter = ',', value_parser = whole)]
    generate: Vec<usize>,
    /// Tokens in the context before the test [default: 0; with --html up to 4096]
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', value_parser = whole)]
    depth: Vec<usize>,
    /// How often each test runs [default: 5; with --html: 3]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    repetitions: Option<usize>,
    /// Numbers of threads [default: the performance cores; with --html up to that many]
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', value_parser = threads)]
    threads: Vec<usize>,
    /// How keys are kept [default: f16]
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',', value_parser = cache_type())]
    cache_type_k: Vec<CacheType>,
    /// How values are kept [default: f16]
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',', value_parser = cache_type())]
    cache_type_v: Vec<CacheType>,
    /// Measure what the machine can do at most, and show each result as a share of that
    #[arg(long)]
    roofline: bool,
    /// Write a page with charts: every kernel under its ceiling, speed by depth and by threads
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: MoreEngineArgs,
}

/// One line of the table.
#[derive(Clone, Serialize)]
struct Row {
    model: String,
    threads: usize,
    isa: &'static str,
    test: String,
    depth: usize,
    tok_s: Speeds,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_k: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_v: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    roofline: Option<Roofline>,
    #[serde(skip)]
    generation: bool,
}

/// How near to its ceiling a result is.
#[derive(Clone, Copy, Serialize)]
struct Roofline {
    bound: Option<&'static str>,
    share: Option<f64>,
    stream_gb_s: f64,
    int8_gmac_s: f64,
}

/// Threads for generation (`None`: the default number), depth of context.
type Setting = (Option<usize>, usize);

/// How the cache's keys and values are kept.
type Cache = (Option<CacheType>, Option<CacheType>);

/// The ceilings that were measured, by threads for generation and for prompts.
type Measured = Vec<((usize, usize), Ceilings)>;

/// The tests need more memory than there is.
fn too_large(plan: &MemoryPlan) -> anyhow::Error {
    anyhow::anyhow!(plan.describe(|n| format!("-d plus the larger of -p and -n of at most {n}")))
}

impl Bench {
    /// Runs the tests and prints a table or JSON.
    pub fn run(mut self) -> Result<()> {
        if self.models.is_empty() {
            self.models.push(CATALOGUE[0].name.into());
        }
        if self.generate.is_empty() {
            self.generate
                .push(if self.html.is_some() { 64 } else { 128 });
        }
        if self.tests().is_empty() && self.html.is_none() {
            return Err(usage("nothing is left to measure: -p and -n are both 0"));
        }
        self.engine.check()?;
        let models: Vec<PathBuf> = self
            .models
            .iter()
            .map(|model| source::locate(model))
            .collect::<Result<_>>()?;
        if let Some(file) = &self.html {
            // Better now than after all the measurements.
            whole_file::check(file)?;
        }
        interrupt::install()?;
        let mut measured = Measured::new();
        let mut rows = Vec::new();
        for path in &models {
            let model = Model::open(path, &self.engine.model_options()?)?;
            let name = self.engine.title(path);
            self.model(&name, &model, &mut measured, &mut rows)?;
        }
        if let Some(file) = &self.html {
            let page = page::page(&self, &rows)?;
            whole_file::write(file, |out| out.write_all(page.as_bytes()))?;
            note!("Wrote {}.", file.display());
        }
        if self.json {
            return render::json(&rows);
        }
        self.print(&rows, &measured)
    }

    /// All tests of one model.
    fn model(
        &self,
        name: &str,
        model: &Arc<Model>,
        measured: &mut Measured,
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        let tests = self.tests();
        let longest = tests.iter().map(|test| test.tokens()).max().unwrap_or(0);
        let settings = self.settings(model.trained_context().saturating_sub(longest));
        let deepest = settings.iter().map(|(_, depth)| *depth).max().unwrap_or(0);
        let needed = deepest.saturating_add(longest);
        if needed > model.trained_context() {
            note!(
                "{} was trained for {} positions; these tests go to {needed}.",
                render::safe(name),
                model.trained_context()
            );
        }
        let repetitions = self.repetitions();
        let caches = self.caches();
        let rounds = settings.len() * caches.len() * tests.len() * (repetitions + 1);
        let bar = progress::of_steps(rounds as u64, 0);
        for &(keys, values) in &caches {
            let mut context: Option<(Option<usize>, Context)> = None;
            for &(threads, depth) in &settings {
                let (_, context) = match &mut context {
                    Some(made) if made.0 == threads => made,
                    old => {
                        // One at a time: the caches may be large.
                        *old = None;
                        let options = self.engine.context_options(
                            threads,
                            Some(needed.max(1)),
                            (keys, values),
                        );
                        let made = model.context(&options).map_err(|error| match error {
                            Error::Memory(plan) => too_large(&plan),
                            error => error.into(),
                        })?;
                        old.insert((threads, made))
                    }
                };
                let prompt_threads = self.engine.threads_prompt.unwrap_or(context.threads());
                let ceilings = if self.roofline || self.html.is_some() {
                    bar.set_message("ceilings");
                    Some(self.ceilings(measured, context.threads(), prompt_threads)?)
                } else {
                    None
                };
                for &test in &tests {
                    bar.set_message(format!(
                        "{} {} at depth {depth}",
                        render::safe(name),
                        test.name()
                    ));
                    let mut speeds = Vec::with_capacity(repetitions);
                    for repetition in 0..=repetitions {
                        let speed = measure(context, model.vocab_size(), test, depth)?;
                        // The first one warms up caches and clock.
                        if repetition > 0 {
                            speeds.push(speed);
                        }
                        bar.inc(1);
                    }
                    let tok_s = Speeds::of(speeds);
                    let generation = matches!(test, Test::Generation(_));
                    rows.push(Row {
                        model: name.to_owned(),
                        threads: if generation {
                            context.threads()
                        } else {
                            prompt_threads
                        },
                        isa: context.isa(),
                        test: test.name(),
                        depth,
                        tok_s,
                        cache_k: keys.map(CacheType::name),
                        cache_v: values.map(CacheType::name),
                        roofline: ceilings.map(|c| self.share(model, test, tok_s.median, &c)),
                        generation,
                    });
                }
            }
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn tests(&self) -> Vec<Test> {
        let given = |lengths: &[usize], test: fn(usize) -> Test| -> Vec<Test> {
            lengths
                .iter()
                .filter(|n| **n > 0)
                .map(|n| test(*n))
                .collect()
        };
        [
            given(&self.prompt, Test::Prompt),
            given(&self.generate, Test::Generation),
        ]
        .concat()
    }

    fn repetitions(&self) -> usize {
        let default = if self.html.is_some() { 3 } else { 5 };
        self.repetitions.unwrap_or(default)
    }

    /// Every depth with every number of threads; for the page, unless both are given, one list for each of its charts.
    fn settings(&self, deepest: usize) -> Vec<Setting> {
        let page = self.html.is_some();
        let all_threads = gristmill_kernels::pool::performance_cores();
        let threads: Vec<Option<usize>> = match &self.threads[..] {
            [] if page => (0..)
                .map(|power| 1 << power)
                .take_while(|threads| *threads < all_threads)
                .chain([all_threads])
                .map(Some)
                .collect(),
            [] => vec![None],
            given => given.iter().copied().map(Some).collect(),
        };
        let depths: Vec<usize> = match &self.depth[..] {
            [] if page => [0, 1024, 2048, 4096]
                .into_iter()
                .filter(|depth| *depth == 0 || *depth <= deepest)
                .collect(),
            [] => vec![0],
            given => given.to_vec(),
        };
        let both = !self.threads.is_empty() && !self.depth.is_empty();
        let all = |threads: Option<usize>| depths.iter().map(move |depth| (threads, *depth));
        let most = threads.iter().copied().max().flatten();
        threads
            .iter()
            .flat_map(|&threads| {
                let every = both || !page || threads == most;
                all(threads).take(if every { usize::MAX } else { 1 })
            })
            .collect()
    }

    /// Every way to keep keys with every way to keep values.
    fn caches(&self) -> Vec<Cache> {
        let given = |types: &[CacheType]| -> Vec<Option<CacheType>> {
            match types {
                [] => vec![None],
                types => types.iter().copied().map(Some).collect(),
            }
        };
        let values = given(&self.cache_type_v);
        given(&self.cache_type_k)
            .into_iter()
            .flat_map(|keys| values.iter().map(move |values| (keys, *values)))
            .map(|cache| match cache {
                // Where one is asked for, both are shown.
                (None, None) => cache,
                (keys, values) => (
                    keys.or(Some(CacheType::F16)),
                    values.or(Some(CacheType::F16)),
                ),
            })
            .collect()
    }

    /// A worker team as the tests have it.
    fn compute(&self, threads: usize, threads_prompt: usize) -> Result<Compute> {
        Ok(Compute::new(&ComputeOptions {
            threads: Some(threads),
            threads_prompt: Some(threads_prompt),
            isa: self.engine.isa.clone().filter(|name| !name.is_empty()),
        })?)
    }

    /// The ceilings for a number of threads, measured at the first call.
    fn ceilings(
        &self,
        measured: &mut Measured,
        threads: usize,
        threads_prompt: usize,
    ) -> Result<Ceilings> {
        let key = (threads, threads_prompt);
        if let Some((_, ceilings)) = measured.iter().find(|(threads, _)| *threads == key) {
            return Ok(*ceilings);
        }
        let ceilings = Ceilings::measure(&self.compute(threads, threads_prompt)?);
        measured.push((key, ceilings));
        Ok(ceilings)
    }

    fn share(&self, model: &Model, test: Test, tok_s: f64, ceilings: &Ceilings) -> Roofline {
        let batch = self.engine.context_options(None, None, (None, None)).batch;
        let least = test.least_seconds(ceilings, model.cost(), batch);
        Roofline {
            bound: least.map(|(_, bound)| bound.name()),
            share: least.map(|(seconds, _)| seconds * tok_s / test.tokens() as f64),
            stream_gb_s: ceilings.stream / 1e9,
            int8_gmac_s: ceilings.int8 / 1e9,
        }
    }

    fn print(&self, rows: &[Row], measured: &Measured) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let cache = rows.iter().any(|row| row.cache_k.is_some());
        let mut columns = vec![
            ("model", Align::Left),
            ("isa", Align::Left),
            ("threads", Align::Right),
        ];
        if cache {
            columns.push(("cache k/v", Align::Left));
        }
        columns.extend([
            ("depth", Align::Right),
            ("test", Align::Left),
            ("tokens/s", Align::Right),
            ("min", Align::Right),
            ("max", Align::Right),
        ]);
        if self.roofline {
            columns.extend([("bound by", Align::Left), ("of ceiling", Align::Right)]);
        }
        let mut table = Table::new(&columns);
        for row in rows {
            let mut cells = vec![
                render::safe(&row.model),
                row.isa.to_owned(),
                row.threads.to_string(),
            ];
            if let (Some(keys), Some(values)) = (row.cache_k, row.cache_v) {
                cells.push(format!("{keys}/{values}"));
            }
            cells.extend([
                row.depth.to_string(),
                row.test.clone(),
                format!("{:.1}", row.tok_s.median),
                format!("{:.1}", row.tok_s.min),
                format!("{:.1}", row.tok_s.max),
            ]);
            if let (true, Some(roofline)) = (self.roofline, row.roofline) {
                cells.push(roofline.bound.unwrap_or("floats").to_owned());
                cells.push(match roofline.share {
                    Some(share) => format!("{:.0} %", 100.0 * share),
                    None => "-".to_owned(),
                });
            }
            table.row(cells);
        }
        let mut out = render::output();
        write!(out, "{}", table.plain())?;
        if self.roofline {
            writeln!(out)?;
            for ((threads, prompt), ceilings) in measured {
                writeln!(
                    out,
                    "Ceilings: memory {:.1} GB/s on {threads} thread{}, int8 {:.0} GMAC/s on {prompt}",
                    ceilings.stream / 1e9,
                    if *threads == 1 { "" } else { "s" },
                    ceilings.int8 / 1e9
                )?;
            }
        }
        out.flush()?;
        Ok(())
    }
}
