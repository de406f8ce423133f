//! What the program answers to wrong command lines and to requests for help.

use crate::program::{gristmill, gristmill_process};
use predicates::prelude::*;
use predicates::str::contains;

#[test]
fn wrong_command_lines_end_in_exit_code_2() {
    let cache = tempfile::tempdir().unwrap();
    let wrong: &[&[&str]] = &[
        &[],
        &["grind"],
        &["--verbose"],
        &["pull"],
        &["pull", "hf:nothing"],
        &["pull", "hf:a/../b.gguf"],
        &["pull", "Cargo.toml"],
        &["models", "--colour"],
        &["completions", "tcl"],
    ];
    for arguments in wrong {
        gristmill(cache.path())
            .args(*arguments)
            .assert()
            .code(2)
            .stdout("")
            .stderr(predicate::str::is_empty().not().and(contains("\x1b").not()));
    }
}

#[test]
fn help_and_versions_go_to_standard_output() {
    let cache = tempfile::tempdir().unwrap();
    let help: &[(&[&str], &str)] = &[
        (&["--help"], "Examples:"),
        (&["-h"], "Usage:"),
        (&["help", "pull"], "GRISTMILL_CACHE"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "_gristmill"),
        (&["completions", "zsh"], "#compdef gristmill"),
        (&["models", "--catalogue"], "smollm2-135m-instruct"),
        (&["models", "smollm2"], "SmolLM2-135M-Instruct"),
    ];
    for (arguments, expected) in help {
        gristmill(cache.path())
            .args(*arguments)
            .assert()
            .success()
            .stdout(contains(*expected))
            .stderr("");
    }
}

#[test]
fn the_verbose_version_says_what_is_chosen_and_why() {
    let cache = tempfile::tempdir().unwrap();
    let said = |isa: &str| {
        let output = gristmill(cache.path())
            .args(["--version", "--verbose"])
            .env("GRISTMILL_ISA", isa)
            .assert()
            .success()
            .stderr("");
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let (free, scalar) = (said(""), said("scalar"));
    assert!(free.starts_with(&format!("gristmill {}", env!("CARGO_PKG_VERSION"))));
    for part in [
        "cores",
        "default threads",
        "the best that this processor has",
    ] {
        assert!(free.contains(part), "no {part} in:\n{free}");
    }
    assert!(
        scalar.contains("scalar, forced by GRISTMILL_ISA"),
        "{scalar}"
    );
    assert!(scalar.contains("Kernels of scalar"));
    // Every shape with its kernel and the reason, and every type.
    for text in [&free, &scalar] {
        for shape in [
            "  1 column (generation) ",
            "  2 to 16 columns (",
            "  17 columns and more (prompts) ",
            "  float weights ",
            "  attention, 1 to 16 queries ",
            "  attention, more queries ",
            "  norms, rope, softmax, activations ",
        ] {
            let line = text.lines().find(|line| line.starts_with(shape));
            let line = line.unwrap_or_else(|| panic!("no {shape} in:\n{text}"));
            let cells: Vec<&str> = line.trim().split("  ").filter(|c| !c.is_empty()).collect();
            assert_eq!(cells.len(), 3, "{line}");
        }
        let start = text.find("\nTypes on ").unwrap();
        let end = start + text[start..].find("\nInstruction sets\n").unwrap();
        let words: Vec<&str> = text[start..end].split_whitespace().collect();
        for quant in gristmill_kernels::QUANTS {
            let listed = words.iter().filter(|word| **word == quant.name()).count();
            assert_eq!(listed, 1, "{}", quant.name());
        }
        assert!(text.lines().all(|line| line.len() <= 200));
    }
    assert!(scalar.contains("unpacked by code that all sets share: Q4_0"));
    assert!(scalar.contains("then dots, plain Rust") && !scalar.contains("tiles of 32"));
    for isa in gristmill_kernels::ISAS.iter().filter(|isa| isa.detect()) {
        let text = said(isa.name());
        for part in [isa.multiplies().dots, isa.multiplies().tiles] {
            assert!(text.contains(part), "no {part} in:\n{text}");
        }
        assert_eq!(
            text.contains("(AVX-512 VBMI)"),
            isa.name() == "avx512vbmi",
            "{text}"
        );
    }
}

/// The README's tables are those that the program prints. Which instruction sets there are depends on the processor's
/// kind, so their table is left out.
#[test]
fn the_readme_lists_what_is_supported() {
    let readme = include_str!("../../../README.md");
    let cache = tempfile::tempdir().unwrap();
    let output = gristmill(cache.path())
        .args(["supported", "--markdown"])
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (sets, others) = printed.split_once("### Tensor types").unwrap();
    assert!(sets.starts_with("### Instruction sets"));
    for table in others.split("### ") {
        if table.starts_with("Architectures") {
            // There with what each was measured to be off by.
            let (_, theirs) = readme.split_once("| architecture | used by |").unwrap();
            let (theirs, _) = theirs.split_once("\n\n").unwrap();
            assert_eq!(first_cells(theirs), first_cells(table));
            let count = gristmill_engine::arch::ARCHS.len();
            assert!(readme.contains(&format!("<summary>{count} architectures")));
        } else {
            assert!(readme.contains(table.trim_end()), "not in README:\n{table}");
        }
    }
}

/// Of the rows of a Markdown table, the first two cells.
fn first_cells(table: &str) -> Vec<[&str; 2]> {
    let rows = table
        .lines()
        .skip_while(|line| !line.starts_with("|--") && !line.starts_with("| --"));
    rows.skip(1)
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(str::trim);
            [(); 2].map(|()| cells.next().unwrap_or(""))
        })
        .filter(|cells| !cells[0].is_empty())
        .collect()
}

