//! `gristmill embed`: a vector for each text, to compare texts by their meaning.

use crate::diagnostics::usage;
use crate::options::EngineArgs;
use crate::render::{self, Align, Table};
use crate::{input, source, whole_file};
use anyhow::{Result, anyhow};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gristmill_engine::{CacheType, EmbedOptions, Embedding, Model, Pooling};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Make embeddings: a vector for each text
#[derive(Args)]
#[command(after_long_help = "\
Texts are arguments, or the lines of a file or of standard input. Each is tokenized with the special tokens that the \
     model wants around it; those that are spelled in a text count as such. How a text's tokens become one vector is in \
     the file (pooling_type), or is said by --pooling; where neither says it, it is the mean in an encoder and the last \
     token in a decoder. 'none' gives a vector for each token; 'rank' gives the scores of a reranker's classifier for a \
     query and a document in one text, spelled as that model wants them.

Vectors have a length of 1 unless --no-normalize is given (scores are left as they are). Texts go through the model \
     several at a time, up to --batch tokens; the vectors are the same bits as one by one. The text that is longer than \
     what the model was trained for is named, and nothing is computed.

Output: a line {\"index\":0,\"tokens\":0,\"embedding\":[]} for each text; with the pooling 'none' \
     \"embeddings\":[[]], a vector for each token. With --out the ending decides: .npy (float32, one row for each \
     vector, C order), .f32 (the vectors one after the other, 32-bit little-endian floats, without a header), .json \
     or .jsonl (lines as above).

Examples:
  gristmill embed model.gguf 'The mill turns.' 'The wheel goes round.' --cosine
  gristmill embed model.gguf -f lines.txt --out vectors.npy
  gristmill embed model.gguf --jsonl < texts.jsonl > vectors.jsonl
  gristmill embed model.gguf --ids 101,7592,102 --ids 101,2088,102 --no-normalize --out vectors.f32")]
pub struct Embed {
    /// Path, hf:owner/repo[/file] or short name
    model: OsString,
    /// The texts [default: the lines of standard input]
    #[arg(value_name = "TEXT", conflicts_with_all = ["file", "ids", "jsonl"])]
    texts: Vec<String>,
    /// A file with a text in each line ('-': standard input)
    #[arg(short, long, value_name = "FILE", conflicts_with = "ids")]
    file: Option<PathBuf>,
    /// Lines are JSON: a string, or {"text":""}
    #[arg(long, conflicts_with = "ids")]
    jsonl: bool,
    /// Token ids of a text, separated by commas, in place of texts (may be given several times)
    #[arg(long, value_name = "ID,ID,...")]
    ids: Vec<String>,
    /// How tokens become a vector [default: what the file says]
    #[arg(long, value_name = "KIND", value_parser = pooling())]
    pooling: Option<Pooling>,
    /// Leave vectors as long as they are
    #[arg(long)]
    no_normalize: bool,
    /// A file for the vectors: .npy, .f32, .json or .jsonl
    #[arg(long, value_name = "FILE", conflicts_with = "cosine")]
    out: Option<PathBuf>,
    /// Print how alike the texts are: the cosine of each two vectors
    #[arg(long)]
    cosine: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Parses the name of a pooling.
fn pooling() -> impl TypedValueParser<Value = Pooling> {
    PossibleValuesParser::new(Pooling::ALL.map(Pooling::name))
        .try_map(|name| name.parse::<Pooling>())
}

/// A line of JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Text(String),
    Object { text: String },
}

#[derive(Serialize)]
struct Report<'a> {
    index: usize,
    tokens: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    embeddings: Option<Vec<&'a [f32]>>,
}

/// How vectors are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Lines,
    Npy,
    Floats,
}

/// Texts that are embedded before their vectors are written.
const TOGETHER: usize = 256;
/// Texts that a table of cosines can hold and still be read.
const MOST_IN_TABLE: usize = 12;
/// Their numbers.
const NUMBERS: [&str; MOST_IN_TABLE] = [
    "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12",
];

