//! From measurements to the page: facts, the walk over all kernels, and the charts by depth and by threads.

use super::chart::Chart;
use super::report::{Report, html};
use super::{Bench, Row, kernels};
use crate::progress;
use anyhow::Result;
use gristmill_kernels::pool::Topology;
use gristmill_kernels::{Ceilings, ceilings, cpu};

/// Measures what the rows don't say, and draws the page.
pub fn page(bench: &Bench, rows: &[Row]) -> Result<String> {
    let topology = Topology::detect();
    let threads = bench.threads.iter().copied().max();
    let threads = threads.unwrap_or_else(|| topology.threads());
    let prompt = bench.engine.threads_prompt.unwrap_or(threads);
    let mut compute = bench.compute(threads, prompt)?;
    let steps = kernels::types().count() + kernels::CACHES.len();
    let bar = progress::of_steps(steps as u64, 0);
    let (mut measured, mut bytes) = (Vec::new(), Vec::new());
    // A shared machine drifts, so the ceilings are measured now and then.
    let mut all = vec![Ceilings::measure(&compute)];
    for (index, quant) in kernels::types().enumerate() {
        bar.set_message(quant.name().to_lowercase());
        measured.extend(kernels::measure(&mut compute, quant, &mut bytes)?);
        if index % 6 == 5 {
            all.push(Ceilings::measure(&compute));
        }
        bar.inc(1);
    }
    for cache in kernels::CACHES {
        bar.set_message(format!("attention, {cache}"));
        measured.extend(kernels::attention(&mut compute, cache)?);
        bar.inc(1);
    }
    let floats = ceilings::floats(&compute);
    all.push(Ceilings::measure(&compute));
    bar.finish_and_clear();
    let mut streams: Vec<f64> = all.iter().map(|c| c.stream).collect();
    streams.sort_by(f64::total_cmp);
    let ceilings = Ceilings {
        stream: streams[streams.len() / 2],
        int8: all.iter().map(|c| c.int8).fold(0.0, f64::max),
    };
    let mut models: Vec<&str> = rows.iter().map(|row| row.model.as_str()).collect();
    models.dedup();
    let fact = |label: &str, value: String| (label.to_owned(), value);
    let facts = vec![
        fact("Processor", cpu::model_name()),
        fact("Cores", topology.describe().0),
        fact("Instruction set", compute.isa().name().to_owned()),
        fact(
            "Threads",
            if prompt == threads {
                threads.to_string()
            } else {
                format!("{threads} for generation, {prompt} for prompts")
            },
        ),
        fact(
            "Ceilings",
            format!(
                "memory {:.1} GB/s, int8 {:.0} GMAC/s (10⁹ multiply-adds a second), floats {:.0} GMAC/s",
                ceilings.stream / 1e9,
                ceilings.int8 / 1e9,
                floats / 1e9
            ),
        ),
        fact("Models", models.join(", ")),
        fact("Version", format!("gristmill {}", crate::version::line())),
    ];
    Ok(html(&Report {
        facts,
        stream_gb_s: ceilings.stream / 1e9,
        int8_gmac_s: ceilings.int8 / 1e9,
        floats_gmac_s: floats / 1e9,
        kernels: measured,
        charts: charts(rows),
    }))
}

/// For each test, speed by depth and by threads, where there is more than one of them.
fn charts(rows: &[Row]) -> Vec<Chart> {
    let mut tests: Vec<(&str, bool)> = Vec::new();
    for row in rows {
        if !tests.iter().any(|(test, _)| *test == row.test) {
            tests.push((&row.test, row.generation));
        }
    }
    // Generation first: it is what people feel.
    tests.sort_by_key(|(_, generation)| !generation);
    let least_depth = rows.iter().map(|row| row.depth).min().unwrap_or(0);
    let mut charts = Vec::new();
    for by_depth in [true, false] {
        for (test, generation) in &tests {
            let of_test = || rows.iter().filter(|row| row.test == *test);
            // With --threads-prompt these are others for prompts.
            let most_threads = of_test().map(|row| row.threads).max().unwrap_or(0);
            let what = if *generation { "Generation" } else { "Prompt" };
            let tokens = test.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let title = if by_depth {
                format!("{what} of {tokens} tokens, by depth of context")
            } else {
                format!("{what} of {tokens} tokens, by threads")
            };
            let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
            for row in of_test() {
                let chosen = if by_depth {
                    row.threads == most_threads
                } else {
                    row.depth == least_depth
                };
                if !chosen {
                    continue;
                }
                let name = match (row.cache_k, row.cache_v) {
                    (Some(keys), Some(values)) => format!("{}, cache {keys}/{values}", row.model),
                    _ => row.model.clone(),
                };
                let x = if by_depth { row.depth } else { row.threads };
                let point = (x as f64, row.tok_s.median);
                match lines.iter_mut().find(|(line, _)| *line == name) {
                    Some((_, points)) => points.push(point),
                    None => lines.push((name, vec![point])),
                }
            }
            for (_, points) in &mut lines {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                // Prompts with threads of their own are measured again for each number of threads for generation.
                points.dedup_by_key(|point| point.0);
            }
            if lines.iter().any(|(_, points)| points.len() > 1) {
                charts.push(Chart {
                    title,
                    x_label: if by_depth {
                        "tokens in the context before"
                    } else {
                        "threads"
                    }
                    .to_owned(),
                    y_label: "tokens per second".to_owned(),
                    lines,
                });
            }
        }
    }
    charts
}

#[cfg(test)]
mod tests {
    use super::super::measure::Speeds;
    use super::*;

    fn row(test: &str, threads: usize, depth: usize, speed: f64) -> Row {
        Row {
            model: "m".to_owned(),
            threads,
            isa: "scalar",
            test: test.to_owned(),
            depth,
            tok_s: Speeds::of(vec![speed]),
            cache_k: None,
            cache_v: None,
            roofline: None,
            generation: test.starts_with("tg"),
        }
    }

    #[test]
    fn charts_take_the_rows_they_are_about() {
        let rows = [
            row("pp8", 1, 0, 10.0),
            row("tg4", 1, 0, 1.0),
            row("pp8", 2, 0, 19.0),
            row("tg4", 2, 0, 1.8),
            row("tg4", 2, 64, 1.5),
        ];
        let charts = charts(&rows);
        let found: Vec<_> = charts
            .iter()
            .map(|c| (c.title.as_str(), c.lines[0].1.clone()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    "Generation of 4 tokens, by depth of context",
                    vec![(0.0, 1.8), (64.0, 1.5)]
                ),
                (
                    "Generation of 4 tokens, by threads",
                    vec![(1.0, 1.0), (2.0, 1.8)]
                ),
                (
                    "Prompt of 8 tokens, by threads",
                    vec![(1.0, 10.0), (2.0, 19.0)]
                ),
            ]
        );
    }

    #[test]
    fn prompts_with_threads_of_their_own_have_a_chart_by_depth_alone() {
        let rows = [
            row("pp8", 1, 0, 10.0),
            row("tg4", 1, 0, 1.0),
            row("pp8", 1, 0, 11.0),
            row("tg4", 2, 0, 1.8),
            row("pp8", 1, 64, 9.0),
            row("tg4", 2, 64, 1.5),
        ];
        let found: Vec<_> = charts(&rows).into_iter().map(|c| c.title).collect();
        assert_eq!(
            found,
            [
                "Generation of 4 tokens, by depth of context",
                "Prompt of 8 tokens, by depth of context",
                "Generation of 4 tokens, by threads",
            ]
        );
    }
}
