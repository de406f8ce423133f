//! Ctrl-C while a command works.
#![cfg(unix)]

use crate::program::{Place, gristmill_process};
use crate::tiny::Tiny;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn spawn(place: &Place, arguments: &[&str]) -> Child {
    let mut command = gristmill_process(place.folder.path());
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn interrupt(child: &Child) {
    let killed = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(killed.success());
}

#[test]
fn ctrl_c_ends_a_completion_with_what_there_is() {
    let place = Place::with(&Tiny {
        context: 1 << 20,
        ..Tiny::default()
    });
    let model = place.model.display().to_string();
    let endless = [
        "run",
        &model,
        "-p",
        "the",
        "--ignore-end",
        "-t",
        "1",
        "-c",
        "1000000",
    ];
    let mut child = spawn(&place, &endless);
    // Text has begun to come: it is generating.
    let mut byte = [0];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut byte)
        .unwrap();
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(130),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    // With --json nothing shows that it is generating, so Ctrl-C comes later and later until it is: before, it ends the
    // program, or an answer without tokens.
    let endless_json = [&endless[..], &["--json"]].concat();
    let (status, report) = (0..9)
        .find_map(|doublings| {
            let child = spawn(&place, &endless_json);
            std::thread::sleep(Duration::from_millis(100 << doublings));
            interrupt(&child);
            let output = child.wait_with_output().unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).ok()?;
            let generated = !report["ids"].as_array().unwrap().is_empty();
            generated.then_some((output.status, report))
        })
        .expect("a report with tokens");
    assert_eq!(status.code(), Some(130));
    assert_eq!(report["stop"], "interrupt");
}

#[test]
fn an_interrupted_perplexity_run_can_be_resumed() {
    let place = Place::new();
    let text: String = (0..400_000u64)
        .map(|i| format!("{} ", i * 7919 % 1000))
        .collect();
    let file = place.file("text.txt", &text);
    let (model, state) = (place.model.display().to_string(), place.path("state.json"));
    let child = spawn(
        &place,
        &[
            "perplexity",
            &model,
            "-f",
            &file,
            "-c",
            "64",
            "-t",
            "1",
            "--resume",
            &state,
        ],
    );
    // The state is first written some windows in.
    let start = Instant::now();
    while !Path::new(&state).exists() {
        assert!(start.elapsed() < Duration::from_secs(120), "no state");
        std::thread::sleep(Duration::from_millis(20));
    }
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(
        output.stdout.is_empty() && stderr.contains("Interrupted after"),
        "{stderr}"
    );
    let saved: Value = serde_json::from_slice(&fs::read(&state).unwrap()).unwrap();
    let done = saved["state"]["cumulative"].as_array().unwrap().len();
    assert!(done > 0, "{stderr}");
    let chunks = (done + 1).to_string();
    let report = place.json(
        "perplexity",
        &[
            "-f", &file, "-c", "64", "--resume", &state, "--chunks", &chunks, "--json",
        ],
    );
    assert_eq!(report["chunks"].as_array().unwrap().len(), done + 1);
}

/// A prompt that was stopped is told as any other, and nothing is kept of it.
#[test]
fn ctrl_c_while_a_prompt_is_read_for_its_cache() {
    let place = Place::with(&Tiny {
        context: 1 << 20,
        ..Tiny::default()
    });
    let (model, cache) = (
        place.model.display().to_string(),
        place.path("prompt.cache"),
    );
    let prompt = place.file("prompt.txt", &"The mill turns. ".repeat(50_000));
    let run = [
        "run",
        &model,
        "-f",
        &prompt,
        "--prompt-cache",
        &cache,
        "--json",
        "-t",
        "1",
    ];
    // Later and later, until it comes after the start of the program.
    let (status, report) = (0..9)
        .find_map(|doublings| {
            let child = spawn(&place, &run);
            std::thread::sleep(Duration::from_millis(200 << doublings));
            interrupt(&child);
            let output = child.wait_with_output().unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).ok()?;
            Some((output.status, report))
        })
        .expect("a report");
    assert_eq!(status.code(), Some(130));
    assert_eq!(report["stop"], "interrupt");
    assert_eq!(report["ids"].as_array().unwrap().len(), 0);
    let evaluated = report["timings"]["prompt_tokens"].as_u64().unwrap() as usize;
    assert!(evaluated < report["prompt_ids"].as_array().unwrap().len());
    assert!(!Path::new(&cache).exists());
}
