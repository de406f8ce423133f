//! `--lora`: which commands take it, how an adapter is looked at, and what is refused.

use crate::program::{Place, gristmill, keys};
use gristmill_gguf::{TensorType, Writer};
use predicates::prelude::*;
use predicates::str::contains;
use std::fs;

/// What differs between adapters of these tests.
struct Lora {
    architecture: &'static str,
    /// Length of the hidden state of the model that it is for.
    width: u64,
    /// Values of both factors.
    value: f32,
}

impl Lora {
    /// For the output matrix of the tiny model.
    const FITTING: Lora = Lora {
        architecture: "llama",
        width: 32,
        value: 0.2,
    };

    fn write(&self, place: &Place, name: &str) -> String {
        let path = place.path(name);
        let mut writer = Writer::new();
        writer.set("general.architecture", self.architecture);
        writer.set("general.type", "adapter");
        writer.set("adapter.type", "lora");
        writer.set("adapter.lora.alpha", 16f32);
        let shapes = [
            ("blk.0.ffn_up.weight.lora_a", [self.width, 4]),
            ("blk.0.ffn_up.weight.lora_b", [4, 2 * self.width]),
        ];
        for (name, dims) in &shapes {
            writer.tensor(*name, TensorType::F32, dims).unwrap();
        }
        let mut file = writer.start(Vec::new()).unwrap();
        for (_, dims) in &shapes {
            let count = dims.iter().product::<u64>() as u32;
            // Of both signs, so that the rows of a product differ.
            let value = |i: u32| self.value * ((i * 7 % 11) as f32 / 5.0 - 1.0);
            let bytes: Vec<u8> = (0..count).flat_map(|i| value(i).to_le_bytes()).collect();
            file.write(&bytes).unwrap();
        }
        fs::write(&path, file.finish().unwrap()).unwrap();
        path
    }
}

/// The logits of some ids with these options.
fn logits(place: &Place, options: &[&str]) -> Vec<u8> {
    let out = place.path("logits.f32");
    let ids = ["--ids", "5,6,7", "--out", &out];
    let arguments = [&ids[..], options].concat();
    place.run("logits", &arguments).assert().success();
    fs::read(out).unwrap()
}

#[test]
fn an_adapter_changes_what_comes_out_by_its_scale() {
    let place = Place::new();
    let file = Lora::FITTING.write(&place, "adapter.gguf");
    let scaled = |scale: &str| format!("{file}={scale}");
    let plain = logits(&place, &[]);
    let whole = logits(&place, &["--lora", &file]);
    assert_ne!(plain, whole);
    assert_eq!(whole, logits(&place, &["--lora", &scaled("1")]));
    assert_eq!(plain, logits(&place, &["--lora", &scaled("0")]));
    let half = logits(&place, &["--lora", &scaled("0.5")]);
    assert!(half != whole && half != plain);
    // Twice a half is once the whole, but for rounding.
    let twice = logits(
        &place,
        &["--lora", &scaled("0.5"), "--lora", &scaled("0.5")],
    );
    let values = |bytes: &[u8]| -> Vec<f32> {
        let values = bytes.chunks_exact(4);
        values
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    };
    let pairs = || values(&twice).into_iter().zip(values(&whole));
    assert!(pairs().all(|(a, b)| (a - b).abs() < 1e-4));
    assert_eq!(whole, logits(&place, &["--lora", &file, "--no-mmap"]));
}

