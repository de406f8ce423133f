//! Chat templates: the Jinja template in a model's file, from messages to the text that the model was trained to see.
//!
//! In: the template's source (`tokenizer.chat_template`), then messages, tools and variables. Out: a text, or an error
//! with the template's line. minijinja parses and runs the template; where its meaning of an expression differs from that
//! of Python and Jinja2, for which templates are written, `program` puts a function of ours in the instruction's place.
//! A template is foreign code: its steps, its memory and its nesting are bounded.
//!
//! Known to differ from Jinja2: `varargs` and `kwargs` in macros, parameters' defaults that refer to other parameters and
//! unary `+` are refused; the filters `random`, `wordwrap`, `striptags`, `filesizeformat`, `pprint`, `urlize` and `xmlattr`
//! are not there; `autoescape` does nothing; a `range` is a list; integers have 128 bits.

use std::sync::{Arc, OnceLock};

use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use crate::Error;
use crate::tokenizer::Tokenizer;

mod arguments;
mod budget;
mod clock;
mod error;
mod filters;
mod globals;
mod json;
mod methods;
mod names;
mod number;
mod objects;
mod operators;
mod printf;
mod program;
mod select;
mod sort;
mod source;
mod strftime;
mod strings;
mod tests;
mod text;

pub use clock::{Clock, FixedClock, LocalClock};
pub use error::TemplateError;

/// The longest templates that models come with have about 30 KiB.
const SOURCE_BYTES: usize = 128 << 10;
/// Room on the stack for the values that a template makes, whose nesting is limited, and for each byte of its source, as
/// an expression can be nested as deeply as it is long. Only what is used is ever taken from the system.
const STACK_BYTES: usize = 32 << 20;
const STACK_BYTES_PER_SOURCE_BYTE: usize = 2 << 10;

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who says it: `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What is said.
    pub content: String,
    /// What else there is of it, such as `reasoning_content`.
    #[serde(flatten)]
    pub more: Map<String, Json>,
}

impl Message {
    /// A message of that role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message {
            role: role.into(),
            content: content.into(),
            more: Map::new(),
        }
    }

    /// As a template sees it.
    pub(crate) fn to_json(&self) -> Json {
        let mut fields = Map::new();
        fields.insert("role".into(), self.role.as_str().into());
        fields.insert("content".into(), self.content.as_str().into());
        fields.extend(self.more.clone());
        Json::Object(fields)
    }
}

/// A model's chat template, ready to render.
///
/// ```
/// use gristmill_engine::template::{ChatTemplate, Message};
///
/// let source = "{% for m in messages %}<|{{ m.role }}|>{{ m['content'].strip() }}{{ eos_token }}\n{% endfor %}\
///     {% if add_generation_prompt %}<|assistant|>{% endif %}";
/// let template = ChatTemplate::new(source, "<s>", "</s>")?;
/// let text = template.render(&[Message::new("user", " Hi! ")], None, true, &Default::default())?;
/// assert_eq!(text, "<|user|>Hi!</s>\n<|assistant|>");
/// # Ok::<(), gristmill_engine::template::TemplateError>(())
/// ```
#[derive(Clone)]
pub struct ChatTemplate {
    source: Arc<str>,
    bos: String,
    eos: String,
    environment: Arc<Environment<'static>>,
    /// What [`reasoning::field`](crate::reasoning::field) found.
    pub(crate) reasoning_field: Arc<OnceLock<Option<&'static str>>>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    /// The metadata key of a model's template.
    pub const KEY: &str = "tokenizer.chat_template";

    /// The template in a model's file, if it has one.
    pub fn from_metadata(
        metadata: &gristmill_gguf::Metadata,
        tokenizer: &Tokenizer,
    ) -> Result<Option<ChatTemplate>, Error> {
        let Some(source) = metadata.opt_string(Self::KEY)? else {
            return Ok(None);
        };
        Ok(Some(Self::for_tokenizer(source, tokenizer)?))
    }

    /// Checks a template that is to write the first and last tokens of this vocabulary.
    pub fn for_tokenizer(
        source: &str,
        tokenizer: &Tokenizer,
    ) -> Result<ChatTemplate, TemplateError> {
        let text = |id: Option<u32>| id.map_or("", |id| tokenizer.text(id));
        ChatTemplate::new(source, text(tokenizer.bos()), text(tokenizer.eos()))
    }

