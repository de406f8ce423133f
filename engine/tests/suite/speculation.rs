//! Speculation without loss: whatever is guessed, the text is that of the plain path, id by id.

mod distribution;
mod drafts;

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{
    CacheType, Context, ContextOptions, Counts, Error, GenerateOptions, Logits, Model,
    SamplerOptions, SpeculationOptions, StopReason,
};
use gristmill_gguf::Gguf;

fn models() -> Vec<(String, Arc<Model>)> {
    let fixtures = Fixture::of_each_kind();
    let load = |f: Fixture| (f.name.clone(), loaded(&f));
    let mut models: Vec<(String, Arc<Model>)> = fixtures.into_iter().map(load).collect();
    let quantized = "llama-dense-Q4_0";
    models.push((quantized.into(), model(quantized)));
    models
}

fn loaded(fixture: &Fixture) -> Arc<Model> {
    Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap()
}

/// A model of testdata, out of a fixture or stored whole.
fn model(name: &str) -> Arc<Model> {
    let file = common::testdata().join(format!("archs/{name}.gguf"));
    if file.is_file() {
        Model::open(file, &Default::default()).unwrap()
    } else {
        loaded(&Fixture::named(name))
    }
}

fn guessing(lookup: bool, draft: Option<&Arc<Model>>, depth: Option<usize>) -> SpeculationOptions {
    SpeculationOptions {
        lookup,
        draft: draft.cloned(),
        depth,
    }
}

struct Outcome {
    ids: Vec<u32>,
    reason: StopReason,
    position: usize,
    counts: Option<Counts>,
}

fn outcome(context: &mut Context, prompt: &[u32], options: &GenerateOptions) -> Outcome {
    let mut generation = context.generate(prompt, options.clone()).unwrap();
    let ids = generation.by_ref().map(|piece| piece.unwrap().id).collect();
    let (reason, counts) = (generation.stop_reason().unwrap(), generation.speculation());
    Outcome {
        ids,
        reason,
        position: context.position(),
        counts,
    }
}

fn options(sampler: SamplerOptions, max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        sampler,
        max_tokens: Some(max_tokens),
        ..Default::default()
    }
}

/// Every sampler at least once, those with a memory of the text above all.
fn samplers() -> Vec<(&'static str, SamplerOptions)> {
    let seeded = |options: SamplerOptions| SamplerOptions {
        seed: Some(7),
        ..options
    };
    let base = SamplerOptions::default;
    vec![
        ("greedy", SamplerOptions::greedy()),
        ("default", seeded(base())),
        (
            "penalties",
            seeded(SamplerOptions {
                repeat_penalty: 1.3,
                frequency_penalty: 0.2,
                presence_penalty: 0.1,
                ..base()
            }),
        ),
        (
            "dry",
            seeded(SamplerOptions {
                dry_multiplier: 0.8,
                dry_allowed_length: 1,
                dry_sequence_breakers: Vec::new(),
                ..base()
            }),
        ),
        (
            "xtc",
            seeded(SamplerOptions {
                xtc_probability: 0.5,
                xtc_threshold: 0.02,
                ..base()
            }),
        ),
        (
            "mirostat",
            seeded(SamplerOptions {
                mirostat: 1,
                ..base()
            }),
        ),
        (
            "mirostat_v2",
            seeded(SamplerOptions {
                mirostat: 2,
                ..base()
            }),
        ),
        (
            "others",
            seeded(SamplerOptions {
                typical_p: 0.9,
                top_n_sigma: 2.0,
                dynamic_temperature_range: 0.5,
                logit_bias: vec![(3, 1.5), (4, f32::NEG_INFINITY)],
                ..base()
            }),
        ),
    ]
}

/// Several turns of a chat: prompts, each after what is shared with the text before.
fn turns(context: &mut Context, options: &GenerateOptions) -> Vec<(usize, Outcome)> {
    let mut text: Vec<u32> = [5, 9, 2, 7, 5, 9, 2, 7, 5, 9].to_vec();
    (0..3)
        .map(|turn| {
            let kept = context.keep_prefix(&text);
            let outcome = outcome(context, &text[kept..], options);
            text.extend(&outcome.ids);
            // The next turn changes the last ids, as a template may.
            let changed = text.len() - [1, 3, 12][turn];
            text.truncate(changed);
            text.extend([11, 5, 9, 2]);
            (kept, outcome)
        })
        .collect()
}

