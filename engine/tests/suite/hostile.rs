//! Foreign files: metadata that fit a file's tensors badly are refused or run, and never panic.

use crate::common::Fixture;
use gristmill_engine::{ContextOptions, Error, Logits, Model};
use gristmill_gguf::{Gguf, Value, Writer};
use proptest::prelude::*;

/// Values at which arithmetic goes wrong.
const NUMBERS: &[u32] = &[
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    16,
    17,
    128,
    1 << 16,
    (1 << 31) - 1,
    1 << 31,
    u32::MAX,
];
const FLOATS: &[f32] = &[
    0.0,
    -1.0,
    1e-30,
    1e30,
    f32::NAN,
    f32::INFINITY,
    f32::NEG_INFINITY,
];

/// The fixture with some keys changed; its weights are all zero.
fn changed(fixture: &Fixture, changes: &[(usize, usize)]) -> Gguf {
    let mut bytes = std::fs::read(fixture.path("head")).unwrap();
    bytes.resize(
        bytes.len() + fixture.json["data_bytes"].as_u64().unwrap() as usize,
        0,
    );
    let original = Gguf::from_bytes(bytes).unwrap();
    let keys: Vec<&str> = original
        .metadata()
        .iter()
        .map(|(key, _)| key)
        .filter(|k| !k.starts_with("general"))
        .collect();
    let mut writer = Writer::new();
    for (key, value) in original.metadata().iter() {
        let change = changes.iter().find(|(at, _)| keys[at % keys.len()] == key);
        let value = match (change, value) {
            (Some((_, to)), Value::U32(_)) => Value::U32(NUMBERS[to % NUMBERS.len()]),
            (Some((_, to)), Value::F32(_)) => Value::F32(FLOATS[to % FLOATS.len()]),
            (Some(_), _) => Value::U32(7),
            (None, value) => value.clone(),
        };
        writer.set(key, value);
    }
    for tensor in original.tensors() {
        writer
            .tensor(tensor.name(), tensor.tensor_type(), tensor.dims())
            .unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for tensor in original.tensors() {
        file.write(original.data(tensor)).unwrap();
    }
    Gguf::from_bytes(file.finish().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300), ..ProptestConfig::default() })]
    #[test]
    fn changed_metadata_never_panic(
        name in prop::sample::select(vec!["llama-gqa", "llama-yarn-attnfactor", "llama-mixtral", "gemma3-gqa", "gemma3-1b", "gemma3n", "gemma4-e2b", "gemma4-moe"]),
        changes in prop::collection::vec((0..100_usize, 0..100_usize), 1..4),
    ) {
        let fixture = Fixture::named(name);
        let model = match Model::from_gguf(changed(&fixture, &changes)) {
            Err(error) => {
                let message = error.to_string();
                prop_assert!(!message.is_empty() && !message.contains('\n'), "{message}");
                return Ok(());
            }
            Ok(model) => model,
        };
        let options = ContextOptions { context_length: Some(40), batch: 20, threads: Some(1), ..Default::default() };
        let mut context = model.context(&options).unwrap();
        let ids: Vec<u32> = (0..30).map(|i| i % model.vocab_size().min(9) as u32).collect();
        match context.feed(&ids, Logits::Last) {
            Ok(logits) => prop_assert_eq!(logits.len(), model.vocab_size()),
            // Numbers that no model has can make infinities, and the difference of two is no number.
            Err(error) => prop_assert!(matches!(error, Error::NotNumbers { tensor: None }), "{error}"),
        }
    }
}
