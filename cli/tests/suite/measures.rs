//! The commands that measure: `perplexity`, `logits`, `bench`.

use crate::program::{Place, gristmill, keys};
use gristmill_gguf::Gguf;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

#[test]
fn perplexity_resumes_to_the_same_values() {
    let place = Place::new();
    let text: String = (0..400)
        .map(|i| format!("the {} other, ", i * 7919 % 1000))
        .collect();
    let file = place.file("text.txt", &text);
    let state = place.path("state.json");
    let common = ["-f", &file, "-c", "64", "--json"];
    let whole = place.json("perplexity", &[&common[..], &["--chunks", "6"]].concat());
    assert_eq!(
        keys(&whole),
        ["model", "n_ctx", "chunks", "ppl", "stderr", "scored_tokens"]
    );
    assert_eq!(whole["chunks"].as_array().unwrap().len(), 6);
    assert_eq!(whole["model"], "tiny.gguf");
    assert_eq!(whole["n_ctx"], 64);
    // 64 - 1 - 32 predictions a window
    assert_eq!(whole["scored_tokens"], 6 * 31);

    let part = place.json(
        "perplexity",
        &[&common[..], &["--chunks", "2", "--resume", &state]].concat(),
    );
    assert_eq!(
        part["chunks"].as_array().unwrap()[..],
        whole["chunks"].as_array().unwrap()[..2]
    );
    let resumed = place
        .run(
            "perplexity",
            &[&common[..], &["--chunks", "6", "--resume", &state]].concat(),
        )
        .assert()
        .success()
        .stderr(contains("after 2 of 6"));
    assert_eq!(
        serde_json::from_slice::<Value>(&resumed.get_output().stdout).unwrap(),
        whole
    );

    // Fewer windows than there are, another text, another window, no state at all: refused.
    place
        .run(
            "perplexity",
            &[&common[..], &["--chunks", "2", "--resume", &state]].concat(),
        )
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("state.json has 6 windows already"));
    let other = place.file("other.txt", &text.replace("the", "she"));
    place
        .run(
            "perplexity",
            &["-f", &other, "-c", "64", "--resume", &state],
        )
        .assert()
        .code(1);
    place
        .run("perplexity", &["-f", &file, "-c", "32", "--resume", &state])
        .assert()
        .code(1)
        .stderr(contains("cannot go on from").and(contains("state.json")));
    // The same name and size, one weight changed: another model.
    let other = Place::new();
    let mut bytes = fs::read(&other.model).unwrap();
    let gguf = Gguf::from_bytes(bytes.clone()).unwrap();
    let weight = gguf.tensor("blk.1.ffn_gate.weight").unwrap().offset() as usize;
    bytes[weight + 3] ^= 1;
    fs::write(&other.model, bytes).unwrap();
    other
        .run("perplexity", &["-f", &file, "-c", "64", "--resume", &state])
        .assert()
        .code(1)
        .stderr(contains("another tiny.gguf"));
    let nonsense = place.file("nonsense.json", "{}");
    place
        .run(
            "perplexity",
            &["-f", &file, "-c", "64", "--resume", &nonsense],
        )
        .assert()
        .code(1);

    let short = place.file("short.txt", "too short");
    place
        .run("perplexity", &["-f", &short])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("1024"));
    place
        .run("perplexity", &["-f", &file, "-c", "64"])
        .assert()
        .success()
        .stdout(contains("±"));
}

#[test]
fn logits_agree_with_themselves() {
    let place = Place::new();
    let out = place.path("a.logits");
    let ids: Vec<String> = (2..40).map(|id| id.to_string()).collect();
    let ids = ids.join(",");
    place
        .run("logits", &["--ids", &ids, "--out", &out])
        .assert()
        .success()
        .stdout("");
    assert_eq!(fs::metadata(&out).unwrap().len(), 38 * 260 * 4);
    let against = place.json(
        "logits",
        &["--ids", &ids, "--against", &out, "--batch", "1", "--json"],
    );
    let expected = [
        "positions",
        "vocab_size",
        "nmse",
        "max_difference",
        "max_difference_at",
        "argmax_agree",
    ];
    assert_eq!(keys(&against), expected);
    assert!(against["nmse"].as_f64().unwrap() < 1e-9, "{against}");
    assert_eq!(against["argmax_agree"], 38);
    place
        .run("logits", &["--ids", &ids, "--against", &out])
        .assert()
        .success()
        .stdout(contains("NMSE"));
    place
        .run("logits", &["--ids", "1,2", "--against", &out])
        .assert()
        .code(1)
        .stderr(contains("2 rows"));
    place
        .run("logits", &["--ids", "999", "--out", &out])
        .assert()
        .code(1)
        .stderr(contains("999"));
    let nowhere = place.path("missing/a.logits");
    place
        .run("logits", &["--ids", "1", "--out", &nowhere])
        .assert()
        .code(1)
        .stderr(contains("cannot write").and(contains("missing/a.logits:")));
}

#[test]
fn bench_measures() {
    let place = Place::new();
    let rows = place.json(
        "bench",
        &["-p", "16", "-n", "4", "-d", "0,8", "-r", "2", "--json"],
    );
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(
        keys(&rows[0]),
        ["model", "threads", "isa", "test", "depth", "tok_s"]
    );
    assert_eq!(keys(&rows[0]["tok_s"]), ["median", "min", "max"]);
    assert_eq!(
        (&rows[0]["test"], &rows[3]["test"], &rows[3]["depth"]),
        (&"pp16".into(), &"tg4".into(), &8.into())
    );
    assert!(
        rows.iter()
            .all(|row| row["tok_s"]["median"].as_f64().unwrap() > 0.0 && row["threads"] == 1)
    );
    place
        .run("bench", &["-p", "8", "-n", "2", "-r", "1"])
        .assert()
        .success()
        .stdout(contains("tokens/s"));
}

