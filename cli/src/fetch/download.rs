//! One file over HTTP: progress, resumption, verification.
//!
//! In: a URL, what is known of the file (size, SHA-256) and the partial file. Out: the partial file, complete and
//! verified, or why not. Bytes that are there are kept only if a checksum will tell whether they belong to the rest.

use super::hub::Hub;
use super::verify;
use crate::diagnostics::note;
use crate::progress;
use anyhow::Context;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

/// Why a download did not succeed.
pub enum Failure {
    /// The other side or the way to it: another source may do better.
    Remote(String),
    /// This machine (disk full, no permission): no other source will help.
    Local(anyhow::Error),
}

/// What to download.
pub struct Download<'a> {
    /// Where from.
    pub url: &'a str,
    /// The file's size, if known.
    pub bytes: Option<u64>,
    /// The file's SHA-256, if known.
    pub sha256: Option<&'a str>,
    /// What the progress bar calls it.
    pub title: &'a str,
}

/// How an attempt ended that did not fail for good.
enum Attempt {
    /// All bytes are there.
    Complete,
    /// The connection broke after this many new bytes.
    Broken { received: u64, why: String },
}

/// Attempts in a row that bring no byte before giving up.
const FRUITLESS_ATTEMPTS: u32 = 3;

impl Download<'_> {
    /// Downloads into `part`, going on after what it holds.
    pub fn run(&self, hub: &Hub, part: &Path) -> Result<(), Failure> {
        let local = |error: std::io::Error| {
            Failure::Local(
                anyhow::Error::new(error).context(format!("cannot write {}", part.display())),
            )
        };
        let mut resumed = fs::metadata(part).map_or(0, |metadata| metadata.len());
        if self.sha256.is_none() && resumed > 0 {
            truncate(part).map_err(local)?;
            resumed = 0;
        }
        loop {
            self.fetch(hub, part)?;
            let Some(expected) = self.sha256 else {
                return Ok(());
            };
            let length = fs::metadata(part).map_err(local)?.len();
            let found = verify::sha256(part, length).map_err(Failure::Local)?;
            if found == expected {
                return Ok(());
            }
            truncate(part).map_err(local)?;
            if resumed == 0 {
                return Err(Failure::Remote(format!(
                    "{} has SHA-256 {found} instead of {expected}; thrown away",
                    self.url
                )));
            }
            note!("The bytes kept from before do not fit; starting again.");
            resumed = 0;
        }
    }

    fn fetch(&self, hub: &Hub, part: &Path) -> Result<(), Failure> {
        let mut fruitless = 0;
        loop {
            match self.attempt(hub, part)? {
                Attempt::Complete => return Ok(()),
                Attempt::Broken { received, why } => {
                    fruitless = if received > 0 { 1 } else { fruitless + 1 };
                    if fruitless >= FRUITLESS_ATTEMPTS {
                        return Err(Failure::Remote(format!("{why} (what has arrived is kept)")));
                    }
                    note!("{why}; going on.");
                    std::thread::sleep(Duration::from_millis(500 << fruitless));
                }
            }
        }
    }

    fn attempt(&self, hub: &Hub, part: &Path) -> Result<Attempt, Failure> {
        let local = |error: anyhow::Error| Failure::Local(error);
        let writing = || format!("cannot write {}", part.display());
        let mut start = fs::metadata(part).map_or(0, |metadata| metadata.len());
        if self.bytes.is_some_and(|bytes| start > bytes) {
            truncate(part).with_context(writing).map_err(local)?;
            start = 0;
        }
        if self.bytes == Some(start) {
            return Ok(Attempt::Complete);
        }
        let mut response = hub.get(self.url, start).map_err(Failure::Remote)?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        match response.status().as_u16() {
            206 if range_start(header("content-range").as_deref()) == Some(start) => {}
            // The whole file, whatever was asked for.
            200 => {
                truncate(part).with_context(writing).map_err(local)?;
                start = 0;
            }
            // Nothing after what is there: it is complete if the checksum says so, else the check starts it again.
            416 if start > 0 && self.bytes.is_none() => return Ok(Attempt::Complete),
            status => return Err(Failure::Remote(hub.refusal(self.url, status))),
        }
        let rest = header("content-length").and_then(|length| length.parse::<u64>().ok());
        let total = self.bytes.or(rest.map(|rest| start + rest));
        if let (Some(expected), Some(rest)) = (self.bytes, rest)
            && start + rest != expected
        {
            return Err(Failure::Remote(format!(
                "{} has {} bytes instead of {expected}",
                self.url,
                start + rest
            )));
        }
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(part)
            .with_context(writing)
            .map_err(local)?;
        let bar = progress::of_bytes(total.unwrap_or(0), start, self.title);
        let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 256 << 10];
        let mut received = 0;
        let outcome = loop {
            match reader.read(&mut buffer) {
                Ok(0) => match total {
                    Some(total) if start + received < total => {
                        let why = format!(
                            "the connection ended after {} of {total} bytes",
                            start + received
                        );
                        break Attempt::Broken { received, why };
                    }
                    _ => break Attempt::Complete,
                },
                Ok(read) => {
                    file.write_all(&buffer[..read])
                        .with_context(writing)
                        .map_err(local)?;
                    received += read as u64;
                    bar.inc(read as u64);
                }
                Err(error) => {
                    break Attempt::Broken {
                        received,
                        why: format!("the connection broke: {error}"),
                    };
                }
            }
        };
        bar.finish_and_clear();
        Ok(outcome)
    }
}

/// The first byte's position in a `Content-Range: bytes 5-9/10` header.
fn range_start(header: Option<&str>) -> Option<u64> {
    header?
        .trim()
        .strip_prefix("bytes")?
        .trim_start()
        .split('-')
        .next()?
        .parse()
        .ok()
}

/// Empties the partial file; it stays the same file, which holds the lock.
fn truncate(part: &Path) -> std::io::Result<()> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .open(part)
        .map(drop)
}

#[cfg(test)]
mod tests {
    #[test]
    fn content_range() {
        assert_eq!(super::range_start(Some("bytes 500-999/1000")), Some(500));
        assert_eq!(super::range_start(Some("bytes */1000")), None);
        assert_eq!(super::range_start(None), None);
    }
}