fn assert_same(
    what: &str,
    plain: &mut Context,
    guessing: &mut Context,
    options: &GenerateOptions,
) -> Counts {
    plain.reset();
    guessing.reset();
    let mut counts = Counts::default();
    for ((kept, plain), (its, guessed)) in
        turns(plain, options).iter().zip(turns(guessing, options))
    {
        assert_eq!(plain.ids, guessed.ids, "{what}");
        assert_eq!(
            (*kept, plain.reason, plain.position),
            (its, guessed.reason, guessed.position),
            "{what}"
        );
        assert!(plain.counts.is_none());
        let new = guessed.counts.unwrap();
        counts.proposed += new.proposed;
        counts.accepted += new.accepted;
    }
    assert!(counts.accepted <= counts.proposed, "{what}");
    counts
}

#[test]
fn every_model_gives_the_plain_text() {
    let models = models();
    let other = &models
        .iter()
        .find(|(name, _)| name == "llama-dense-Q4_0")
        .unwrap()
        .1;
    for (name, model) in &models {
        let mut plain = model.context(&common::exact(1)).unwrap();
        let context = |speculation| {
            model
                .context(&ContextOptions {
                    speculation,
                    ..common::exact(2)
                })
                .unwrap()
        };
        let options = options(SamplerOptions::greedy(), 40);
        for depth in [Some(3), Some(15), None] {
            let drafts = match depth {
                Some(15) => [(true, None), (false, Some(model))],
                _ => [(false, Some(other)), (true, Some(model))],
            };
            for (lookup, draft) in drafts {
                let mut context = context(guessing(lookup, draft, depth));
                let what = format!(
                    "{name}, lookup {lookup}, draft {}, {depth:?}",
                    draft.is_some()
                );
                let counts = assert_same(&what, &mut plain, &mut context, &options);
                assert!(depth.is_none() || counts.proposed > 0, "{what}");
            }
        }
    }
}

#[test]
fn a_model_is_its_own_perfect_draft() {
    let model = model("llama-gqa");
    let mut context = model
        .context(&ContextOptions {
            speculation: guessing(false, Some(&model), Some(7)),
            ..common::exact(2)
        })
        .unwrap();
    // One token out of the prompt, then passes that give eight each.
    let outcome = outcome(
        &mut context,
        &[3, 1, 4],
        &options(SamplerOptions::greedy(), 41),
    );
    assert_eq!(
        outcome.counts,
        Some(Counts {
            proposed: 35,
            accepted: 35
        })
    );
    assert_eq!(outcome.position, 3 + 40);
}

#[test]
fn a_real_model_is_its_own_draft() {
    let Some(model) = common::real_model("SmolLM2-135M-Instruct.Q4_1.gguf") else {
        return;
    };
    let text = "The mill stood at the river, and its wheel";
    let ids = model.tokenizer().unwrap().encode(text, true, false);
    let outcome = |speculation| {
        let mut context = model
            .context(&ContextOptions {
                context_length: Some(256),
                threads: Some(2),
                speculation,
                ..Default::default()
            })
            .unwrap();
        outcome(&mut context, &ids, &options(SamplerOptions::greedy(), 48))
    };
    let plain = outcome(SpeculationOptions::default());
    for depth in [Some(1), Some(5), Some(15), None] {
        let guessed = outcome(guessing(false, Some(&model), depth));
        assert_eq!(plain.ids, guessed.ids, "{depth:?}");
        let Counts { proposed, accepted } = guessed.counts.unwrap();
        // The two read the same bits, so the guesses are what comes.
        assert_eq!(proposed, accepted, "{depth:?}");
        assert!(depth.is_none() || proposed >= 20, "{depth:?}: {proposed}");
    }
}

