//! Files with one defect each are refused with the defect named; the valid ones all compute the same.

use crate::common;
use gristmill_engine::{Logits, Model};
use std::fs;

/// What a message must contain, for the defects that only the engine can see.
const NAMED: &[(&str, &[&str])] = &[
    ("arch-missing", &["general.architecture"]),
    ("arch-wrong-type", &["general.architecture", "string"]),
    ("arch-unknown", &["no-such-arch"]),
    ("block-count-missing", &["llama.block_count"]),
    ("block-count-string", &["llama.block_count", "integer"]),
    ("block-count-huge", &["llama.block_count"]),
    ("head-count-zero", &["llama.attention.head_count"]),
    ("head-count-not-divisor", &["llama.attention.head_count"]),
    (
        "embedding-length-mismatch",
        &["token_embd.weight", "32", "16"],
    ),
    ("tokens-wrong-type", &["tokenizer.ggml.tokens"]),
    ("tensor-missing", &["blk.0.attn_q.weight"]),
    (
        "tensor-shape-wrong",
        &["blk.0.attn_q.weight", "16 x 16", "16 x 8"],
    ),
];

#[test]
fn every_file_is_refused_by_name_or_runs() {
    let folder =
        common::shared("malformed").unwrap_or_else(|| common::testdata().join("malformed"));
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    let mut of_valid: Option<Vec<f32>> = None;
    let mut named = 0;
    for entry in index["files"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        if !folder.join(file).exists() {
            println!("skipped: {file} is not there");
            continue;
        }
        let result = Model::open(folder.join(file), &Default::default());
        let accepts =
            |outcome: &str| entry["expected"] == outcome || entry["also_acceptable"] == outcome;
        let error = match result {
            Ok(model) => {
                assert!(accepts("valid"), "{file} was accepted: {}", entry["defect"]);
                let mut context = model.context(&common::exact(1)).unwrap();
                let logits = context.feed(&[1, 5, 2], Logits::All).unwrap();
                assert!(logits.iter().all(|l| l.is_finite()), "{file}");
                assert_eq!(
                    of_valid.get_or_insert_with(|| logits.to_vec()),
                    logits,
                    "{file}"
                );
                continue;
            }
            Err(error) => error,
        };
        assert!(accepts("error"), "{file}: {error}");
        let message = error.to_string();
        println!("{file}: {message}");
        assert!(!message.contains('\n'), "{file}: {message}");
        if let Some((_, parts)) = NAMED
            .iter()
            .find(|(name, _)| file == format!("{name}.gguf"))
        {
            named += 1;
            for part in *parts {
                assert!(
                    message.contains(part),
                    "{file}: '{part}' is not in: {message}"
                );
            }
        }
    }
    assert!(of_valid.is_some());
    assert_eq!(named, NAMED.len());
}
