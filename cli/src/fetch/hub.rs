//! The model hub: what is in a repository, and where its files are.
//!
//! `HF_ENDPOINT` names another server with the same interface (a mirror); `HF_TOKEN`, if set, is sent to it for models
//! that need a login. Connecting is given up after seconds, so that a machine without a network learns it soon.

use super::address::HubModel;
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
    /// The licence's name, where the identifier is `other`.
    pub licence_name: Option<String>,
    /// Where its text is.
    pub licence_link: Option<String>,
}

/// Why there is no listing.
pub enum Unlisted {
    /// The hub answered, and there is nothing to have.
    Refused(String),
    /// The hub, or the way to it, does not work.
    Unreachable(String),
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

/// The address of the hub that the environment names, else Hugging Face's.
pub fn endpoint() -> String {
    variable("HF_ENDPOINT")
        .unwrap_or_else(|| "https://huggingface.co".to_owned())
        .trim_end_matches('/')
        .to_owned()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name)
        .ok()
        .filter(|value| !value.trim().is_empty())
}

impl Hub {
    /// The hub that the environment names, else Hugging Face.
    pub fn from_environment() -> Hub {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(Duration::from_secs(5)))
            .timeout_connect(Some(Duration::from_secs(6)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_per_read(Some(Duration::from_secs(60)))
            .user_agent(concat!("gristmill/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Hub {
            endpoint: endpoint(),
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

    /// The page that lists a repository's files.
    pub fn page(&self, repository: &str, revision: &str) -> String {
        format!("{}/{repository}/tree/{revision}", self.endpoint)
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
    pub fn list(&self, model: &HubModel) -> Result<Listing, Unlisted> {
        let revision = model
            .revision
            .as_ref()
            .map_or(String::new(), |revision| format!("/revision/{revision}"));
        let url = format!(
            "{}/api/models/{}{revision}?blobs=true",
            self.endpoint, model.repository
        );
        let mut response = self.get(&url, 0).map_err(Unlisted::Unreachable)?;
        match response.status().as_u16() {
            200 => {}
            404 => {
                return Err(Unlisted::Refused(format!(
                    "there is no model hf:{} on the hub",
                    model.place()
                )));
            }
            // The hub does not tell strangers whether a repository exists.
            401 if self.token.is_none() => {
                return Err(Unlisted::Refused(format!(
                    "there is no model hf:{} on the hub, or it needs a login: then set HF_TOKEN",
                    model.place()
                )));
            }
            status @ (401 | 403) => return Err(Unlisted::Refused(self.refusal(&url, status))),
            status => return Err(Unlisted::Unreachable(self.refusal(&url, status))),
        }
        let body = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|error| Unlisted::Unreachable(format!("{} broke off: {error}", host(&url))))?;
        let parsed: Repository = serde_json::from_str(&body).map_err(|error| {
            Unlisted::Unreachable(format!(
                "{} gave a list of files that makes no sense: {error}",
                host(&url)
            ))
        })?;
        let card = |key: &str| {
            let card = parsed.card.as_ref()?;
            card.get(key)?.as_str().map(str::to_owned)
        };
        let (licence, licence_name, licence_link) =
            (card("license"), card("license_name"), card("license_link"));
        let remote = |file: Sibling| Remote {
            sha256: file
                .lfs
                .and_then(|lfs| lfs.sha256)
                .map(|sum| sum.to_ascii_lowercase()),
            path: file.rfilename,
            bytes: file.size,
        };
        let files = parsed.siblings.into_iter().map(remote).collect();
        Ok(Listing {
            files,
            licence,
            licence_name,
            licence_link,
        })
    }
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

    #[test]
    fn urls() {
        assert_eq!(escape("a b/ü.gguf"), "a%20b/%C3%BC.gguf");
        assert_eq!(host("http://127.0.0.1:8000/x?y"), "127.0.0.1:8000");
    }
}
