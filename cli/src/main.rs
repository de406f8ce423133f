//! The `gristmill` program: reads the command line, runs one command, turns its outcome into an exit code.
//!
//! Each command is one file in `commands/` and one line in [`Command`]. Results go to standard output, everything else
//! to standard error (`diagnostics`). Models are found or downloaded by `source` and `fetch`.
#![deny(unsafe_code)]

mod cache;
mod catalogue;
mod commands;
mod diagnostics;
mod elsewhere;
#[cfg(unix)]
mod fault;
mod fetch;
mod filename;
mod input;
mod interrupt;
mod licence;
mod memory;
mod options;
mod progress;
mod prompt_cache;
mod render;
mod sampling;
mod source;
mod version;
mod whole_file;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

/// Run language models from GGUF files on this machine's processor
#[derive(Parser)]
#[command(
    name = "gristmill",
    disable_version_flag = true,
    max_term_width = 100,
    after_long_help = "\
MODEL is the path of a GGUF file, a short name (see 'gristmill models'), owner/repo:QUANTIZATION or \
     hf:owner/repo/file.gguf for a file on the hub, an address pasted from there, or a name that Ollama has a model by. \
     What is not on this machine is downloaded first.

Examples:
  gristmill chat                                  chat with the default model
  gristmill run smollm2 -p 'Once upon a time' -n 64
  gristmill inspect model.gguf                    what is in a file, and its licence
  gristmill help perplexity                       everything about one command

Exit codes: 0 success, 1 failure, 2 wrong command line, 130 interrupted. An instruction set (--isa, GRISTMILL_ISA) \
     that does not exist is 2, one that this processor lacks is 1.
Environment: GRISTMILL_CACHE (folder for models), GRISTMILL_ISA (instruction set), NO_COLOR."
)]
struct Cli {
    /// Print the version; with --verbose also what this machine is given, and all that is supported
    #[arg(short = 'V', long)]
    version: bool,
    /// With --version: instruction set, threads and kernels chosen, and why; then all lists of 'supported'
    #[arg(short, long, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// The commands, in the order in which help lists them.
#[derive(Subcommand)]
enum Command {
    Chat(commands::chat::Chat),
    Run(commands::run::Run),
    Embed(commands::embed::Embed),
    Perplexity(commands::perplexity::Perplexity),
    Inspect(commands::inspect::Inspect),
    Tokenize(commands::tokenize::Tokenize),
    Template(commands::template::Template),
    Bench(commands::bench::Bench),
    Logits(commands::logits::Logits),
    Pull(commands::pull::Pull),
    Models(commands::models::Models),
    Supported(commands::supported::Supported),
    Completions(commands::completions::Completions),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Chat(command) => command.run(),
            Command::Run(command) => command.run(),
            Command::Embed(command) => command.run(),
            Command::Perplexity(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Tokenize(command) => command.run(),
            Command::Template(command) => command.run(),
            Command::Bench(command) => command.run(),
            Command::Logits(command) => command.run(),
            Command::Pull(command) => command.run(),
            Command::Models(command) => command.run(),
            Command::Supported(command) => command.run(),
            Command::Completions(command) => command.run(),
        }
    }
}

fn main() -> ExitCode {
    #[cfg(unix)]
    fault::watch();
    let mut command = options::with_negative_numbers(Cli::command());
    let parsed = command
        .try_get_matches_from_mut(std::env::args_os())
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return explain(&error.format(&mut command)),
    };
    match cli.command {
        Some(command) => diagnostics::report(command.run()),
        None if cli.version => diagnostics::report(version::print(cli.verbose)),
        None => {
            diagnostics::line("", "", &Cli::command().render_help().to_string());
            ExitCode::from(diagnostics::USAGE)
        }
    }
}

/// Prints what the parser has to say: help asked for goes to standard output, a complaint to standard error.
fn explain(error: &clap::Error) -> ExitCode {
    let text = error.render();
    if error.use_stderr() {
        let text = if diagnostics::stderr_colour() {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        diagnostics::line("", "", text.trim_end());
        return ExitCode::from(diagnostics::USAGE);
    }
    let colour = std::io::stdout().is_terminal() && diagnostics::colour_wanted();
    let mut out = render::output();
    let text = if colour {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    diagnostics::report(written.map_err(anyhow::Error::from))
}
