//! The same bits however ids are fed: one by one, a few at a time, or a whole prompt in one pass. What is asked for
//! (every token's logits, the last one's, a perplexity) makes no difference either.

use std::sync::Arc;

use crate::common::{self, Fixture};
use crate::lora;
use gristmill_engine::eval::perplexity::{Options, Perplexity};
use gristmill_engine::{CacheType, Context, ContextOptions, Logits, Model};
use gristmill_gguf::Gguf;

/// Types that real files mix: floats, with and without mins, in groups of 16 and 32, in blocks of 32 and 256.
const KINDS: &[&str] = &["F16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS"];

/// How ids are cut up: these lengths in turn.
const WAYS: &[&[usize]] = &[
    &[2],
    &[5],
    &[16],
    &[17],
    &[33],
    &[64],
    &[199],
    &[512],
    &[1, 40, 3, 16, 17, 100, 2, 64, 31],
];

/// The fixtures of these names, or without any those of every kind.
fn fixtures(names: &[&str]) -> Vec<Fixture> {
    if names.is_empty() {
        return Fixture::of_each_kind();
    }
    names.iter().map(|name| Fixture::named(name)).collect()
}

/// A fixture's weights as they are, as these types, and with adapters.
fn models(fixture: &Fixture, kinds: &[&str]) -> Vec<(String, Arc<Model>)> {
    let bytes = fixture.expand();
    let mut models = common::quantized_as(fixture, &bytes, kinds);
    let adapted = lora::adapted(&bytes, common::tensor_type(kinds[0]));
    models.push((format!("{} with adapters", fixture.name), adapted));
    let plain = Model::from_gguf(Gguf::from_bytes(bytes).unwrap()).unwrap();
    models.push((fixture.name.clone(), plain));
    models
}

/// A model of one fixture and one type.
fn model(fixture: &str, kind: &str) -> Arc<Model> {
    let bytes = fixtures(&[fixture])[0].expand();
    common::quantized(&bytes, |_| common::tensor_type(kind)).unwrap()
}

/// Ids without a pattern; the fixtures know 128.
fn ids(count: usize) -> Vec<u32> {
    let mut state = 1u32;
    let mut next = || {
        // A linear congruential generator; its upper bits are the good ones.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 25
    };
    (0..count).map(|_| next()).collect()
}

/// Room for 600 tokens, which one pass may take.
fn options() -> ContextOptions {
    ContextOptions {
        context_length: Some(640),
        batch: 600,
        cache_keys: CacheType::F16,
        cache_values: CacheType::F16,
        ..common::exact(2)
    }
}

/// Logits of all ids, fed in pieces of these lengths in turn.
fn logits(context: &mut Context, ids: &[u32], lengths: &[usize]) -> Vec<f32> {
    context.reset();
    let (mut all, mut rest) = (Vec::new(), ids);
    for &length in lengths.iter().cycle() {
        let (piece, later) = rest.split_at(length.min(rest.len()));
        all.extend_from_slice(context.feed(piece, Logits::All).unwrap());
        if later.is_empty() {
            break;
        }
        rest = later;
    }
    assert!(all.iter().all(|l| l.is_finite()));
    all
}

/// What differs, over all cases of a test: each is told, not the first one alone.
#[derive(Default)]
struct Verdict {
    cases: usize,
    wrong: Vec<String>,
}

impl Verdict {
    /// Compares rows of logits bit by bit.
    fn compare(&mut self, ours: &[f32], single: &[f32], vocab: usize, case: impl Fn() -> String) {
        assert_eq!(ours.len(), single.len(), "{}", case());
        self.cases += 1;
        let differ = |(a, b): (&[f32], &[f32])| {
            let bits = |row: &[f32]| row.iter().map(|l| l.to_bits()).collect::<Vec<_>>();
            bits(a) != bits(b)
        };
        let rows = || ours.chunks(vocab).zip(single.chunks(vocab));
        if let Some(first) = rows().position(differ) {
            self.wrong.push(format!(
                "{}: {} of {} rows, the first is {first}; NMSE {:.1e}",
                case(),
                rows().filter(|&pair| differ(pair)).count(),
                rows().count(),
                common::nmse(ours, single)
            ));
        }
    }

