//! `--batch` decides how many tokens are computed together, and nothing else: every command gives the same with each.

use crate::program::{Place, gristmill};
use crate::real_models::{GEMMA, SMOLLM2, cache_with};
use crate::tiny::Tiny;
use serde_json::Value;
use std::path::Path;

/// On both sides of every limit that the engine knows, the length of the texts here among them.
const BATCHES: [&str; 9] = ["1", "2", "5", "16", "17", "33", "64", "199", "512"];

/// Types of weights of tiny models: floats, in blocks of 32 and of 256.
const KINDS: [&str; 8] = [
    "F32", "F16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS",
];

/// 200 ids without a pattern, below `vocab`.
fn ids(vocab: u32) -> String {
    let mut state = 1u32;
    let ids = (0..200).map(|_| {
        // A linear congruential generator; its upper bits are the good ones.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((state >> 8) % vocab).to_string()
    });
    ids.collect::<Vec<_>>().join(",")
}

/// Which of the other batches give another file than the first one does.
fn other_files(
    name: &str,
    batches: &[&str],
    folder: &Path,
    logits: impl Fn(&str, &Path),
) -> Vec<String> {
    let file = |batch: &str| {
        let path = folder.join("batch.logits");
        logits(batch, &path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    };
    let first = file(batches[0]);
    assert!(!first.is_empty());
    let mut wrong = Vec::new();
    for batch in &batches[1..] {
        let other = file(batch);
        assert_eq!(first.len(), other.len());
        if let Some(at) = first.iter().zip(&other).position(|(a, b)| a != b) {
            wrong.push(format!("{name}, --batch {batch}: differs at byte {at}"));
        }
    }
    wrong
}

#[test]
fn logits_of_any_batch_are_one_file() {
    let ids = ids(260);
    let mut wrong = Vec::new();
    for kind in KINDS {
        let place = Place::with(&Tiny::stored_as(kind));
        wrong.extend(other_files(
            kind,
            &BATCHES,
            place.folder.path(),
            |batch, out| {
                let out = out.to_str().unwrap();
                let arguments = ["--ids", &ids, "--out", out, "--batch", batch];
                place.run("logits", &arguments).assert().success();
            },
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn logits_of_any_batch_are_one_file_on_every_instruction_set_with_every_cache() {
    let ids = ids(260);
    let mut wrong = Vec::new();
    for kind in ["F16", "Q8_0", "Q4_K"] {
        // Heads of a whole block of a q8_0 cache.
        let place = Place::with(&Tiny {
            width: 256,
            ..Tiny::stored_as(kind)
        });
        for isa in gristmill_kernels::cpu::available() {
            for cache in ["f16", "f32", "q8_0"] {
                let name = format!("{kind}, {}, {cache}", isa.name());
                wrong.extend(other_files(
                    &name,
                    &["1", "16", "17", "512"],
                    place.folder.path(),
                    |batch, out| {
                        let out = out.to_str().unwrap();
                        let arguments = [
                            "--ids",
                            &ids,
                            "--out",
                            out,
                            "--isa",
                            isa.name(),
                            "--cache-type-k",
                            cache,
                            "--cache-type-v",
                            cache,
                            "--batch",
                            batch,
                        ];
                        place.run("logits", &arguments).assert().success();
                    },
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn logits_of_real_models_are_one_file() {
    let ids = ids(49_000);
    let mut wrong = Vec::new();
    for file in [SMOLLM2, GEMMA] {
        let Some(cache) = cache_with(file) else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        wrong.extend(other_files(file, &BATCHES, folder.path(), |batch, out| {
            gristmill(&cache)
                .args(["logits", file, "--ids", &ids, "--batch", batch, "--out"])
                .arg(out)
                .assert()
                .success();
        }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn perplexities_and_texts_do_not_depend_on_the_batch() {
    let text: String = (0..120)
        .map(|i| format!("the {} other, ", i * 7919 % 1000))
        .collect();
    let mut wrong = Vec::new();
    for kind in ["F32", "F16", "Q4_1", "Q8_0", "Q4_K", "IQ4_XS"] {
        let place = Place::with(&Tiny::stored_as(kind));
        let file = place.file("text.txt", &text);
        let perplexity = |batch: &str| {
            let arguments = ["-f", &file, "-c", "256", "--json", "--batch", batch];
            place.json("perplexity", &arguments)
        };
        let run = |more: &[&str]| {
            let arguments = ["-p", &text[..300], "-n", "120", "--temp", "0", "--json"];
            let report = place.json("run", &[&arguments[..], &["--ignore-end"], more].concat());
            assert!(report["prompt_ids"].as_array().unwrap().len() > 200);
            report["ids"].clone()
        };
        let chat = |batch: &str| {
            let arguments = ["-n", "60", "--temp", "0", "--batch", batch];
            let said = format!("{}\nhello\n{}\n", &text[..120], &text[200..240]);
            let assert = place.run("chat", &arguments).write_stdin(said).assert();
            assert.success().get_output().stdout.clone()
        };
        let single = (perplexity("1"), run(&["--batch", "1"]), chat("1"));
        assert!(single.0["ppl"].as_f64().unwrap() > 0.0);
        for batch in &BATCHES[1..] {
            let ours = perplexity(batch);
            if ours != single.0 {
                let (a, b) = (&ours["ppl"], &single.0["ppl"]);
                wrong.push(format!(
                    "{kind}, --batch {batch}: perplexity {a} and not {b}"
                ));
            }
            if chat(batch) != single.2 {
                wrong.push(format!("{kind}, --batch {batch}: another chat"));
            }
            for guessing in [&[][..], &["--lookup"]] {
                if run(&[&["--batch", batch], guessing].concat()) != single.1 {
                    wrong.push(format!(
                        "{kind}, --batch {batch} {guessing:?}: another text"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_resumed_perplexity_may_have_another_batch() {
    let place = Place::with(&Tiny::stored_as("Q8_0"));
    let text: String = (0..200)
        .map(|i| format!("the {} other, ", i * 7919 % 1000))
        .collect();
    let file = place.file("text.txt", &text);
    let state = place.path("state.json");
    let common = ["-f", &file, "-c", "128", "--json"];
    let run = |more: &[&str]| -> Value { place.json("perplexity", &[&common[..], more].concat()) };
    let whole = run(&["--chunks", "6"]);
    run(&["--chunks", "3", "--resume", &state, "--batch", "16"]);
    let resumed = run(&["--chunks", "6", "--resume", &state, "--batch", "50"]);
    assert_eq!(whole, resumed);
}
