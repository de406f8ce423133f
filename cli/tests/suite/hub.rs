//! What may be written for a model on the hub, and what its repositories offer, against a server on loopback.

use crate::program::gristmill;
use crate::server::{Route, Server};
use crate::tiny::Tiny;
use predicates::prelude::*;
use predicates::str::contains;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// A hub with one repository of these files, `owner/repo-GGUF`, on a branch.
fn hub(branch: &str, files: &[(&str, Vec<u8>)]) -> Server {
    hub_of("owner/repo-GGUF", branch, "mit", files)
}

fn hub_of(repository: &str, branch: &str, licence: &str, files: &[(&str, Vec<u8>)]) -> Server {
    let siblings: Vec<String> = files
        .iter()
        .map(|(name, bytes)| {
            let sum: String = Sha256::digest(bytes)
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect();
            let size = bytes.len();
            format!(
                r#"{{"rfilename":"{name}","size":{size},"lfs":{{"sha256":"{sum}","size":{size}}}}}"#
            )
        })
        .collect();
    let list = format!(
        r#"{{"id":"{repository}","cardData":{{"license":"{licence}"}},"siblings":[{}]}}"#,
        siblings.join(",")
    );
    let revision = match branch {
        "main" => String::new(),
        branch => format!("/revision/{branch}"),
    };
    let mut routes = HashMap::from([(
        format!("/api/models/{repository}{revision}?blobs=true"),
        Route::of(list),
    )]);
    for (name, bytes) in files {
        let path = format!("/{repository}/resolve/{branch}/{name}");
        routes.insert(path, Route::of(bytes.clone()));
    }
    Server::start(routes)
}

fn pull(cache: &Path, server: &Server, model: &str) -> assert_cmd::assert::Assert {
    let mut command = gristmill(cache);
    command
        .env("HF_ENDPOINT", &server.url)
        .args(["pull", model]);
    command.assert()
}

fn repository() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", vec![1; 5]),
        ("repo-Q4_K_M.gguf", vec![2; 2000]),
        ("repo-Q8_0.gguf", vec![3; 4000]),
        ("mmproj-repo-F16.gguf", vec![4; 100]),
        ("BF16/repo-BF16-00001-of-00002.gguf", vec![5; 5000]),
        ("BF16/repo-BF16-00002-of-00002.gguf", vec![6; 6000]),
    ]
}

#[test]
fn every_way_to_write_a_model_brings_its_file() {
    let server = hub("main", &repository());
    let address = |rest: &str| format!("{}/owner/repo-GGUF{rest}", server.url);
    for (model, file) in [
        ("owner/repo-GGUF:Q8_0".to_owned(), "repo-Q8_0.gguf"),
        ("owner/repo-GGUF:q4_k_m".to_owned(), "repo-Q4_K_M.gguf"),
        ("hf:owner/repo-GGUF:Q8_0".to_owned(), "repo-Q8_0.gguf"),
        (
            "hf:owner/repo-GGUF/repo-Q8_0.gguf".to_owned(),
            "repo-Q8_0.gguf",
        ),
        ("owner/repo-GGUF".to_owned(), "repo-Q4_K_M.gguf"),
        (
            "https://huggingface.co/owner/repo-GGUF".to_owned(),
            "repo-Q4_K_M.gguf",
        ),
        ("hf.co/owner/repo-GGUF:Q8_0".to_owned(), "repo-Q8_0.gguf"),
        (address("/tree/main"), "repo-Q4_K_M.gguf"),
        (address("/blob/main/repo-Q8_0.gguf"), "repo-Q8_0.gguf"),
        (
            address("/resolve/main/repo-Q8_0.gguf?download=true"),
            "repo-Q8_0.gguf",
        ),
        (
            address("/tree/main/BF16"),
            "BF16/repo-BF16-00001-of-00002.gguf",
        ),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let target = cache.path().join("hf/owner/repo-GGUF").join(file);
        pull(cache.path(), &server, &model)
            .success()
            .stdout(format!("{}\n", target.display()))
            .stderr(contains("MIT (OSI-approved"));
        assert!(target.is_file(), "{model}");
    }
}

