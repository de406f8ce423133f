//! Contexts as a program uses them: generating on ids alone, stopping from elsewhere, going back.

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{
    CacheType, Context, ContextOptions, Error, GenerateOptions, Logits, Model, SamplerOptions,
    StopReason,
};
use gristmill_gguf::{Gguf, TensorType};

fn model(name: &str) -> Arc<Model> {
    let fixture = Fixture::named(name);
    Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap()
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        sampler: SamplerOptions::greedy(),
        max_tokens: Some(max_tokens),
        ..Default::default()
    }
}

fn ids(context: &mut Context, prompt: &[u32], options: GenerateOptions) -> (Vec<u32>, StopReason) {
    let mut generation = context.generate(prompt, options).unwrap();
    let ids = generation.by_ref().map(|piece| piece.unwrap().id).collect();
    (ids, generation.stop_reason().unwrap())
}

#[test]
fn penalties_are_for_the_text_before_too() {
    let model = model("llama-gqa");
    let mut context = model.context(&common::exact(1)).unwrap();
    let forbidding = GenerateOptions {
        sampler: SamplerOptions {
            presence_penalty: 1e6,
            ..SamplerOptions::greedy()
        },
        ..greedy(30)
    };
    let distinct = |ids: &[u32]| ids.iter().collect::<std::collections::HashSet<_>>().len();
    let prompt = [3, 1, 4, 15, 92];
    let (mut text, _) = ids(&mut context, &prompt, greedy(30));
    text.extend(prompt);
    assert!(distinct(&text) < text.len(), "it does repeat itself");
    // As part of the prompt, and of what the context holds already.
    for held in [0, 3] {
        context.reset();
        context.feed(&prompt[..held], Logits::None).unwrap();
        let (mut text, _) = ids(&mut context, &prompt[held..], forbidding.clone());
        text.extend(prompt);
        assert_eq!(distinct(&text), text.len(), "{text:?}");
    }
}

#[test]
fn models_without_a_tokenizer_generate_ids() {
    let model = model("llama-gqa");
    assert!(model.tokenizer().is_err());
    let mut context = model.context(&common::exact(2)).unwrap();
    let prompt = [3, 1, 4, 1, 5];
    let (whole, reason) = ids(&mut context, &prompt, greedy(20));
    assert_eq!((whole.len(), reason), (20, StopReason::Length));
    // The last token is not fed: nobody has asked for what follows it.
    assert_eq!(context.position(), prompt.len() + 19);

    // Generation is feeding and taking the most probable token, bit for bit.
    context.reset();
    let mut expected = Vec::new();
    let mut next = prompt.to_vec();
    for _ in 0..20 {
        let row = context.feed(&next, Logits::Last).unwrap();
        let best =
            (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32;
        expected.push(best);
        next = vec![best];
    }
    assert_eq!(whole, expected);

    // Going on after going back gives the same again.
    context.truncate(prompt.len() + 5).unwrap();
    let (rest, _) = ids(&mut context, &whole[5..6], greedy(14));
    assert_eq!(rest, whole[6..]);

    // Stop strings need text.
    let options = GenerateOptions {
        stop: vec!["x".into()],
        ..greedy(1)
    };
    assert!(context.generate(&[1], options).is_err());
    assert!(context.generate(&[], greedy(1)).is_err());
    assert_eq!(
        ids(&mut context, &[1], greedy(0)),
        (vec![], StopReason::Length)
    );
}

/// Models for chats: windows of 12 and 32 tokens and none, quantized as real files are, with the caches they may have.
fn chatting() -> Vec<(String, Arc<Model>, CacheType)> {
    use CacheType::{F16, F32, Q8_0};
    [
        ("gemma3-1b", TensorType::Q8_0, F16),
        ("gemma3-dense", TensorType::Q4_K, Q8_0),
        ("gemma4-e2b", TensorType::F16, F16),
        ("llama-dense", TensorType::Q6_K, F16),
        ("llama-mixtral", TensorType::Q4_1, F32),
        ("llama-gqa", TensorType::F16, F16),
        // States that can't be gone back in: a convolution's, Mamba's, the delta rule's.
        ("lfm2-real", TensorType::Q8_0, F16),
        ("granitehybrid-nope-moe", TensorType::Q8_0, F16),
        ("qwen35-real", TensorType::F16, F16),
    ]
    .into_iter()
    .map(|(name, kind, cache)| {
        let fixture = Fixture::named(name);
        let model = common::quantized(&fixture.expand(), |_| kind).unwrap();
        (format!("{name} as {kind:?}, {cache}"), model, cache)
    })
    .collect()
}

/// A context for them.
fn chat(model: &Arc<Model>, cache: CacheType) -> Context {
    let options = ContextOptions {
        context_length: Some(600),
        cache_keys: cache,
        cache_values: cache,
        ..common::exact(2)
    };
    model.context(&options).unwrap()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|l| l.to_bits()).collect()
}

