//! Token ids, pieces and texts against llama.cpp's: all cases of the shared folder and of the models where they are
//! there, a subset in `testdata/` always. Then properties that hold for any text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::common;
use gristmill_engine::tokenizer::{Definition, Roles, Tokenizer};
use gristmill_gguf::{Access, Gguf};
use proptest::prelude::*;
use serde_json::Value;

/// The tokenizers that come with the sources.
fn testdata() -> PathBuf {
    common::testdata().join("tokenizers")
}

fn open(path: &Path) -> Tokenizer {
    let gguf = Gguf::open(path, Access::Map).unwrap();
    Tokenizer::from_metadata(gguf.metadata()).unwrap()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn ids(case: &Value) -> Vec<u32> {
    case["ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

fn bytes(case: &Value, key: &str) -> Option<Vec<u8>> {
    let hex = |text: &str| {
        let digits = (0..text.len()).step_by(2);
        digits
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    };
    let plain = || case[key].as_str().map(|text| text.as_bytes().to_vec());
    case[format!("{key}_hex")].as_str().map(hex).or_else(plain)
}

/// Runs a file of cases; what differs, by case and in words.
fn run(tokenizer: &Tokenizer, cases: &[Value]) -> Vec<(usize, String)> {
    let mut wrong = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let mut differs = |what| wrong.push((number, what));
        let text = case["text"].as_str().unwrap();
        let flag = |key: &str| case[key].as_bool().unwrap();
        let expected = ids(case);
        let found = tokenizer.encode(text, flag("add_special"), flag("parse_special"));
        if found != expected {
            differs(format!("ids of {text:?}: {found:?}, expected {expected:?}"));
        }
        // Cases without a text are about ids alone.
        if case.get("detok").is_none() {
            continue;
        }
        let whole = bytes(case, "detok").unwrap();
        let pieces: Vec<u8> = expected
            .iter()
            .flat_map(|&id| tokenizer.piece(id, true).into_owned())
            .collect();
        if pieces != bytes(case, "pieces").unwrap_or_else(|| whole.clone()) {
            differs(format!(
                "pieces of {text:?}: {:?}",
                String::from_utf8_lossy(&pieces)
            ));
        }
        let decoded = tokenizer.decode(&expected, true);
        if decoded != whole {
            differs(format!(
                "text of {text:?}: {:?}",
                String::from_utf8_lossy(&decoded)
            ));
        }
    }
    wrong
}

/// Runs vocabularies with their files of cases, and prints for each how many pass.
fn run_all<'a>(files: impl Iterator<Item = (&'a str, PathBuf, PathBuf)>) {
    let (mut total, mut failures) = (0, Vec::new());
    for (name, vocabulary, cases) in files {
        let cases = lines(&cases);
        assert!(cases.len() >= 100, "{name} has {} cases", cases.len());
        let wrong = run(&open(&vocabulary), &cases);
        let failed: BTreeSet<usize> = wrong.iter().map(|(case, _)| *case).collect();
        let passed = cases.len() - failed.len();
        println!("{name}: {passed} of {} cases pass", cases.len());
        total += passed;
        failures.extend(wrong.into_iter().map(|(_, what)| format!("{name}: {what}")));
    }
    println!("all: {total} cases pass");
    assert!(
        failures.is_empty(),
        "{}",
        failures[..failures.len().min(20)].join("\n")
    );
}

#[test]
fn cases_of_the_fresh_clone() {
    let file = |name: &str, ending: &str| testdata().join(format!("{name}.{ending}"));
    let names = [
        "llama-spm",
        "gpt-2",
        "unigram",
        "rwkv",
        "plamo2",
        "whitespace",
        "hybriddna",
    ];
    run_all(
        names
            .into_iter()
            .map(|name| (name, file(name, "gguf"), file(name, "cases.jsonl"))),
    );
}

#[test]
fn cases_of_the_shared_folder() {
    let Some(folder) = common::shared("tokenizers") else {
        return;
    };
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".cases.jsonl").map(str::to_owned))
        .collect();
    names.sort();
    run_all(names.iter().filter_map(|name| {
        let vocabulary = match name.as_str() {
            "smollm2" => common::model_file("SmolLM2-135M-Instruct.Q4_1.gguf")?,
            "gemma3" => common::model_file("gemma-3-270m-q4_k_m.gguf")?,
            _ => folder.join(format!("{name}.gguf")),
        };
        let cases = folder.join(format!("{name}.cases.jsonl"));
        Some((name.as_str(), vocabulary, cases))
    }));
}

