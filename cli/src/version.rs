//! What `gristmill --version` says; with `--verbose` also what this processor is given and why: instruction set, threads,
//! the kernel of every shape, and how every type is unpacked, as the registries have them.

use crate::commands::supported;
use crate::render::{self, Align, Table};
use anyhow::Result;
use gristmill_kernels::attention::FEW_QUERIES;
use gristmill_kernels::isa::Ready;
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
    let best = cpu::available().last().map_or("scalar", |isa| isa.name());
    let name = ready.isa().name();
    let why = if cpu::forced().is_none() {
        "the best that this processor has".to_owned()
    } else if name == best {
        "forced by GRISTMILL_ISA, and the best that this processor has".to_owned()
    } else {
        format!("forced by GRISTMILL_ISA; the best that this processor has is {best}")
    };
    format!("{name}, {why}")
}

/// What computes each shape and why, then which types are unpacked how.
fn kernels(ready: Ready) -> String {
    let mut text = format!("Kernels of {}\n", ready.isa().name());
    text += &render::indented(&shapes(ready).plain());
    text += &format!("\nTypes on {}\n", ready.isa().name());
    for (way, types) in by_way(ready) {
        text += &wrapped(&format!("{way}: {}", types.join(" ")));
    }
    text
}

/// A line for each shape, or for each of its kernels where its types go several ways.
fn shapes(ready: Ready) -> Table {
    let mut table = Table::new(&[
        ("shape", Align::Left),
        ("computed by", Align::Left),
        ("because", Align::Left),
    ]);
    let floats = ready.floats();
    let lanes = format!("{} floats", floats.name());
    let (few, many) = (
        format!("2 to {FEW_COLUMNS} columns (guesses)"),
        format!("{} columns and more (prompts)", FEW_COLUMNS + 1),
    );
    for (shape, columns) in [
        ("1 column (generation)", 1),
        (&few, FEW_COLUMNS),
        (&many, FEW_COLUMNS + 1),
    ] {
        let mut ways: Vec<Path> = Vec::new();
        for quant in QUANTS.iter().filter(|quant| quant.codes().is_some()) {
            let way = path(ready, quant, columns);
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        for way in ways {
            let (kernel, why) = explained(ready, way, columns);
            table.row([shape.to_owned(), kernel, why.to_owned()]);
        }
    }
    let rest = [
        (
            "float weights".to_owned(),
            format!("dots of {lanes}"),
            "nothing is rounded to 8 bits",
        ),
        (
            format!("attention, 1 to {FEW_QUERIES} queries"),
            format!("chunks of the cache on all threads, {lanes}"),
            "a key is read once for all heads that share it",
        ),
        (
            "attention, more queries".to_owned(),
            format!("queries on all threads, {lanes}"),
            "the same sums; memory does not grow with the square of the prompt",
        ),
        (
            "norms, rope, softmax, activations".to_owned(),
            format!("{lanes}, {} lanes", floats.lanes()),
            "the float instructions that go with this set",
        ),
    ];
    for (shape, kernel, why) in rest {
        table.row([shape, kernel, why.to_owned()]);
    }
    table
}

/// A way through the kernels: what computes, and why this.
fn explained(ready: Ready, way: Path, columns: usize) -> (String, &'static str) {
    let multiplies = ready.isa().multiplies();
    match way {
        Path::FusedDot => (
            format!("fused dots, {}", multiplies.dots),
            match columns {
                1 => "reading is the limit: unpacked in registers, nothing stored",
                _ => "weights are read once for all columns",
            },
        ),
        Path::UnpackedDot => (
            format!("rows unpacked to int8, then dots, {}", multiplies.dots),
            "this set has no code of its own: the others are held to this",
        ),
        Path::Tile { rows, columns } => (
            format!(
                "tiles of {rows} rows x {columns} columns, {}",
                multiplies.tiles
            ),
            "multiplying is the limit: unpacked once for all columns; the same bits",
        ),
        Path::Floats => ("float multiply-adds".to_owned(), "the weights are floats"),
    }
}

/// The ways of unpacking, each with the names of its types.
fn by_way(ready: Ready) -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for quant in QUANTS {
        let way = unpacked(ready, quant);
        match groups.iter_mut().find(|(known, _)| *known == way) {
            Some((_, types)) => types.push(quant.name()),
            None => groups.push((way, vec![quant.name()])),
        }
    }
    groups
}

fn unpacked(ready: Ready, quant: &QuantType) -> &'static str {
    let special = ready.isa().special();
    match special.filter(|special| (special.takes)(quant)) {
        _ if quant.codes().is_none() => "floats as they are",
        Some(special) => special.how,
        None if ready.unpacks_fast(quant) => "unpacked by this set's own code",
        None => "unpacked by code that all sets share",
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
    fn every_type_and_every_shape_is_listed() {
        for ready in gristmill_kernels::ISAS.iter().filter_map(|isa| isa.ready()) {
            let listed: usize = by_way(ready).iter().map(|(_, types)| types.len()).sum();
            assert_eq!(listed, QUANTS.len());
            let shapes = shapes(ready).plain();
            // Three of codes, one of floats, two of attention, one of all else, below the heading.
            assert!(shapes.lines().count() > 7, "{shapes}");
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
