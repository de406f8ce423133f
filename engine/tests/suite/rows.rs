//! Rows that are fed in place of tokens. How they do with other sequences, forks and files is in `company`.

use std::sync::Arc;

use crate::common::{self, Feeding, Fixture};
use gristmill_engine::{
    Engine, Error, GenerateOptions, Input, Logits, Model, ROW, SamplerOptions, SpeculationOptions,
};
use gristmill_gguf::Gguf;

fn model(fixture: &Fixture) -> Arc<Model> {
    Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap()
}

/// Models that do something to embeddings: factors, norms, positions.
const TREATED: &[&str] = &[
    "afmoe-moe",
    "bloom-dense",
    "gemma2-gqa",
    "gemma3n",
    "gpt2-dense",
    "granite-real",
    "grok-moe",
    "minicpm-scales",
    "minicpm3-dense",
    "qwen3vl-dense",
];

#[test]
fn the_rows_of_tokens_are_as_good_as_tokens() {
    let mut refusing = Vec::new();
    let others = TREATED.iter().map(|name| Fixture::named(name));
    for fixture in Fixture::of_each_kind().into_iter().chain(others) {
        let (model, tokens) = (model(&fixture), fixture.tokens());
        let mut context = model.context(&common::exact(2)).unwrap();
        let whole = common::logits(&mut context, &tokens, Feeding::Batch);
        context.reset();
        // Rows, tokens, rows.
        let (third, vocab) = (tokens.len() / 3, model.vocab_size());
        let rows = |ids: &[u32]| common::embedding_rows(&model, ids);
        let (first, last) = (rows(&tokens[..third]), rows(&tokens[2 * third..]));
        let mut all = match context.feed(Input::Rows(&first), Logits::All) {
            Ok(logits) => logits.to_vec(),
            Err(error) => {
                assert!(error.to_string().contains("token id"), "{error}");
                refusing.push(fixture.name);
                continue;
            }
        };
        all.extend(
            context
                .feed(&tokens[third..2 * third], Logits::All)
                .unwrap(),
        );
        all.extend(context.feed(Input::Rows(&last), Logits::All).unwrap());
        assert_eq!(all.len(), tokens.len() * vocab);
        assert!(common::same_bits(&all, &whole), "{}", fixture.name);
        let is_row = |&id: &u32| id == ROW;
        assert!(context.tokens()[..third].iter().all(is_row));
        assert_eq!(context.tokens()[third..2 * third], tokens[third..2 * third]);
    }
    assert_eq!(refusing, ["gemma4-e2b", "gemma3n"]);
}

/// A stop loses the states of recurrent layers: rows are then read again.
#[test]
fn rows_are_read_again_after_a_stop() {
    for name in ["qwen35-real", "granitehybrid-nope-moe", "gemma3-1b"] {
        let fixture = Fixture::named(name);
        let (model, tokens) = (model(&fixture), fixture.tokens());
        let mut context = model.context(&common::exact(2)).unwrap();
        let whole = context.feed(&tokens, Logits::Last).unwrap().to_vec();
        let mut engine = Engine::new(&model, &common::exact(2), 1).unwrap();
        let id = engine.open().unwrap();
        let rows = common::embedding_rows(&model, &tokens[..10]);
        let fed = engine
            .feed(id, &tokens[..0], Logits::None)
            .map(<[f32]>::len);
        assert_eq!(fed.unwrap(), 0);
        engine.feed(id, Input::Rows(&rows), Logits::None).unwrap();
        engine.feed(id, &tokens[10..14], Logits::None).unwrap();
        engine.truncate(id, 7).unwrap();
        engine.stop_handle().stop();
        let stopped = engine.feed(id, &tokens[7..], Logits::None);
        assert!(matches!(stopped, Err(Error::Stopped)));
        let row = engine.feed(id, &tokens[7..], Logits::Last).unwrap();
        assert!(common::same_bits(row, &whole), "{name}");
    }
}

#[test]
fn text_is_generated_after_rows() {
    let fixture = Fixture::named("llama-gqa");
    let (model, tokens) = (model(&fixture), fixture.tokens());
    let rows = common::embedding_rows(&model, &tokens);
    let mut options = common::exact(1);
    let mut texts = Vec::new();
    for (input, lookup) in [
        (Input::Tokens(&tokens), false),
        (Input::Rows(&rows), false),
        (Input::Rows(&rows), true),
    ] {
        options.speculation = SpeculationOptions {
            lookup,
            ..Default::default()
        };
        let mut context = model.context(&options).unwrap();
        context.feed(input, Logits::None).unwrap();
        let greedy = GenerateOptions {
            sampler: SamplerOptions::greedy(),
            max_tokens: Some(30),
            ..Default::default()
        };
        let pieces = context.generate(&[7], greedy).unwrap();
        texts.push(pieces.map(|piece| piece.unwrap().id).collect::<Vec<_>>());
    }
    assert_eq!(texts[0].len(), 30);
    assert!(texts.iter().all(|text| *text == texts[0]), "{texts:?}");
}

#[test]
fn rows_that_are_none_are_refused() {
    let model = model(&Fixture::named("llama-gqa"));
    let mut context = model.context(&common::exact(1)).unwrap();
    let width = model.hparams().embedding_length;
    let mut row = vec![0.5; width];
    let refused = |context: &mut gristmill_engine::Context, row: &[f32]| {
        let fed = context.feed(Input::Rows(row), Logits::Last);
        fed.map(<[f32]>::len).unwrap_err().to_string()
    };
    assert!(refused(&mut context, &row[1..]).contains("no whole rows"));
    row[3] = f32::NAN;
    assert!(refused(&mut context, &row).contains("NaN"));
    let many = vec![0.5; width * 257];
    assert!(refused(&mut context, &many).contains("context is full"));
    assert!(matches!(
        context.feed(&[ROW], Logits::None),
        Err(Error::TokenId { .. })
    ));
    assert_eq!(context.position(), 0);
}
