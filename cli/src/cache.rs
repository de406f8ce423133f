//! Where downloaded models and the chat's input history live.
//!
//! Models: `GRISTMILL_CACHE` if set, else the platform's cache folder (`~/.cache` on Linux, `~/Library/Caches` on macOS,
//! `%LOCALAPPDATA%` on Windows) + `gristmill`. Pinned files of the catalogue lie directly in it, others from the hub in
//! `hf/OWNER/REPOSITORY/`, those of another revision than `main` in `hf/OWNER/REPOSITORY@REVISION/`.

use anyhow::{Context, Result};
use etcetera::BaseStrategy;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of downloaded models. It need not exist yet.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("GRISTMILL_CACHE").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(folder));
    }
    let base = etcetera::base_strategy::choose_native_strategy()
        .context("no home folder to keep models in; set GRISTMILL_CACHE to a folder")?;
    Ok(base.cache_dir().join("gristmill"))
}

/// The file of lines typed in chats, if there is a place for it.
pub fn history_file() -> Option<PathBuf> {
    let base = etcetera::base_strategy::choose_native_strategy().ok()?;
    Some(
        base.state_dir()
            .unwrap_or_else(|| base.data_dir())
            .join("gristmill")
            .join("chat-history"),
    )
}

/// One model file in the cache.
pub struct Cached {
    /// Where it is.
    pub path: PathBuf,
    /// How it is asked for: a file name, or `hf:owner/repo/file`.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Whether it is an interrupted download.
    pub partial: bool,
}

/// Every model file in the cache folder, by name. A folder that is not there holds none.
pub fn list() -> Result<Vec<Cached>> {
    let root = folder()?;
    let mut found = Vec::new();
    visit(&root, &root, 0, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn visit(root: &Path, folder: &Path, depth: usize, found: &mut Vec<Cached>) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read folder {}", folder.display()));
        }
    };
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read folder {}", folder.display()))?;
        let path = entry.path();
        // Follows links: people link models they already have into the cache.
        let Ok(metadata) = fs::metadata(&path) else {
            continue;
        };
        if metadata.is_dir() {
            // hf/owner/repo/sub/folder is as deep as repositories go in practice.
            if depth < 6 {
                visit(root, &path, depth + 1, found)?;
            }
            continue;
        }
        let file = entry.file_name().to_string_lossy().into_owned();
        let partial = file.ends_with(".gguf.part");
        if !partial && !file.ends_with(".gguf") {
            continue;
        }
        let inside = path.strip_prefix(root).unwrap_or(&path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        let name = match parts.split_first() {
            Some((first, rest)) if first == "hf" && rest.len() >= 3 => {
                format!("hf:{}", rest.join("/"))
            }
            _ => parts.join("/"),
        };
        found.push(Cached {
            path,
            name,
            bytes: metadata.len(),
            partial,
        });
    }
    Ok(())
}
