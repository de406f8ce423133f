//! A mapped file that is cut short in use ends the process with a sentence and exit code 1. Each case runs in a child
//! process: this same test program, asked for one test that does the damage.
#![cfg(unix)]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

use gristmill_gguf::{Access, ErrorKind, Gguf, TensorType, Writer};

const CHILD: &str = "GRISTMILL_FAULT_TEST_FILE";
const BYTES: u64 = 1 << 20;

fn write_model(path: &Path) {
    let mut writer = Writer::new();
    writer.tensor("t", TensorType::I8, &[BYTES]).unwrap();
    let mut file = writer.create(path).unwrap();
    file.write(&vec![1; BYTES as usize]).unwrap();
    file.finish().unwrap();
}

fn sum(gguf: &Gguf) -> u64 {
    let data = gguf.data(gguf.tensor("t").unwrap());
    data.iter().map(|&b| u64::from(b)).sum()
}

fn run_child(test: &str, path: &Path) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, path)
        .output()
        .unwrap()
}

/// Not a test by itself: the child's side.
#[test]
fn child_cuts_the_file() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let gguf = Gguf::open(&path, Access::Map).unwrap();
    let unmapped = Gguf::open(&path, Access::Read).unwrap();
    OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(5000)
        .unwrap();
    assert_eq!(sum(&unmapped), BYTES);
    println!("read from memory: fine");
    println!("read from the map: {}", sum(&gguf));
}

/// Not a test by itself: the child's side.
#[test]
fn child_is_sent_the_signal() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let gguf = Gguf::open(path, Access::Map).unwrap();
    let id = std::process::id().to_string();
    // Twice: the standard library's handler, which was there before, lets the first one pass.
    for _ in 0..2 {
        Command::new("kill")
            .args(["-s", "BUS", &id])
            .status()
            .unwrap();
    }
    std::thread::sleep(std::time::Duration::from_secs(5));
    println!("survived: {}", sum(&gguf));
}

#[test]
fn a_file_cut_short_ends_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let output = run_child("child_cuts_the_file", &path);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(
        output.status.code(),
        Some(1),
        "{:?} {out} {err}",
        output.status
    );
    assert!(out.contains("read from memory: fine"), "{out}");
    assert!(!out.contains("read from the map"), "{out}");
    let line = err
        .lines()
        .find(|line| line.starts_with("gristmill: "))
        .expect(&err);
    assert!(
        line.contains("model.gguf") && line.contains("--no-mmap"),
        "{line}"
    );
}

#[test]
fn a_signal_from_elsewhere_is_not_swallowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let output = run_child("child_is_sent_the_signal", &path);
    assert!(output.status.signal().is_some(), "{output:?}");
}

#[test]
fn a_change_in_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let mapped = Gguf::open(&path, Access::Map).unwrap();
    let read = Gguf::open(&path, Access::Read).unwrap();
    mapped.check_unchanged().unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"more").unwrap();
    let error = mapped.check_unchanged().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Changed));
    assert!(
        error
            .to_string()
            .contains("model.gguf: the file was changed"),
        "{error}"
    );
    read.check_unchanged().unwrap();
}

#[test]
fn a_file_replaced_by_name_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let mapped = Gguf::open(&path, Access::Map).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "short").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(sum(&mapped), BYTES);
    mapped.check_unchanged().unwrap();
}
