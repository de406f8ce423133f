//! The program on real models, where they are in the cache folder; what is skipped is printed.

use crate::program::{gristmill, testdata};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::path::PathBuf;

/// The cache folder of the person who runs the tests, if it has this model.
pub fn cache_with(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GRISTMILL_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            use etcetera::BaseStrategy;
            Some(
                etcetera::base_strategy::choose_native_strategy()
                    .ok()?
                    .cache_dir()
                    .join("gristmill"),
            )
        })?;
    if folder.join(file).is_file() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {} is not in {} ('gristmill pull' brings it)",
        file,
        folder.display()
    );
    None
}

pub const SMOLLM2: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
pub const GEMMA: &str = "gemma-3-270m-q4_k_m.gguf";

#[test]
fn the_default_model_answers() {
    let Some(cache) = cache_with(SMOLLM2) else {
        return;
    };
    gristmill(&cache)
        .args(["chat", "--temp", "0", "-n", "24", "-c", "512"])
        .write_stdin("What is gravity?\n")
        .assert()
        .success()
        .stdout(contains("physics"))
        .stderr(contains("24 tokens"));
}

#[test]
fn completions_and_licences() {
    for (file, name, licence, prompt, expected) in [
        (
            SMOLLM2,
            "smollm2",
            "OSI-approved",
            "The capital of France is",
            "Paris",
        ),
        (
            GEMMA,
            "gemma3",
            "Gemma Terms of Use",
            "The capital of France is",
            "France",
        ),
    ] {
        let Some(cache) = cache_with(file) else {
            continue;
        };
        gristmill(&cache)
            .args(["inspect", name])
            .assert()
            .success()
            .stdout(contains(licence));
        let run = gristmill(&cache)
            .args([
                "run", name, "-p", prompt, "-n", "8", "--temp", "0", "--json",
            ])
            .assert()
            .success()
            .stdout(predicate::str::is_empty().not());
        let report: Value = serde_json::from_slice(&run.get_output().stdout).unwrap();
        assert!(
            report["text"].as_str().unwrap().contains(expected),
            "{report}"
        );
    }
}

#[test]
fn perplexity_of_two_windows_agrees_with_the_reference() {
    let folder = testdata("perplexity");
    let reference: Value =
        serde_json::from_slice(&std::fs::read(folder.join("reference.json")).unwrap()).unwrap();
    for run in reference["runs"].as_array().unwrap() {
        let file = run["model"].as_str().unwrap();
        let Some(cache) = cache_with(file) else {
            continue;
        };
        let output = gristmill(&cache)
            .args(["perplexity", file, "--chunks", "2", "--json", "-f"])
            .arg(folder.join("corpus.txt"))
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let ours = report["chunks"].as_array().unwrap();
        assert_eq!(ours.len(), 2, "{report}");
        for (ours, theirs) in ours.iter().zip(run["cumulative_ppl"].as_array().unwrap()) {
            let ratio = ours.as_f64().unwrap() / theirs.as_f64().unwrap();
            // The reference's own paths differ by up to a percent in a single window.
            assert!(
                (ratio - 1.0).abs() < 0.02,
                "{file}: {ours} instead of {theirs}"
            );
        }
    }
}

#[test]
fn guesses_leave_the_ids_as_they_are() {
    let text = "fn area(width: u32, height: u32) -> u32 {\n    width * height\n}\n".repeat(4);
    for file in [SMOLLM2, GEMMA] {
        let Some(cache) = cache_with(file) else {
            continue;
        };
        let run = |more: &[&str]| {
            let arguments = ["run", file, "-p", &text, "-n", "64", "--temp", "0"];
            let output = gristmill(&cache)
                .args(arguments)
                .args(["--ignore-end", "--json"])
                .args(more)
                .output()
                .unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            if !more.is_empty() {
                assert!(report["speculation"]["proposed"].as_u64().unwrap() > 0);
            }
            report["ids"].clone()
        };
        let plain = run(&[]);
        assert_eq!(plain.as_array().unwrap().len(), 64);
        for more in [
            &["--lookup", "--guesses", "15"][..],
            &["--lookup", "--guesses", "4", "--batch", "5"],
            &["--draft", file, "--guesses", "7"],
        ] {
            assert_eq!(plain, run(more), "{file}, {more:?}");
        }
    }
}
