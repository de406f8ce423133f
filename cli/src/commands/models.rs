//! `gristmill models`: what is in the cache folder, what the catalogue offers, and what other programs keep.

use crate::cache::{self, Cached};
use crate::catalogue::{self, CATALOGUE, Entry};
use crate::diagnostics::{note, usage};
use crate::elsewhere::{Elsewhere, Found};
use crate::licence::{self, Class};
use crate::memory::{self, Fits};
use crate::render::{self, Align, Table};
use crate::{fetch, filename, source};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// List downloaded models, the built-in catalogue, and models that other programs keep here
#[derive(Args)]
#[command(after_long_help = "\
Any name in the first column may be used where a MODEL is asked for. The catalogue is sorted by size; a size with \
     \"about\" is what the file had when the catalogue was written. \"fits\" compares the file and a context of 4,096 \
     tokens with the memory that is free now: \"yes\"; \"slow\" where the weights will be read from the disk again and \
     again; \"no\". A star marks licences that are not open source, \"login\" models that the hub gives only to those who \
     accepted their terms (HF_TOKEN). Narrow terminals get fewer columns.

--elsewhere looks into the folders of Ollama, LM Studio, llama.cpp and the hub's own tools (OLLAMA_MODELS, LLAMA_CACHE, \
     HF_HUB_CACHE, HF_HOME). What is there is used where it is, without a copy.

JSON: {\"downloaded\":[{\"name\":\"\", \"path\":\"\", \"bytes\":0, \"partial\":false}], \"catalogue\":[{\"name\":\"\", \
     \"aliases\":[\"\"], \"title\":\"\", \"about\":\"\", \"hub\":\"owner/repo:QUANTIZATION\", \"file\":\"\", \
     \"quantization\":\"\", \"parameters\":0, \"bytes\":0, \"bytes_exact\":false, \"sha256\":\"\"|null, \"licence\":\"\", \
     \"licence_class\":\"open-source|restricted\", \"restrictions\":\"\"|null, \"gated\":false, \"memory\":0, \
     \"fits\":\"yes|slow|no|?\", \"downloaded\":false, \"elsewhere\":\"\"|null}]}; with --downloaded or --catalogue that list \
     alone, with NAME one of its objects; with --elsewhere a list of {\"name\":\"\", \"place\":\"\", \"path\":\"\", \
     \"bytes\":0, \"quantization\":\"\"|null, \"repository\":\"\"|null}.

Examples:
  gristmill models
  gristmill models qwen3-4b        everything about one of the catalogue
  gristmill models --elsewhere")]
pub struct Models {
    /// Show everything about this model of the catalogue
    #[arg(conflicts_with_all = ["catalogue", "downloaded", "elsewhere"])]
    name: Option<String>,
    /// Show the built-in catalogue of short names only
    #[arg(long, conflicts_with_all = ["downloaded", "elsewhere"])]
    catalogue: bool,
    /// Show the cache folder only
    #[arg(long, conflicts_with = "elsewhere")]
    downloaded: bool,
    /// Show the models that other programs keep on this machine
    #[arg(long)]
    elsewhere: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Everything {
    downloaded: Vec<CachedRow>,
    catalogue: Vec<CatalogueRow>,
}

#[derive(Serialize)]
struct CachedRow {
    name: String,
    path: String,
    bytes: u64,
    partial: bool,
}

#[derive(Serialize)]
struct CatalogueRow {
    name: &'static str,
    aliases: &'static [&'static str],
    title: &'static str,
    about: &'static str,
    hub: String,
    file: &'static str,
    quantization: String,
    parameters: u64,
    bytes: u64,
    bytes_exact: bool,
    sha256: Option<&'static str>,
    licence: String,
    #[serde(skip)]
    licence_id: &'static str,
    licence_class: &'static str,
    restrictions: Option<&'static str>,
    gated: bool,
    memory: u64,
    fits: &'static str,
    downloaded: bool,
    elsewhere: Option<String>,
}

#[derive(Serialize)]
struct FoundRow {
    name: String,
    place: &'static str,
    path: String,
    bytes: u64,
    quantization: Option<String>,
    repository: Option<String>,
}

impl Models {
    /// Prints the list.
    pub fn run(self) -> Result<()> {
        if let Some(name) = &self.name {
            let entry = catalogue::find(name).ok_or_else(|| {
                let similar = match catalogue::similar(name).as_slice() {
                    [] => String::new(),
                    names => format!(" (like it: {})", names.join(", ")),
                };
                usage(format!("no model {name} in the catalogue{similar}"))
            })?;
            let row = Machine::look()?.row(entry)?;
            return if self.json {
                render::json(&row)
            } else {
                row.print()
            };
        }
        if self.elsewhere {
            return print_elsewhere(Elsewhere::look().all(), self.json);
        }
        let cached = if self.catalogue {
            Vec::new()
        } else {
            cache::list()?
        };
        let catalogue = if self.downloaded { Vec::new() } else { rows()? };
        if self.json {
            let downloaded: Vec<CachedRow> = cached.into_iter().map(CachedRow::of).collect();
            return match (self.downloaded, self.catalogue) {
                (true, _) => render::json(&downloaded),
                (_, true) => render::json(&catalogue),
                _ => render::json(&Everything {
                    downloaded,
                    catalogue,
                }),
            };
        }
        let mut out = render::output();
        if !self.catalogue {
            let folder = cache::folder()?;
            if !cached.is_empty() {
                write!(out, "{}", downloaded_table(cached))?;
                if !self.downloaded {
                    writeln!(out)?;
                }
                out.flush()?;
                note!("In {}", folder.display());
            } else if self.downloaded {
                note!(
                    "No models in {} yet; 'gristmill chat' downloads {}.",
                    folder.display(),
                    CATALOGUE[0].title
                );
            }
        }
        if !self.downloaded {
            write!(out, "{}", catalogue_table(&catalogue))?;
            out.flush()?;
            if std::io::stdout().is_terminal() {
                explain(&catalogue);
            }
        }
        Ok(())
    }
}

/// What the catalogue's marks mean, as far as they are there.
fn explain(rows: &[CatalogueRow]) {
    let free = memory::free().map_or(String::new(), |free| {
        format!(" in {} of free memory", render::bytes(free))
    });
    note!(
        "fits: the file and a context of {} tokens{free}.",
        render::count(memory::CONTEXT)
    );
    if rows.iter().any(|row| row.elsewhere.is_some()) {
        note!("here, else: another program keeps it; 'gristmill models --elsewhere' says which.");
    }
    if rows.iter().any(|row| row.restrictions.is_some()) {
        note!("*: open weights with restrictions; 'gristmill models NAME' says which.");
    }
}

/// Whether a name in the cache folder is that of a catalogue model's file.
fn is_file_of(name: &str, entry: &Entry) -> bool {
    match &entry.pinned {
        Some(pinned) => pinned.file == name,
        None => name
            .strip_prefix("hf:")
            .and_then(|name| name.strip_prefix(entry.hub.repository))
            .and_then(|name| name.strip_prefix('/'))
            .is_some_and(|file| {
                filename::split(file).is_none()
                    && !filename::is_companion(file)
                    && filename::quantization(file) == filename::quantization(entry.hub.file)
            }),
    }
}

fn downloaded_table(cached: Vec<Cached>) -> String {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("size", Align::Right),
        ("", Align::Left),
    ]);
    for file in cached {
        let entry = CATALOGUE.iter().find(|entry| is_file_of(&file.name, entry));
        let name = entry.map_or_else(|| render::safe(&file.name), |entry| entry.name.to_owned());
        let remark = if file.partial {
            "interrupted download".to_owned()
        } else {
            entry.map_or(String::new(), |entry| entry.title.to_owned())
        };
        table.row([name, render::bytes(file.bytes), remark]);
    }
    let width = render::terminal_width();
    table.stacked_within(width)
}

