//! `gristmill template`: a conversation to the text that a model is given, by its chat template.

use crate::diagnostics::usage;
use crate::options::{TemplateArgs, tools_file};
use crate::{input, render, source};
use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use gristmill_engine::chat::{ChatFormat, Talk};
use gristmill_engine::template::FixedClock;
use gristmill_engine::{ChatTemplate, TemplateError, Tokenizer};
use gristmill_gguf::{Access, Gguf};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Render a conversation with a chat template
#[derive(Args)]
#[command(after_long_help = "\
The conversation is JSON, from -f or standard input: a list of messages, or an object \
     {\"messages\":[],\"tools\":null,\"add_generation_prompt\":true,\"variables\":{}} of which only messages must be \
     there. Messages are as in OpenAI's interface (content may be a text, null or a list of parts; tool_calls, \
     reasoning_content and any other key); the template sees them exactly as they are given. tools and documents are \
     none where there are none. --tools, --var and --no-generation-prompt are for what a conversation leaves out.

Without MODEL no bos_token and eos_token are known; they can be given as variables. A file with a vocabulary alone \
     will do for MODEL. With --file and MODEL the template is the file's, the tokens are the model's.

--ids prints the tokens that the model would be given: control tokens come from the template only, what a message \
     spells like one is text.

--jsonl reads such an object on each line and writes a line {\"text\":\"\"} or {\"error\":\"\"} for each ({\"ids\":[]} \
     with --ids). What a template refuses is a result like any other; the error is then in the template's own words. \
     A line that holds no conversation gets an error too, the rest goes on, and the exit code is 1 at the end.

Examples:
  gristmill template model.gguf -f talk.json
  gristmill template model.gguf -f talk.json --var enable_thinking=false --ids
  echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | gristmill template --file chat.jinja --var bos_token='<s>'
  gristmill template --file chat.jinja --jsonl < talks.jsonl")]
pub struct Template {
    /// Path, short name or owner/repo:QUANTIZATION
    #[arg(required_unless_present = "file")]
    model: Option<OsString>,
    /// A file with the template [default: the model's own]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// A file with the conversation ('-': standard input)
    #[arg(short = 'f', long, value_name = "FILE", default_value = "-")]
    messages: PathBuf,
    /// End the text behind the last message, not where an answer begins
    #[arg(long)]
    no_generation_prompt: bool,
    /// The time for templates that write today's date, such as 2026-01-15T12:00:00 [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<FixedClock>,
    /// Print the token ids, separated by commas
    #[arg(long)]
    ids: bool,
    /// Read and write JSON lines
    #[arg(long)]
    jsonl: bool,
    #[command(flatten)]
    template: TemplateArgs,
}

/// A conversation and what is said with it.
struct Request {
    messages: Value,
    tools: Option<Value>,
    add_generation_prompt: Option<bool>,
    variables: Map<String, Value>,
}

impl Request {
    fn read(text: &[u8]) -> Result<Request> {
        let mut fields = match serde_json::from_slice(text)? {
            Value::Object(fields) => fields,
            messages @ Value::Array(_) => Map::from_iter([("messages".to_owned(), messages)]),
            _ => bail!("neither a list of messages nor an object with one"),
        };
        let messages = match fields.shift_remove("messages") {
            Some(messages @ Value::Array(_)) => messages,
            Some(_) => bail!("\"messages\" must be a list"),
            None => bail!("\"messages\" is missing"),
        };
        let add_generation_prompt = match fields.shift_remove("add_generation_prompt") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(value)) => Some(value),
            Some(_) => bail!("\"add_generation_prompt\" must be true or false"),
        };
        let variables = match fields.shift_remove("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => bail!("\"variables\" must be an object"),
        };
        Ok(Request {
            messages,
            tools: fields.shift_remove("tools"),
            add_generation_prompt,
            variables,
        })
    }
}

/// What turns requests into results.
struct Renderer {
    format: ChatFormat,
    tokenizer: Option<Tokenizer>,
    tools: Option<Value>,
    variables: Map<String, Value>,
    add_generation_prompt: bool,
}

enum Rendered {
    Text(String),
    Ids(Vec<u32>),
}

