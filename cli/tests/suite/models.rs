//! `models`: the catalogue as a table, at every width, and as JSON.

use crate::program::gristmill;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

fn json(arguments: &[&str]) -> Value {
    let cache = tempfile::tempdir().unwrap();
    let output = gristmill(cache.path())
        .arg("models")
        .args(arguments)
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_catalogue_is_sorted_and_complete() {
    let everything = json(&["--json"]);
    assert_eq!(everything["downloaded"], Value::Array(Vec::new()));
    let rows = everything["catalogue"].as_array().unwrap();
    assert_eq!(rows, json(&["--catalogue", "--json"]).as_array().unwrap());
    assert!(rows.len() >= 25);
    let sizes: Vec<u64> = rows
        .iter()
        .map(|row| row["bytes"].as_u64().unwrap())
        .collect();
    assert!(sizes.is_sorted());
    for row in rows {
        let (name, sum) = (row["name"].as_str().unwrap(), row["sha256"].as_str());
        assert_eq!(row["bytes_exact"], sum.is_some(), "{name}");
        assert!(row["memory"].as_u64() > row["bytes"].as_u64(), "{name}");
        assert!(["yes", "slow", "no", "?"].contains(&row["fits"].as_str().unwrap()));
        let hub = format!(
            "{}:{}",
            row["hub"].as_str().unwrap().split(':').next().unwrap(),
            row["quantization"].as_str().unwrap()
        );
        assert_eq!(row["hub"], hub);
        let restricted = row["licence_class"] == "restricted";
        assert_eq!(row["restrictions"].is_string(), restricted, "{name}");
    }
}

#[test]
fn one_model_is_described() {
    let cache = tempfile::tempdir().unwrap();
    let models = |arguments: &[&str]| {
        let mut command = gristmill(cache.path());
        command.arg("models").args(arguments);
        command.assert()
    };
    models(&["gemma-3-4b-it-qat"])
        .success()
        .stdout(contains("prohibited-use policy").and(contains("HF_TOKEN")))
        .stdout(contains(
            "google/gemma-3-4b-it-qat-q4_0-gguf:Q4_0 (about 3.2 GB)",
        ))
        .stderr("");
    models(&["smollm2"])
        .success()
        .stdout(contains("(98.4 MB)").and(contains("b179c9523d0e6a0f")));
    models(&["qwen3:4b"])
        .code(2)
        .stdout("")
        .stderr(contains("like it: qwen3-4b"));
    models(&["smollm2", "--elsewhere"]).code(2);
    models(&["--downloaded", "--catalogue"]).code(2);
}

/// Narrow terminals get fewer columns and no broken lines; wide ones all.
#[cfg(unix)]
#[test]
fn the_table_fits_the_terminal() {
    use std::io::Read;
    let shown = |width: u16| {
        let cache = tempfile::tempdir().unwrap();
        let (mut terminal, program_side) = pty_process::blocking::open().unwrap();
        terminal.resize(pty_process::Size::new(50, width)).unwrap();
        let mut child = pty_process::blocking::Command::new(env!("CARGO_BIN_EXE_gristmill"))
            .args(["models", "--catalogue"])
            .env("GRISTMILL_CACHE", cache.path())
            .env("HOME", cache.path())
            .env("NO_COLOR", "1")
            .stderr(std::process::Stdio::null())
            .spawn(program_side)
            .unwrap();
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        while let Ok(read @ 1..) = terminal.read(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        assert!(child.wait().unwrap().success());
        text
    };
    for (width, columns) in [
        (60, "name size fits licence"),
        (80, "name size weights type fits licence"),
        (120, "name size weights type fits licence what it is"),
    ] {
        let text = shown(width);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= usize::from(width), "{widest} of {width}:\n{text}");
        let header: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
        assert_eq!(header.join(" "), columns);
        assert!(text.lines().count() > 25 && text.contains("about 18.6 GB"));
    }
}