#[test]
fn bench_takes_several_models_and_cache_types() {
    let place = Place::new();
    let second = place.path("second.gguf");
    fs::copy(place.path("tiny.gguf"), &second).unwrap();
    let rows = place.json(
        "bench",
        &[
            &second,
            "-p",
            "0",
            "-n",
            "2,3",
            "-r",
            "1",
            "-t",
            "2",
            "--cache-type-k",
            "f16,f32",
            "--json",
        ],
    );
    let rows = rows.as_array().unwrap();
    let found: Vec<(&str, &str, &str, u64, &str)> = rows
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap();
            (
                text("model"),
                text("cache_k"),
                text("cache_v"),
                row["threads"].as_u64().unwrap(),
                text("test"),
            )
        })
        .collect();
    let mut expected = Vec::new();
    for model in ["tiny.gguf", "second.gguf"] {
        for keys in ["f16", "f32"] {
            // One thread is what every command here is run with.
            for threads in [2, 1] {
                for test in ["tg2", "tg3"] {
                    expected.push((model, keys, "f16", threads, test));
                }
            }
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn bench_states_shares_of_ceilings() {
    let place = Place::new();
    let rows = place.json(
        "bench",
        &["-p", "32", "-n", "2", "-r", "1", "--roofline", "--json"],
    );
    let (prompt, generation) = (&rows[0]["roofline"], &rows[1]["roofline"]);
    assert_eq!(
        keys(generation),
        ["bound", "share", "stream_gb_s", "int8_gmac_s"]
    );
    for ceilings in [prompt, generation] {
        assert!(ceilings["stream_gb_s"].as_f64().unwrap() > 0.0);
        assert!(ceilings["int8_gmac_s"].as_f64().unwrap() > 0.0);
        // Its weights are floats: where multiplying them would take longer than reading them, no ceiling says anything.
        match ceilings["bound"].as_str() {
            Some(bound) => {
                assert_eq!(bound, "memory");
                assert!(ceilings["share"].as_f64().unwrap() > 0.0);
            }
            None => assert!(ceilings["share"].is_null()),
        }
    }
    place
        .run("bench", &["-p", "0", "-n", "2", "-r", "1", "--roofline"])
        .assert()
        .success()
        .stdout(contains("of ceiling").and(contains("Ceilings: memory")));
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let place = Place::new();
    for wrong in [
        &["--cache-type-k", "q9"][..],
        &["-t", "0"],
        &["-t", "1,x"],
        &["-p", "many"],
        &["-p", "0", "-n", "0"],
    ] {
        place.run("bench", wrong).assert().code(2).stdout("");
    }
    for (wrong, part) in [
        (&["bench", "-t", "3000"][..], "from 1 to 1024"),
        (&["bench", "-p", "-1"], "at least 0"),
        (&["bench", "-n", "-1"], "at least 0"),
        (&["bench", "-r", "-1"], "at least 1"),
        (&["bench", "--isa", "mmx"], "no instruction set"),
        (
            &["perplexity", "-f", "x", "--chunks", "-1"],
            "whole number of at least 1",
        ),
    ] {
        gristmill(place.folder.path())
            .args([&wrong[..1], &["nowhere.gguf"], &wrong[1..]].concat())
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(part));
    }
}

/// No machine has the memory for this; what is advised is what this command has.
#[test]
fn bench_without_memory_names_its_own_flags() {
    let place = Place::new();
    place
        .run("bench", &["-p", "0", "-n", "1", "-d", "90000000000"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(
            contains("-d plus the larger of -p and -n of at most ").and(contains(" -c ").not()),
        );
}

#[test]
fn a_page_without_tests_prints_no_table() {
    let place = Place::new();
    let page = place.path("page.html");
    place
        .run("bench", &["-p", "0", "-n", "0", "--html", &page])
        .assert()
        .success()
        .stdout("");
    assert!(fs::read_to_string(&page).unwrap().contains("<td>q4_k"));
}

#[test]
fn bench_writes_a_page() {
    let place = Place::new();
    let page = place.path("page.html");
    let options = ["-p", "4", "-n", "2", "-r", "1", "-t", "1,2", "-d", "0,8"];
    place
        .run("bench", &[&options[..], &["--html", &page]].concat())
        .assert()
        .success()
        .stdout(contains("tokens/s"))
        .stderr(contains("page.html"));
    let text = fs::read_to_string(&page).unwrap();
    for part in [
        "<!doctype html>",
        "Roofline",
        "by depth of context",
        "by threads",
        "tiny.gguf",
        "<td>q4_k",
        "<td>f32",
        "<td>f16",
        "<td>bf16",
        "<td>attention, f32",
        "<td>attention, f16",
        "<td>attention, q8_0",
        "class=scroll",
        "prefers-color-scheme:dark",
    ] {
        assert!(text.contains(part), "no {part}");
    }
    assert!(!text.contains("http") && !text.contains("NaN"));
    // Nowhere to write to is said before anything is measured.
    let nowhere = place.path("missing/page.html");
    place
        .run(
            "bench",
            &["-p", "0", "-n", "1", "-r", "1", "--html", &nowhere],
        )
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("missing/page.html"));
}
