//! `gristmill tokenize`: text to token ids and back, with a model's own tokenizer.

use crate::render::{self, Align, Table};
use crate::{input, source};
use anyhow::{Context, Result, anyhow};
use clap::Args;
use gristmill_engine::Tokenizer;
use gristmill_gguf::{Access, Gguf};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

/// Show how a model's tokenizer splits a text
#[derive(Args)]
#[command(after_long_help = "\
Without -p and -f the text is read from standard input, as it is. A file with a vocabulary alone will do for \
     MODEL.

--jsonl reads lines {\"text\":\"\",\"add_special\":true,\"parse_special\":false} from standard input (both flags \
     may be left out: then the options below decide) and writes a line {\"ids\":[],\"detok\":\"\"} for each. detok is \
     the text of the ids, special tokens shown; null if it is not UTF-8, and then \"detok_hex\" has the bytes.

Examples:
  gristmill tokenize model.gguf -p 'Hello, world'
  gristmill tokenize model.gguf -f text.txt --ids
  gristmill tokenize model.gguf --jsonl < cases.jsonl")]
pub struct Tokenize {
    /// Path, short name or owner/repo:QUANTIZATION
    model: OsString,
    /// The text
    #[arg(short, long = "prompt", value_name = "TEXT", conflicts_with = "file")]
    prompt: Option<String>,
    /// A file with the text ('-': standard input)
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Leave out the tokens that the model wants around a text (BOS, EOS)
    #[arg(long)]
    no_special: bool,
    /// Read control tokens that are spelled in the text as such
    #[arg(long)]
    parse_special: bool,
    /// Print only the ids, separated by commas
    #[arg(long, conflicts_with = "json")]
    ids: bool,
    /// Print {"ids":[],"detok":""}
    #[arg(long)]
    json: bool,
    /// Read and write JSON lines
    #[arg(long, conflicts_with_all = ["prompt", "file", "ids", "json"])]
    jsonl: bool,
}

#[derive(Deserialize)]
struct Request {
    text: String,
    add_special: Option<bool>,
    parse_special: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    ids: Vec<u32>,
    detok: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detok_hex: Option<String>,
}

impl Answer {
    fn new(tokenizer: &Tokenizer, ids: Vec<u32>) -> Answer {
        match String::from_utf8(tokenizer.decode(&ids, true)) {
            Ok(text) => Answer {
                ids,
                detok: Some(text),
                detok_hex: None,
            },
            Err(error) => {
                let hex = error
                    .as_bytes()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                Answer {
                    ids,
                    detok: None,
                    detok_hex: Some(hex),
                }
            }
        }
    }
}

impl Tokenize {
    /// Tokenizes one text, or a stream of requests.
    pub fn run(self) -> Result<()> {
        let path = source::locate(&self.model)?;
        let file = Gguf::open(&path, Access::Map)?;
        let tokenizer = Tokenizer::from_metadata(file.metadata())?;
        if self.jsonl {
            return self.answer_lines(&tokenizer);
        }
        let text = match (&self.prompt, &self.file) {
            (Some(text), _) => text.clone(),
            (None, Some(file)) => input::text_file(file)?,
            (None, None) => input::text_file(Path::new("-"))?,
        };
        let ids = tokenizer.encode(&text, !self.no_special, self.parse_special);
        let mut out = render::output();
        if self.json {
            writeln!(
                out,
                "{}",
                serde_json::to_string(&Answer::new(&tokenizer, ids))?
            )?;
        } else if self.ids {
            let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
            writeln!(out, "{}", ids.join(","))?;
        } else {
            let mut table = Table::new(&[("id", Align::Right), ("text", Align::Left)]);
            for id in ids {
                table.row([id.to_string(), quoted(&tokenizer.piece(id, true))]);
            }
            write!(out, "{}", table.plain())?;
        }
        out.flush()?;
        Ok(())
    }

    fn answer_lines(&self, tokenizer: &Tokenizer) -> Result<()> {
        // Thousands of lines: written in blocks, not one by one.
        let mut out = std::io::BufWriter::with_capacity(1 << 16, render::output());
        for (number, line) in std::io::stdin().lock().lines().enumerate() {
            let line =
                line.with_context(|| format!("cannot read line {} of standard input", number + 1))?;
            if line.trim().is_empty() {
                continue;
            }
            let request: Request = serde_json::from_str(&line).map_err(|error| {
                anyhow!(
                    "line {} of standard input is no request: {error}",
                    number + 1
                )
            })?;
            let ids = tokenizer.encode(
                &request.text,
                request.add_special.unwrap_or(!self.no_special),
                request.parse_special.unwrap_or(self.parse_special),
            );
            serde_json::to_writer(&mut out, &Answer::new(tokenizer, ids))
                .map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(())
    }
}

/// A token's bytes in quotes; what is no printable text as escapes.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => text.extend(['\\', c]),
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_shown_as_they_are() {
        assert_eq!(
            super::quoted(b"a \"b\"\n\xe2\x82"),
            r#""a \"b\"\n\xe2\x82""#
        );
    }
}