impl Renderer {
    fn render(&self, request: &Request, ids: bool) -> Result<Rendered, TemplateError> {
        let mut variables = self.variables.clone();
        variables.extend(request.variables.clone());
        let talk = Talk {
            messages: &request.messages,
            tools: request
                .tools
                .as_ref()
                .or(self.tools.as_ref())
                .filter(|tools| !tools.is_null()),
            add_generation_prompt: request
                .add_generation_prompt
                .unwrap_or(self.add_generation_prompt),
            variables: &variables,
        };
        match (&self.tokenizer, &self.format) {
            (Some(tokenizer), format) if ids => {
                Ok(Rendered::Ids(talk.prompt(format, tokenizer)?.ids))
            }
            (_, format) => Ok(Rendered::Text(talk.text(format)?)),
        }
    }
}

impl Template {
    /// Renders one conversation, or a stream of them.
    pub fn run(self) -> Result<()> {
        if self.ids && self.model.is_none() {
            return Err(usage("--ids needs a MODEL, for its vocabulary"));
        }
        let renderer = self.renderer()?;
        if self.jsonl {
            return self.answer_lines(&renderer);
        }
        let text = input::text_file(&self.messages)?;
        let request = Request::read(text.as_bytes())
            .with_context(|| format!("{} holds no conversation", input::name(&self.messages)))?;
        let mut out = render::output();
        match renderer.render(&request, self.ids)? {
            Rendered::Ids(ids) => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                writeln!(out, "{}", ids.join(","))?;
            }
            Rendered::Text(text) => {
                out.write_all(render::generated(&text).as_bytes())?;
                // Into a file or a pipe goes the text alone.
                if io::stdout().is_terminal() && !text.ends_with('\n') {
                    writeln!(out)?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }

    fn renderer(&self) -> Result<Renderer> {
        let file = match &self.model {
            Some(model) => Some(Gguf::open(source::locate(model)?, Access::Map)?),
            None => None,
        };
        let tokenizer = match &file {
            Some(file) => Some(Tokenizer::from_metadata(file.metadata())?),
            None => None,
        };
        let template = match (&self.file, &file, &tokenizer) {
            (Some(path), _, tokenizer) => {
                let text = input::text_file(path)?;
                let template = match tokenizer {
                    Some(tokenizer) => ChatTemplate::for_tokenizer(&text, tokenizer),
                    None => ChatTemplate::new(&text, "", ""),
                };
                template.with_context(|| path.display().to_string())?
            }
            (None, Some(file), Some(tokenizer)) => {
                ChatTemplate::from_metadata(file.metadata(), tokenizer)?.ok_or_else(|| {
                    anyhow!("the model has no chat template; --file gives one from a file")
                })?
            }
            _ => return Err(usage("a MODEL or --file is needed")),
        };
        let template = match &self.now {
            Some(clock) => template.at(clock.clone()),
            None => template,
        };
        Ok(Renderer {
            format: ChatFormat::Template(template),
            tokenizer,
            tools: self.template.tools.as_deref().map(tools_file).transpose()?,
            variables: self.template.variables(),
            add_generation_prompt: !self.no_generation_prompt,
        })
    }

    fn answer_lines(&self, renderer: &Renderer) -> Result<()> {
        let name = input::name(&self.messages);
        let cannot_read = || format!("cannot read {name}");
        let mut lines: Box<dyn BufRead> = if self.messages == Path::new("-") {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(
                File::open(&self.messages).with_context(cannot_read)?,
            ))
        };
        // Thousands of lines: written in blocks, not one by one.
        let mut out = BufWriter::with_capacity(1 << 16, render::output());
        let (mut line, mut number, mut wrong, mut first) = (Vec::new(), 0, 0, None);
        while lines
            .read_until(b'\n', &mut line)
            .with_context(cannot_read)?
            > 0
        {
            number += 1;
            if !line.trim_ascii().is_empty() {
                let result = match Request::read(line.trim_ascii()) {
                    Ok(request) => match renderer.render(&request, self.ids) {
                        Ok(Rendered::Text(text)) => json!({ "text": text }),
                        Ok(Rendered::Ids(ids)) => json!({ "ids": ids }),
                        Err(error) if error.is_raised() => json!({ "error": error.message() }),
                        Err(error) => json!({ "error": error.to_string() }),
                    },
                    Err(error) => {
                        wrong += 1;
                        first.get_or_insert((number, error.to_string()));
                        json!({ "error": format!("no conversation: {error}") })
                    }
                };
                serde_json::to_writer(&mut out, &result).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            line.clear();
        }
        out.flush()?;
        match first {
            None => Ok(()),
            Some((line, error)) => bail!(
                "{wrong} of {number} lines of {name} hold no conversation, the first is line {line}: {error}"
            ),
        }
    }
}