    /// Checks a template. `bos` and `eos` are the texts of these tokens, empty where a model has none.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<ChatTemplate, TemplateError> {
        Self::with_clock(source, bos, eos, LocalClock)
    }

    /// As [`new`](Self::new), with another clock than the computer's for templates that write today's date.
    pub fn with_clock(
        source: &str,
        bos: &str,
        eos: &str,
        clock: impl Clock + 'static,
    ) -> Result<ChatTemplate, TemplateError> {
        if source.len() > SOURCE_BYTES {
            return Err(TemplateError::internal(format!(
                "it has {} bytes; templates of up to {SOURCE_BYTES} are supported",
                source.len()
            )));
        }
        let source: Arc<str> = source::prepare(source).into();
        on_large_stack(source.len(), || program::compile(&source).map(drop))?;
        let environment = Arc::new(environment(clock));
        Ok(ChatTemplate {
            source,
            bos: bos.into(),
            eos: eos.into(),
            environment,
            reasoning_field: Arc::default(),
        })
    }

    /// The text of a conversation. `tools`: definitions in the OpenAI form; `extra`: further variables of the template,
    /// such as `enable_thinking`.
    pub fn render(
        &self,
        messages: &[Message],
        tools: Option<&Json>,
        add_generation_prompt: bool,
        extra: &Map<String, Json>,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Json> = messages.iter().map(Message::to_json).collect();
        self.render_values(&Json::Array(messages), tools, add_generation_prompt, extra)
    }

    /// As [`render`](Self::render), for messages with more than a role and a content (tool calls, reasoning, parts).
    pub fn render_values(
        &self,
        messages: &Json,
        tools: Option<&Json>,
        add_generation_prompt: bool,
        extra: &Map<String, Json>,
    ) -> Result<String, TemplateError> {
        // As in transformers, `tools` and `documents` are defined and none where there are none.
        let mut variables = vec![
            ("messages".to_owned(), text::from_json(messages)),
            (
                "tools".to_owned(),
                tools.map_or(Value::from(()), text::from_json),
            ),
            ("documents".to_owned(), Value::from(())),
            (
                "add_generation_prompt".to_owned(),
                Value::from(add_generation_prompt),
            ),
            ("bos_token".to_owned(), Value::from(self.bos.as_str())),
            ("eos_token".to_owned(), Value::from(self.eos.as_str())),
        ];
        variables.extend(
            extra
                .iter()
                .map(|(name, value)| (name.clone(), text::from_json(value))),
        );
        let variables = Value::from_pairs(variables);
        on_large_stack(self.source.len(), || {
            program::run(&self.source, &self.environment, variables)
        })
    }

    /// The same template with another clock than the computer's, for texts that are to be the same tomorrow.
    pub fn at(self, clock: impl Clock + 'static) -> ChatTemplate {
        ChatTemplate {
            environment: Arc::new(environment(clock)),
            ..self
        }
    }

    /// The template's source, with line ends made uniform.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text of the token that begins a text, as the template sees it.
    pub fn bos(&self) -> &str {
        &self.bos
    }

    /// The text of the token that ends a text, as the template sees it.
    pub fn eos(&self) -> &str {
        &self.eos
    }
}

/// Runs on a thread of its own with room for deep nesting, of the template's source and of the values that it makes.
fn on_large_stack<T: Send>(
    source_bytes: usize,
    run: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("template".into())
            .stack_size(STACK_BYTES + source_bytes * STACK_BYTES_PER_SOURCE_BYTE);
        match thread.spawn_scoped(scope, run) {
            Ok(handle) => handle
                .join()
                .unwrap_or_else(|_| Err(TemplateError::internal("the template engine failed"))),
            Err(error) => Err(TemplateError::internal(format!(
                "can't start a thread: {error}"
            ))),
        }
    })
}

/// What templates may use: minijinja's own, with ours in the place of what differs from Jinja2.
fn environment(clock: impl Clock + 'static) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Lenient);
    environment.set_debug(false);
    environment.set_recursion_limit(400);
    environment.set_fuel(Some(budget::STEPS));
    environment.set_formatter(|out, state, value| {
        let printed = text::display(value)?;
        budget::charge(state, printed.len())?;
        out.write_str(&printed).map_err(minijinja::Error::from)
    });
    environment.set_unknown_method_callback(methods::call);
    filters::register(&mut environment);
    select::register(&mut environment);
    tests::register(&mut environment);
    operators::register(&mut environment);
    globals::register(&mut environment, clock);
    environment
}
