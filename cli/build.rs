//! Tells the program which commit it was built from (`GRISTMILL_COMMIT`), where that is known: without git, or outside a
//! checkout of this repository, it is left out.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=GRISTMILL_COMMIT");
    // A packager may say it.
    if std::env::var_os("GRISTMILL_COMMIT").is_some() {
        return;
    }
    // A copy of the sources inside some other repository would give that one's commit.
    if git(&["rev-parse", "--show-prefix"]).as_deref() != Some("cli/") {
        return;
    }
    // Every commit and checkout adds a line to this log.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"])
        && Path::new(&log).exists()
    {
        println!("cargo:rerun-if-changed={log}");
        if let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) {
            println!("cargo:rustc-env=GRISTMILL_COMMIT={commit}");
        }
    }
}

/// What git prints, run in this package's folder.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let text = text.trim();
    (output.status.success() && !text.is_empty()).then(|| text.to_owned())
}
