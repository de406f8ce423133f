//! Files that are there whole or not at all: written under a temporary name beside their place, then renamed.

use anyhow::{Context, Result};
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

/// A file under a temporary name in the folder of `path`.
fn beside(path: &Path) -> Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder).with_context(|| format!("cannot write {}", path.display()))
}

/// Whether the folder of `path` is there and takes files.
pub fn check(path: &Path) -> Result<()> {
    beside(path).map(drop)
}

/// Writes `bytes` to `path`; what was there before stays until the new file is complete.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = beside(path)?;
    file.write_all(bytes).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