    /// Panics if anything differed.
    fn tell(self, least: usize) {
        assert!(self.cases >= least, "{} cases", self.cases);
        assert!(
            self.wrong.is_empty(),
            "{} of {} cases differ from single tokens:\n{}",
            self.wrong.len(),
            self.cases,
            self.wrong.join("\n")
        );
    }
}

#[test]
fn logits_do_not_depend_on_pieces() {
    let (ids, mut verdict) = (ids(200), Verdict::default());
    for fixture in fixtures(&[]) {
        for (name, model) in models(&fixture, KINDS) {
            let mut context = model.context(&options()).unwrap();
            let single = logits(&mut context, &ids, &[1]);
            for lengths in WAYS {
                let ours = logits(&mut context, &ids, lengths);
                verdict.compare(&ours, &single, model.vocab_size(), || {
                    format!("{name}, pieces of {lengths:?}")
                });
            }
        }
    }
    verdict.tell(500);
}

#[test]
fn logits_do_not_depend_on_pieces_on_any_instruction_set() {
    let (ids, mut verdict) = (ids(70), Verdict::default());
    for fixture in fixtures(&[
        "llama-dense",
        "llama-mixtral",
        "gemma3-dense",
        "gemma3-gqa",
        // Of these, types by turns.
        "gemma3-1b",
        "gpt-oss-full",
        "lfm2-real",
        "rwkv7",
    ]) {
        for (name, model) in models(&fixture, KINDS) {
            for isa in gristmill_kernels::cpu::available() {
                let mut context = model
                    .context(&ContextOptions {
                        isa: Some(isa.name().into()),
                        ..options()
                    })
                    .unwrap();
                assert_eq!(context.isa(), isa.name());
                let single = logits(&mut context, &ids, &[1]);
                for lengths in [&[16][..], &[17], &[70], &[3, 16, 33, 1, 20]] {
                    let ours = logits(&mut context, &ids, lengths);
                    verdict.compare(&ours, &single, model.vocab_size(), || {
                        format!("{name}, {}, pieces of {lengths:?}", isa.name())
                    });
                }
            }
        }
    }
    verdict.tell(70);
}

#[test]
fn logits_do_not_depend_on_pieces_with_any_cache() {
    use CacheType::{F16, F32, Q8_0};
    // Windows of 12 and 32 tokens, which 600 go round many times, and no window.
    let (ids, mut verdict) = (ids(600), Verdict::default());
    for (fixture, kind) in [
        ("gemma3-1b", "Q8_0"),
        ("gemma3-dense", "Q4_K"),
        ("llama-dense", "F16"),
        ("llama-headdim", "Q4_1"),
    ] {
        let model = model(fixture, kind);
        for (keys, values) in [
            (F16, F16),
            (F32, F32),
            (Q8_0, Q8_0),
            (F32, Q8_0),
            (Q8_0, F16),
        ] {
            let cached = |batch| ContextOptions {
                batch,
                cache_keys: keys,
                cache_values: values,
                ..options()
            };
            let mut context = model.context(&cached(600)).unwrap();
            let single = logits(&mut context, &ids, &[1]);
            for lengths in [
                &[17][..],
                &[64],
                &[512],
                &[600],
                &[1, 40, 3, 16, 17, 300, 2],
            ] {
                let ours = logits(&mut context, &ids, lengths);
                verdict.compare(&ours, &single, model.vocab_size(), || {
                    format!("{fixture} as {kind}, {keys} and {values}, pieces of {lengths:?}")
                });
            }
            // Cut up by the context itself; its rings are as long as its batches ask for.
            for batch in [1, 5, 16, 17, 199] {
                let mut context = model.context(&cached(batch)).unwrap();
                let ours = logits(&mut context, &ids, &[600]);
                verdict.compare(&ours, &single, model.vocab_size(), || {
                    format!("{fixture} as {kind}, {keys} and {values}, batch {batch}")
                });
            }
        }
    }
    verdict.tell(200);
}