/// All that there is, with sizes, where nothing or something else is named.
#[test]
fn the_quantizations_are_shown() {
    let server = hub("main", &repository());
    let cache = tempfile::tempdir().unwrap();
    let rows = "hf:owner/repo-GGUF has:\n\
                quantization     size  fits  file\n\
                Q4_K_M         2.0 kB  yes   repo-Q4_K_M.gguf\n\
                Q8_0           4.0 kB  yes   repo-Q8_0.gguf\n\
                BF16          11.0 kB  yes   BF16/repo-BF16-00001-of-00002.gguf (and 1 more)\n";
    pull(cache.path(), &server, "owner/repo-GGUF:Q2_K")
        .code(1)
        .stdout("")
        .stderr(contains(rows).and(contains("has no quantization Q2_K")))
        .stderr(contains("mmproj").not());
    assert!(!cache.path().join("hf").exists());
    pull(cache.path(), &server, "owner/repo-GGUF")
        .success()
        .stderr(contains(rows).and(contains("Taking Q4_K_M; another one is had by name")));
    pull(cache.path(), &server, "owner/repo-GGUF:Q8_0")
        .success()
        .stderr(contains("has:").not());
    // A projector is given to who names it, and is still no model.
    pull(
        cache.path(),
        &server,
        "hf:owner/repo-GGUF/mmproj-repo-F16.gguf",
    )
    .success();
    pull(cache.path(), &server, "owner/repo-GGUF:F16").code(1);
}

#[test]
fn all_parts_of_a_split_model_are_fetched() {
    let server = hub("main", &repository());
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("hf/owner/repo-GGUF/BF16");
    pull(cache.path(), &server, "owner/repo-GGUF:BF16")
        .success()
        .stdout(contains("00001-of-00002"))
        .stderr(contains("part 2 of 2"));
    for (name, bytes) in &repository()[4..] {
        let name = name.strip_prefix("BF16/").unwrap();
        assert_eq!(fs::read(folder.join(name)).unwrap(), *bytes);
    }
    // One that is missing is fetched again, alone.
    fs::remove_file(folder.join("repo-BF16-00002-of-00002.gguf")).unwrap();
    let before = server.log.lock().unwrap().len();
    pull(cache.path(), &server, "owner/repo-GGUF:BF16").success();
    let log = server.log.lock().unwrap();
    let paths: Vec<&str> = log[before..]
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[1].ends_with("00002-of-00002.gguf"));
}

/// Another branch is another place: its files do not mix with those of the main one.
#[test]
fn revisions_are_kept_apart() {
    let server = hub("v2", &[("x-Q8_0.gguf", vec![7; 10])]);
    let cache = tempfile::tempdir().unwrap();
    let folder = cache.path().join("hf/owner/repo-GGUF@v2");
    let address = format!("{}/owner/repo-GGUF/blob/v2/x-Q8_0.gguf", server.url);
    pull(cache.path(), &server, &address)
        .success()
        .stdout(format!("{}\n", folder.join("x-Q8_0.gguf").display()));
    pull(cache.path(), &server, "hf:owner/repo-GGUF@v2:Q8_0").success();
    pull(cache.path(), &server, "owner/repo-GGUF:Q8_0")
        .code(1)
        .stderr(contains("no model hf:owner/repo-GGUF"));
    gristmill(cache.path())
        .args(["models", "--downloaded"])
        .assert()
        .success()
        .stdout(contains("hf:owner/repo-GGUF@v2/x-Q8_0.gguf"));
}

