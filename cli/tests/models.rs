//! The commands that run a model, on a tiny one with random weights: outputs, JSON keys, resumption, Ctrl-C.

mod common;
#[path = "common/tiny.rs"]
mod tiny;

use assert_cmd::Command;
use common::gristmill;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;
use tiny::Tiny;

/// A folder with a tiny model, which also serves as cache folder.
struct Place {
    folder: TempDir,
    model: PathBuf,
}

impl Place {
    fn new() -> Place {
        Place::with(&Tiny::default())
    }

    fn with(tiny: &Tiny) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny.write(folder.path());
        Place { folder, model }
    }

    fn run(&self, command: &str, arguments: &[&str]) -> Command {
        let mut run = gristmill(self.folder.path());
        run.arg(command)
            .arg(&self.model)
            .args(arguments)
            .args(if command == "tokenize" {
                &[][..]
            } else {
                &["-t", "1"]
            });
        run
    }

    fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let assert = self.run(command, arguments).assert().success();
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    }

    fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn run_prints_a_completion() {
    let place = Place::new();
    let arguments = [
        "-p",
        "hello there",
        "-n",
        "12",
        "--temp",
        "0",
        "--json",
        "--ignore-end",
    ];
    let first = place.json("run", &arguments);
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
    let again = place.json("run", &arguments);
    assert_eq!(
        (&first["ids"], &first["text"]),
        (&again["ids"], &again["text"])
    );

    // The same without JSON is the text and a newline.
    let text = place
        .run("run", &arguments[..6])
        .arg("--ignore-end")
        .assert()
        .success();
    let printed = String::from_utf8_lossy(&text.get_output().stdout).into_owned();
    assert_eq!(printed, format!("{}\n", first["text"].as_str().unwrap()));

    let file = place.file("prompt.txt", "hello there");
    let from_file = place.json(
        "run",
        &[
            "-f",
            &file,
            "-n",
            "12",
            "--temp",
            "0",
            "--json",
            "--ignore-end",
        ],
    );
    assert_eq!(from_file["ids"], first["ids"]);
}

#[test]
fn seeds_and_stop_strings() {
    let place = Place::new();
    let sample = |seed: &str| {
        place.json(
            "run",
            &[
                "-p",
                "the",
                "-n",
                "24",
                "--temp",
                "1.5",
                "--seed",
                seed,
                "--json",
                "--ignore-end",
            ],
        )["ids"]
            .clone()
    };
    assert_eq!(sample("3"), sample("3"));
    assert_ne!(sample("3"), sample("4"));

    // A stop string that appears ends the text before it.
    let whole = place.json(
        "run",
        &[
            "-p",
            "the",
            "-n",
            "40",
            "--temp",
            "0",
            "--json",
            "--ignore-end",
        ],
    );
    let text = whole["text"].as_str().unwrap();
    let stop: String = text.chars().skip(3).take(1).collect();
    let cut = place.json(
        "run",
        &[
            "-p",
            "the",
            "-n",
            "40",
            "--temp",
            "0",
            "--json",
            "--ignore-end",
            "--stop",
            &stop,
        ],
    );
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
        template: false,
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

    // Another text, another window, no state at all: refused.
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
        .code(1);
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
    let Some(folder) = common::conformance("malformed") else {
        return;
    };
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

#[cfg(unix)]
mod interrupts {
    use super::*;
    use std::io::Read;
    use std::process::{Child, Stdio};
    use std::time::Duration;

    fn spawn(place: &Place, arguments: &[&str]) -> Child {
        let mut command = common::gristmill_process(place.folder.path());
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

        let mut child = spawn(&place, &[&endless[..], &["--json"]].concat());
        std::thread::sleep(Duration::from_millis(1500));
        interrupt(&child);
        let mut text = String::new();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let report: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(report["stop"], "interrupt");
        assert!(!report["ids"].as_array().unwrap().is_empty());
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
        std::thread::sleep(Duration::from_millis(2500));
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
}
