//! The options that commands share: how a model is opened and computed with.

use crate::diagnostics::usage;
use crate::{input, source};
use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Command};
use gristmill_engine::speculate::MOST_GUESSES;
use gristmill_engine::{
    Adapter, AdapterOptions, CacheType, Context, ContextOptions, Model, ModelOptions,
    SpeculationOptions,
};
use gristmill_kernels::cpu;
use gristmill_kernels::pool::MAX_THREADS;
use serde_json::{Map, Value};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Parses a count.
pub fn whole(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "must be a whole number of at least 0".to_owned())
}

/// Parses a count that can't be zero.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number of at least 1".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// Parses a number of threads.
pub fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let found = number.filter(|n| (1..=MAX_THREADS).contains(n));
    found.ok_or_else(|| format!("must be a whole number from 1 to {MAX_THREADS}"))
}

/// Parses a text that can't be empty.
pub fn text(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must be a text of at least one character".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses the name of an instruction set, of this processor or not.
fn isa(name: &str) -> Result<String, String> {
    if cpu::is_known(name) {
        return Ok(name.to_owned());
    }
    let names: Vec<&str> = cpu::available().map(|isa| isa.name()).collect();
    Err(format!(
        "there is no instruction set of that name; this machine has {}",
        names.join(", ")
    ))
}

/// Lets `-1` be the value of every option instead of a wrong flag: what is wrong with it can then be said.
pub fn with_negative_numbers(command: Command) -> Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    let command = command.mut_args(|arg| {
        let option = !arg.is_positional() && arg.get_action().takes_values();
        arg.allow_negative_numbers(option)
    });
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, with_negative_numbers)
    })
}

/// Parses the name of a type that the cache can have.
pub fn cache_type() -> impl TypedValueParser<Value = CacheType> {
    PossibleValuesParser::new(CacheType::ALL.map(CacheType::name))
        .try_map(|name| name.parse::<CacheType>())
}

/// How a model is opened and computed with.
#[derive(Args, Clone)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// Threads [default: the performance cores]
    #[arg(short, long, value_name = "N", value_parser = threads)]
    pub threads: Option<usize>,
    /// How keys are kept [default: f16, but for 'logits' and 'embed' f32]
    #[arg(long, value_name = "TYPE", value_parser = cache_type())]
    pub cache_type_k: Option<CacheType>,
    /// How values are kept [default: f16, but for 'logits' and 'embed' f32]
    #[arg(long, value_name = "TYPE", value_parser = cache_type())]
    pub cache_type_v: Option<CacheType>,
    #[command(flatten)]
    pub more: MoreEngineArgs,
}

/// The same without what commands that measure take several values of.
#[derive(Args, Clone)]
#[command(next_help_heading = "Engine")]
pub struct MoreEngineArgs {
    /// Threads for prompts [default: as --threads]
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads_prompt: Option<usize>,
    /// Tokens of a prompt that are computed together [default: 512]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    pub batch: Option<usize>,
    /// Instruction set [default: GRISTMILL_ISA, or the best of this processor: see 'gristmill --version --verbose']
    #[arg(long, value_name = "NAME", value_parser = isa)]
    pub isa: Option<String>,
    /// Read the file into memory instead of mapping it
    #[arg(long)]
    pub no_mmap: bool,
    /// Run the model with a LoRA adapter: a GGUF file (path or hf:owner/repo/file), and how much of it counts [default: 1].
    /// May be given several times
    #[arg(long, value_name = "FILE[=SCALE]", value_parser = lora())]
    pub lora: Vec<Lora>,
}

/// An adapter and its scale.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    file: OsString,
    scale: f32,
}

impl Lora {
    /// Without its folders, for titles.
    pub fn name(&self) -> String {
        let file = Path::new(&self.file).file_name();
        let name = file.unwrap_or(&self.file).to_string_lossy().into_owned();
        match self.scale {
            1.0 => name,
            scale => format!("{name}={scale}"),
        }
    }
}

/// Parses `FILE` or `FILE=SCALE`.
fn lora() -> impl TypedValueParser<Value = Lora> {
    OsStringValueParser::new().try_map(|text: OsString| {
        let Some((file, scale)) = text.to_str().and_then(|text| text.rsplit_once('=')) else {
            let (file, scale) = (text, 1.0);
            return Ok(Lora { file, scale });
        };
        match scale.parse::<f32>() {
            Ok(scale) if scale.is_finite() && !file.is_empty() => Ok(Lora {
                file: file.into(),
                scale,
            }),
            _ => Err(
                "what follows '=' must be a finite number (a file with '=' in its name is given with '=1' behind it)",
            ),
        }
    })
}

impl MoreEngineArgs {
    /// Refuses an instruction set that can't be had, before anything is downloaded or opened.
    pub fn check(&self) -> anyhow::Result<()> {
        cpu::choose(self.isa.as_deref())?;
        Ok(())
    }

    /// How to open the model; adapters are downloaded if need be.
    pub fn model_options(&self) -> anyhow::Result<ModelOptions> {
        let adapter = |lora: &Lora| {
            Ok(AdapterOptions {
                path: source::locate(&lora.file)?,
                scale: lora.scale,
            })
        };
        Ok(ModelOptions {
            adapters: self
                .lora
                .iter()
                .map(adapter)
                .collect::<anyhow::Result<_>>()?,
            ..self.plain_model_options()
        })
    }

    /// The name of a model in reports: its file's, and those of the adapters.
    pub fn title(&self, model: &Path) -> String {
        let name = model.file_name().unwrap_or(model.as_os_str());
        let adapters = self.lora.iter().map(Lora::name);
        let names = [name.to_string_lossy().into_owned()].into_iter();
        names.chain(adapters).collect::<Vec<_>>().join(" + ")
    }

