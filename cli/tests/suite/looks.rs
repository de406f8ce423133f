//! The commands that only look: `inspect`, `tokenize`.

use crate::program::Place;
use crate::tiny::Tiny;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

#[test]
fn inspect_shows_sizes_and_licence() {
    let place = Place::new();
    let report = place.json("inspect", &["--json"]);
    assert_eq!(report["architecture"], "llama");
    assert_eq!(report["licence"]["class"], "open-source");
    assert_eq!(report["chat_template"], true);
    assert_eq!(report["vocab_size"], 260);
    assert_eq!(report["quantization"][0]["type"], "F32");
    assert_eq!(report["problem"], Value::Null);
    assert!(report["memory"]["cache"].as_u64().unwrap() > 0);
    assert!(report.get("tensors").is_none());
    let more = place.json(
        "inspect",
        &["--json", "--tensors", "--metadata", "-c", "100"],
    );
    assert_eq!(more["tensors"].as_array().unwrap().len(), 21);
    assert_eq!(more["metadata"]["general.name"], "Tiny Random");
    assert_eq!(more["memory"]["context_length"], 100);
    place
        .run("inspect", &["--tensors", "--metadata"])
        .assert()
        .success()
        .stdout(
            contains("OSI-approved")
                .and(contains("blk.1.ffn_up.weight"))
                .and(contains("\\n")),
        );

    for (licence, expected) in [
        (None, "not stated"),
        (Some("gemma"), "restrictions"),
        (Some("x"), "read its text"),
    ] {
        let place = Place::with(&Tiny {
            licence,
            ..Tiny::default()
        });
        place
            .run("inspect", &[])
            .assert()
            .success()
            .stdout(contains(expected));
    }
}

/// What can't be run can be looked at, and the program says so.
#[test]
fn files_that_can_not_be_run_can_be_looked_at() {
    let unknown = Tiny {
        architecture: "llama-9",
        ..Tiny::default()
    };
    let odd = Tiny {
        extra: Some("blk.0.attn_q.scale"),
        ..Tiny::default()
    };
    for (tiny, named, why) in [
        (unknown, "llama-9", ["not known", "llama"]),
        (odd, "attn_q.scale", ["does not use", "blk.0"]),
    ] {
        let place = Place::with(&tiny);
        for command in ["run", "perplexity", "bench"] {
            let arguments: &[&str] = match command {
                "run" => &["-p", "the"],
                "perplexity" => &["-f", "Cargo.toml"],
                _ => &[],
            };
            let assert = place.run(command, arguments).assert().code(1).stdout("");
            let said = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
            let last = said.lines().last().unwrap();
            for part in [named, "gristmill inspect"].iter().chain(&why) {
                assert!(last.contains(part), "no {part} in: {said}");
            }
        }
        let report = place.json("inspect", &["--json", "--tensors"]);
        assert!(report["problem"].as_str().unwrap().contains(named));
        place
            .run("inspect", &[])
            .assert()
            .success()
            .stdout(contains("can't be run").and(contains(named)));
        place
            .run("tokenize", &["--ids", "-p", "he"])
            .assert()
            .success()
            .stdout("258\n");
    }
    Place::with(&Tiny {
        extra: Some("mm.0.bias"),
        ..Tiny::default()
    })
    .run("run", &["-p", "the", "-n", "1"])
    .assert()
    .success();
}

#[test]
fn tokenize_goes_both_ways() {
    let place = Place::new();
    let requests = "{\"text\":\"the <|im_end|> ü\",\"add_special\":true,\"parse_special\":false}\n\n\
                    {\"text\":\"the <|im_end|>\",\"parse_special\":true}\n{\"text\":\"\"}\n";
    let assert = place
        .run("tokenize", &["--jsonl"])
        .write_stdin(requests)
        .assert()
        .success();
    let stdout = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["detok"], "the <|im_end|> ü");
    assert!(!lines[0]["ids"].as_array().unwrap().contains(&0.into()));
    assert!(lines[1]["ids"].as_array().unwrap().contains(&0.into()));
    assert_eq!(lines[2], serde_json::json!({"ids": [], "detok": ""}));
    place
        .run("tokenize", &["--jsonl"])
        .write_stdin("{\"text\":\"a\"}\nnonsense\n")
        .assert()
        .code(1)
        .stderr(contains("line 2"));
    place
        .run("tokenize", &["--ids", "-p", "he"])
        .assert()
        .success()
        .stdout("258\n");
    place
        .run("tokenize", &[])
        .write_stdin("hé")
        .assert()
        .success()
        .stdout(contains("\\xc3"));
}
