//! `gristmill inspect`: what is in a model file, what it will need, and under which licence it is.

mod values;

use crate::diagnostics::warning;
use crate::licence::{self, Licence};
use crate::options::{EngineArgs, positive};
use crate::render::{self, Align, Table, count};
use crate::source;
use anyhow::Result;
use clap::Args;
use gristmill_engine::{Adapter, MemoryPlan, Model};
use gristmill_gguf::{Array, Endianness, Gguf, Metadata, Value};
use serde::Serialize;
use serde_json::Map;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Show what is in a model file: sizes, quantization, licence, memory
#[derive(Args)]
#[command(after_long_help = "\
The licence line sorts what the file says about itself: OSI-approved open source, open weights with restrictions \
     (and which), or not stated. It is no legal advice.

JSON: {\"path\":\"\", \"name\":\"\"|null, \"gguf_version\":3, \"endianness\":\"little|big\", \"bytes\":0, \
     \"parts\":1, \"architecture\":\"\"|null, \"parameters\":0, \"tensor_count\":0, \"quantization\":[{\"type\":\"\", \
     \"tensors\":0, \"parameters\":0, \"bytes\":0}], \"context_length\":0|null, \"block_count\":0|null, \
     \"embedding_length\":0|null, \"head_count\":0|null, \"head_count_kv\":0|null, \"feed_forward_length\":0|null, \
     \"vocab_size\":0|null, \"tokenizer\":{\"model\":\"\"|null, \"pre\":\"\"|null}, \"chat_template\":false, \
     \"licence\":{\"name\":\"\", \"class\":\"open-source|restricted|unrecognised|not-stated\", \"description\":\"\", \
     \"id\":\"\"|null, \"link\":\"\"|null}, \"memory\":{\"context_length\":0, \"weights\":0, \"cache\":0, \
     \"scratch\":0, \"available\":0|null}|null, \"adapter\":{\"type\":\"lora\", \"alpha\":0, \"rank_min\":0, \
     \"rank_max\":0, \"adapted_tensors\":0, \"prompt_prefix\":\"\"|null}|null, \"problem\":\"\"|null}; with --tensors also \
     \"tensors\":[{\"name\":\"\", \"type\":\"\", \"shape\":[], \"bytes\":0}], with --metadata \"metadata\":{key: \
     value}. \"problem\" says why the model can't be run, if so.

Examples:
  gristmill inspect smollm2
  gristmill inspect model.gguf --tensors -c 4096
  gristmill inspect adapter.gguf                  a LoRA adapter: its alpha and rank
  gristmill inspect model.gguf --metadata --json")]
pub struct Inspect {
    /// Path, short name or owner/repo:QUANTIZATION
    model: OsString,
    /// List the tensors
    #[arg(long)]
    tensors: bool,
    /// List the metadata
    #[arg(long)]
    metadata: bool,
    /// Memory for N tokens of context [default: what the model was trained for]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

#[derive(Serialize)]
struct Report {
    path: String,
    name: Option<String>,
    gguf_version: u32,
    endianness: &'static str,
    bytes: u64,
    parts: usize,
    architecture: Option<String>,
    parameters: u64,
    tensor_count: usize,
    quantization: Vec<Share>,
    context_length: Option<u64>,
    block_count: Option<u64>,
    embedding_length: Option<u64>,
    head_count: Option<u64>,
    head_count_kv: Option<u64>,
    feed_forward_length: Option<u64>,
    vocab_size: Option<u64>,
    tokenizer: TokenizerNames,
    chat_template: bool,
    licence: LicenceReport,
    memory: Option<MemoryReport>,
    #[serde(skip)]
    is_adapter: bool,
    adapter: Option<AdapterReport>,
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<TensorRow>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, serde_json::Value>>,
}

#[derive(Serialize)]
struct Share {
    r#type: String,
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TokenizerNames {
    model: Option<String>,
    pre: Option<String>,
}

#[derive(Serialize)]
struct LicenceReport {
    name: String,
    class: &'static str,
    description: String,
    id: Option<String>,
    link: Option<String>,
}

#[derive(Serialize)]
struct MemoryReport {
    context_length: usize,
    weights: u64,
    cache: u64,
    scratch: u64,
    available: Option<u64>,
}

/// What is said of a file that is an adapter.
#[derive(Serialize)]
struct AdapterReport {
    r#type: &'static str,
    alpha: f32,
    rank_min: u64,
    rank_max: u64,
    adapted_tensors: usize,
    prompt_prefix: Option<String>,
}

#[derive(Serialize)]
struct TensorRow {
    name: String,
    r#type: String,
    shape: Vec<u64>,
    bytes: u64,
}

impl Inspect {
    /// Prints the report.
    pub fn run(self) -> Result<()> {
        let path = source::locate(&self.model)?;
        let adapters = self.engine.more.adapters()?;
        let file = Gguf::open(&path, self.engine.model_options()?.access())?;
        let mut report = Report::of(&file, &path);
        for key in file.metadata().not_utf8() {
            warning!("{key} is not UTF-8 in the file: replacement characters are shown");
        }
        if self.tensors {
            report.tensors = Some(tensor_rows(&file));
        }
        if self.metadata && self.json {
            let entries = file.metadata().iter();
            report.metadata = Some(
                entries
                    .map(|(key, value)| (key.to_owned(), values::as_json(value)))
                    .collect(),
            );
        }
        // The model takes the file over; the text form still has to show the metadata.
        let metadata = (self.metadata && !self.json).then(|| file.metadata().clone());
        // A file that can't be run can still be looked at.
        if report.is_adapter {
            let prefix = file.metadata().shown("adapter.lora.prompt_prefix");
            let prefix = prefix.map(str::to_owned);
            match Adapter::new(file) {
                Ok(adapter) => report.adapter = Some(AdapterReport::of(&adapter, prefix)),
                Err(error) => report.problem = Some(error.to_string()),
            }
        } else {
            match Model::with_adapters(file, adapters) {
                Ok(model) => {
                    let plan = model.memory(&self.engine.context_options(self.context));
                    report.memory = Some(MemoryReport::of(&plan));
                }
                Err(error) => report.problem = Some(error.to_string()),
            }
        }
        if self.json {
            render::json(&report)
        } else {
            report.print(metadata.as_ref())
        }
    }
}

impl Report {
    fn of(file: &Gguf, path: &Path) -> Report {
        let metadata = file.metadata();
        let text = |key: &str| metadata.shown(key).map(str::to_owned);
        let architecture = text("general.architecture");
        // A count may be one number, or one for each block: then the first stands for all.
        let number = |key: &str| {
            let key = format!("{}.{key}", architecture.as_deref()?);
            first_number(metadata.get(&key)?)
        };
        let mut quantization: Vec<Share> = Vec::new();
        let mut parameters = 0;
        for tensor in file.tensors() {
            let (elements, bytes) = (tensor.elements(), tensor.bytes());
            parameters += elements;
            let name = tensor.tensor_type().name();
            let at = quantization
                .iter()
                .position(|share| share.r#type == name)
                .unwrap_or_else(|| {
                    quantization.push(Share {
                        r#type: name.to_owned(),
                        tensors: 0,
                        parameters: 0,
                        bytes: 0,
                    });
                    quantization.len() - 1
                });
            quantization[at].tensors += 1;
            quantization[at].parameters += elements;
            quantization[at].bytes += bytes;
        }
        quantization.sort_by_key(|share| std::cmp::Reverse(share.bytes));
        let (id, link) = (text("general.license"), text("general.license.link"));
        let licence = licence::classify_named(
            id.as_deref(),
            text("general.license.name").as_deref(),
            link.as_deref(),
        );
        let Licence { name, class } = licence;
        Report {
            path: path.display().to_string(),
            name: text("general.name"),
            gguf_version: file.version(),
            endianness: match file.endianness() {
                Endianness::Little => "little",
                Endianness::Big => "big",
            },
            bytes: file.file_bytes(),
            parts: file.part_count(),
            context_length: number("context_length"),
            block_count: number("block_count"),
            embedding_length: number("embedding_length"),
            head_count: number("attention.head_count"),
            head_count_kv: number("attention.head_count_kv"),
            feed_forward_length: number("feed_forward_length"),
            vocab_size: metadata
                .get("tokenizer.ggml.tokens")
                .and_then(Value::as_array)
                .map(|tokens| tokens.len() as u64)
                .or_else(|| number("vocab_size")),
            architecture,
            parameters,
            tensor_count: file.tensors().len(),
            quantization,
            tokenizer: TokenizerNames {
                model: text("tokenizer.ggml.model"),
                pre: text("tokenizer.ggml.pre"),
            },
            chat_template: metadata.contains("tokenizer.chat_template"),
            licence: LicenceReport {
                name,
                class: class.key(),
                description: class.describe(),
                id,
                link,
            },
            memory: None,
            is_adapter: Adapter::is_adapter(metadata),
            adapter: None,
            problem: None,
            tensors: None,
            metadata: None,
        }
    }

    /// What only models have.
    fn model_lines(&self, lines: &mut Vec<(&str, String)>) {
        let known = |number: Option<u64>| number.map_or("not stated".to_owned(), count);
        lines.push((
            "shape",
            format!(
                "{} blocks, {} wide, {} heads ({} key-value), feed-forward {}",
                known(self.block_count),
                known(self.embedding_length),
                known(self.head_count),
                known(self.head_count_kv.or(self.head_count)),
                known(self.feed_forward_length)
            ),
        ));
        lines.push((
            "context",
            format!("{} tokens as trained", known(self.context_length)),
        ));
        let pre = self.tokenizer.pre.as_deref().map_or(String::new(), |pre| {
            format!(", pre-tokenizer {}", render::safe(pre))
        });
        let tokenizer = self
            .tokenizer
            .model
            .as_deref()
            .map_or("none".to_owned(), render::safe);
        lines.push((
            "tokenizer",
            format!("{tokenizer}{pre}, {} tokens", known(self.vocab_size)),
        ));
        lines.push((
            "chat template",
            if self.chat_template { "yes" } else { "no" }.to_owned(),
        ));
    }

    fn print(&self, metadata: Option<&Metadata>) -> Result<()> {
        let mut lines: Vec<(&str, String)> = Vec::new();
        lines.push((
            "model",
            self.name
                .as_deref()
                .map_or("no name".to_owned(), render::safe),
        ));
        lines.push((
            "file",
            format!(
                "{} ({}{}, GGUF version {}{})",
                render::safe(&self.path),
                render::bytes(self.bytes),
                if self.parts > 1 {
                    format!(" in {} parts", self.parts)
                } else {
                    String::new()
                },
                self.gguf_version,
                if self.endianness == "big" {
                    ", big-endian"
                } else {
                    ""
                }
            ),
        ));
        lines.push((
            "architecture",
            self.architecture
                .as_deref()
                .map_or("not stated".to_owned(), render::safe),
        ));
        let tensors_text = format!(
            "{} in {} tensors",
            render::parameters(self.parameters),
            self.tensor_count
        );
        lines.push(("parameters", tensors_text));
        let all: u64 = self.quantization.iter().map(|share| share.bytes).sum();
        for (i, share) in self.quantization.iter().enumerate() {
            let label = if i == 0 { "quantization" } else { "" };
            let percent = 100.0 * share.bytes as f64 / all.max(1) as f64;
            let tensors = if share.tensors == 1 {
                "tensor"
            } else {
                "tensors"
            };
            lines.push((
                label,
                format!(
                    "{:<6} {:>5.1}% of bytes, {} {tensors}",
                    share.r#type, percent, share.tensors
                ),
            ));
        }
        if let Some(adapter) = &self.adapter {
            lines.push(("adapter", adapter.describe()));
            if let Some(prefix) = &adapter.prompt_prefix {
                lines.push(("prompt prefix", render::safe(prefix)));
            }
        }
        if !self.is_adapter {
            self.model_lines(&mut lines);
        }
        let link = self
            .licence
            .link
            .as_deref()
            .map_or(String::new(), |link| format!(" <{}>", render::safe(link)));
        lines.push((
            "licence",
            format!(
                "{}: {}{link}",
                render::safe(&self.licence.name),
                self.licence.description
            ),
        ));
        match (&self.memory, &self.problem) {
            (Some(memory), _) => lines.push(("memory", memory.describe())),
            (None, Some(problem)) => lines.push(("can't be run", render::safe(problem))),
            (None, None) => {}
        }
        let mut out = render::output();
        for (label, text) in lines {
            writeln!(out, "{label:<14} {text}")?;
        }
        if let Some(metadata) = metadata {
            writeln!(out)?;
            for (key, value) in metadata.iter() {
                writeln!(out, "{} = {}", render::safe(key), values::short(value))?;
            }
        }
        if let Some(rows) = &self.tensors {
            writeln!(out)?;
            let columns = [
                ("tensor", Align::Left),
                ("type", Align::Left),
                ("shape", Align::Right),
                ("bytes", Align::Right),
            ];
            let mut table = Table::new(&columns);
            for row in rows {
                let shape: Vec<String> = row.shape.iter().map(u64::to_string).collect();
                table.row([
                    render::safe(&row.name),
                    row.r#type.clone(),
                    shape.join(" × "),
                    count(row.bytes),
                ]);
            }
            write!(out, "{}", table.plain())?;
        }
        out.flush()?;
        Ok(())
    }
}

impl AdapterReport {
    fn of(adapter: &Adapter, prompt_prefix: Option<String>) -> AdapterReport {
        let (rank_min, rank_max) = adapter.ranks();
        AdapterReport {
            r#type: "lora",
            alpha: adapter.alpha(),
            rank_min,
            rank_max,
            adapted_tensors: adapter.targets().len(),
            prompt_prefix,
        }
    }

    fn describe(&self) -> String {
        let ranks = match (self.rank_min, self.rank_max) {
            (least, most) if least == most => least.to_string(),
            (least, most) => format!("{least} to {most}"),
        };
        let tensors = match self.adapted_tensors {
            1 => "1 tensor".to_owned(),
            many => format!("{} tensors", count(many as u64)),
        };
        format!(
            "LoRA, alpha {}, rank {ranks}, adds to {tensors} of a model (run MODEL --lora FILE)",
            self.alpha
        )
    }
}

impl MemoryReport {
    fn of(plan: &MemoryPlan) -> MemoryReport {
        MemoryReport {
            context_length: plan.context_length,
            weights: plan.weights,
            cache: plan.cache,
            scratch: plan.scratch,
            available: plan.available,
        }
    }

    fn describe(&self) -> String {
        let free = self.available.map_or(String::new(), |free| {
            format!("; {} are free here", render::bytes(free))
        });
        format!(
            "{} at {} tokens of context: weights {} (mapped), cache {}, scratch {}{free}",
            render::bytes(self.weights + self.cache + self.scratch),
            count(self.context_length as u64),
            render::bytes(self.weights),
            render::bytes(self.cache),
            render::bytes(self.scratch)
        )
    }
}

fn tensor_rows(file: &Gguf) -> Vec<TensorRow> {
    let row = |tensor: &gristmill_gguf::TensorInfo| TensorRow {
        name: tensor.name().to_owned(),
        r#type: tensor.tensor_type().name().to_owned(),
        shape: tensor.dims().to_vec(),
        bytes: tensor.bytes(),
    };
    file.tensors().iter().map(row).collect()
}

/// A count, or the first one where there is one for each block.
fn first_number(value: &Value) -> Option<u64> {
    let number = match value {
        Value::Array(Array::U32(values)) => i128::from(*values.first()?),
        Value::Array(Array::I32(values)) => i128::from(*values.first()?),
        other => other.as_integer()?,
    };
    u64::try_from(number).ok()
}
