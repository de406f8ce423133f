//! Files that are there whole or not at all: written under a temporary name beside their place, then renamed.

use anyhow::{Context, Result};
use std::path::Path;

/// Writes `bytes` to `path`; what was there before stays until the new file is complete.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    std::io::Write::write_all(&mut file, bytes).with_context(cannot)?;
    file.persist(path).with_context(cannot)?;
    Ok(())
}