#[test]
fn every_sampler_gives_the_plain_text() {
    for name in ["gemma3-1b", "llama-dense-Q4_0", "llama-moe"] {
        let model = model(name);
        let mut plain = model.context(&common::exact(1)).unwrap();
        let mut lookup = model
            .context(&ContextOptions {
                speculation: guessing(true, None, Some(6)),
                ..common::exact(1)
            })
            .unwrap();
        let mut draft = model
            .context(&ContextOptions {
                speculation: guessing(false, Some(&model), Some(3)),
                ..common::exact(1)
            })
            .unwrap();
        for (sampler, sampling) in samplers() {
            let options = options(sampling, 60);
            for context in [&mut lookup, &mut draft] {
                let counts =
                    assert_same(&format!("{name}, {sampler}"), &mut plain, context, &options);
                assert!(counts.proposed > 0, "{name}, {sampler}");
            }
        }
    }
}

#[test]
fn every_cache_takes_guesses_back() {
    use CacheType::{F16, F32, Q8_0};
    // Windows of a few tokens, and rings that are hardly longer: the text goes round them many times.
    for (name, keys, values) in [
        ("gemma3-1b", F32, F32),
        ("gemma3-1b", F16, F16),
        ("gemma3-gqa", F16, F32),
        ("llama-dense", F32, F16),
        ("llama-dense-Q4_0", Q8_0, Q8_0),
        ("llama-dense", F16, Q8_0),
    ] {
        let model = model(name);
        for batch in [1, 2, 5, 16, 512] {
            let cache = |speculation| ContextOptions {
                batch,
                cache_keys: keys,
                cache_values: values,
                speculation,
                ..common::exact(2)
            };
            let mut plain = model.context(&cache(Default::default())).unwrap();
            let mut context = model
                .context(&cache(guessing(true, Some(&model), Some(15))))
                .unwrap();
            let what = format!("{name}, {keys} {values}, batch {batch}");
            let counts = assert_same(
                &what,
                &mut plain,
                &mut context,
                &options(SamplerOptions::greedy(), 70),
            );
            assert_eq!(counts.proposed > 0, batch > 1, "{what}");
        }
    }
}

#[test]
fn ends_are_those_of_the_plain_path() {
    let model = model("gemma3-1b");
    let context = |length, speculation| {
        let options = ContextOptions {
            context_length: Some(length),
            speculation,
            ..common::exact(1)
        };
        model.context(&options).unwrap()
    };
    let own = guessing(false, Some(&model), Some(6));
    for length in 11..40 {
        let (mut plain, mut guessed) = (
            context(length, Default::default()),
            context(length, own.clone()),
        );
        let all = options(SamplerOptions::greedy(), 1000);
        let (a, b) = (
            outcome(&mut plain, &[1; 10], &all),
            outcome(&mut guessed, &[1; 10], &all),
        );
        assert_eq!(
            (&a.ids, a.reason, a.position),
            (&b.ids, b.reason, b.position)
        );
        assert_eq!(
            (b.ids.len(), b.reason),
            (length - 9, StopReason::ContextFull)
        );
    }
    for tokens in 0..20 {
        let some = options(SamplerOptions::greedy(), tokens);
        let (mut plain, mut guessed) = (context(40, Default::default()), context(40, own.clone()));
        let (a, b) = (
            outcome(&mut plain, &[1; 10], &some),
            outcome(&mut guessed, &[1; 10], &some),
        );
        assert_eq!(
            (&a.ids, a.reason, a.position),
            (&b.ids, b.reason, b.position)
        );
    }
    // A stop inside of a run of guesses, and a generation that is let go of there.
    for after in 1..12 {
        let mut seen = Vec::new();
        for speculation in [SpeculationOptions::default(), own.clone()] {
            let mut context = context(100, speculation);
            let stop = context.stop_handle();
            let mut generation = context
                .generate(&[1; 10], options(SamplerOptions::greedy(), 50))
                .unwrap();
            let mut ids = Vec::new();
            for piece in generation.by_ref() {
                ids.push(piece.unwrap().id);
                if ids.len() == after {
                    stop.stop();
                }
            }
            assert_eq!(generation.stop_reason(), Some(StopReason::Interrupt));
            drop(generation);
            let (position, tokens) = (context.position(), context.tokens().to_vec());
            let mut generation = context
                .generate(&[2, 3], options(SamplerOptions::greedy(), 50))
                .unwrap();
            ids.extend(
                generation
                    .by_ref()
                    .take(after)
                    .map(|piece| piece.unwrap().id),
            );
            drop(generation);
            assert_eq!(context.position(), position + 2 + after - 1);
            let next = context.feed(&[4], Logits::Last).unwrap().to_vec();
            seen.push((ids, position, tokens, context.tokens().to_vec(), next));
        }
        assert!(seen[0] == seen[1], "after {after}");
    }
}

