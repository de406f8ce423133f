//! `gristmill completions`: a script that teaches a shell the commands and options.

use anyhow::Result;
use clap::{Args, CommandFactory};
use std::io::Write;

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_long_help = "\
Examples:
  bash:  gristmill completions bash > ~/.local/share/bash-completion/completions/gristmill
  zsh:   gristmill completions zsh > \"${fpath[1]}/_gristmill\"
  fish:  gristmill completions fish > ~/.config/fish/completions/gristmill.fish")]
pub struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut crate::Cli::command(),
            "gristmill",
            &mut script,
        );
        let mut out = crate::render::output();
        out.write_all(&script)?;
        out.flush()?;
        Ok(())
    }
}