impl Embed {
    /// Embeds the texts and writes the vectors.
    pub fn run(mut self) -> Result<()> {
        self.engine.more.check()?;
        let format = match &self.out {
            Some(file) => {
                let format = format(file)?;
                // Better now than after all the computing.
                whole_file::check(file)?;
                format
            }
            None => Format::Lines,
        };
        let lists: Vec<Vec<u32>> = self
            .ids
            .iter()
            .map(|ids| input::ids(ids))
            .collect::<Result<_>>()?;
        let texts = if lists.is_empty() {
            self.texts()?
        } else {
            Vec::new()
        };
        let count = texts.len().max(lists.len());
        if self.cosine && count > MOST_IN_TABLE {
            return Err(usage(format!(
                "--cosine prints a table of up to {MOST_IN_TABLE} texts, and there are {count}; write vectors with --out"
            )));
        }

        let path = source::locate(&self.model)?;
        let model = Model::open(&path, &self.engine.model_options()?)?;
        let ids = if lists.is_empty() {
            let tokenizer = model.tokenizer()?;
            let encode = |text: &String| tokenizer.encode(text, true, true);
            texts.iter().map(encode).collect()
        } else {
            lists
        };
        let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
        let positions = longest.clamp(1, model.trained_context());
        self.engine.cache_type_k.get_or_insert(CacheType::F32);
        self.engine.cache_type_v.get_or_insert(CacheType::F32);
        let options = EmbedOptions {
            pooling: self.pooling,
            normalize: !self.no_normalize,
        };
        let context = self.engine.context_options(Some(positions));
        let mut embedder = model.embedder(&context, options)?;
        embedder.check(&ids)?;
        let per_token = embedder.pooling() == Pooling::None;
        if self.cosine && per_token {
            return Err(usage(
                "--cosine compares texts, and the pooling 'none' gives a vector for each token; choose another",
            ));
        }

        // Lines on standard output come as they are made.
        let mut all = Vec::new();
        let mut out = io::BufWriter::with_capacity(1 << 16, render::output());
        let as_made = self.out.is_none() && !self.cosine;
        for (number, part) in ids.chunks(TOGETHER).enumerate() {
            let made = embedder.embed(part)?;
            if as_made {
                lines(&mut out, number * TOGETHER, &made, per_token)?;
                out.flush()?;
            } else {
                all.extend(made);
            }
        }
        if self.cosine {
            write!(out, "{}", table(&texts, &all).plain())?;
            out.flush()?;
        }
        if let Some(file) = &self.out {
            let width = embedder.width();
            whole_file::write(file, |out| match format {
                Format::Lines => lines(out, 0, &all, per_token),
                Format::Npy => {
                    let rows: usize = all.iter().map(|one| one.values.len() / width).sum();
                    out.write_all(&npy_header(rows, width))?;
                    floats(out, &all)
                }
                Format::Floats => floats(out, &all),
            })?;
        }
        Ok(())
    }

    /// The texts that are asked for: arguments, or lines.
    fn texts(&self) -> Result<Vec<String>> {
        if !self.texts.is_empty() {
            return Ok(self.texts.clone());
        }
        let text = match &self.file {
            Some(file) => input::text_file(file)?,
            None if io::stdin().is_terminal() => {
                return Err(usage("no text: give some, or -f FILE, or --ids"));
            }
            None => input::text_file(Path::new("-"))?,
        };
        let texts: Vec<String> = if self.jsonl {
            let lines = (1..).zip(text.lines());
            let lines = lines.filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(number, line)| match serde_json::from_str(line) {
                    Ok(Line::Text(text) | Line::Object { text }) => Ok(text),
                    Err(_) => Err(anyhow!(
                        "line {number} is neither a JSON string nor an object with a \"text\" that is one"
                    )),
                })
                .collect::<Result<_>>()?
        } else {
            text.lines().map(str::to_owned).collect()
        };
        if texts.is_empty() {
            return Err(usage("no text: there are no lines to embed"));
        }
        Ok(texts)
    }
}