/// What is there is run without asking anybody, by its quantization or by the repository alone.
#[test]
fn a_downloaded_model_needs_no_network() {
    let cache = tempfile::tempdir().unwrap();
    let server = hub("main", &[("t-F32.gguf", Tiny::default().bytes())]);
    pull(cache.path(), &server, "owner/repo-GGUF").success();
    for model in [
        "owner/repo-GGUF",
        "owner/repo-GGUF:f32",
        "hf:owner/repo-GGUF/t-F32.gguf",
    ] {
        gristmill(cache.path())
            .args(["inspect", model])
            .assert()
            .success()
            .stderr("");
    }
    gristmill(cache.path())
        .args(["inspect", "owner/repo-GGUF:Q8_0"])
        .assert()
        .code(1)
        .stderr(contains("no file owner/repo-GGUF:Q8_0 here").and(contains("can't be reached")));
}

/// A model of the catalogue without a SHA-256 of its own is checked against the one that the hub declares, and keeps its
/// licence where the hub states none.
#[test]
fn the_catalogue_trusts_what_the_hub_declares() {
    let bytes = Tiny::default().bytes();
    let server = hub_of(
        "Qwen/Qwen3-0.6B-GGUF",
        "main",
        "other",
        &[("Qwen3-0.6B-q8_0.gguf", bytes.clone())],
    );
    let cache = tempfile::tempdir().unwrap();
    // The publisher spells the file differently now: its quantization counts.
    let target = cache
        .path()
        .join("hf/Qwen/Qwen3-0.6B-GGUF/Qwen3-0.6B-q8_0.gguf");
    pull(cache.path(), &server, "qwen3-0.6b")
        .success()
        .stdout(format!("{}\n", target.display()))
        .stderr(contains("Licence: Apache-2.0"));
    gristmill(cache.path())
        .args(["inspect", "QWEN3-0.6B"])
        .assert()
        .success();
    let listed = gristmill(cache.path())
        .args(["models", "qwen3-0.6b", "--json"])
        .output()
        .unwrap();
    let row: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(row["downloaded"], true);
    gristmill(cache.path())
        .args(["models", "--downloaded"])
        .assert()
        .success()
        .stdout(contains("qwen3-0.6b ").and(contains("hf:").not()));

    let mut damaged = bytes;
    damaged[1000] ^= 1;
    fs::write(&target, damaged).unwrap();
    pull(cache.path(), &server, "qwen3-0.6b")
        .code(1)
        .stderr(contains("SHA-256").and(contains("remove it")));
}

#[test]
fn wrong_addresses_are_wrong_command_lines() {
    let cache = tempfile::tempdir().unwrap();
    for (model, reason) in [
        (
            "https://example.org/model.gguf",
            "not an address of the hub",
        ),
        (
            "https://huggingface.co/datasets/a/b",
            "neither a model on the hub",
        ),
        (
            "https://huggingface.co/a/b/blob/main/README.md",
            "nor a GGUF file",
        ),
        ("hf:a/b:", "hf:owner/repo:QUANTIZATION"),
    ] {
        for command in ["pull", "inspect"] {
            gristmill(cache.path())
                .args([command, model])
                .assert()
                .code(2)
                .stdout("")
                .stderr(contains(reason));
        }
    }
    // What may be a path is called one.
    gristmill(cache.path())
        .args(["inspect", "models/tiny.gguf"])
        .assert()
        .code(1)
        .stderr(contains("no file models/tiny.gguf here").and(contains("hf:").not()));
    gristmill(cache.path())
        .args(["inspect", "a/b/c.gguf"])
        .assert()
        .code(1)
        .stderr(contains("a file on the hub is written hf:a/b/c.gguf"));
}

/// Who is not logged in gets the same answer for what is not there and for what is not for everybody.
#[test]
fn repositories_that_need_a_login() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(HashMap::from([(
        "/api/models/owner/secret?blobs=true".to_owned(),
        Route {
            status: Some(401),
            ..Route::of("no")
        },
    )]));
    pull(cache.path(), &server, "owner/secret")
        .code(1)
        .stderr(contains("no model hf:owner/secret").and(contains("HF_TOKEN")));
}
