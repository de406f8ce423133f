//! What a user may write where a MODEL is asked for: a path, a short name, a model on the hub (`owner/repo:QUANTIZATION`,
//! `hf:owner/repo/file`, a pasted address), or the name that another program has for a model on this machine.
//!
//! In: the argument. Out: which of these it is, and (`locate`) a file on this machine, downloaded if need be.

use crate::cache;
use crate::catalogue::{self, Entry};
use crate::diagnostics::note;
use crate::elsewhere::{Elsewhere, Found};
use crate::fetch::{self, HubModel};
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
    /// A file that another program keeps.
    Elsewhere(Found),
}

/// Understands a MODEL argument without touching the network.
pub fn parse(model: &OsStr) -> Result<Source> {
    let text = model.to_str();
    if let Some(hub) = text.map(HubModel::from_marked).transpose()?.flatten() {
        return Ok(Source::Hub(hub));
    }
    let path = Path::new(model);
    if path.exists() {
        return Ok(Source::Path(path.to_owned()));
    }
    if let Some(hub) = text.and_then(HubModel::from_bare_name) {
        return Ok(Source::Hub(hub));
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
        let elsewhere = Elsewhere::look();
        if let Some(found) = elsewhere.named(text).or_else(|| elsewhere.untagged(text)) {
            return Ok(Source::Elsewhere(found.clone()));
        }
    }
    let shown = path.display();
    if looks_like_path
        || path
            .extension()
            .is_some_and(|extension| extension == "gguf")
    {
        let on_hub = text
            .filter(|text| text.split('/').count() > 2)
            .filter(|text| HubModel::from_marked(&format!("hf:{text}")).is_ok())
            .map_or(String::new(), |text| {
                format!("; a file on the hub is written hf:{text}")
            });
        return Err(anyhow!(
            "no file {shown} here; 'gristmill models' lists what is downloaded{on_hub}"
        ));
    }
    let similar = text.map_or(Vec::new(), catalogue::similar);
    let similar = match similar.as_slice() {
        [] => String::new(),
        names => format!(" (like it: {})", names.join(", ")),
    };
    Err(anyhow!(
        "no file and no short name {shown}{similar}; 'gristmill models' lists the short names; a model on the hub is \
         written owner/repo"
    ))
}

/// The file that a MODEL argument means; what is not on this machine yet is downloaded, and that is said.
pub fn locate(model: &OsStr) -> Result<PathBuf> {
    match parse(model)? {
        Source::Path(path) => Ok(path),
        Source::Catalogue(entry) => {
            if fetch::catalogue_file_here(entry, &cache::list()?)?.is_none() {
                let elsewhere = Elsewhere::look();
                // Others use some of these names for families: a model of about that size it has to be.
                let typed = || {
                    let found = elsewhere.untagged(model.to_str()?)?;
                    let about = entry.bytes / 3 * 2..=entry.bytes / 2 * 3;
                    about.contains(&found.bytes).then_some(found)
                };
                if let Some(found) = entry_elsewhere(entry, &elsewhere).or_else(typed) {
                    return Ok(in_place(found));
                }
            }
            fetch::catalogue_file(entry, fetch::Check::Size)
        }
        Source::Hub(hub) => {
            if let Some(path) = fetch::hub_file_here(&hub, &cache::list()?)? {
                return Ok(path);
            }
            let bare = model
                .to_str()
                .filter(|text| HubModel::from_bare_name(text).is_some());
            let elsewhere = Elsewhere::look();
            let named = || elsewhere.named(bare?).or_else(|| elsewhere.untagged(bare?));
            if let Some(found) = elsewhere.of_hub(&hub).or_else(named) {
                return Ok(in_place(found));
            }
            fetch::hub_file(&hub, fetch::Check::Size).map_err(|error| match bare {
                // It may have been meant as a path.
                Some(text) => anyhow!("no file {text} here; on the hub: {error:#}"),
                None => error,
            })
        }
        Source::Elsewhere(found) => Ok(in_place(&found)),
    }
}

/// A catalogue model that another program has: the same quantization of the same repository. What is known to the byte
/// has to have that size.
pub fn entry_elsewhere<'a>(entry: &Entry, elsewhere: &'a Elsewhere) -> Option<&'a Found> {
    elsewhere
        .of_hub(&fetch::hub_model(entry))
        .filter(|found| entry.pinned.is_none() || found.bytes == entry.bytes)
}

/// Says that another program's file is used, and gives its path.
fn in_place(found: &Found) -> PathBuf {
    note!(
        "Using {} of {}, where it is: {}",
        found.name,
        found.place,
        found.path.display()
    );
    found.path.clone()
}
