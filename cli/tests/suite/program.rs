//! Running the program in a clean environment, alone or on a tiny model.

use crate::tiny::Tiny;
use assert_cmd::Command;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The program, with an empty cache folder and a hub that nobody listens at.
pub fn gristmill(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill"));
    clean(|name, value| {
        command.env(name, value);
    });
    command
        .env("GRISTMILL_CACHE", cache)
        .env("HOME", cache)
        .timeout(std::time::Duration::from_secs(300));
    command
}

/// The same as a plain `std` command, for tests that talk to the running process.
pub fn gristmill_process(cache: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gristmill"));
    clean(|name, value| {
        command.env(name, value);
    });
    command.env("GRISTMILL_CACHE", cache).env("HOME", cache);
    command
}

fn clean(mut set: impl FnMut(&str, &str)) {
    // The discard port of loopback: connections are refused at once.
    set("HF_ENDPOINT", "http://127.0.0.1:9");
    set("HF_TOKEN", "");
    set("NO_COLOR", "1");
    // The servers of these tests are on loopback.
    set("NO_PROXY", "*");
    set("GRISTMILL_ISA", "");
    // Where other programs keep models; the home folder is the cache folder.
    for variable in [
        "OLLAMA_MODELS",
        "LLAMA_CACHE",
        "HF_HUB_CACHE",
        "HF_HOME",
        "XDG_CACHE_HOME",
    ] {
        set(variable, "");
    }
}

/// A folder of the data that all crates' tests share.
pub fn testdata(name: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata");
    Path::new(folder).join(name)
}

/// A folder with a tiny model, which also serves as cache folder.
pub struct Place {
    /// Removed with this value.
    pub folder: TempDir,
    /// The model's path.
    pub model: PathBuf,
}

impl Place {
    /// With the default model.
    pub fn new() -> Place {
        Place::with(&Tiny::default())
    }

    /// With a model of this kind.
    pub fn with(tiny: &Tiny) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let model = tiny.write(folder.path());
        Place { folder, model }
    }

    /// A command on the model, with one thread.
    pub fn run(&self, command: &str, arguments: &[&str]) -> Command {
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

    /// What a command that succeeds says in JSON.
    pub fn json(&self, command: &str, arguments: &[&str]) -> Value {
        let assert = self.run(command, arguments).assert().success();
        serde_json::from_slice(&assert.get_output().stdout).unwrap()
    }

    /// Writes a file beside the model and gives its path.
    pub fn file(&self, name: &str, content: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The path of a file beside the model.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// The names of an object's members, in order.
pub fn keys(value: &Value) -> Vec<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}
