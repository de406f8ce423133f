//! `run`: completions, seeds, stop strings, full contexts; and what every command on a model refuses.

use crate::program::{Place, gristmill, keys, testdata};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

/// A completion of so many tokens, as JSON, with more options.
fn completion(place: &Place, tokens: &str, more: &[&str]) -> Value {
    let common = ["-n", tokens, "--ignore-end", "--json"];
    place.json("run", &[&common[..], more].concat())
}

#[test]
fn run_prints_a_completion() {
    let place = Place::new();
    let greedy = ["-p", "hello there", "--temp", "0"];
    let first = completion(&place, "12", &greedy);
    assert_eq!(
        keys(&first),
        ["prompt_ids", "ids", "text", "stop", "timings"]
    );
    assert_eq!(
        keys(&first["timings"]),
        [
            "load_s",
            "prompt_tokens",
            "prompt_s",
            "generated_tokens",
            "generate_s"
        ]
    );
    assert_eq!(first["ids"].as_array().unwrap().len(), 12);
    assert_eq!(first["stop"], "length");
    assert_eq!(first["timings"]["generated_tokens"], 12);
    assert_eq!(
        first["timings"]["prompt_tokens"],
        first["prompt_ids"].as_array().unwrap().len()
    );
    let again = completion(&place, "12", &greedy);
    assert_eq!(
        (&first["ids"], &first["text"]),
        (&again["ids"], &again["text"])
    );

    // The same without JSON is the text and a newline.
    let text = place
        .run("run", &greedy)
        .args(["-n", "12", "--ignore-end"])
        .assert()
        .success();
    let printed = String::from_utf8_lossy(&text.get_output().stdout).into_owned();
    assert_eq!(printed, format!("{}\n", first["text"].as_str().unwrap()));

    let file = place.file("prompt.txt", "hello there");
    let from_file = completion(&place, "12", &["-f", &file, "--temp", "0"]);
    assert_eq!(from_file["ids"], first["ids"]);
}

#[test]
fn seeds_and_stop_strings() {
    let place = Place::new();
    let sample = |seed: &str| {
        let options = ["-p", "the", "--temp", "1.5", "--seed", seed];
        completion(&place, "24", &options)["ids"].clone()
    };
    assert_eq!(sample("3"), sample("3"));
    assert_ne!(sample("3"), sample("4"));

    // A stop string that appears ends the text before it.
    let greedy = ["-p", "the", "--temp", "0"];
    let whole = completion(&place, "40", &greedy);
    let text = whole["text"].as_str().unwrap();
    let stop: String = text.chars().skip(3).take(1).collect();
    let cut = completion(&place, "40", &[&greedy[..], &["--stop", &stop]].concat());
    assert_eq!(cut["stop"], "string");
    assert_eq!(
        cut["text"].as_str().unwrap(),
        text.split(&stop).next().unwrap()
    );
}

#[test]
fn a_full_context_is_said() {
    let place = Place::new();
    place
        .run("run", &["-p", "hello", "-c", "8", "--ignore-end", "--json"])
        .assert()
        .success()
        .stdout(contains("\"stop\": \"length\""))
        .stderr(contains("context of 8 tokens is full"));
    place
        .run("run", &["-p", "a prompt of many tokens", "-c", "8"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("-c"));
}

#[test]
fn wrong_use_of_the_engine_commands_ends_in_exit_code_2() {
    let place = Place::new();
    let file = place.file("text.txt", "abc");
    let wrong: &[(&str, &[&str])] = &[
        ("run", &[]),
        ("run", &["-p", "a", "-f", "b"]),
        ("run", &["-p", "a", "--top-p", "2"]),
        ("run", &["-p", "a", "-t", "0"]),
        ("run", &["-p", "a", "--cache-type-k", "q9"]),
        ("run", &["-p", "a", "--samplers", "top_k;magic"]),
        ("chat", &["--on-full", "explode"]),
        ("perplexity", &[]),
        ("perplexity", &["-f", &file, "-c", "1"]),
        ("perplexity", &["-f", &file, "--chunks", "0"]),
        ("logits", &["--ids", "1,2"]),
        ("logits", &["--ids", "1,x", "--out", "/dev/null"]),
        ("bench", &["-r", "0"]),
        ("tokenize", &["--jsonl", "-p", "x"]),
    ];
    for (command, arguments) in wrong {
        place
            .run(command, arguments)
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::is_empty().not());
    }
}

#[test]
fn what_a_model_argument_may_be() {
    let place = Place::new();
    // A file in the cache folder by its name, and a path.
    gristmill(place.folder.path())
        .args(["inspect", "tiny.gguf"])
        .assert()
        .success();
    gristmill(place.folder.path())
        .args(["inspect", "nowhere/tiny.gguf"])
        .assert()
        .code(1)
        .stderr(contains("nowhere/tiny.gguf"));
    gristmill(place.folder.path())
        .arg("inspect")
        .arg(place.folder.path())
        .assert()
        .code(1)
        .stdout("");
}

/// Every malformed file gets one line and exit code 1; what is valid is shown.
#[test]
fn malformed_files_are_refused_in_one_line() {
    let place = Place::new();
    let whole = fs::read(&place.model).unwrap();
    let cut = place.folder.path().join("cut.gguf");
    for length in [0, 3, 10, 100, 3000, whole.len() - 1] {
        fs::write(&cut, &whole[..length]).unwrap();
        for command in ["inspect", "run"] {
            let mut run = gristmill(place.folder.path());
            run.arg(command).arg(&cut);
            if command == "run" {
                run.args(["-p", "x"]);
            }
            let assert = run.assert().code(1).stdout("");
            let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
    let folder = testdata("malformed");
    let index: Value =
        serde_json::from_slice(&fs::read(folder.join("index.json")).unwrap()).unwrap();
    for case in index["files"].as_array().unwrap() {
        let name = case["file"].as_str().unwrap();
        let assert = gristmill(place.folder.path())
            .args(["run", "-p", "a", "-n", "1"])
            .arg(folder.join(name))
            .assert();
        let output = assert.get_output();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if case["expected"] == "error" && case.get("also_acceptable").is_none() {
            assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
            assert_eq!(stderr.lines().count(), 1, "{name}: {stderr}");
        } else {
            assert!(
                matches!(output.status.code(), Some(0 | 1)),
                "{name}: {stderr}"
            );
        }
        assert!(!stderr.contains("panicked"), "{name}: {stderr}");
    }
}