fn catalogue_table(rows: &[CatalogueRow]) -> String {
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("size", Align::Right),
        ("weights", Align::Right),
        ("type", Align::Left),
        ("fits", Align::Left),
        ("here", Align::Left),
        ("licence", Align::Left),
        ("what it is", Align::Left),
    ]);
    for row in rows {
        let here = match (row.downloaded, &row.elsewhere) {
            (true, _) => "yes",
            (false, Some(_)) => "else",
            (false, None) => "",
        };
        let star = if row.restrictions.is_some() { " *" } else { "" };
        let login = if row.gated { " (login)" } else { "" };
        table.row([
            row.name.to_owned(),
            row.size(),
            short_parameters(row.parameters),
            row.quantization.clone(),
            row.fits.to_owned(),
            here.to_owned(),
            format!("{}{star}", row.licence_id),
            format!("{}{login}", row.about),
        ]);
    }
    if rows
        .iter()
        .all(|row| !row.downloaded && row.elsewhere.is_none())
    {
        table = table.without("here");
    }
    let width = render::terminal_width();
    let order = ["what it is", "weights", "type", "here", "licence", "fits"];
    table.without_as_needed(width, &order).plain_within(width)
}

/// `135M`, `1.2B`, `20.9B`.
fn short_parameters(number: u64) -> String {
    if number < 1_000_000_000 {
        format!("{}M", number / 1_000_000)
    } else {
        format!("{:.1}B", number as f64 / 1e9)
    }
}

/// The catalogue, by size.
fn rows() -> Result<Vec<CatalogueRow>> {
    let machine = Machine::look()?;
    let mut rows = CATALOGUE
        .iter()
        .map(|entry| machine.row(entry))
        .collect::<Result<Vec<_>>>()?;
    rows.sort_by_key(|row| row.bytes);
    Ok(rows)
}

impl CachedRow {
    fn of(file: Cached) -> CachedRow {
        CachedRow {
            name: file.name,
            path: file.path.display().to_string(),
            bytes: file.bytes,
            partial: file.partial,
        }
    }
}

