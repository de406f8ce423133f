//! How a model on the hub is written: `owner/repo:QUANTIZATION`, `hf:owner/repo/file.gguf`, or an address pasted from a
//! browser.
//!
//! In: the text. Out: repository, revision and what is wanted of it, with names that are fit for a URL and a path in the
//! cache folder; or nothing, where the text is no name of the hub's.

use super::hub;
use crate::diagnostics::usage;
use anyhow::Result;

/// A model on the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// `owner/repo`.
    pub repository: String,
    /// Branch, tag or commit; none: `main`.
    pub revision: Option<String>,
    /// Which of its files.
    pub wanted: Wanted,
}

/// Which file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The one that is there, or the usual quantization.
    Any,
    /// The one at this path.
    File(String),
    /// The one of this quantization.
    Quantization(String),
}

impl HubModel {
    /// The revision to ask for.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The repository as it is written and kept: `owner/repo`, or `owner/repo@revision`.
    pub fn place(&self) -> String {
        match &self.revision {
            Some(revision) => format!("{}@{revision}", self.repository),
            None => self.repository.clone(),
        }
    }

    /// A bare name, `owner/repo` or `owner/repo:QUANTIZATION`, which might also be a path; `None` for anything else.
    pub fn from_bare_name(text: &str) -> Option<HubModel> {
        let (owner, rest) = text.split_once('/')?;
        let repository = rest
            .split_once(':')
            .map_or(rest, |(repository, _)| repository);
        if rest.contains('/') || repository.ends_with(".gguf") || !is_name(owner) {
            return None;
        }
        parse_name(text)
    }

    /// A text that can only mean the hub: `hf:…` or an address. `None` for any other; an error for one that is wrong.
    pub fn from_marked(text: &str) -> Result<Option<HubModel>> {
        if let Some(rest) = text.strip_prefix("hf:") {
            return parse_name(rest).map(Some).ok_or_else(|| {
                usage(format!(
                    "{text} is not of the form hf:owner/repo, hf:owner/repo:QUANTIZATION or hf:owner/repo/file.gguf"
                ))
            });
        }
        let endpoint = hub::endpoint();
        let hosts = ["huggingface.co", "www.huggingface.co", "hf.co"];
        let bare = without_scheme(text);
        let own = strip_folder(bare, without_scheme(&endpoint));
        let Some(path) = own.or_else(|| hosts.iter().find_map(|host| strip_folder(bare, host)))
        else {
            if bare.len() < text.len() {
                return Err(usage(format!(
                    "{text} is not an address of the hub ({endpoint}); download the file yourself and give its path"
                )));
            }
            return Ok(None);
        };
        parse_address(path).map(Some).ok_or_else(|| {
            usage(format!(
                "{text} is the address of neither a model on the hub nor a GGUF file there"
            ))
        })
    }
}

fn without_scheme(text: &str) -> &str {
    ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme))
        .unwrap_or(text)
}

/// What follows a host (or a folder of it) in an address.
fn strip_folder<'a>(address: &'a str, folder: &str) -> Option<&'a str> {
    let (head, rest) = (address.get(..folder.len())?, &address[folder.len()..]);
    head.eq_ignore_ascii_case(folder).then_some(())?;
    rest.strip_prefix('/')
}

/// `owner/repo[@revision][:QUANTIZATION]`, or `owner/repo[@revision]/file.gguf`.
fn parse_name(text: &str) -> Option<HubModel> {
    let (owner, rest) = text.split_once('/')?;
    let (place, wanted) = match (rest.find('/'), rest.find(':')) {
        (Some(slash), colon) if colon.is_none_or(|colon| slash < colon) => {
            (&rest[..slash], wanted_file(&rest[slash + 1..])?)
        }
        (_, Some(colon)) => (&rest[..colon], wanted_quantization(&rest[colon + 1..])?),
        _ => (rest, Wanted::Any),
    };
    let (repo, revision) = match place.split_once('@') {
        Some((repo, revision)) => (repo, Some(revision)),
        None => (place, None),
    };
    hub_model(owner, repo, revision, wanted)
}

