//! `gristmill models`: what is in the cache folder, and what the catalogue offers.

use crate::cache;
use crate::catalogue::{CATALOGUE, Entry};
use crate::diagnostics::note;
use crate::licence;
use crate::render::{self, Align, Table};
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::io::Write;

/// List downloaded models, or the built-in catalogue
#[derive(Args)]
#[command(after_long_help = "\
Any name in the first column may be used where a MODEL is asked for.

JSON: a list of {\"name\":\"\", \"path\":\"\", \"bytes\":0, \"partial\":false}; with --catalogue, of \
     {\"name\":\"\", \"title\":\"\", \"about\":\"\", \"bytes\":0, \"sha256\":\"\", \"licence\":\"\", \
     \"licence_class\":\"open-source|restricted\", \"restrictions\":\"\"|null, \"downloaded\":false}.

Examples:
  gristmill models
  gristmill models --catalogue")]
pub struct Models {
    /// Show the built-in catalogue of short names instead
    #[arg(long)]
    catalogue: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
    title: &'static str,
    about: &'static str,
    bytes: u64,
    sha256: &'static str,
    licence: String,
    licence_class: &'static str,
    restrictions: Option<&'static str>,
    downloaded: bool,
}

impl Models {
    /// Prints the list.
    pub fn run(self) -> Result<()> {
        if self.catalogue {
            self.print_catalogue()
        } else {
            self.print_cached()
        }
    }

    fn print_cached(&self) -> Result<()> {
        let cached = cache::list()?;
        if self.json {
            let row = |file: cache::Cached| CachedRow {
                name: file.name,
                path: file.path.display().to_string(),
                bytes: file.bytes,
                partial: file.partial,
            };
            return render::json(&cached.into_iter().map(row).collect::<Vec<_>>());
        }
        let folder = cache::folder()?;
        if cached.is_empty() {
            note!(
                "No models in {} yet; 'gristmill chat' downloads {}.",
                folder.display(),
                CATALOGUE[0].title
            );
            return Ok(());
        }
        let mut table = Table::new(&[
            ("name", Align::Left),
            ("size", Align::Right),
            ("", Align::Left),
        ]);
        for file in cached {
            let entry = CATALOGUE.iter().find(|entry| entry.file == file.name);
            let name =
                entry.map_or_else(|| render::safe(&file.name), |entry| entry.name.to_owned());
            let remark = if file.partial {
                "interrupted download".to_owned()
            } else {
                entry.map_or(String::new(), |entry| entry.title.to_owned())
            };
            table.row([name, render::bytes(file.bytes), remark]);
        }
        let mut out = render::output();
        write!(out, "{}", table.plain())?;
        out.flush()?;
        note!("In {}", folder.display());
        Ok(())
    }

    fn print_catalogue(&self) -> Result<()> {
        let folder = cache::folder()?;
        let there = |entry: &Entry| folder.join(entry.file).is_file();
        if self.json {
            let rows: Vec<CatalogueRow> = CATALOGUE
                .iter()
                .map(|entry| {
                    let licence = licence::classify_named(Some(entry.licence), None, None);
                    CatalogueRow {
                        name: entry.name,
                        title: entry.title,
                        about: entry.about,
                        bytes: entry.bytes,
                        sha256: entry.sha256,
                        licence: licence.name,
                        licence_class: licence.class.key(),
                        restrictions: match licence.class {
                            licence::Class::Restricted(which) => Some(which),
                            _ => None,
                        },
                        downloaded: there(entry),
                    }
                })
                .collect();
            return render::json(&rows);
        }
        let mut out = render::output();
        for entry in CATALOGUE {
            let licence = licence::classify_named(Some(entry.licence), None, None);
            let state = if there(entry) { ", downloaded" } else { "" };
            writeln!(
                out,
                "{}  ({}{state})",
                entry.name,
                render::bytes(entry.bytes)
            )?;
            writeln!(out, "    {}: {}", entry.title, entry.about)?;
            writeln!(
                out,
                "    licence {}: {}",
                licence.name,
                licence.class.describe()
            )?;
            writeln!(out, "    also: {}", entry.aliases.join(", "))?;
            writeln!(out, "    SHA-256 {}", entry.sha256)?;
        }
        out.flush()?;
        Ok(())
    }
}
