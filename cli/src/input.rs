//! Text that comes in: from a file, or from standard input.

use anyhow::{Context, Result, anyhow};
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// What an input is called in messages.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// A file's text, or standard input's if the path is `-`. Anything but UTF-8 is refused with its position.
pub fn text_file(path: &Path) -> Result<String> {
    let standard_input = path == Path::new("-");
    let name = name(path);
    let bytes = if standard_input {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    }
    .with_context(|| format!("cannot read {name}"))?;
    String::from_utf8(bytes).map_err(|error| {
        anyhow!(
            "{name} is not UTF-8 at byte {}",
            error.utf8_error().valid_up_to()
        )
    })
}