/// Every pre-tokenizer over GPT-2's vocabulary: llama.cpp's ids, so its splits, exercised without the large
/// vocabularies that belong to them.
#[test]
fn every_pre_tokenizer_cuts_as_the_reference() {
    let gguf = Gguf::open(testdata().join("gpt-2.gguf"), Access::Map).unwrap();
    let mut by_name: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for case in lines(&testdata().join("pre-tokenizers.cases.jsonl")) {
        by_name
            .entry(case["pre"].as_str().unwrap().to_owned())
            .or_default()
            .push(case);
    }
    assert!(by_name.len() >= 30);
    for (name, cases) in by_name {
        let mut definition = Definition::from_metadata(gguf.metadata()).unwrap();
        definition.pre = Some(&name);
        let tokenizer = Tokenizer::new(&definition).unwrap();
        assert!(
            tokenizer.warnings().is_empty(),
            "{name}: {:?}",
            tokenizer.warnings()
        );
        for case in &cases {
            let text = case["text"].as_str().unwrap();
            assert_eq!(
                tokenizer.encode(text, false, false),
                ids(case),
                "{name}: {text:?}"
            );
        }
    }
}

static SPM: LazyLock<Tokenizer> = LazyLock::new(|| open(&testdata().join("llama-spm.gguf")));
static GPT2: LazyLock<Tokenizer> = LazyLock::new(|| open(&testdata().join("gpt-2.gguf")));

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut stream = tokenizer.stream(true);
    let mut text: String = ids.iter().map(|&id| stream.push(id).to_owned()).collect();
    text.push_str(stream.finish());
    text
}

/// Text with what tokenizers trip over: runs, white space, contractions, scripts, special tokens.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "\\PC{0,12}",
        "[ \\t\\r\\n\u{a0}\u{3000}\u{2028}]{0,9}",
        "['’]?(s|S|re|VE|ll|d|x)",
        "[a-zA-Z]{1,12}",
        "[0-9½²]{1,9}",
        "[а-яёÀ-ÿα-ωא-ת中文字日本語한국]{1,6}",
        "[\u{300}-\u{303}\u{200d}\u{fe0f}🙂👩🏽]{1,4}",
        Just("<s>".to_owned()),
        Just("</s>".to_owned()),
        Just("<|endoftext|>".to_owned()),
        Just("▁<0x41>".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Both vocabularies can spell every byte, so nothing is lost.
    #[test]
    fn pieces_spell_the_text(text in text()) {
        let spelt = |tokenizer: &Tokenizer| {
            let ids = tokenizer.encode(&text, false, false);
            String::from_utf8(ids.iter().flat_map(|&id| tokenizer.piece(id, true).into_owned()).collect()).unwrap()
        };
        prop_assert_eq!(spelt(&GPT2), text.as_str());
        // ▁ itself is a space to SentencePiece.
        let expected = if text.is_empty() { String::new() } else { format!(" {}", text.replace('▁', " ")) };
        prop_assert_eq!(spelt(&SPM), expected);
    }

    #[test]
    fn a_stream_says_what_the_whole_says(ids in prop::collection::vec(0u32..60_000, 0..40)) {
        for tokenizer in [&*GPT2, &*SPM] {
            let whole: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.piece(id, true).into_owned()).collect();
            prop_assert_eq!(streamed(tokenizer, &ids), String::from_utf8_lossy(&whole));
        }
    }

    #[test]
    fn ids_of_any_value_are_harmless(ids in prop::collection::vec(any::<u32>(), 0..40), flag in any::<bool>()) {
        for tokenizer in [&*GPT2, &*SPM] {
            tokenizer.decode(&ids, flag);
            ids.iter().for_each(|&id| { tokenizer.is_end(id); tokenizer.text(id); });
        }
    }

    /// What is encoded without control tokens has none, and the flags change only what they are about.
    #[test]
    fn control_tokens_come_only_when_asked_for(text in text()) {
        for tokenizer in [&*GPT2, &*SPM] {
            let plain = tokenizer.encode(&text, false, false);
            prop_assert!(!plain.iter().any(|&id| tokenizer.is_control(id)));
            let mut expected = plain.clone();
            if tokenizer.adds_bos() {
                expected.insert(0, tokenizer.bos().unwrap());
            }
            prop_assert_eq!(tokenizer.encode(&text, true, false), expected);
        }
    }

    /// A guard inside each special token makes it text; guards elsewhere change nothing.
    #[test]
    fn guards_turn_control_tokens_into_text(text in text()) {
        let guard = '\u{10FFFF}';
        prop_assume!(!text.contains(guard));
        for tokenizer in [&*GPT2, &*SPM] {
            let guarded: String = text.chars().flat_map(|c| [guard, c]).collect();
            let plain = tokenizer.encode(&text, false, false);
            prop_assert_eq!(tokenizer.encode_guarded(&guarded, guard, false), plain);
            let outside = format!("{guard}{text}{guard}");
            prop_assert_eq!(tokenizer.encode_guarded(&outside, guard, false), tokenizer.encode(&text, false, true));
        }
    }
}

