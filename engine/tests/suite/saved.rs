//! Saved sequences: what goes on from one gives the bits of never having stopped, in another engine with other room; what is
//! damaged or of something else is refused.

use std::cell::RefCell;
use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{CacheType, ContextOptions, Engine, Error, Logits, Model, SequenceId};
use gristmill_gguf::Gguf;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// More than two pages, so that windows give some up.
const LENGTH: usize = 640;
/// Tokens of a pass where most sequences are saved.
const BATCH: usize = 64;

fn model(fixture: &Fixture) -> Arc<Model> {
    Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap()
}

fn text(model: &Model) -> Vec<u32> {
    let vocab = model.vocab_size();
    let id = |i: usize| (i * i * 7 + 3 * i + 5) % vocab.min(128);
    (0..LENGTH).map(|i| id(i) as u32).collect()
}

fn options(batch: usize, context_length: usize) -> ContextOptions {
    ContextOptions {
        context_length: Some(context_length),
        batch,
        ..common::exact(2)
    }
}

fn saved(engine: &mut Engine, sequence: SequenceId) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.save(sequence, &mut bytes).unwrap();
    bytes
}

/// Goes on with what was saved in a fresh engine, beside another sequence, and compares with `whole`: the logits after each
/// token of `text`.
fn goes_on(model: &Arc<Model>, bytes: &[u8], text: &[u32], whole: &[f32], batch: usize) {
    let vocab = model.vocab_size();
    let mut engine = Engine::new(model, &options(batch, 800), 3).unwrap();
    let other = engine.open().unwrap();
    engine.feed(other, &text[..40], Logits::None).unwrap();
    let id = engine.restore(bytes).unwrap();
    let held = engine.tokens(id).to_vec();
    assert_eq!(held, text[..held.len()]);
    let check = |engine: &mut Engine, id: SequenceId| {
        let from = engine.tokens(id).len();
        for part in text[from..].chunks(29).take(4) {
            let at = engine.tokens(id).len() * vocab;
            let rows = engine.feed(id, part, Logits::All).unwrap();
            let same = common::same_bits(rows, &whole[at..][..rows.len()]);
            assert!(same, "from {from} of {} restored", held.len());
        }
    };
    // What is restored is as good as what was saved: to save again, to fork, and to go back in.
    // Where passes are shorter, windows remember less.
    let again = saved(&mut engine, id);
    assert!(batch < BATCH || again == bytes, "saved again");
    let fork = engine.fork(id).unwrap();
    check(&mut engine, id);
    for back in [1, 9, 40, 200] {
        match engine.truncate(fork, held.len().saturating_sub(back)) {
            Ok(()) => check(&mut engine, fork),
            Err(error) => assert!(matches!(error, Error::Truncate { .. }), "{error}"),
        }
    }
    check(&mut engine, other);
}

#[test]
fn going_on_from_a_file_changes_nothing() {
    for fixture in Fixture::of_each_kind() {
        println!("{}", fixture.name);
        let model = model(&fixture);
        let text = text(&model);
        let mut context = model.context(&options(512, LENGTH)).unwrap();
        let whole = context.feed(&text, Logits::All).unwrap().to_vec();
        let mut engine = Engine::new(&model, &options(BATCH, LENGTH), 2).unwrap();
        let id = engine.open().unwrap();
        // Nothing, less than a window, and after windows moved on; shorter and longer passes than where it was saved.
        goes_on(&model, &saved(&mut engine, id), &text, &whole, BATCH);
        for (end, batch) in [(5, BATCH), (300, 16), (600, 200)] {
            let held = engine.tokens(id).len();
            engine.feed(id, &text[held..end], Logits::None).unwrap();
            goes_on(&model, &saved(&mut engine, id), &text, &whole, batch);
        }
        // A fork that went another way and back, beside the sequence that it began as.
        let fork = engine.fork(id).unwrap();
        engine.feed(fork, &[1, 2, 3], Logits::None).unwrap();
        engine.truncate(fork, 598).unwrap();
        goes_on(&model, &saved(&mut engine, fork), &text, &whole, BATCH);
        goes_on(&model, &saved(&mut engine, id), &text, &whole, BATCH);
    }
}

