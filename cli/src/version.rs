//! What `gristmill --version` says; with `--verbose` also what this processor is given and why: instruction set, threads,
//! and the kernel of every type in every shape, as the registries have them.

use crate::commands::supported;
use crate::render;
use anyhow::Result;
use gristmill_kernels::isa::{Ready, UNIT};
use gristmill_kernels::pool::Topology;
use gristmill_kernels::{FEW_COLUMNS, Path, QUANTS, QuantType, cpu, path};
use std::io::Write;

/// Version, and commit where it is known.
pub fn line() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match option_env!("GRISTMILL_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{version} (commit {commit})"),
        _ => version.to_owned(),
    }
}

/// Prints the version, or everything.
pub fn print(verbose: bool) -> Result<()> {
    let chosen = verbose.then(|| cpu::choose(None)).transpose()?;
    let mut out = render::output();
    writeln!(out, "gristmill {}", line())?;
    if let Some(ready) = chosen {
        let (cores, threads) = Topology::detect().describe();
        writeln!(out, "\nThis machine")?;
        let facts = [
            ("processor", cpu::model_name()),
            ("cores", cores),
            ("default threads", threads),
            ("instruction set", choice(ready)),
        ];
        for (label, value) in facts {
            writeln!(out, "  {label:15}  {value}")?;
        }
        writeln!(out, "\n{}", kernels(ready))?;
    }
    out.flush()?;
    if verbose {
        supported::print(false)?;
    }
    Ok(())
}

/// The instruction set that is used, and why.
fn choice(ready: Ready) -> String {
    let best = cpu::available().last().map_or("scalar", |isa| isa.name);
    let name = ready.isa().name;
    let why = if cpu::forced().is_none() {
        "the best that this processor has".to_owned()
    } else if name == best {
        "forced by GRISTMILL_ISA, and the best that this processor has".to_owned()
    } else {
        format!("forced by GRISTMILL_ISA; the best that this processor has is {best}")
    };
    format!("{name}, {why}")
}

/// For one, a few and many columns of input: which kernel takes which types.
fn kernels(ready: Ready) -> String {
    let mut text = format!("Kernels of {}, by columns of the input\n", ready.isa().name);
    let few = format!("2 to {FEW_COLUMNS} columns (guessed tokens, short prompts)");
    let shapes = [
        ("1 column (generation)", 1),
        (&few, FEW_COLUMNS),
        ("more columns (prompts)", FEW_COLUMNS + 1),
    ];
    let mut before = Vec::new();
    for (title, columns) in shapes {
        let groups = by_kernel(ready, columns);
        if groups == before {
            text += &format!("  {title}: the same\n");
            continue;
        }
        text += &format!("  {title}\n");
        for (kernel, types) in &groups {
            text += &wrapped(&format!("{kernel}: {}", types.join(" ")));
        }
        before = groups;
    }
    text
}

/// The kernels for so many columns, each with the names of its types.
fn by_kernel(ready: Ready, columns: usize) -> Vec<(String, Vec<&'static str>)> {
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    for quant in QUANTS {
        let kernel = describe(ready, quant, columns);
        match groups.iter_mut().find(|(known, _)| *known == kernel) {
            Some((_, types)) => types.push(quant.name),
            None => groups.push((kernel, vec![quant.name])),
        }
    }
    groups
}

fn describe(ready: Ready, quant: &QuantType, columns: usize) -> String {
    let unpacked = if ready.unpacks_fast(quant) {
        "unpacked by code of this set"
    } else {
        "unpacked by code that all sets share"
    };
    match path(ready, quant, columns) {
        Path::FusedDot => "fused dot, straight from the file's bytes".to_owned(),
        Path::UnpackedDot => format!("{unpacked}, then int8 dot"),
        Path::Tile { rows, columns } => format!(
            "{unpacked}, then int8 tiles of {rows} rows x {columns} columns (slabs {UNIT} deep)"
        ),
        Path::Floats => "float multiply-adds".to_owned(),
    }
}

/// A paragraph in lines of up to 100 characters.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), "   ".to_owned());
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 100 {
            lines += &line;
            lines.push('\n');
            line = "     ".to_owned();
        }
        line.push(' ');
        line += word;
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_kernel_in_every_shape() {
        for ready in gristmill_kernels::ISAS.iter().filter_map(|isa| isa.ready()) {
            for columns in [1, 8, 512] {
                let listed: usize = by_kernel(ready, columns)
                    .iter()
                    .map(|(_, types)| types.len())
                    .sum();
                assert_eq!(listed, QUANTS.len());
            }
        }
    }

    #[test]
    fn paragraphs_wrap_and_keep_their_words() {
        let words = vec!["IQ2_XXS"; 40].join(" ");
        let text = wrapped(&words);
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 100));
        assert_eq!(text.split_whitespace().collect::<Vec<_>>().join(" "), words);
    }
}