/// One row, one line where no terminal is; and a table may be asked for alone.
#[test]
fn architectures_are_listed_with_the_models_that_people_know() {
    let cache = tempfile::tempdir().unwrap();
    let printed = |arguments: &[&str]| {
        let output = gristmill(cache.path()).args(arguments).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let text = printed(&["supported", "architectures"]);
    let lines: Vec<&str> = text.lines().collect();
    let archs = gristmill_engine::arch::ARCHS;
    assert_eq!(lines.len(), archs.len() + 2);
    assert_eq!(lines[0], "Architectures");
    let column = lines[1].find("used by").unwrap();
    for (arch, line) in archs.iter().zip(&lines[2..]) {
        let (name, used_by) = line.split_at(column);
        assert_eq!((name.trim(), used_by), (arch.name, arch.used_by));
    }
    assert!(printed(&["supported"]).contains(&text));
    gristmill(cache.path())
        .args(["supported", "mills"])
        .assert()
        .code(2)
        .stderr(contains("pre-tokenizers"));
}

#[test]
fn unknown_models_are_named() {
    let cache = tempfile::tempdir().unwrap();
    gristmill(cache.path())
        .args(["pull", "no-such-model"])
        .assert()
        .code(1)
        .stderr(contains("no-such-model"));
}

#[test]
fn the_catalogue_as_json() {
    let cache = tempfile::tempdir().unwrap();
    let output = gristmill(cache.path())
        .args(["models", "--catalogue", "--json"])
        .output()
        .unwrap();
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list[0]["title"], "SmolLM2-135M-Instruct");
    assert_eq!(list[0]["licence_class"], "open-source");
    assert_eq!(list[1]["licence_class"], "restricted");
    assert_eq!(list[0]["downloaded"], false);
    let output = gristmill(cache.path())
        .args(["models", "--downloaded", "--json"])
        .output()
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap(),
        serde_json::json!([])
    );
}

/// A reader that went away ends the program quietly.
#[test]
fn a_closed_pipe_is_no_error() {
    let cache = tempfile::tempdir().unwrap();
    for arguments in [
        &["models", "--catalogue"][..],
        &["models", "--json"],
        &["completions", "bash"],
        &["supported"],
        &["--version", "--verbose"],
        &["--help"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = gristmill_process(cache.path())
            .args(arguments)
            .stdout(writer)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", output.status);
        assert!(
            output.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
