//! `gristmill supported`: what this build knows, printed from the registries that the program itself works with.

use crate::render::{self, Align, Table};
use anyhow::Result;
use clap::{Args, ValueEnum};
use gristmill_engine::arch::ARCHS;
use gristmill_engine::sampler::SAMPLERS;
use gristmill_engine::tokenizer::{TOKENIZERS, pre_tokenizer_names};
use gristmill_kernels::{ISAS, QUANTS, cpu};
use std::io::Write;

/// List the instruction sets, tensor types, architectures, tokenizers and samplers of this build
#[derive(Args)]
#[command(after_long_help = "\
'gristmill --version --verbose' shows the same, and which instruction set, threads and kernels are used here and why.

Examples:
  gristmill supported
  gristmill supported architectures    one of the tables
  gristmill supported --markdown       the tables of the README")]
pub struct Supported {
    /// Print this table alone
    #[arg(value_enum, value_name = "TABLE")]
    table: Option<Which>,
    /// Print Markdown, without what is particular to this machine
    #[arg(long)]
    markdown: bool,
}

/// The tables, in the order in which they are printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    InstructionSets,
    TensorTypes,
    Architectures,
    Tokenizers,
    PreTokenizers,
    Samplers,
}

impl Supported {
    /// Prints the tables.
    pub fn run(self) -> Result<()> {
        match self.table {
            Some(table) => print_these(&[table], self.markdown),
            None => print(self.markdown),
        }
    }
}

/// Prints every table; the Markdown form says nothing about this machine.
pub fn print(markdown: bool) -> Result<()> {
    print_these(Which::value_variants(), markdown)
}

fn print_these(tables: &[Which], markdown: bool) -> Result<()> {
    let mut out = render::output();
    // In a pipe a row is a line.
    let width = render::terminal_width().map(|width| width.saturating_sub(2));
    for (i, which) in tables.iter().enumerate() {
        let (title, table) = match which {
            Which::InstructionSets => instruction_sets(!markdown),
            Which::TensorTypes => tensor_types(),
            Which::Architectures => architectures(),
            Which::Tokenizers => tokenizers(),
            Which::PreTokenizers => pre_tokenizers(),
            Which::Samplers => samplers(),
        };
        if i > 0 {
            writeln!(out)?;
        }
        if markdown {
            write!(out, "### {title}\n\n{}", table.markdown())?;
        } else {
            let table = table.plain_within(width);
            write!(out, "{title}\n{}", render::indented(&table))?;
        }
    }
    out.flush()?;
    Ok(())
}

type Titled = (&'static str, Table);

fn instruction_sets(here: bool) -> Titled {
    let mut columns = vec![("name", Align::Left), ("needs", Align::Left)];
    if here {
        columns.push(("on this machine", Align::Left));
    }
    let mut table = Table::new(&columns);
    let chosen = cpu::choose(None).map_or("", |ready| ready.isa().name());
    for isa in ISAS {
        let state = if isa.name() == chosen {
            "chosen".to_owned()
        } else if isa.detect() {
            "there".to_owned()
        } else {
            let missing: Vec<_> = isa.missing().collect();
            format!("lacks {}", missing.join(", "))
        };
        let mut cells = vec![isa.name().to_owned(), isa.needs_in_words()];
        if here {
            cells.push(state);
        }
        table.row(cells);
    }
    ("Instruction sets", table)
}

fn tensor_types() -> Titled {
    let columns = [
        ("name", Align::Left),
        ("bits per weight", Align::Right),
        ("weights in a block", Align::Right),
        ("can be quantized to", Align::Left),
    ];
    let mut table = Table::new(&columns);
    for quant in QUANTS {
        let bits = quant.block_bytes() as f64 * 8.0 / quant.block_elements() as f64;
        table.row([
            quant.name().to_owned(),
            format!("{bits}"),
            quant.block_elements().to_string(),
            if quant.can_quantize() { "yes" } else { "no" }.to_owned(),
        ]);
    }
    ("Tensor types", table)
}

fn architectures() -> Titled {
    let mut table = Table::new(&[("name", Align::Left), ("used by", Align::Left)]);
    for architecture in ARCHS {
        table.row([
            architecture.name.to_owned(),
            architecture.used_by.to_owned(),
        ]);
    }
    ("Architectures", table)
}

fn tokenizers() -> Titled {
    let mut table = Table::new(&[("name", Align::Left), ("what it is", Align::Left)]);
    for tokenizer in TOKENIZERS {
        table.row([tokenizer.model.to_owned(), tokenizer.description.to_owned()]);
    }
    ("Tokenizers", table)
}

fn pre_tokenizers() -> Titled {
    let mut table = Table::new(&[("names, those on a line are the same", Align::Left)]);
    for names in pre_tokenizer_names() {
        table.row([names.join(", ")]);
    }
    ("Pre-tokenizers", table)
}

fn samplers() -> Titled {
    let mut table = Table::new(&[("name", Align::Left), ("what it does", Align::Left)]);
    for sampler in SAMPLERS {
        table.row([sampler.name.to_owned(), sampler.help.to_owned()]);
    }
    ("Samplers", table)
}
