//! The model hub: what is in a repository, where its files are, which file a repository's name alone means.
//!
//! `HF_ENDPOINT` names another server with the same interface (a mirror); `HF_TOKEN`, if set, is sent to it for models
//! that need a login. Connecting is given up after seconds, so that a machine without a network learns it soon.

use anyhow::{Result, bail};
use serde::Deserialize;
use std::time::Duration;
use ureq::Body;
use ureq::http::Response;

/// A hub to download from.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// What is in a repository.
pub struct Listing {
    /// Its files.
    pub files: Vec<Remote>,
    /// The identifier of its licence, if the hub states one.
    pub licence: Option<String>,
}

/// A file in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its path in the repository.
    pub path: String,
    /// Its size, if the hub says it.
    pub bytes: Option<u64>,
    /// Its SHA-256, if the hub says it.
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    siblings: Vec<Sibling>,
    #[serde(default, rename = "cardData")]
    card: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Large>,
}

#[derive(Deserialize)]
struct Large {
    sha256: Option<String>,
}

impl Hub {
    /// The hub that the environment names, else Hugging Face.
    pub fn from_environment() -> Hub {
        let variable = |name| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.trim().is_empty())
        };
        let endpoint =
            variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(Duration::from_secs(5)))
            .timeout_connect(Some(Duration::from_secs(6)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .user_agent(concat!("gristmill/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Hub {
            endpoint,
            token: variable("HF_TOKEN"),
            agent,
        }
    }

    /// The URL of a file's bytes.
    pub fn file_url(&self, repository: &str, revision: &str, file: &str) -> String {
        format!(
            "{}/{repository}/resolve/{revision}/{}",
            self.endpoint,
            escape(file)
        )
    }

    /// Asks for a URL, from byte `start` on. The error says what could not be reached.
    pub fn get(&self, url: &str, start: u64) -> Result<Response<Body>, String> {
        // The bytes as they are: a range of a compressed stream would be something else.
        let mut request = self.agent.get(url).header("Accept-Encoding", "identity");
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        request
            .call()
            .map_err(|error| format!("{} can't be reached: {error}", host(url)))
    }

    /// What a status other than success means, for a person.
    pub fn refusal(&self, url: &str, status: u16) -> String {
        match status {
            401 | 403 => format!(
                "{url} needs a login (status {status}): accept the model's terms on the hub and set HF_TOKEN"
            ),
            404 => format!("{url} is not there (status 404)"),
            429 => format!("{} wants us to wait (status 429)", host(url)),
            _ => format!("{url} answered with status {status}"),
        }
    }

    /// The files of a repository, with sizes and checksums.
    pub fn list(&self, repository: &str) -> Result<Listing, String> {
        let url = format!("{}/api/models/{repository}?blobs=true", self.endpoint);
        let mut response = self.get(&url, 0)?;
        match response.status().as_u16() {
            200 => {}
            404 => return Err(format!("there is no model hf:{repository}")),
            status => return Err(self.refusal(&url, status)),
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|error| format!("{} broke off: {error}", host(&url)))?;
        let parsed: Repository = serde_json::from_str(&body).map_err(|error| {
            format!(
                "{} gave a list of files that makes no sense: {error}",
                host(&url)
            )
        })?;
        let licence = parsed
            .card
            .as_ref()
            .and_then(|card| card["license"].as_str())
            .map(str::to_owned);
        let remote = |file: Sibling| Remote {
            sha256: file
                .lfs
                .and_then(|lfs| lfs.sha256)
                .map(|sum| sum.to_ascii_lowercase()),
            path: file.rfilename,
            bytes: file.size,
        };
        let files = parsed.siblings.into_iter().map(remote).collect();
        Ok(Listing { files, licence })
    }
}

/// The files to download: the one asked for, or the one that a repository's name alone means; all parts of a split one.
pub fn choose(repository: &str, listed: &[Remote], file: Option<&str>) -> Result<Vec<Remote>> {
    let safe = |path: &str| {
        !path
            .split('/')
            .any(|part| part.is_empty() || part == ".." || part == ".")
            && !path.contains('\\')
    };
    let models: Vec<&Remote> = listed
        .iter()
        .filter(|file| file.path.ends_with(".gguf") && safe(&file.path))
        .collect();
    let names = || {
        models
            .iter()
            .map(|file| file.path.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let chosen = match file {
        Some(name) => models.iter().find(|file| file.path == name),
        // Projectors for pictures are no models by themselves; of a split one, the first part stands for all.
        None => {
            let whole: Vec<&&Remote> = models
                .iter()
                .filter(|file| !file.path.contains("mmproj"))
                .filter(|file| split(&file.path).is_none_or(|(_, number, _)| number == 1))
                .collect();
            const USUAL: [&str; 6] = ["q4_k_m", "q4_0", "q4_1", "q5_k_m", "iq4_xs", "q8_0"];
            match whole.as_slice() {
                [only] => Some(*only),
                _ => USUAL.iter().find_map(|usual| {
                    whole
                        .iter()
                        .find(|file| file.path.to_ascii_lowercase().contains(usual))
                        .copied()
                }),
            }
        }
    };
    let Some(chosen) = chosen else {
        match (models.is_empty(), file) {
            (true, _) => bail!("hf:{repository} holds no GGUF file"),
            (false, Some(name)) => bail!("hf:{repository} has no file {name}; it has: {}", names()),
            (false, None) => bail!("hf:{repository} has several files; name one: {}", names()),
        }
    };
    let Some((stem, _, count)) = split(&chosen.path) else {
        return Ok(vec![(*chosen).clone()]);
    };
    let mut parts: Vec<(u32, Remote)> = models
        .iter()
        .filter_map(|file| {
            let (other, number, of) = split(&file.path)?;
            (other == stem && of == count).then(|| (number, (*file).clone()))
        })
        .collect();
    parts.sort_by_key(|(number, _)| *number);
    if parts.len() != count as usize {
        bail!(
            "hf:{repository} has {} of the {count} parts of {}",
            parts.len(),
            chosen.path
        );
    }
    Ok(parts.into_iter().map(|(_, part)| part).collect())
}

/// Stem, number and count of a split file's name, `stem-00001-of-00003.gguf`.
fn split(path: &str) -> Option<(&str, u32, u32)> {
    let (front, count) = path.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = front.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    Some((stem, digits(number)?, digits(count)?))
}

/// The host of a URL, for messages.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// A path with everything outside of RFC 3986's unreserved characters escaped, slashes kept.
fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(byte as char)
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<Remote> {
        paths
            .iter()
            .map(|path| Remote {
                path: (*path).into(),
                bytes: None,
                sha256: None,
            })
            .collect()
    }

    fn chosen(paths: &[&str], file: Option<&str>) -> Result<Vec<String>, String> {
        choose("a/b", &files(paths), file)
            .map(|files| files.into_iter().map(|file| file.path).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_file_that_is_meant() {
        assert_eq!(chosen(&["README.md", "x.gguf"], None).unwrap(), ["x.gguf"]);
        assert_eq!(
            chosen(&["x-Q8_0.gguf", "x-Q4_K_M.gguf"], None).unwrap(),
            ["x-Q4_K_M.gguf"]
        );
        assert_eq!(
            chosen(&["x-Q8_0.gguf", "x-Q4_K_M.gguf"], Some("x-Q8_0.gguf")).unwrap(),
            ["x-Q8_0.gguf"]
        );
        assert_eq!(
            chosen(&["mmproj-x.gguf", "x.gguf"], None).unwrap(),
            ["x.gguf"]
        );
        let parts = ["x-00002-of-00002.gguf", "x-00001-of-00002.gguf"];
        assert_eq!(
            chosen(&parts, None).unwrap(),
            ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"]
        );
        assert!(
            chosen(&parts[..1], Some(parts[0]))
                .unwrap_err()
                .contains("1 of the 2 parts")
        );
        assert!(chosen(&["a.txt"], None).unwrap_err().contains("no GGUF"));
        assert!(
            chosen(&["a.gguf", "b.gguf"], None)
                .unwrap_err()
                .contains("name one: a.gguf, b.gguf")
        );
        assert!(
            chosen(&["../evil.gguf"], None)
                .unwrap_err()
                .contains("no GGUF")
        );
    }

    #[test]
    fn urls() {
        assert_eq!(escape("a b/ü.gguf"), "a%20b/%C3%BC.gguf");
        assert_eq!(host("http://127.0.0.1:8000/x?y"), "127.0.0.1:8000");
    }
}