#[test]
fn a_kept_prefix_is_as_good_as_reading_all_at_once() {
    let mut wrong = Vec::new();
    for (name, model, cache) in chatting() {
        let (mut kept, mut fresh) = (chat(&model, cache), chat(&model, cache));
        let mut text: Vec<u32> = (0..90).map(|i| (i * i * 7 + 3 * i + 5) % 128).collect();
        for turn in 0..5 {
            // What was answered stays; the next question may be short or long.
            let held = kept.keep_prefix(&text);
            fresh.reset();
            let (ours, theirs) = (
                ids(&mut kept, &text[held..], greedy(30)).0,
                ids(&mut fresh, &text, greedy(30)).0,
            );
            if ours != theirs {
                wrong.push(format!("{name}, turn {turn}, {held} kept: other ids"));
            }
            // The logits after all of that, and of a context that reads the answer as well.
            let all = [&text[..], &ours].concat();
            let held = kept.keep_prefix(&all);
            let ours = bits(kept.feed(&all[held..], Logits::Last).unwrap());
            fresh.reset();
            if ours != bits(fresh.feed(&all, Logits::Last).unwrap()) {
                wrong.push(format!("{name}, turn {turn}, {held} kept: other logits"));
            }
            text = all;
            text.extend((0..[1, 17, 40, 3, 60][turn]).map(|i| (i * 11 + 1) % 128));
        }
        assert!(kept.position() > 300);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_answer_that_is_asked_for_again_is_the_same() {
    let mut wrong = Vec::new();
    for (name, model, cache) in chatting() {
        let mut context = chat(&model, cache);
        for length in [5, 17, 40, 100, 300] {
            let prompt: Vec<u32> = (0..length).map(|i| (i * i * 5 + i + 9) % 128).collect();
            context.reset();
            let answer = ids(&mut context, &prompt, greedy(60)).0;
            for time in 0..2 {
                // Of the prompt all but one token is kept, if a window has not moved on.
                let held = context.keep_prefix(&prompt);
                let again = ids(&mut context, &prompt[held..], greedy(60)).0;
                if again != answer {
                    wrong.push(format!("{name}, {length} ids, time {time}, {held} kept"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn going_back_and_reading_on_in_other_pieces_changes_nothing() {
    let text: Vec<u32> = (0..240).map(|i| (i * i * 3 + 7 * i + 2) % 128).collect();
    let mut wrong = Vec::new();
    for (name, model, cache) in chatting() {
        let mut context = chat(&model, cache);
        let all = bits(context.feed(&text, Logits::All).unwrap());
        let vocab = model.vocab_size();
        for (back, piece) in [(1, 1), (3, 2), (16, 16), (17, 17), (40, 19), (200, 33)] {
            // Where the window has moved on, it is read from the beginning.
            let from = match context.truncate(text.len() - back) {
                Ok(()) => text.len() - back,
                Err(_) => {
                    context.reset();
                    0
                }
            };
            let mut rows = Vec::new();
            for ids in text[from..].chunks(piece) {
                rows.extend(bits(context.feed(ids, Logits::All).unwrap()));
            }
            if rows != all[from * vocab..] {
                wrong.push(format!("{name}: from {from} in pieces of {piece}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_full_context_ends_a_generation() {
    let model = model("gemma3-1b");
    let mut context = model
        .context(&ContextOptions {
            context_length: Some(30),
            ..common::exact(1)
        })
        .unwrap();
    let (ids, reason) = ids(&mut context, &[1; 10], greedy(1000));
    assert_eq!((ids.len(), reason), (21, StopReason::ContextFull));
    assert!(matches!(
        context.generate(&[1], greedy(1)),
        Err(Error::ContextFull { position: 30, .. })
    ));
}

#[test]
fn a_prompt_is_stopped_between_batches() {
    let model = model("llama-dense");
    let mut context = model
        .context(&ContextOptions {
            batch: 8,
            ..common::exact(1)
        })
        .unwrap();
    let stop = context.stop_handle();
    std::thread::spawn(move || stop.stop()).join().unwrap();
    assert!(matches!(
        context.feed(&[1; 100], Logits::Last),
        Err(Error::Stopped)
    ));
    assert_eq!(context.position(), 0);
    // A stop counts once, and one that came before a generation does not end it.
    context.feed(&[1; 20], Logits::None).unwrap();
    context.stop_handle().stop();
    assert_eq!(ids(&mut context, &[1; 20], greedy(3)).1, StopReason::Length);
}

#[test]
fn two_contexts_of_a_model_do_not_meet() {
    let model = model("gemma3-gqa");
    let (mut one, mut two) = (
        model.context(&common::exact(1)).unwrap(),
        model.context(&common::exact(2)).unwrap(),
    );
    let alone = ids(&mut one, &[7, 8, 9], greedy(10)).0;
    one.reset();
    let thread = std::thread::spawn(move || ids(&mut two, &[9, 8, 7], greedy(10)).0);
    assert_eq!(ids(&mut one, &[7, 8, 9], greedy(10)).0, alone);
    assert_ne!(thread.join().unwrap(), alone);
}

#[test]
fn a_model_file_that_is_written_to_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, Fixture::named("llama-gqa").expand()).unwrap();
    let model = Model::open(&path, &Default::default()).unwrap();
    let mut context = model.context(&common::exact(1)).unwrap();
    context.feed(&[1, 2, 3], Logits::Last).unwrap();
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap();
    std::io::Write::write_all(&mut file, b"more").unwrap();
    let fed = context.feed(&[4], Logits::Last).map(<[f32]>::len);
    assert!(fed.unwrap_err().to_string().contains("was changed"));
    let generated = context
        .generate(&[5], greedy(3))
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert!(generated.unwrap_err().to_string().contains("was changed"));
}
