//! Contexts as a program uses them: generating on ids alone, stopping from elsewhere, going back.

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{
    Context, ContextOptions, Error, GenerateOptions, Logits, Model, SamplerOptions, StopReason,
};
use gristmill_gguf::Gguf;

fn model(name: &str) -> Arc<Model> {
    let fixtures = Fixture::all(&common::testdata().join("archs"));
    let fixture = fixtures.into_iter().find(|f| f.name == name).unwrap();
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
    let fixtures = Fixture::all(&common::testdata().join("archs"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, fixtures[0].expand()).unwrap();
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