#[test]
fn logits_do_not_depend_on_the_length_of_the_pass() {
    let (ids, mut verdict) = (ids(600), Verdict::default());
    for (fixture, kind) in [
        ("gemma3-gqa", "Q8_0"),
        // Last layers that need not run for rows that nobody asked for; streams beside the residual one.
        ("gemma3n", "F16"),
        ("gemma4-e2b", "F16"),
        ("llama-mixtral", "Q4_1"),
        ("llama-dense", "Q6_K"),
        ("llama-bias", "F16"),
    ] {
        let model = model(fixture, kind);
        let mut context = model.context(&options()).unwrap();
        let vocab = model.vocab_size();
        let single = logits(&mut context, &ids, &[1]);
        let lengths = (1..=70).chain([127, 128, 129, 199, 255, 256, 257, 511, 512, 513, 599, 600]);
        for length in lengths {
            for want in [Logits::All, Logits::Last] {
                context.reset();
                let ours = context.feed(&ids[..length], want).unwrap();
                let end = length * vocab;
                verdict.compare(ours, &single[end - ours.len()..end], vocab, || {
                    format!("{fixture} as {kind}, {length} at once, {want:?}")
                });
            }
            // What nobody asked for is in the cache all the same.
            context.reset();
            context.feed(&ids[..length - 1], Logits::None).unwrap();
            let ours = context.feed(&ids[length - 1..length], Logits::Last);
            let row = &single[(length - 1) * vocab..][..vocab];
            verdict.compare(ours.unwrap(), row, vocab, || {
                format!("{fixture} as {kind}, one after {}", length - 1)
            });
        }
    }
    verdict.tell(900);
}

#[test]
fn perplexity_does_not_depend_on_the_batch() {
    let tokens = ids(600);
    let mut wrong = Vec::new();
    for (fixture, kind) in [("gemma3-1b", "Q4_0"), ("llama-moe", "Q4_K")] {
        let model = model(fixture, kind);
        let state = |batch| {
            let options = ContextOptions { batch, ..options() };
            let mut context = model.context(&options).unwrap();
            let window = Options {
                n_ctx: 200,
                chunks: None,
            };
            let mut windows = Perplexity::new(&mut context, tokens.clone(), window, None).unwrap();
            assert_eq!(windows.by_ref().map(Result::unwrap).count(), 3);
            windows.state().clone()
        };
        let single = state(1);
        for batch in [2, 5, 16, 17, 33, 64, 199, 512] {
            let ours = state(batch);
            if ours != single {
                wrong.push(format!(
                    "{fixture} as {kind}, batch {batch}: {:?} instead of {:?}",
                    ours.cumulative, single.cumulative
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_real_prompt_gives_the_logits_of_its_tokens() {
    let text = "The miller set the stones by hand. Each autumn he dressed them anew, cut the furrows, and listened. "
        .repeat(12);
    let mut verdict = Verdict::default();
    for file in [
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "gemma-3-270m-q4_k_m.gguf",
    ] {
        let Some(model) = common::real_model(file) else {
            continue;
        };
        let ids = model.tokenizer().unwrap().encode(&text, true, false);
        let ids = &ids[..200];
        let mut context = model.context(&options()).unwrap();
        let vocab = model.vocab_size();
        let mut row = |pieces: usize| {
            context.reset();
            let mut last = Vec::new();
            for piece in ids.chunks(pieces) {
                last = context.feed(piece, Logits::Last).unwrap().to_vec();
            }
            last
        };
        let single = row(1);
        for pieces in [16, 17, 200] {
            verdict.compare(&row(pieces), &single, vocab, || {
                format!("{file}, pieces of {pieces}")
            });
        }
    }
    verdict.tell(0);
}