#[test]
fn a_pass_with_guesses_has_the_bits_of_single_passes() {
    let mut checked: Vec<(String, Arc<Model>, Vec<u32>)> = Vec::new();
    for (name, model) in models() {
        checked.push((name, model, (0..16).map(|i| (i * 37 + 11) % 128).collect()));
    }
    for file in [
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "gemma-3-270m-q4_k_m.gguf",
    ] {
        if let Some(model) = common::real_model(file) {
            let text = "fn main() { println!(\"{}\", 1 + 2 + 3 + 4 + 5); }";
            let ids = model.tokenizer().unwrap().encode(text, true, false);
            checked.push((file.into(), model, ids[..16].to_vec()));
        }
    }
    for (name, model, ids) in checked {
        for threads in [1, 2] {
            let mut context = model
                .context(&ContextOptions {
                    cache_keys: CacheType::F16,
                    cache_values: CacheType::F16,
                    ..common::exact(threads)
                })
                .unwrap();
            let vocab = model.vocab_size();
            let long = vec![ids[0]; 40];
            for past in [&ids[..1], &long] {
                context.reset();
                context.feed(past, Logits::None).unwrap();
                let single: Vec<f32> = ids
                    .iter()
                    .flat_map(|&id| context.feed(&[id], Logits::Last).unwrap().to_vec())
                    .collect();
                for n in [2, 3, 4, 7, 9, 16] {
                    context.truncate(past.len()).unwrap();
                    let together = context.feed(&ids[..n], Logits::All).unwrap();
                    assert!(
                        together == &single[..n * vocab],
                        "{name}, {n} tokens, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn a_text_that_was_guessed_leaves_the_bits_of_one_that_was_read() {
    let mut wrong = Vec::new();
    for (name, kind) in [
        ("gemma3-1b", "Q8_0"),
        ("gemma3-dense", "Q4_K"),
        ("llama-dense", "IQ4_XS"),
        ("llama-mixtral", "Q4_1"),
        ("llama-gqa", "F16"),
        ("lfm2-real", "F16"),
        ("qwen35-real", "Q8_0"),
    ] {
        let fixture = Fixture::named(name);
        let kind = common::tensor_type(kind);
        let model = common::quantized(&fixture.expand(), |_| kind).unwrap();
        let context = |speculation| {
            model
                .context(&ContextOptions {
                    context_length: Some(400),
                    cache_keys: CacheType::F16,
                    cache_values: CacheType::F16,
                    speculation,
                    ..common::exact(2)
                })
                .unwrap()
        };
        let mut plain = context(SpeculationOptions::default());
        let greedy = options(SamplerOptions::greedy(), 80);
        for length in [3, 16, 17, 90] {
            let prompt: Vec<u32> = (0..length).map(|i| (i % 30 * 37 + 5) % 128).collect();
            plain.reset();
            let expected = outcome(&mut plain, &prompt, &greedy);
            let text = [&prompt[..], &expected.ids].concat();
            let last = &text[plain.position()..];
            assert_eq!(last.len(), 1, "{name}, {length} ids");
            let generated = plain.feed(last, Logits::Last).unwrap().to_vec();
            // The same text, read all at once.
            plain.reset();
            let read = plain.feed(&text, Logits::Last).unwrap().to_vec();
            for (lookup, draft, depth) in [
                (true, None, Some(15)),
                (true, None, None),
                (false, Some(&model), Some(7)),
                (true, Some(&model), Some(3)),
            ] {
                let what = format!(
                    "{name} as {kind:?}, {length} ids, lookup {lookup}, draft {}, {depth:?}",
                    draft.is_some()
                );
                let mut guessed = context(guessing(lookup, draft, depth));
                let ours = outcome(&mut guessed, &prompt, &greedy);
                assert_eq!(ours.ids, expected.ids, "{what}");
                assert_eq!(guessed.position() + 1, text.len(), "{what}");
                let row = guessed.feed(last, Logits::Last).unwrap();
                let bits = |row: &[f32]| row.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
                assert!(bits(row) == bits(&generated), "{what}: not the plain bits");
                if bits(row) != bits(&read) {
                    wrong.push(what);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