/// The path of a page or file: `owner/repo`, `owner/repo/tree/REVISION[/folder]`, `owner/repo/blob/REVISION/file.gguf`.
fn parse_address(path: &str) -> Option<HubModel> {
    let path = path.split('#').next()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = unescape(path.trim_end_matches('/'))?;
    let mut parts = path.splitn(5, '/');
    let (owner, repo) = (parts.next()?, parts.next()?);
    // These are collections of other things than models.
    if matches!(owner, "datasets" | "spaces" | "docs" | "api" | "models") {
        return None;
    }
    // The page of a repository can have the details of one file open.
    let shown = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("show_file_info="))
        .and_then(unescape);
    match (parts.next(), parts.next(), parts.next()) {
        (None, _, _) => match (shown, repo.split_once(':')) {
            (Some(file), _) => hub_model(owner, repo, None, wanted_file(&file)?),
            (None, Some((repo, quantization))) => {
                hub_model(owner, repo, None, wanted_quantization(quantization)?)
            }
            (None, None) => hub_model(owner, repo, None, Wanted::Any),
        },
        (Some("tree"), Some(revision), folder) => {
            let wanted = match (shown, folder.and_then(|folder| folder.rsplit('/').next())) {
                (Some(file), _) => wanted_file(&file)?,
                // Folders of split models bear the name of their quantization.
                (None, Some(folder)) => wanted_quantization(folder)?,
                (None, None) => Wanted::Any,
            };
            hub_model(owner, repo, Some(revision), wanted)
        }
        (Some("blob" | "resolve" | "raw"), Some(revision), Some(file)) => {
            hub_model(owner, repo, Some(revision), wanted_file(file)?)
        }
        _ => None,
    }
}

fn hub_model(owner: &str, repo: &str, revision: Option<&str>, wanted: Wanted) -> Option<HubModel> {
    let revision = revision.filter(|revision| *revision != "main");
    let fits = is_name(owner) && is_name(repo) && revision.is_none_or(is_name);
    fits.then(|| HubModel {
        repository: format!("{owner}/{repo}"),
        revision: revision.map(str::to_owned),
        wanted,
    })
}

