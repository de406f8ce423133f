//! `run`: completions, seeds, stop strings, full contexts; and what every command on a model refuses.

use crate::program::{Place, gristmill, keys, testdata};
use gristmill_gguf::{Access, Gguf, Writer};
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;

/// A completion of `tokens` tokens, as JSON, with more options.
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

/// The second run begins with what the first one left, and says the same as without a file.
#[test]
fn a_prompt_that_is_known_is_not_read_again() {
    let place = Place::new();
    let file = place.path("prompt.cache");
    let run = |prompt: &str, more: &[&str]| {
        let options = ["-p", prompt, "--temp", "0"];
        completion(&place, "12", &[&options[..], more].concat())
    };
    let cached = |prompt: &str| run(prompt, &["--prompt-cache", &file]);
    let (short, long) = (
        "A mill that turns",
        "A mill that turns in the wind. Another does not.",
    );
    let other = "A mill that stands still";
    let tokens = |run: &Value| run["prompt_ids"].as_array().unwrap().len();
    // A prompt, the same again, a longer one, the shorter one, and one that goes another way.
    let mut known = 0;
    for (prompt, known_after) in [(short, short), (short, short), (long, long), (short, long)] {
        let (with, without) = (cached(prompt), run(prompt, &[]));
        assert_eq!(with["ids"], without["ids"], "{prompt}");
        let held = known.min(tokens(&with) - 1);
        assert_eq!(with["timings"]["prompt_tokens"], tokens(&with) - held);
        known = tokens(&run(known_after, &[])) - 1;
    }
    let with = cached(other);
    assert_eq!(with["ids"], run(other, &[])["ids"]);
    let shared = "A mill that ".len();
    let evaluated = with["timings"]["prompt_tokens"].as_u64().unwrap() as usize;
    assert!(evaluated < tokens(&with) && evaluated >= other.len() - shared - 4);

    // What can't be used is said in a line, and stays as it is.
    let before = fs::read(&file).unwrap();
    let mut damaged = before.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for (content, more, part) in [
        (&before[..], &["--cache-type-k", "f32"][..], "keys in f16"),
        (&before, &["-c", "16"], "-c sets it"),
        (&damaged, &[], "damaged"),
        (&before[..100], &[], "cut short"),
        (b"A text of somebody's.", &[], "is none"),
    ] {
        fs::write(&file, content).unwrap();
        let arguments = [&["-p", short, "--prompt-cache", &file][..], more].concat();
        let assert = place.run("run", &arguments).assert().code(1).stdout("");
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(part) && stderr.contains(&file), "{stderr}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
    let nowhere = place.path("missing/prompt.cache");
    place
        .run("run", &["-p", short, "--prompt-cache", &nowhere])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("cannot write"));
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

/// What is wrong is said with the flag as it is typed and with what is allowed, before a model is looked for.
#[test]
fn values_that_make_no_sense_are_refused_by_their_flags() {
    let place = Place::new();
    let above_zero = "above 0";
    let finite = "a finite number";
    let wrong: &[(&[&str], &[&str])] = &[
        (&["-t", "5000"], &["--threads", "from 1 to 1024"]),
        (&["-t", "-1"], &["--threads", "from 1 to 1024"]),
        (
            &["--threads-prompt", "5000"],
            &["--threads-prompt", "from 1 to 1024"],
        ),
        (&["-b", "-1"], &["--batch", "at least 1"]),
        (&["-n", "-1"], &["--tokens", "at least 0"]),
        (&["--stop", ""], &["--stop", "at least one character"]),
        (
            &["--min-keep", "0"],
            &["--min-keep is 0", "from 1 to 1048576"],
        ),
        (
            &["--min-keep", "99999999999"],
            &["--min-keep", "from 1 to 1048576"],
        ),
        (
            &["--samplers", ""],
            &["--samplers names no sampler", "temperature"],
        ),
        (&["--samplers", ";;"], &["--samplers names no sampler"]),
        (
            &["--samplers", "top_k;magic"],
            &["--samplers names 'magic'", "top_p"],
        ),
        (&["--temp", "-1"], &["--temp is -1", "at least 0"]),
        (&["--temp", "x"], &["--temp", finite]),
        (&["--temp", "nan"], &["--temp", finite]),
        (&["--temp", "inf"], &["--temp", finite]),
        (&["--temp", "1e39"], &["--temp", finite]),
        (&["--top-p", "2"], &["--top-p is 2", "from 0 to 1"]),
        (&["--typical-p", "0"], &["--typical-p is 0", above_zero]),
        (&["--xtc-probability", "-1"], &["--xtc-probability is -1"]),
        (
            &["--xtc-probability", "1", "--xtc-threshold", "0"],
            &["--xtc-threshold is 0", above_zero],
        ),
        (&["--dynatemp-range", "-1"], &["--dynatemp-range is -1"]),
        (&["--dry-base", "0"], &["--dry-base is 0", "at least 1"]),
        (
            &["--dry-sequence-breaker", ""],
            &["--dry-sequence-breaker", "at least one character"],
        ),
        (
            &["--frequency-penalty", "nan"],
            &["--frequency-penalty", finite],
        ),
        (
            &["--presence-penalty", "inf"],
            &["--presence-penalty", finite],
        ),
        (
            &["--repeat-penalty", "0"],
            &["--repeat-penalty is 0", above_zero],
        ),
        (
            &["--repeat-last-n", "-2"],
            &["--repeat-last-n", "-1 (all), 0 (none) or a count"],
        ),
        (&["--mirostat", "3"], &["--mirostat", "0 (off), 1 or 2"]),
        (
            &["--temp", "0", "--mirostat", "2"],
            &["--mirostat is 2", "at temperature 0"],
        ),
        (
            &["--seed", "-1"],
            &["--seed", "from 0 to 18446744073709551615"],
        ),
        (
            &["--seed=-1"],
            &["--seed", "from 0 to 18446744073709551615"],
        ),
        (&["--logit-bias", "5=inf"], &["--logit-bias", finite]),
        (&["--logit-bias", "5=1e40"], &["--logit-bias", finite]),
        (&["--logit-bias", "5=-1e40"], &["--logit-bias", finite]),
        (&["--logit-bias", "5=nan"], &["--logit-bias", finite]),
        (&["--logit-bias", "-5=1"], &["--logit-bias", "token's id"]),
        (&["--isa", ""], &["--isa", "no instruction set", "scalar"]),
        (
            &["--isa", "foo"],
            &["'foo'", "--isa", "no instruction set", "scalar"],
        ),
    ];
    for (arguments, parts) in wrong {
        let assert = gristmill(place.folder.path())
            .args(["run", "nowhere.gguf", "-p", "a"])
            .args(*arguments)
            .assert()
            .code(2)
            .stdout("");
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        for part in *parts {
            assert!(stderr.contains(part), "{arguments:?}: {stderr}");
        }
        assert!(
            !stderr.contains("340282") && !stderr.contains("literal"),
            "{stderr}"
        );
    }
    for (arguments, part) in [
        (&["--lookup", "-b", "1"], "-b 2"),
        (&["--draft=x", "-b", "1"], "-b 2"),
    ] {
        place
            .run("run", &[&["-p", "a"][..], arguments].concat())
            .assert()
            .code(2)
            .stdout("")
            .stderr(contains(part));
    }
    // Where the model is what speaks against it.
    place
        .run("run", &["-p", "a", "--logit-bias", "99999=1"])
        .assert()
        .code(1)
        .stderr(contains("--logit-bias is 99999=1"));
    // What llama.cpp means by these is obeyed.
    let off = ["-p", "a", "-n", "1", "--top-n-sigma", "-1"];
    place.run("run", &off).assert().success();
}

/// A name that means nothing is a wrong command line; a set that this machine can't have is a failure.
#[test]
fn instruction_sets_that_cannot_be_had() {
    let place = Place::new();
    let elsewhere = if cfg!(target_arch = "aarch64") {
        "avx2"
    } else {
        "neon"
    };
    let lacking = gristmill_kernels::ISAS.iter().find(|isa| !isa.detect());
    let some = ["-p", "a", "-n", "1"];
    let model = [place.model.to_str().unwrap()];
    let mut cases = vec![
        ("foo", 2, "no instruction set of that name".to_owned()),
        (elsewhere, 1, "belongs to builds for".to_owned()),
    ];
    match lacking {
        Some(isa) => cases.push((isa.name(), 1, "this CPU lacks".to_owned())),
        None => println!("skipped: this CPU has every set"),
    }
    for (name, code, part) in cases {
        let run = [&["run"], &model[..], &some, &["--isa", name]].concat();
        let by_flag = gristmill(place.folder.path()).args(run).assert();
        by_flag
            .code(code)
            .stdout("")
            .stderr(contains(part.as_str()).and(contains(name)));
        for arguments in [
            [&["run"], &model[..], &some].concat(),
            vec!["--version", "--verbose"],
        ] {
            let by_variable = gristmill(place.folder.path())
                .args(arguments)
                .env("GRISTMILL_ISA", name)
                .assert();
            by_variable.code(code).stdout("").stderr(
                contains(part.as_str())
                    .and(contains("GRISTMILL_ISA"))
                    .and(contains(name)),
            );
        }
    }
    // The flag is what counts.
    place
        .run("run", &[&some[..], &["--isa", "scalar"]].concat())
        .env("GRISTMILL_ISA", "foo")
        .assert()
        .success();
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

/// A model that computes what is no number ends every command that runs it, and the file's damage is named.
#[test]
fn damaged_weights_are_named() {
    let place = Place::new();
    let gguf = Gguf::open(&place.model, Access::Read).unwrap();
    let damage = |number: f32| {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        for tensor in gguf.tensors() {
            let (name, kind) = (tensor.name(), tensor.tensor_type());
            writer.tensor(name, kind, tensor.dims()).unwrap();
        }
        let mut file = writer.create(place.path("tiny.gguf")).unwrap();
        for tensor in gguf.tensors() {
            let mut data = gguf.data(tensor).to_vec();
            if tensor.name() == "blk.1.ffn_norm.weight" {
                data[..4].copy_from_slice(&number.to_le_bytes());
            }
            file.write(&data).unwrap();
        }
        file.finish().unwrap();
    };
    let text = place.file("text", &"the heath there ".repeat(40));
    for number in [f32::NAN, f32::INFINITY] {
        damage(number);
        for (command, more) in [
            ("run", &["-p", "hello"][..]),
            ("run", &["-p", "hello", "--lookup"]),
            ("perplexity", &["-f", &text, "-c", "32"]),
            ("logits", &["--ids", "3,4", "--out", &place.path("logits")]),
            ("embed", &["hello"]),
            ("bench", &["-p", "4", "-n", "2", "-r", "1"]),
        ] {
            place
                .run(command, more)
                .assert()
                .code(1)
                .stdout("")
                .stderr(contains("`blk.1.ffn_norm.weight`").and(contains("damaged")));
        }
        assert!(!fs::exists(place.path("logits")).unwrap());
    }
    damage(1.0);
    place.run("run", &["-p", "hello"]).assert().success();
}

/// A text that is not UTF-8, in a key that nobody needs, is shown as well as it can be.
#[test]
fn a_name_that_is_not_utf8_is_shown() {
    let place = Place::new();
    let mut bytes = fs::read(&place.model).unwrap();
    let name = b"Tiny Random";
    let at = bytes.windows(name.len()).position(|w| w == name).unwrap();
    bytes[at + 3] = 0xE9;
    fs::write(&place.model, bytes).unwrap();
    place
        .run("inspect", &[])
        .assert()
        .success()
        .stdout(contains("Tin\u{FFFD} Random"))
        .stderr(contains("general.name is not UTF-8"));
    place.run("run", &["-p", "hello"]).assert().success();
}
