//! `gristmill embed`: texts in, vectors out, in every form.

use crate::program::{Place, gristmill};
use crate::tiny::Tiny;
use serde_json::Value;
use std::fs;

fn encoder() -> Place {
    Place::with(&Tiny {
        encoder: true,
        context: 64,
        ..Tiny::default()
    })
}

fn stdout(place: &Place, arguments: &[&str]) -> String {
    let output = place.run("embed", arguments).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

fn stderr(place: &Place, arguments: &[&str], code: i32) -> String {
    let output = place.run("embed", arguments).assert().failure().code(code);
    String::from_utf8(output.get_output().stderr.clone()).unwrap()
}

fn vector(line: &str) -> Vec<f32> {
    let line: Value = serde_json::from_str(line).unwrap();
    serde_json::from_value(line["embedding"].clone()).unwrap()
}

#[test]
fn lines_have_a_vector_for_each_text() {
    for place in [encoder(), Place::new()] {
        let both = stdout(&place, &["the mill", "a wheel turns"]);
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!(lines.len(), 2);
        let second: Value = serde_json::from_str(lines[1]).unwrap();
        assert_eq!(second["index"], 1);
        assert_eq!(second["tokens"], 12);
        let values = vector(lines[0]);
        let length: f32 = values.iter().map(|v| v * v).sum();
        assert!(values.len() == 32 && (length - 1.0).abs() < 1e-5);
        // One by one, from a file, as JSON, and with other batches: the same characters.
        let alone = stdout(&place, &["a wheel turns", "--batch", "3"]);
        assert_eq!(vector(alone.trim()), vector(lines[1]));
        let file = place.folder.path().join("lines.txt");
        fs::write(&file, "the mill\r\na wheel turns\n").unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(stdout(&place, &["-f", file, "--batch", "1"]), both);
        let json = "\"the mill\"\n\n{\"text\":\"a wheel turns\", \"id\":7}\n";
        let output = place
            .run("embed", &["--jsonl"])
            .write_stdin(json)
            .assert()
            .success();
        assert_eq!(output.get_output().stdout, both.as_bytes());
    }
}

#[test]
fn files_hold_the_same_values() {
    let place = encoder();
    let texts = ["the mill", "a wheel", "--no-normalize"];
    let lines = stdout(&place, &texts);
    let values: Vec<f32> = lines.lines().flat_map(vector).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let written = |name: &str| {
        let path = place.folder.path().join(name);
        let mut arguments = texts.to_vec();
        arguments.extend(["--out", path.to_str().unwrap()]);
        assert_eq!(stdout(&place, &arguments), "");
        fs::read(path).unwrap()
    };
    assert_eq!(written("a.f32"), bytes);
    assert_eq!(written("a.jsonl"), lines.as_bytes());
    let npy = written("a.npy");
    let (header, rest) = npy.split_at(npy.len() - bytes.len());
    assert_eq!(rest, bytes);
    assert!(header.len().is_multiple_of(64) && header.starts_with(b"\x93NUMPY\x01\x00"));
    let header = String::from_utf8_lossy(header);
    assert!(header.contains("(2, 32)"), "{header}");
    let error = stderr(&place, &["text", "--out", "a.txt"], 2);
    assert!(error.contains(".npy"), "{error}");
}

#[test]
fn each_token_can_have_a_vector() {
    let place = encoder();
    let line = stdout(&place, &["abcd", "--pooling", "none"]);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["tokens"], 4);
    assert_eq!(line["embeddings"].as_array().unwrap().len(), 4);
    assert!(line.get("embedding").is_none());
    let error = stderr(&place, &["a", "--pooling", "none", "--cosine"], 2);
    assert!(error.contains("none"), "{error}");
}

#[test]
fn cosines_are_a_table() {
    let place = encoder();
    let table = stdout(&place, &["the mill", "the mill", "zzz", "--cosine"]);
    assert_eq!(table.matches("1.000").count(), 5, "{table}");
    assert!(table.contains("zzz"), "{table}");
    let many = vec!["a"; 13];
    let mut arguments = many.clone();
    arguments.push("--cosine");
    assert!(stderr(&place, &arguments, 2).contains("12 texts"));
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let place = encoder();
    let long = "x".repeat(65);
    let error = stderr(&place, &["short", &long], 1);
    assert_eq!(
        error,
        "error: text 2 has 65 tokens, more than the 64 that can be seen at once: shorten or split it\n"
    );
    let error = stderr(&place, &["a", "--pooling", "rank"], 1);
    assert!(error.contains("classifier"), "{error}");
    let error = stderr(&place, &["--ids", "1,x"], 2);
    assert!(error.contains("'x'"), "{error}");
    let error = stderr(&place, &["--ids", "1,9999"], 1);
    assert!(error.contains("9999"), "{error}");
    let output = place
        .run("embed", &["--jsonl"])
        .write_stdin("\"a\"\n{\"txt\":1}\n")
        .assert()
        .code(1);
    let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
    assert!(error.contains("line 2"), "{error}");
    place.run("embed", &[]).write_stdin("").assert().code(2);
    for command in ["run", "chat"] {
        let arguments: &[&str] = if command == "run" {
            &["-p", "a", "-n", "1"]
        } else {
            &[]
        };
        let output = place.run(command, arguments).write_stdin("a\n").assert();
        let output = output.failure().code(1);
        let error = String::from_utf8_lossy(&output.get_output().stderr).into_owned();
        assert_eq!(
            error,
            "error: llama models make embeddings and no text: use 'gristmill embed'\n"
        );
    }
}

#[test]
fn ids_are_texts_too() {
    let place = encoder();
    let by_ids = stdout(&place, &["--ids", "99,100", "--ids", "[5, 6, 7]"]);
    assert_eq!(by_ids.lines().count(), 2);
    let help = gristmill(place.folder.path())
        .args(["embed", "--help"])
        .assert();
    let help = help.success();
    let help = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
    assert!(help.contains(".npy") && help.contains("pooling_type"));
}