    /// The adapters, opened.
    pub fn adapters(&self) -> anyhow::Result<Vec<(Adapter, f32)>> {
        let options = self.model_options()?;
        let adapters = options.adapters.iter();
        Ok(adapters
            .map(|adapter| adapter.open(options.access()))
            .collect::<Result<_, _>>()?)
    }

    /// How to open another model, which the adapters are not for.
    fn plain_model_options(&self) -> ModelOptions {
        ModelOptions {
            no_mmap: self.no_mmap,
            adapters: Vec::new(),
        }
    }

    /// How to make a context of that number of positions (`None`: what the model was trained for), with keys and values kept
    /// like this.
    pub fn context_options(
        &self,
        threads: Option<usize>,
        context_length: Option<usize>,
        (keys, values): (Option<CacheType>, Option<CacheType>),
    ) -> ContextOptions {
        let default = ContextOptions::default();
        ContextOptions {
            context_length,
            batch: self.batch.unwrap_or(default.batch),
            threads,
            threads_prompt: self.threads_prompt,
            isa: self.isa.clone(),
            cache_keys: keys.unwrap_or(default.cache_keys),
            cache_values: values.unwrap_or(default.cache_values),
            speculation: default.speculation,
        }
    }
}

impl EngineArgs {
    /// How to open the model.
    pub fn model_options(&self) -> anyhow::Result<ModelOptions> {
        self.more.model_options()
    }

    /// How to make a context of that number of positions (`None`: what the model was trained for).
    pub fn context_options(&self, context_length: Option<usize>) -> ContextOptions {
        let cache = (self.cache_type_k, self.cache_type_v);
        self.more
            .context_options(self.threads, context_length, cache)
    }

    /// A context of that number of positions.
    pub fn context(
        &self,
        model: &Arc<Model>,
        context_length: Option<usize>,
    ) -> anyhow::Result<Context> {
        Ok(model.context(&self.context_options(context_length))?)
    }

    /// The same with guesses of what follows.
    pub fn speculative_context(
        &self,
        model: &Arc<Model>,
        context_length: Option<usize>,
        speculation: SpeculationOptions,
    ) -> anyhow::Result<Context> {
        Ok(model.context(&ContextOptions {
            speculation,
            ..self.context_options(context_length)
        })?)
    }
}

/// What a chat template is given besides messages.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Chat template")]
pub struct TemplateArgs {
    /// A file with the tools that the model may call: a JSON list, as in OpenAI's interface
    #[arg(long, value_name = "FILE")]
    pub tools: Option<PathBuf>,
    /// A variable of the template, such as enable_thinking=false; VALUE is JSON if it can be read as such, else a text.
    /// Can be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    var: Vec<(String, Value)>,
}

impl TemplateArgs {
    /// The variables by name. One that is given twice has the last value.
    pub fn variables(&self) -> Map<String, Value> {
        self.var.iter().cloned().collect()
    }
}

fn variable(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or("must be NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

/// The list of tools in a file.
pub fn tools_file(path: &Path) -> anyhow::Result<Value> {
    let text = input::text_file(path)?;
    match serde_json::from_str(&text) {
        Ok(tools @ Value::Array(_)) => Ok(tools),
        Ok(_) => anyhow::bail!("{} holds no list of tools", input::name(path)),
        Err(error) => anyhow::bail!("{} is no JSON: {error}", input::name(path)),
    }
}

/// Whether and how tokens are guessed ahead.
#[derive(Args, Clone, Default)]
#[command(next_help_heading = "Speculation: several tokens in one pass, the text stays the same")]
pub struct SpeculationArgs {
    /// Guess from the text so far: faster where it repeats itself (edits of code, quotes, JSON), not slower elsewhere
    #[arg(long)]
    lookup: bool,
    /// Guess with this small model of the same vocabulary (path, short name or owner/repo:QUANTIZATION). Its first guess
    /// costs one reading of the whole prompt by it: with a draft as large as the model a prompt takes twice as long
    #[arg(long, value_name = "MODEL")]
    draft: Option<OsString>,
    /// Always guess N tokens, 1 to 15 [default: as many as pay by the times that are measured]
    #[arg(long, value_name = "N", value_parser = guesses, hide_short_help = true)]
    guesses: Option<usize>,
}

fn guesses(text: &str) -> Result<usize, String> {
    let number = text.parse().ok();
    let found = number.filter(|n| (1..=MOST_GUESSES).contains(n));
    found.ok_or_else(|| format!("must be a whole number from 1 to {MOST_GUESSES}"))
}

impl SpeculationArgs {
    /// As the engine takes them; the draft model is downloaded if need be, and opened.
    pub fn options(&self, engine: &EngineArgs) -> anyhow::Result<SpeculationOptions> {
        if self.guesses.is_some() && !self.lookup && self.draft.is_none() {
            return Err(usage(
                "--guesses needs --lookup or --draft: they make the guesses",
            ));
        }
        if engine.more.batch == Some(1) && (self.lookup || self.draft.is_some()) {
            return Err(usage(
                "--lookup and --draft compute several tokens together, and -b 1 does not: give -b 2 or more, or neither",
            ));
        }
        let draft = match &self.draft {
            Some(name) => {
                let options = engine.more.plain_model_options();
                Some(Model::open(source::locate(name)?, &options)?)
            }
            None => None,
        };
        Ok(SpeculationOptions {
            lookup: self.lookup,
            draft,
            depth: self.guesses,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_in_the_help_texts_are_the_engines() {
        let options = ContextOptions::default();
        assert_eq!(options.batch, 512);
        assert_eq!(options.cache_keys, CacheType::F16);
        assert_eq!(options.cache_values, CacheType::F16);
    }
}