/// What of this machine matters to the catalogue.
struct Machine {
    free: Option<u64>,
    cached: Vec<Cached>,
    elsewhere: Elsewhere,
}

impl Machine {
    fn look() -> Result<Machine> {
        Ok(Machine {
            free: memory::free(),
            cached: cache::list()?,
            elsewhere: Elsewhere::look(),
        })
    }

    fn row(&self, entry: &Entry) -> Result<CatalogueRow> {
        let licence = licence::classify_named(Some(entry.licence), None, None);
        let state = entry.state.bytes(memory::CONTEXT);
        let quantization = filename::quantization(entry.hub.file).unwrap_or_default();
        let elsewhere = source::entry_elsewhere(entry, &self.elsewhere);
        Ok(CatalogueRow {
            name: entry.name,
            aliases: entry.aliases,
            title: entry.title,
            about: entry.about,
            hub: format!("{}:{quantization}", entry.hub.repository),
            file: entry.hub.file,
            quantization,
            parameters: entry.parameters,
            bytes: entry.bytes,
            bytes_exact: entry.pinned.is_some(),
            sha256: entry.pinned.as_ref().map(|pinned| pinned.sha256),
            licence: licence.name,
            licence_id: entry.licence,
            licence_class: licence.class.key(),
            restrictions: match licence.class {
                Class::Restricted(which) => Some(which),
                _ => None,
            },
            gated: entry.gated,
            memory: entry.bytes + state,
            fits: Fits::of(Some(entry.bytes), state, self.free).word(),
            downloaded: fetch::catalogue_file_here(entry, &self.cached)?.is_some(),
            elsewhere: elsewhere.map(|found| found.path.display().to_string()),
        })
    }
}

impl CatalogueRow {
    /// The size, with "about" where it is not exact.
    fn size(&self) -> String {
        let about = if self.bytes_exact { "" } else { "about " };
        format!("{about}{}", render::bytes(self.bytes))
    }

    /// Everything about it.
    fn print(&self) -> Result<()> {
        let free = memory::free().map_or(String::new(), |free| {
            format!(", of {} that are free now", render::bytes(free))
        });
        let licence = match self.restrictions {
            Some(which) => format!("{}: open weights with restrictions: {which}", self.licence),
            None => format!("{}: {}", self.licence, Class::OpenSource.describe()),
        };
        let mut lines = vec![
            ("name", self.name.to_owned()),
            ("also", self.aliases.join(", ")),
            ("model", format!("{}: {}", self.title, self.about)),
            ("parameters", short_parameters(self.parameters)),
            ("file", format!("{} ({})", self.hub, self.size())),
            (
                "memory",
                format!(
                    "{} with a context of {} tokens{free} (fits: {})",
                    render::bytes(self.memory),
                    render::count(memory::CONTEXT),
                    self.fits
                ),
            ),
            ("licence", licence),
            (
                "SHA-256",
                self.sha256
                    .unwrap_or("checked against what the hub declares, at download")
                    .to_owned(),
            ),
        ];
        if self.gated {
            lines.push((
                "login",
                "accept its terms on the hub, and set HF_TOKEN".to_owned(),
            ));
        }
        let here = match (self.downloaded, &self.elsewhere) {
            (true, _) => "yes".to_owned(),
            (false, Some(path)) => format!("kept by another program: {}", render::safe(path)),
            (false, None) => format!("not yet; 'gristmill pull {}' downloads it", self.name),
        };
        lines.push(("here", here));
        let mut out = render::output();
        for (label, text) in lines.iter().filter(|(_, text)| !text.is_empty()) {
            writeln!(out, "{label:<10}  {text}")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// What other programs keep.
fn print_elsewhere(all: &[Found], json: bool) -> Result<()> {
    if json {
        let row = |found: &Found| FoundRow {
            name: found.name.clone(),
            place: found.place,
            path: found.path.display().to_string(),
            bytes: found.bytes,
            quantization: found.quantization.clone(),
            repository: found.hub.as_ref().map(|(repository, _)| repository.clone()),
        };
        return render::json(&all.iter().map(row).collect::<Vec<_>>());
    }
    if all.is_empty() {
        note!(
            "No models of Ollama, LM Studio, llama.cpp or the hub's own tools at their usual places here."
        );
        return Ok(());
    }
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("size", Align::Right),
        ("type", Align::Left),
        ("kept by", Align::Left),
        ("file", Align::Left),
    ]);
    for found in all {
        table.row([
            render::safe(&found.name),
            render::bytes(found.bytes),
            render::safe(found.quantization.as_deref().unwrap_or("")),
            found.place.to_owned(),
            render::safe(&found.path.display().to_string()),
        ]);
    }
    let width = render::terminal_width();
    let table = table.without_as_needed(width, &["file"]);
    let mut out = render::output();
    write!(out, "{}", table.stacked_within(width))?;
    out.flush()?;
    Ok(())
}