/// The format that a file's ending names.
fn format(file: &Path) -> Result<Format> {
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("npy") => Ok(Format::Npy),
        Some("f32") => Ok(Format::Floats),
        Some("json" | "jsonl") => Ok(Format::Lines),
        _ => Err(usage(format!(
            "{} must end in .npy, .f32, .json or .jsonl, which says how vectors are written",
            file.display()
        ))),
    }
}

fn lines(
    out: &mut (impl Write + ?Sized),
    first: usize,
    all: &[Embedding],
    per_token: bool,
) -> io::Result<()> {
    for (index, one) in (first..).zip(all) {
        let report = Report {
            index,
            tokens: one.tokens,
            embedding: (!per_token).then_some(&one.values),
            embeddings: per_token.then(|| one.values.chunks(one.width.max(1)).collect()),
        };
        serde_json::to_writer(&mut *out, &report).map_err(io::Error::from)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn floats(out: &mut (impl Write + ?Sized), all: &[Embedding]) -> io::Result<()> {
    let mut values = all.iter().flat_map(|one| &one.values);
    values.try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// What is before the values of an array of `rows` × `width` f32 values in NumPy's format, version 1.0.
fn npy_header(rows: usize, width: usize) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    // The values begin at a multiple of 64, and a line break is before them.
    let before = 10 + text.len() + 1;
    text.push_str(&" ".repeat(before.next_multiple_of(64) - before));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// The cosine of each two vectors.
fn table(texts: &[String], all: &[Embedding]) -> Table {
    let numbers = &NUMBERS[..all.len()];
    let mut columns = vec![("", Align::Right)];
    columns.extend(numbers.iter().map(|&number| (number, Align::Right)));
    columns.push(("text", Align::Left));
    let mut table = Table::new(&columns);
    for (row, one) in all.iter().enumerate() {
        let mut cells = vec![numbers[row].to_owned()];
        cells.extend(all.iter().map(|other| match cosine(one, other) {
            Some(cosine) => format!("{cosine:.3}"),
            None => "-".to_owned(),
        }));
        let text = texts.get(row).map_or("", String::as_str);
        cells.push(render::safe(&render::shorten(text, 40)));
        table.row(cells);
    }
    table
}

/// The cosine of the angle between two vectors; none where one has no direction.
fn cosine(a: &Embedding, b: &Embedding) -> Option<f64> {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = product(&a.values, &a.values) * product(&b.values, &b.values);
    (lengths > 0.0).then(|| product(&a.values, &b.values) / lengths.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_numpy() {
        let header = npy_header(3, 384);
        assert_eq!(header.len() % 64, 0);
        assert_eq!(&header[..8], b"\x93NUMPY\x01\x00");
        let length = u16::from_le_bytes([header[8], header[9]]) as usize;
        assert_eq!(length, header.len() - 10);
        let text = std::str::from_utf8(&header[10..]).unwrap();
        assert!(text.contains("'descr': '<f4'") && text.contains("'shape': (3, 384)"));
        assert!(text.ends_with('\n'));
    }

    #[test]
    fn cosines_are_of_angles() {
        let of = |values: &[f32]| Embedding {
            tokens: 1,
            width: 2,
            values: values.to_vec(),
        };
        assert_eq!(cosine(&of(&[2.0, 0.0]), &of(&[0.0, 3.0])), Some(0.0));
        assert_eq!(cosine(&of(&[2.0, 0.0]), &of(&[-1.0, 0.0])), Some(-1.0));
        assert_eq!(cosine(&of(&[2.0, 0.0]), &of(&[0.0, 0.0])), None);
    }
}
