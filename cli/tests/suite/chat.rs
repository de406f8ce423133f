//! `chat` through a pipe.

use crate::program::{Place, gristmill_process};
use crate::tiny::Tiny;
use predicates::prelude::*;
use predicates::str::contains;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::process::Stdio;

#[test]
fn chat_through_a_pipe_prints_only_answers() {
    let place = Place::new();
    let arguments = ["--temp", "0", "-n", "8"];
    let assert = place
        .run("chat", &arguments)
        .write_stdin("hello\n\nthere <|im_end|>\n")
        .assert()
        .success();
    let answers = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    assert!(
        !answers.contains("User") && answers.ends_with('\n'),
        "{answers:?}"
    );
    let again = place
        .run("chat", &arguments)
        .write_stdin("hello\n\nthere <|im_end|>\n")
        .assert()
        .success();
    assert_eq!(assert.get_output().stdout, again.get_output().stdout);
    // The first answer does not depend on what comes after it.
    let alone = place
        .run("chat", &arguments)
        .write_stdin("hello")
        .assert()
        .success();
    let alone = String::from_utf8_lossy(&alone.get_output().stdout).into_owned();
    assert!(
        answers.starts_with(alone.trim_end_matches('\n')),
        "{answers:?} {alone:?}"
    );
}

#[test]
fn chat_says_what_is_not_as_usual() {
    let plain = Place::with(&Tiny {
        template: None,
        ..Tiny::default()
    });
    plain
        .run("chat", &["-n", "4"])
        .write_stdin("hi\n")
        .assert()
        .success()
        .stderr(contains("no chat template"));

    // A context that the conversation outgrows: stop says so and fails, drop says so and goes on.
    let place = Place::with(&Tiny {
        context: 96,
        ..Tiny::default()
    });
    let turns = "hello there, how are you\n".repeat(4);
    let arguments = ["--temp", "0", "-n", "6"];
    place
        .run("chat", &arguments)
        .write_stdin(turns.as_str())
        .assert()
        .code(1)
        .stderr(contains("context is full").and(contains("--on-full drop")));
    place
        .run("chat", &[&arguments[..], &["--on-full", "drop"]].concat())
        .write_stdin(turns.as_str())
        .assert()
        .success()
        .stderr(contains("forgotten"));
}

/// The system prompt of the command line is told in place of the one in the file.
#[test]
fn a_conversation_is_taken_up() {
    let place = Place::new();
    let talk = |system: &str| {
        let message =
            |role: &str, content: &str| serde_json::json!({"role": role, "content": content});
        let messages = [
            message("system", system),
            message("user", "hi"),
            message("assistant", "ho"),
        ];
        place.file(
            &format!("{system}.json"),
            &serde_json::json!({"messages": messages}).to_string(),
        )
    };
    let answer = |more: &[&str]| {
        let assert = place
            .run("chat", &[&["--temp", "0", "-n", "12"], more].concat())
            .write_stdin("hello\n")
            .assert()
            .success();
        assert.get_output().stdout.clone()
    };
    let (cheese, bread) = (talk("cheese"), talk("bread"));
    let with_bread = answer(&["--load", &bread]);
    assert_ne!(with_bread, answer(&["--load", &cheese]));
    assert_eq!(
        with_bread,
        answer(&["--load", &cheese, "--system", "bread"])
    );
}

#[test]
fn a_model_that_is_overwritten_ends_the_chat() {
    let place = Place::new();
    let mut child = gristmill_process(place.folder.path())
        .args(["chat", "--temp", "0", "-n", "4", "-t", "1"])
        .arg(&place.model)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    questions.write_all(b"hello\n").unwrap();
    // The answer has begun: the model is open.
    let mut byte = [0];
    let answers = child.stdout.as_mut().unwrap();
    answers.read_exact(&mut byte).unwrap();
    let mut file = OpenOptions::new().append(true).open(&place.model).unwrap();
    file.write_all(b"more").unwrap();
    // It may have ended already.
    let _ = questions.write_all(b"there\n");
    drop(questions);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("tiny.gguf: the file was changed"),
        "{stderr}"
    );
}

/// A model whose prompt begins the reasoning, and whose template tells what it was given.
fn thinker() -> Place {
    Place::with(&Tiny {
        template: Some(
            "{% if mode %}{{ raise_exception('mode ' ~ mode ~ ', ' ~ tools | length ~ ' tools') }}{% endif %}\
             {% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}{{ m.reasoning_content }}<|im_end|>\
             {% endfor %}<|im_start|>assistant<think>",
        ),
        ..Tiny::default()
    })
}

#[test]
fn reasoning_is_printed_or_left_out() {
    let place = thinker();
    let answer = |more: &[&str]| {
        let assert = place
            .run("chat", &[&["--temp", "0", "-n", "8"], more].concat())
            .write_stdin("hello\n")
            .assert()
            .success();
        String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
    };
    // The model never ends it, so all of its answer is reasoning.
    assert!(answer(&[]).len() > 1);
    assert_eq!(answer(&["--no-reasoning"]), "\n");
}

#[test]
fn variables_and_tools_reach_the_template() {
    let place = thinker();
    let tools = place.file("tools.json", "[{}, {}]");
    let told = |more: &[&str], complaint: &'static str| {
        place
            .run("chat", more)
            .write_stdin("hello\n")
            .assert()
            .code(1)
            .stderr(contains(complaint));
    };
    told(&["--var", "mode=5", "--tools", &tools], "mode 5, 2 tools");
    told(
        &["--var", "mode=a", "--var", "mode=b", "--var", "tools=[1]"],
        "mode b, 1 tools",
    );
    // What a saved conversation says is kept, but for what the command line says.
    let saved = r#"{"messages": [], "variables": {"mode": "slow"}, "tools": [{}]}"#;
    let saved = place.file("talk.json", saved);
    told(&["--load", &saved], "mode slow, 1 tools");
    told(
        &["--load", &saved, "--tools", &tools, "--var", "mode=fast"],
        "mode fast, 2 tools",
    );
    told(&["--tools", &saved], "talk.json holds no list of tools");
    place
        .run("chat", &["--var", "mode"])
        .assert()
        .code(2)
        .stderr(contains("NAME=VALUE"));
}