#[test]
fn every_command_that_runs_a_model_takes_adapters() {
    let place = Place::new();
    let file = Lora::FITTING.write(&place, "adapter.gguf");
    let greedy = [
        "-p",
        "hello",
        "--temp",
        "0",
        "-n",
        "12",
        "--ignore-end",
        "--json",
    ];
    let with = [&greedy[..], &["--lora", &file]].concat();
    let (plain, adapted) = (place.json("run", &greedy), place.json("run", &with));
    assert_ne!(plain["ids"], adapted["ids"]);
    // A draft is run without: it guesses, and the text stays the same.
    let draft = place.path("tiny.gguf");
    let drafted = place.json("run", &[&with[..], &["--draft", &draft]].concat());
    assert_eq!(drafted["ids"], adapted["ids"]);

    let text = place.file("text.txt", &"the miller sets the stones ".repeat(20));
    let perplexity = |more: &[&str]| {
        let options = ["-f", &text, "-c", "64", "--json"];
        place.json("perplexity", &[&options[..], more].concat())["ppl"].clone()
    };
    assert_ne!(perplexity(&[]), perplexity(&["--lora", &file]));

    // What was kept of the model alone is not gone on with.
    let state = place.path("state.json");
    let resumed = ["-f", &text, "-c", "64", "--resume", &state];
    place.run("perplexity", &resumed).assert().success();
    let with = [&resumed[..], &["--lora", &file]].concat();
    let other = place.run("perplexity", &with).assert().code(1);
    other.stderr(contains(
        "belongs to the model tiny.gguf, not to tiny.gguf + adapter.gguf",
    ));

    let bench = ["-p", "4", "-n", "0", "-r", "1", "--json", "--lora", &file];
    let rows = place.json("bench", &bench);
    assert_eq!(rows[0]["model"], "tiny.gguf + adapter.gguf");

    let chat = |more: &[&str]| {
        let options = ["--temp", "0", "-n", "8"];
        let chat = place
            .run("chat", &[&options[..], more].concat())
            .write_stdin("hello\n")
            .assert();
        String::from_utf8_lossy(&chat.success().get_output().stdout).into_owned()
    };
    assert_ne!(chat(&[]), chat(&["--lora", &file]));

    let memory = |more: &[&str]| {
        let report = place.json("inspect", &[&["--json"], more].concat());
        report["memory"]["weights"].as_u64().unwrap()
    };
    let bytes = fs::metadata(&file).unwrap().len();
    assert_eq!(memory(&["--lora", &file]), memory(&[]) + bytes);
    for command in ["chat", "run", "perplexity", "logits", "bench", "inspect"] {
        let help = gristmill(place.folder.path())
            .args([command, "--help"])
            .assert()
            .success();
        let text = String::from_utf8_lossy(&help.get_output().stdout).into_owned();
        assert!(text.contains("--lora <FILE[=SCALE]>"), "{command}:\n{text}");
    }
}

#[test]
fn an_adapter_can_be_looked_at() {
    let place = Place::new();
    let file = Lora::FITTING.write(&place, "adapter.gguf");
    let report = gristmill(place.folder.path())
        .args(["inspect", &file])
        .assert()
        .success();
    report
        .stdout(contains("architecture   llama\n"))
        .stdout(contains(
            "adapter        LoRA, alpha 16, rank 4, adds to 1 tensor of a model",
        ))
        .stdout(contains("tokenizer").not());
    let json = gristmill(place.folder.path())
        .args(["inspect", &file, "--json"])
        .assert()
        .success();
    let json: serde_json::Value = serde_json::from_slice(&json.get_output().stdout).unwrap();
    let adapter = &json["adapter"];
    let names = [
        "type",
        "alpha",
        "rank_min",
        "rank_max",
        "adapted_tensors",
        "prompt_prefix",
    ];
    assert_eq!(keys(adapter), names);
    assert_eq!(
        (&adapter["type"], &adapter["rank_max"]),
        (&"lora".into(), &4.into())
    );
    assert_eq!(
        place.json("inspect", &["--json"])["adapter"],
        serde_json::Value::Null
    );
}

#[test]
fn wrong_adapters_are_refused_in_a_line() {
    let place = Place::new();
    let file = Lora::FITTING.write(&place, "adapter.gguf");
    let wide = Lora {
        width: 48,
        ..Lora::FITTING
    };
    let wide = wide.write(&place, "wide.gguf");
    let other = Lora {
        architecture: "gemma3",
        ..Lora::FITTING
    };
    let other = other.write(&place, "other.gguf");
    let text = place.file("notes.txt", "no GGUF file, and long enough to be one");
    let (model, nowhere) = (place.path("tiny.gguf"), place.path("nowhere.gguf"));
    let refused = |lora: &str, code: i32, said: &str| {
        let options = ["-p", "hello", "-n", "1", "--lora", lora];
        let run = place.run("run", &options).assert().code(code).stdout("");
        let text = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        assert!(text.contains(said), "{said} is not in: {text}");
        assert!(code == 2 || text.lines().count() == 1, "{text}");
    };
    refused(
        &wide,
        1,
        "wide.gguf: blk.0.ffn_up.weight is 32 x 64 in this model, and its factors must be 32 x 4 and 4 x 64, \
         not 48 x 4 and 4 x 96: is it for another model?",
    );
    refused(
        &other,
        1,
        "other.gguf: is for models of architecture 'gemma3', and this one's is 'llama'",
    );
    refused(
        &model,
        1,
        "tiny.gguf: general.type is missing: is it a LoRA adapter?",
    );
    refused(&nowhere, 1, "nowhere.gguf");
    refused(&text, 1, "not a GGUF file");
    refused(&format!("{file}=a lot"), 2, "finite number");
    refused(&format!("{file}=inf"), 2, "finite number");
    refused("=1", 2, "finite number");

    let options = ["run", &file, "-p", "hello"];
    let run = gristmill(place.folder.path())
        .args(options)
        .assert()
        .code(1)
        .stdout("");
    run.stderr(contains(
        "the file is an adapter, not a model: give it with --lora",
    ));
}