#[test]
fn guards_protect_only_what_they_are_in() {
    let text = "<|endoftext|>a<\u{1}|endoftext|>";
    let end = GPT2.token("<|endoftext|>").unwrap();
    let ids = GPT2.encode_guarded(text, '\u{1}', false);
    assert_eq!(ids[0], end);
    assert!(!ids[1..].contains(&end));
    assert_eq!(GPT2.decode(&ids, true), b"<|endoftext|>a<|endoftext|>");
}

#[test]
fn long_texts_take_no_quadratic_time() {
    // Each of these took minutes with a quadratic loop anywhere.
    for text in [
        "a".repeat(300_000),
        " ".repeat(300_000),
        "\n ".repeat(150_000),
        "你".repeat(100_000),
        "'".repeat(300_000),
    ] {
        for tokenizer in [&*GPT2, &*SPM] {
            let ids = tokenizer.encode(&text, false, true);
            assert_eq!(tokenizer.decode(&ids, true), text.as_bytes());
        }
    }
}

#[test]
fn a_character_in_several_tokens_comes_out_whole() {
    let ids = GPT2.encode("🦀", false, false);
    assert!(ids.len() > 1);
    let mut stream = GPT2.stream(false);
    for &id in &ids[..ids.len() - 1] {
        assert_eq!(stream.push(id), "");
    }
    assert_eq!(stream.push(ids[ids.len() - 1]), "🦀");
    assert_eq!(stream.finish(), "");
    // Cut short, it becomes a replacement character, and what follows is not lost.
    stream.push(ids[0]);
    assert_eq!(stream.push(GPT2.token("a").unwrap()), "\u{FFFD}a");
    stream.push(ids[0]);
    assert_eq!(stream.finish(), "\u{FFFD}");
    assert_eq!(stream.finish(), "");
}

#[test]
fn doubtful_vocabularies_are_refused_or_said() {
    let tokens = vec!["a", "b", "ab", ""];
    let base = Definition {
        model: "gpt2",
        tokens,
        merges: vec!["a b"],
        ..Definition::default()
    };
    let warnings =
        |definition: &Definition| Tokenizer::new(definition).unwrap().warnings().join("\n");
    assert!(warnings(&base).contains("does not name its pre-tokenizer"));
    assert!(warnings(&base).contains("empty text"));
    let unknown = Definition {
        pre: Some("no-such"),
        ..base.clone()
    };
    assert!(warnings(&unknown).contains("'no-such'"));
    let twice = Definition {
        tokens: vec!["a", "a"],
        ..base.clone()
    };
    assert!(warnings(&twice).contains("the text of another"));
    let outside = Definition {
        roles: Roles {
            eos: Some(4),
            ..Roles::default()
        },
        ..base.clone()
    };
    assert!(warnings(&outside).contains("eos_token_id is 4"));

    let error = |definition: &Definition| Tokenizer::new(definition).unwrap_err().to_string();
    assert!(
        error(&Definition {
            model: "no-such",
            ..base.clone()
        })
        .contains("known: llama")
    );
    assert!(
        error(&Definition {
            tokens: Vec::new(),
            ..base.clone()
        })
        .contains("tokenizer.ggml.tokens")
    );
    assert!(
        error(&Definition {
            merges: Vec::new(),
            ..base.clone()
        })
        .contains("tokenizer.ggml.merges")
    );
    assert!(
        error(&Definition {
            scores: vec![0.0].into(),
            ..base.clone()
        })
        .contains("tokenizer.ggml.scores")
    );
    assert!(
        error(&Definition {
            token_types: vec![1].into(),
            ..base
        })
        .contains("tokenizer.ggml.token_type")
    );
}
