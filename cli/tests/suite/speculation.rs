//! `--lookup` and `--draft` of `run` and `chat`: the same text as without, and what is said about the guesses.

use crate::program::Place;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

#[test]
fn completions_are_the_same_text() {
    let place = Place::new();
    let model = place.model.to_str().unwrap().to_owned();
    let guessing: [&[&str]; 5] = [
        &["--lookup"],
        &["--lookup", "--guesses", "5"],
        &["--draft", &model, "--guesses", "15"],
        &["--draft", &model],
        &["--lookup", "--draft", &model, "--guesses", "2"],
    ];
    for sampling in [
        &["--temp", "0"][..],
        &["--seed", "3", "--repeat-penalty", "1.1"],
        &["--seed", "4", "--mirostat", "2"],
        &["--seed", "5", "--stop", "e"],
    ] {
        let common = [
            &[
                "-p",
                "the the the hen then the",
                "-n",
                "90",
                "--ignore-end",
                "--json",
            ],
            sampling,
        ]
        .concat();
        let mut plain = place.json("run", &common);
        assert!(plain.get("speculation").is_none());
        for more in guessing {
            let mut guessed = place.json("run", &[&common[..], more].concat());
            let guesses = guessed["speculation"].take();
            let count = |key: &str| guesses[key].as_u64().unwrap();
            assert!(count("accepted") <= count("proposed"), "{guesses}");
            assert_eq!(guesses.as_object().unwrap().len(), 2);
            if more.contains(&"--guesses") && sampling != ["--seed", "5", "--stop", "e"] {
                assert!(count("proposed") > 0, "{more:?}");
            }
            guessed.as_object_mut().unwrap().remove("speculation");
            for report in [&mut plain, &mut guessed] {
                for key in ["load_s", "prompt_s", "generate_s"] {
                    report["timings"][key] = Value::Null;
                }
            }
            assert_eq!(plain, guessed, "{more:?}");
        }
    }
}

#[test]
fn chats_are_the_same_text() {
    let place = Place::new();
    let model = place.model.to_str().unwrap().to_owned();
    let said = "hello there\nthen the hen\nthe the the\n";
    for on_full in ["stop", "drop"] {
        let common = [
            "--temp",
            "0.4",
            "--seed",
            "1",
            "-n",
            "30",
            "-c",
            "160",
            "--on-full",
            on_full,
        ];
        let plain = place.run("chat", &common).write_stdin(said).assert();
        for more in [
            &["--lookup", "--guesses", "7"][..],
            &["--draft", &model, "--guesses", "3"],
            &["--lookup"],
        ] {
            let guessed = place
                .run("chat", &[&common[..], more].concat())
                .write_stdin(said)
                .assert();
            let (plain, guessed) = (plain.get_output(), guessed.get_output());
            assert_eq!(plain.stdout, guessed.stdout, "{more:?}");
            assert_eq!(plain.status.code(), guessed.status.code());
        }
    }
    place
        .run("chat", &["--timings", "--lookup", "-n", "9"])
        .write_stdin("hello\n")
        .assert()
        .success()
        .stderr(contains(" guesses right; context"));
}

#[test]
fn what_is_said_of_guesses() {
    let place = Place::new();
    let common = [
        "-p",
        "the the the",
        "-n",
        "20",
        "--ignore-end",
        "--temp",
        "0",
        "--timings",
    ];
    place
        .run("run", &common)
        .assert()
        .success()
        .stderr(contains("guesses").not());
    place
        .run("run", &[&common[..], &["--lookup"]].concat())
        .assert()
        .success()
        .stderr(contains("guesses right"));
    for wrong in ["0", "16", "x"] {
        place
            .run(
                "run",
                &[&common[..], &["--lookup", "--guesses", wrong]].concat(),
            )
            .assert()
            .code(2)
            .stderr(contains("from 1 to 15"));
    }
    place
        .run("run", &[&common[..], &["--guesses", "3"]].concat())
        .assert()
        .code(2)
        .stderr(contains("--lookup or --draft"));
    place
        .run("run", &[&common[..], &["--draft", "none.gguf"]].concat())
        .assert()
        .code(1)
        .stderr(contains("none.gguf"));
}

#[test]
fn another_vocabulary_is_refused() {
    let place = Place::new();
    let other = place.folder.path().join("other.gguf");
    let mut bytes = std::fs::read(&place.model).unwrap();
    // The merged token "th", as it stands behind its length in the list of tokens: another text of two letters.
    let token = [&2u64.to_le_bytes()[..], b"th"].concat();
    let at = bytes.windows(token.len()).position(|w| w == token).unwrap();
    bytes[at + 9] = b'x';
    std::fs::write(&other, bytes).unwrap();
    let arguments = ["-p", "the", "-n", "3", "--draft", other.to_str().unwrap()];
    place
        .run("run", &arguments)
        .assert()
        .code(1)
        .stderr(contains(r#"token 259 is "tx", and the model's is "th""#));
}