/// The names become part of a URL and of a path in the cache folder.
fn is_name(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('.')
        && part
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn wanted_file(file: &str) -> Option<Wanted> {
    let fits = file.ends_with(".gguf")
        && file
            .split('/')
            .all(|part| !part.is_empty() && part != ".." && part != ".")
        && !file
            .chars()
            .any(|c| c.is_control() || matches!(c, '\\' | '?' | '#' | '%' | ':'));
    fits.then(|| Wanted::File(file.to_owned()))
}

fn wanted_quantization(name: &str) -> Option<Wanted> {
    if name.ends_with(".gguf") {
        return wanted_file(name);
    }
    // Where tags are a registry's, this one means "whatever is usual".
    if name == "latest" {
        return Some(Wanted::Any);
    }
    is_name(name).then(|| Wanted::Quantization(name.to_owned()))
}

/// A text with its `%20` and the like decoded; `None` where that gives no text.
fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(revision: Option<&str>, wanted: Wanted) -> HubModel {
        HubModel {
            repository: "a/b-GGUF".into(),
            revision: revision.map(str::to_owned),
            wanted,
        }
    }

    fn file(path: &str) -> Wanted {
        Wanted::File(path.into())
    }

    fn quantization(name: &str) -> Wanted {
        Wanted::Quantization(name.into())
    }

    fn marked(text: &str) -> Option<HubModel> {
        HubModel::from_marked(text).unwrap()
    }

    #[test]
    fn names_with_a_mark() {
        for (text, revision, wanted) in [
            ("hf:a/b-GGUF", None, Wanted::Any),
            ("hf:a/b-GGUF/c.gguf", None, file("c.gguf")),
            ("hf:a/b-GGUF/dir/c.gguf", None, file("dir/c.gguf")),
            ("hf:a/b-GGUF:Q4_K_M", None, quantization("Q4_K_M")),
            ("hf:a/b-GGUF:c.gguf", None, file("c.gguf")),
            ("hf:a/b-GGUF:latest", None, Wanted::Any),
            ("hf:a/b-GGUF@v1:q8_0", Some("v1"), quantization("q8_0")),
            ("hf:a/b-GGUF@v1/c.gguf", Some("v1"), file("c.gguf")),
            ("hf:a/b-GGUF@main", None, Wanted::Any),
        ] {
            assert_eq!(marked(text), Some(model(revision, wanted)), "{text}");
        }
        for wrong in [
            "hf:",
            "hf:a",
            "hf:a/",
            "hf:/b",
            "hf:a/../x.gguf",
            "hf:a/b/../c.gguf",
            "hf:a/b/c.bin",
            "hf:../b",
            "hf:a/b//c.gguf",
            "hf:a/b/c?.gguf",
            "hf:a/b:",
            "hf:a/b:x y",
            "hf:a/b@:Q4_0",
            "hf:a/b@../c",
            "hf:a/b:Q4_0/c",
        ] {
            assert!(HubModel::from_marked(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pasted_addresses() {
        for (text, revision, wanted) in [
            ("https://huggingface.co/a/b-GGUF", None, Wanted::Any),
            ("https://huggingface.co/a/b-GGUF/", None, Wanted::Any),
            ("huggingface.co/a/b-GGUF#top", None, Wanted::Any),
            ("https://hf.co/a/b-GGUF?local-app=x", None, Wanted::Any),
            ("hf.co/a/b-GGUF:Q8_0", None, quantization("Q8_0")),
            (
                "https://huggingface.co/a/b-GGUF/tree/main",
                None,
                Wanted::Any,
            ),
            (
                "https://huggingface.co/a/b-GGUF/tree/main/UD-Q4_K_XL",
                None,
                quantization("UD-Q4_K_XL"),
            ),
            (
                "https://huggingface.co/a/b-GGUF?show_file_info=x-Q6_K.gguf",
                None,
                file("x-Q6_K.gguf"),
            ),
            (
                "https://huggingface.co/a/b-GGUF/blob/main/d%20e/F.gguf",
                None,
                file("d e/F.gguf"),
            ),
            (
                "https://huggingface.co/a/b-GGUF/resolve/v2/F.gguf?download=true",
                Some("v2"),
                file("F.gguf"),
            ),
        ] {
            assert_eq!(marked(text), Some(model(revision, wanted)), "{text}");
        }
        for wrong in [
            "https://huggingface.co/a",
            "https://huggingface.co/datasets/a/b",
            "https://huggingface.co/a/b/blob/main/README.md",
            "https://huggingface.co/a/b/discussions/1",
            "https://huggingface.co/a/b/blob/main/%2e%2e/x.gguf",
            "https://huggingface.co/a/b/resolve/main/%zz.gguf",
            "https://example.org/a/b.gguf",
        ] {
            assert!(HubModel::from_marked(wrong).is_err(), "{wrong}");
        }
        for other in [
            "a/b",
            "model.gguf",
            "huggingface.co",
            "llama3.2:3b",
            "hf.company/x",
        ] {
            assert_eq!(marked(other), None, "{other}");
        }
    }

    #[test]
    fn bare_names() {
        let bare = HubModel::from_bare_name;
        assert_eq!(bare("a/b-GGUF"), Some(model(None, Wanted::Any)));
        assert_eq!(
            bare("a/b-GGUF:Q4_0"),
            Some(model(None, quantization("Q4_0")))
        );
        for path in ["./b", "../b", "/b", "a/b.gguf", "a/b/c", "a b/c", "a", "a/"] {
            assert_eq!(bare(path), None, "{path}");
        }
    }
}