#[test]
fn keys_and_values_are_saved_in_every_type() {
    let model = model(&Fixture::named("gemma3-dense"));
    let text = text(&model);
    for cache in CacheType::ALL {
        let options = ContextOptions {
            cache_keys: cache,
            ..options(BATCH, LENGTH)
        };
        let mut context = model.context(&options).unwrap();
        let row = context.feed(&text, Logits::Last).unwrap().to_vec();
        let (mut bytes, mut other) = (Vec::new(), model.context(&options).unwrap());
        context.truncate(620).unwrap();
        context.save(&mut bytes).unwrap();
        other.feed(&[9, 9, 9], Logits::None).unwrap();
        other.restore(&bytes[..]).unwrap();
        let again = other.feed(&text[620..], Logits::Last).unwrap();
        assert!(common::same_bits(again, &row), "{cache}");
    }
}

/// One line that says what is wrong.
fn refusal(engine: &mut Engine, bytes: &[u8]) -> String {
    let error = engine.restore(bytes).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn damaged_files_are_refused() {
    for name in ["gemma3-1b", "deepseek2-v3", "qwen35-real"] {
        let model = model(&Fixture::named(name));
        let mut engine = Engine::new(&model, &options(BATCH, LENGTH), 1).unwrap();
        let id = engine.open().unwrap();
        engine.feed(id, &text(&model)[..50], Logits::None).unwrap();
        let bytes = saved(&mut engine, id);
        engine.release(id).unwrap();
        assert!(refusal(&mut engine, &[&bytes[..], &[0]].concat()).contains("followed"));
        let refusing = RefCell::new(&mut engine);
        let mut runner = TestRunner::new(Config {
            cases: 200,
            failure_persistence: None,
            ..Config::default()
        });
        // Half of the damage is to the header and to the numbers behind it.
        let place = prop_oneof![0..350usize, 0..bytes.len()];
        runner
            .run(&(place, 1..=255u8, any::<bool>()), |(at, flip, cut)| {
                let mut bytes = bytes.clone();
                if cut {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= flip;
                }
                let error = refusal(&mut refusing.borrow_mut(), &bytes);
                prop_assert!(!cut || error.contains("cut short"), "{error}");
                Ok(())
            })
            .unwrap();
        // Nothing of it is left: there is room for the whole one.
        let id = engine.restore(&bytes[..]).unwrap();
        assert_eq!(engine.tokens(id), &text(&model)[..50]);
    }
}

#[test]
fn what_is_of_something_else_is_refused() {
    let fixture = Fixture::named("phi3-longrope-short");
    let one = model(&fixture);
    let text = text(&one);
    let engine =
        |model: &Arc<Model>, options: &ContextOptions| Engine::new(model, options, 1).unwrap();
    let mut short = engine(&one, &options(BATCH, 256));
    let id = short.open().unwrap();
    short.feed(id, &text[..100], Logits::None).unwrap();
    let bytes = saved(&mut short, id);
    short.release(id).unwrap();

    let mut changed = fixture.expand();
    let weights = changed.len() - 64;
    changed[weights..].iter_mut().for_each(|byte| *byte ^= 1);
    let changed = Model::from_gguf(Gguf::from_bytes(changed).unwrap()).unwrap();
    let llama = model(&Fixture::named("llama-dense"));
    let halves = ContextOptions {
        cache_values: CacheType::F16,
        ..options(BATCH, 256)
    };
    let mut version = bytes.clone();
    version[8] += 1;
    for (model, options, bytes, part) in [
        (&changed, &options(BATCH, 256), &bytes[..], "another model"),
        (&llama, &options(BATCH, 256), &bytes, "another model"),
        (
            &one,
            &halves,
            &bytes,
            "values in f32, and this context has f32 and f16",
        ),
        (&one, &options(BATCH, 99), &bytes, "larger context"),
        (
            &one,
            &options(BATCH, 257),
            &bytes,
            "is not longer than what",
        ),
        (&one, &options(BATCH, 256), &version, "format"),
        (
            &one,
            &options(BATCH, 256),
            b"GGUF and whatever follows",
            "is none",
        ),
        (&one, &options(BATCH, 256), b"", "cut short"),
    ] {
        let error = refusal(&mut engine(model, options), bytes);
        assert!(error.contains(part), "{error}");
    }
    // Shorter passes, and a shorter context that has room for it, are all right.
    engine(&one, &options(7, 100)).restore(&bytes[..]).unwrap();

    // What can't be written to is an error, too.
    let id = short.restore(&bytes[..]).unwrap();
    let mut room = [0; 1000];
    let error = short.save(id, &mut room[..]).unwrap_err().to_string();
    assert!(error.contains("can't be written"), "{error}");
    short.release(id).unwrap();
    assert!(matches!(short.save(id, Vec::new()), Err(Error::Released)));
}
