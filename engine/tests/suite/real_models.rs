//! Real models against the reference's greedy generations and perplexities, in `testdata`. Needs the models in the cache
//! folder (`gristmill pull`); says what it skips.

use crate::{common, company};
use gristmill_engine::eval::perplexity::{Options, Perplexity, State};
use gristmill_engine::{CacheType, ContextOptions, Logits, Model};
use std::fs;
use std::sync::Arc;

const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const GEMMA3: &str = "gemma-3-270m-q4_k_m.gguf";

fn reference(folder: &str) -> serde_json::Value {
    let path = common::testdata().join(folder).join("reference.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn ids(value: &serde_json::Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap() as u32)
        .collect()
}

fn argmax(row: &[f32]) -> u32 {
    (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32
}

/// Teacher-forced: the reference's ids go in, and ours must agree wherever the reference was sure.
fn generations_agree(file: &str, sure_gap: f64) {
    let reference = reference("generation");
    let Some(model) = common::real_model(file) else {
        return;
    };
    let (mut steps, mut equal, mut worst) = (0, 0, 0.0_f64);
    for run in reference["runs"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r["model"] == file)
    {
        let (prompt, generated) = (ids(&run["prompt_ids"]), ids(&run["ids"]));
        let options = ContextOptions {
            context_length: Some(512),
            threads: Some(2),
            ..Default::default()
        };
        let mut context = model.context(&options).unwrap();
        let mut ours = vec![argmax(context.feed(&prompt, Logits::Last).unwrap())];
        // One token at a time, as generation does; the last one is not fed.
        for &id in &generated[..generated.len() - 1] {
            ours.push(argmax(context.feed(&[id], Logits::Last).unwrap()));
        }
        for (step, (ours, id)) in ours.iter().zip(&generated).enumerate() {
            let gap = run["top2_gap"][step].as_f64().unwrap();
            steps += 1;
            if ours == id {
                equal += 1;
            } else {
                worst = worst.max(gap);
                assert!(
                    gap < sure_gap,
                    "{file}, '{}', step {step}: {ours} for {id}, gap {gap}",
                    run["prompt"]
                );
            }
        }
    }
    println!("{file}: {equal} of {steps} steps equal, largest gap of the others {worst}");
    assert!(
        steps > 0 && f64::from(equal) >= 0.95 * f64::from(steps),
        "{file}: {equal} of {steps}"
    );
}

#[test]
fn smollm2_generates_what_the_reference_does() {
    generations_agree(SMOLLM2, 0.4);
}

#[test]
fn gemma3_generates_what_the_reference_does() {
    generations_agree(GEMMA3, 1.2);
}

/// As one of three sequences in shared passes, and alone.
#[test]
fn company_changes_no_bit() {
    for file in [SMOLLM2, GEMMA3] {
        let Some(model) = common::real_model(file) else {
            continue;
        };
        let tokens = &corpus(&model)[..80];
        let mut context = context_for(&model);
        let alone = context.feed(tokens, Logits::All).unwrap();
        let options = ContextOptions {
            context_length: Some(512),
            threads: Some(2),
            ..Default::default()
        };
        let shared = company::logits_in_company(&model, tokens, &options);
        assert!(common::same_bits(&shared, alone), "{file}");
        println!("{file}: {} tokens have the same logits", tokens.len());
    }
}

fn corpus(model: &Model) -> Vec<u32> {
    let text = fs::read_to_string(common::testdata().join("perplexity/corpus.txt")).unwrap();
    let tokenizer = model.tokenizer().unwrap();
    tokenizer.encode(text.strip_suffix('\n').unwrap_or(&text), true, false)
}

fn context_for(model: &Arc<Model>) -> gristmill_engine::Context {
    context_with(model, CacheType::F16)
}

fn context_with(model: &Arc<Model>, cache: CacheType) -> gristmill_engine::Context {
    model
        .context(&ContextOptions {
            context_length: Some(512),
            threads: Some(2),
            cache_keys: cache,
            cache_values: cache,
            ..Default::default()
        })
        .unwrap()
}

/// The first chunks; all 20 with `GRISTMILL_CHUNKS=20`, which takes a release build. `ours` is what the kernels' one
/// order of sums gives for all of them, on AVX2 and AVX-512 alike: faster ones must not be paid for with it.
fn perplexity_agrees(file: &str, ours: f64) {
    let reference = reference("perplexity");
    let Some(model) = common::real_model(file) else {
        return;
    };
    let tokens = corpus(&model);
    let runs = reference["runs"].as_array().unwrap();
    let expected = &runs.iter().find(|r| r["model"] == file).unwrap();
    let chunks = std::env::var("GRISTMILL_CHUNKS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(2);
    let mut context = context_for(&model);
    let options = Options {
        n_ctx: 512,
        chunks: Some(chunks),
    };
    let (mut last, mut exact) = (0.0, 0.0);
    for chunk in Perplexity::new(&mut context, tokens.clone(), options, None).unwrap() {
        let chunk = chunk.unwrap();
        exact = chunk.cumulative;
        let expected = expected["cumulative_ppl"][chunk.index].as_f64().unwrap();
        last = chunk.cumulative / expected - 1.0;
        println!(
            "{file} [{}] {:.4} ({:+.2} %)",
            chunk.index + 1,
            chunk.cumulative,
            100.0 * last
        );
        assert!(
            last.abs() < 0.02,
            "{file} chunk {}: {} for {expected}",
            chunk.index,
            chunk.cumulative
        );
    }
    if chunks == 20 {
        assert!(last.abs() < 0.005, "{file}: {last}");
        assert!((exact / ours - 1.0).abs() < 0.001, "{file}: {exact}");
    }

    // A cache of 8 bits costs nothing that a whole text shows: adding up the norms in another order moves a perplexity by
    // 0.12 % as well.
    let mut context = context_with(&model, CacheType::Q8_0);
    let mut run = Perplexity::new(&mut context, tokens, options, None).unwrap();
    assert!(run.by_ref().all(|chunk| chunk.is_ok()));
    let loss = run.state().perplexity() / exact - 1.0;
    println!("{file} with a q8_0 cache {:+.3} %", 100.0 * loss);
    assert!(
        loss.abs() < if chunks == 20 { 0.0025 } else { 0.005 },
        "{file}: {loss}"
    );
}

#[test]
fn smollm2_has_the_reference_perplexity() {
    perplexity_agrees(SMOLLM2, 37.1254);
}

#[test]
fn gemma3_has_the_reference_perplexity() {
    perplexity_agrees(GEMMA3, 29.6608);
}

#[test]
fn an_interrupted_evaluation_goes_on_where_it_was() {
    let Some(model) = common::real_model(SMOLLM2) else {
        return;
    };
    let tokens = corpus(&model);
    let options = Options {
        n_ctx: 64,
        chunks: Some(4),
    };
    let mut context = context_for(&model);
    let whole: Vec<_> = Perplexity::new(&mut context, tokens.clone(), options, None)
        .unwrap()
        .flatten()
        .collect();
    let mut first = Perplexity::new(&mut context, tokens.clone(), options, None).unwrap();
    first.by_ref().take(2).for_each(drop);
    let saved = serde_json::to_string(first.state()).unwrap();
    let state: State = serde_json::from_str(&saved).unwrap();
    let rest: Vec<_> = Perplexity::new(&mut context, tokens.clone(), options, Some(state.clone()))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(rest, whole[2..]);
    // Another text is refused.
    assert!(Perplexity::new(&mut context, tokens[1..].to_vec(), options, Some(state)).is_err());
}

#[test]
fn generation_stops_for_every_reason() {
    use gristmill_engine::{GenerateOptions, StopReason};
    let Some(model) = common::real_model(SMOLLM2) else {
        return;
    };
    let tokenizer = model.tokenizer().unwrap();
    let prompt = tokenizer.encode("The capital of France is", true, false);
    let mut context = model
        .context(&ContextOptions {
            context_length: Some(40),
            ..Default::default()
        })
        .unwrap();
    let mut run = |options: GenerateOptions, stop_after: Option<usize>| {
        context.reset();
        let handle = context.stop_handle();
        let mut generation = context.generate(&prompt, options).unwrap();
        let (mut text, mut count) = (String::new(), 0);
        for piece in generation.by_ref() {
            text += &piece.unwrap().text;
            count += 1;
            if Some(count) == stop_after {
                handle.stop();
            }
        }
        assert_eq!(generation.timings().generated_tokens, count);
        assert_eq!(generation.timings().prompt_tokens, prompt.len());
        (text, count, generation.stop_reason().unwrap())
    };
    let greedy = GenerateOptions {
        sampler: gristmill_engine::SamplerOptions::greedy(),
        ..Default::default()
    };
    let (text, count, reason) = run(
        GenerateOptions {
            max_tokens: Some(12),
            ..greedy.clone()
        },
        None,
    );
    assert_eq!((count, reason), (12, StopReason::Length));
    assert!(text.contains("Paris"), "{text}");
    let (cut, _, reason) = run(
        GenerateOptions {
            stop: vec!["Paris".into()],
            ..greedy.clone()
        },
        None,
    );
    assert_eq!(reason, StopReason::String);
    assert!(text.starts_with(&cut) && !cut.contains("Paris"), "{cut}");
    let (_, count, reason) = run(
        GenerateOptions {
            ignore_end: true,
            ..greedy.clone()
        },
        None,
    );
    assert_eq!(
        (count, reason),
        (40 - prompt.len() + 1, StopReason::ContextFull)
    );
    let (_, count, reason) = run(
        GenerateOptions {
            ignore_end: true,
            ..greedy
        },
        Some(3),
    );
    assert_eq!((count, reason), (4, StopReason::Interrupt));
}
