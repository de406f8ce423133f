//! What a user may write where a MODEL is asked for: a path, `hf:owner/repo[/file]`, or a short name.
//!
//! In: the argument. Out: which of the three it is, and (`locate`) a file on this machine, downloaded if need be.

use crate::catalogue::{self, Entry};
use crate::diagnostics::usage;
use crate::{cache, fetch};
use anyhow::{Result, anyhow};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// A MODEL argument, understood.
pub enum Source {
    /// A file here.
    Path(PathBuf),
    /// A file in the catalogue.
    Catalogue(&'static Entry),
    /// A file on the hub.
    Hub(HubModel),
}

/// `hf:owner/repo[/file]`.
#[derive(Debug, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/repo`.
    pub repository: String,
    /// The file's path in the repository; none: the one that is there, or the usual quantization.
    pub file: Option<String>,
}

/// Understands a MODEL argument without touching the network.
pub fn parse(model: &OsStr) -> Result<Source> {
    let text = model.to_str();
    if let Some(rest) = text.and_then(|text| text.strip_prefix("hf:")) {
        return Ok(Source::Hub(parse_hub(rest)?));
    }
    let path = Path::new(model);
    if path.exists() {
        return Ok(Source::Path(path.to_owned()));
    }
    let looks_like_path = path.components().count() > 1;
    if let (Some(text), false) = (text, looks_like_path) {
        if let Some(entry) = catalogue::find(text) {
            return Ok(Source::Catalogue(entry));
        }
        // What `gristmill models` lists may be asked for by that name.
        let cached = cache::folder()?.join(text);
        if cached.is_file() {
            return Ok(Source::Path(cached));
        }
    }
    let shown = path.display();
    if looks_like_path || path.extension().is_some() {
        return Err(anyhow!(
            "no file {shown} here; 'gristmill models' lists what is downloaded"
        ));
    }
    Err(anyhow!(
        "no file and no short name {shown}; short names: {}; a model on the hub is written hf:owner/repo",
        catalogue::names()
    ))
}

fn parse_hub(text: &str) -> Result<HubModel> {
    let mut parts = text.splitn(3, '/');
    let (owner, repo, file) = (
        parts.next().unwrap_or(""),
        parts.next().unwrap_or(""),
        parts.next(),
    );
    // The names become part of a URL and of a path in the cache folder.
    let name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    let file_fits = file.is_none_or(|file| {
        file.ends_with(".gguf")
            && file
                .split('/')
                .all(|part| !part.is_empty() && part != ".." && part != ".")
            && !file
                .chars()
                .any(|c| c.is_control() || matches!(c, '\\' | '?' | '#' | '%' | ':'))
    });
    if !name(owner) || !name(repo) || !file_fits {
        return Err(usage(format!(
            "hf:{text} is not of the form hf:owner/repo or hf:owner/repo/file.gguf"
        )));
    }
    Ok(HubModel {
        repository: format!("{owner}/{repo}"),
        file: file.map(str::to_owned),
    })
}

/// The file that a MODEL argument means; what is not on this machine yet is downloaded, and that is said.
pub fn locate(model: &OsStr) -> Result<PathBuf> {
    match parse(model)? {
        Source::Path(path) => Ok(path),
        Source::Catalogue(entry) => fetch::catalogue_file(entry, fetch::Check::Size),
        Source::Hub(hub) => fetch::hub_file(&hub, fetch::Check::Size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_names() {
        let hub = |repository: &str, file: Option<&str>| HubModel {
            repository: repository.into(),
            file: file.map(Into::into),
        };
        assert_eq!(parse_hub("a/b").unwrap(), hub("a/b", None));
        assert_eq!(
            parse_hub("a/b-GGUF/c.gguf").unwrap(),
            hub("a/b-GGUF", Some("c.gguf"))
        );
        assert_eq!(
            parse_hub("a/b/dir/c.gguf").unwrap(),
            hub("a/b", Some("dir/c.gguf"))
        );
        for wrong in [
            "",
            "a",
            "a/",
            "/b",
            "a/../x.gguf",
            "a/b/../c.gguf",
            "a/b/c.bin",
            "../b",
            "a/b//c.gguf",
            "a/b/c?.gguf",
        ] {
            assert!(parse_hub(wrong).is_err(), "{wrong}");
        }
    }
}
