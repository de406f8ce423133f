//! Text that comes in: from a file, from standard input, and lists of token ids.

use crate::diagnostics::usage;
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

/// Token ids separated by commas or white space; brackets around them, as JSON has them, are fine.
pub fn ids(text: &str) -> Result<Vec<u32>> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let words = inner
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter(|word| !word.is_empty());
    let ids = words
        .map(|word| {
            word.parse()
                .map_err(|_| usage(format!("'{word}' is no token id")))
        })
        .collect::<Result<Vec<u32>>>()?;
    if ids.is_empty() {
        Err(usage("no token ids given"))
    } else {
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::ids;

    #[test]
    fn ids_are_read_as_people_write_them() {
        assert_eq!(ids("1,2,3").unwrap(), [1, 2, 3]);
        assert_eq!(ids("[1, 2]\n").unwrap(), [1, 2]);
        assert!(ids("").is_err() && ids("1,x").is_err() && ids("-1").is_err());
    }
}
