//! Walks the corpus of malformed files: each is refused with a message that names what its index says, or read where
//! it is valid, without a large allocation. What only an engine can see must be well-formed here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};

use gristmill_gguf::{Access, Gguf};
use serde_json::Value;

/// Defects that are a matter of the architecture or tokenizer: the file itself is in order.
const FOR_THE_ENGINE: &[&str] = &[
    "arch-missing.gguf",
    "arch-unknown.gguf",
    "arch-wrong-type.gguf",
    "block-count-huge.gguf",
    "block-count-missing.gguf",
    "block-count-string.gguf",
    "embedding-length-mismatch.gguf",
    "head-count-not-divisor.gguf",
    "head-count-zero.gguf",
    "tensor-missing.gguf",
    "tensor-shape-wrong.gguf",
    "tokens-wrong-type.gguf",
];

/// Words of the index that a message has to repeat.
const PHRASES: &[&str] = &[
    "truncated",
    "too short",
    "bad magic",
    "unsupported version",
    "tensor count",
    "key/value count",
    "key length",
    "string length",
    "array length",
    "tensor name length",
    "element type",
    "value type",
    "nesting depth",
    "duplicate key",
    "duplicate tensor",
    "empty key",
    "empty tensor name",
    "is not UTF-8",
    "alignment",
    "row length",
    "block size",
    "dimensions",
    "number of dimensions",
    "offset",
    "file size",
    "out of file",
];

/// Notes the largest single allocation of each thread.
struct Largest;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Largest {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LARGEST.set(LARGEST.get().max(layout.size()));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Largest = Largest;

fn corpora() -> Vec<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared =
        std::env::var_os("GRISTMILL_SHARED").map_or(workspace.join("../shared"), PathBuf::from);
    let mut folders = vec![workspace.join("testdata/malformed")];
    let shared = shared.join("conformance/malformed");
    if shared.is_dir() {
        folders.push(shared);
    } else {
        println!("skipped: no {}", shared.display());
    }
    folders
}

/// Dotted names such as `blk.0.attn_q.weight`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.'))
}

fn says(message: &str, wanted: &str) -> Result<(), String> {
    let lower = message.to_lowercase();
    for name in names(wanted) {
        if !message.contains(name) {
            return Err(format!("doesn't name {name}"));
        }
    }
    for phrase in PHRASES {
        if wanted.contains(phrase) && !lower.contains(&phrase.to_lowercase()) {
            return Err(format!("doesn't say {phrase:?}"));
        }
    }
    // "type 200", "version 4", "key index 1"
    let words: Vec<&str> = wanted.split([' ', ',', ';']).collect();
    for pair in words.windows(2) {
        if pair[1].parse::<u64>().is_ok() && !message.contains(pair[1]) {
            return Err(format!("doesn't give {} {}", pair[0], pair[1]));
        }
    }
    if let Some((_, inner)) = wanted.split_once('(') {
        let inner = inner.trim_end_matches(')');
        if !message.contains(inner) {
            return Err(format!("doesn't say {inner:?}"));
        }
    }
    Ok(())
}

/// One defect, or several that would do, between "or".
fn says_one_of(message: &str, wanted: &str) -> Result<(), String> {
    let results: Vec<_> = wanted.split(" or ").map(|one| says(message, one)).collect();
    results
        .iter()
        .find(|r| r.is_ok())
        .unwrap_or(&results[0])
        .clone()
}

fn tensors(gguf: &Gguf) -> Vec<(String, Vec<u64>, Vec<u8>)> {
    let mut all: Vec<_> = gguf
        .tensors()
        .iter()
        .map(|t| {
            (
                t.name().to_owned(),
                t.dims().to_vec(),
                gguf.data(t).to_vec(),
            )
        })
        .collect();
    all.sort();
    all
}

#[test]
fn every_file_is_refused_for_its_defect_or_read() {
    let mut wrong = Vec::new();
    let mut walked = 0;
    for folder in corpora() {
        let index: Value =
            serde_json::from_slice(&std::fs::read(folder.join("index.json")).unwrap()).unwrap();
        let base = tensors(&Gguf::open(folder.join("valid-v3.gguf"), Access::Map).unwrap());
        assert_eq!(base.len(), 12);
        for entry in index["files"].as_array().unwrap() {
            let file = entry["file"].as_str().unwrap();
            let path = folder.join(file);
            for access in [Access::Map, Access::Read] {
                walked += 1;
                LARGEST.set(0);
                let result = Gguf::open(&path, access);
                let largest = LARGEST.get();
                let allowed = 64 * 1024 + 4 * entry["bytes"].as_u64().unwrap() as usize;
                if largest > allowed {
                    wrong.push(format!("{file}: allocated {largest} bytes at once"));
                }
                let valid = entry["expected"] == "valid";
                match result {
                    Ok(gguf) if valid => {
                        if tensors(&gguf) != base {
                            wrong.push(format!("{file}: other tensors than valid-v3.gguf"));
                        }
                    }
                    Ok(_)
                        if FOR_THE_ENGINE.contains(&file)
                            || entry["also_acceptable"] == "valid" => {}
                    Ok(_) => wrong.push(format!("{file}: read, though {}", entry["defect"])),
                    Err(error) if valid => wrong.push(format!("{file}: refused: {error}")),
                    Err(error) if FOR_THE_ENGINE.contains(&file) => {
                        wrong.push(format!("{file}: the file itself is in order, but: {error}"));
                    }
                    Err(error) => {
                        let message = error.to_string();
                        if let Err(lacks) =
                            says_one_of(&message, entry["error_names"].as_str().unwrap())
                        {
                            wrong.push(format!("{lacks}: {message}"));
                        }
                        if message.lines().count() != 1 || message.len() > 600 {
                            wrong.push(format!("not one line: {message}"));
                        }
                    }
                }
            }
        }
    }
    println!("walked {walked} files");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn messages_read_well() {
    let refused = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../testdata/malformed")
            .join(file);
        let message = Gguf::open(&path, Access::Map).unwrap_err().to_string();
        let (_, message) = message.split_once(&format!("{file}: ")).unwrap();
        message.to_owned()
    };
    for (file, message) in [
        (
            "string-length-2p30.gguf",
            "key `general.name`, byte 93: string length 1073741824 is too large: \
             the 11067 bytes left in the file hold at most 11067",
        ),
        (
            "tensor-type-removed.gguf",
            "tensor `blk.0.attn_q.weight`, byte 1302: type 4 (Q4_2) was removed from the format; \
             convert the file anew with current tools",
        ),
        (
            "alignment-string.gguf",
            "key `general.alignment` is a string, expected an integer (u32)",
        ),
        (
            "magic-zip.gguf",
            "header, byte 0: not a GGUF file: bad magic `PK\\x03\\x04` (50 4b 03 04), a GGUF file starts with `GGUF`; \
             this is a ZIP archive, perhaps a PyTorch checkpoint",
        ),
        (
            "version-4.gguf",
            "header, byte 4: unsupported version 4; versions 1 to 3 can be read",
        ),
    ] {
        assert_eq!(refused(file), message);
    }
}
