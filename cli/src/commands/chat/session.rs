//! A conversation with a model: its messages, the context they are in, and what happens when that is full.
//!
//! In: what the user says. Out: the answer, piece by piece. Terminals and pipes are handled elsewhere.

use crate::diagnostics::note;
use crate::interrupt;
use anyhow::{Result, bail};
use clap::ValueEnum;
use gristmill_engine::chat::{ChatFormat, Conversation, Prompt};
use gristmill_engine::reasoning::{Answer, Part, Splitter};
use gristmill_engine::sampler::SamplerOptions;
use gristmill_engine::{Context, Counts, Error, GenerateOptions, Model, StopReason, Timings};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What to do when a conversation no longer fits into the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnFull {
    /// Say so and stop answering.
    Stop,
    /// Say so and forget the oldest turns.
    Drop,
}

/// How a session answers.
pub struct Settings {
    /// What to do when the context is full.
    pub on_full: OnFull,
    /// The most tokens of an answer.
    pub max_tokens: Option<usize>,
    /// How tokens are chosen.
    pub sampler: SamplerOptions,
    /// Tools that the template is told of, in place of a conversation's own.
    pub tools: Option<Value>,
    /// Variables of the template, in place of a conversation's own of these names.
    pub variables: Map<String, Value>,
}

/// How an answer ended.
pub struct Ending {
    /// Why.
    pub reason: StopReason,
    /// Its speed.
    pub timings: Timings,
    /// What became of guesses, if any are made.
    pub guesses: Option<Counts>,
}

/// What receives an answer as it comes.
pub type Sink<'a> = dyn FnMut(Part, &str) -> Result<()> + 'a;

/// An answer that is being generated.
#[derive(Default)]
struct Draft {
    /// Its tokens.
    ids: Vec<u32>,
    /// Its text, from the first token on.
    text: Answer,
    /// Tells reasoning from the rest; made when the prompt is known.
    splitter: Option<Splitter>,
}

impl Draft {
    /// Takes the next token, or the end of the answer, and hands out what has become certain.
    fn push(
        &mut self,
        sink: &mut Sink<'_>,
        next: impl FnOnce(&mut Splitter, &mut Sink<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(splitter) = &mut self.splitter else {
            return Ok(());
        };
        let text = &mut self.text;
        next(splitter, &mut |part, piece| {
            text.push(part, piece);
            sink(part, piece)
        })
    }
}

/// A conversation in progress.
pub struct Session {
    model: Arc<Model>,
    context: Context,
    format: ChatFormat,
    conversation: Conversation,
    /// How it answers; may be changed between answers.
    pub settings: Settings,
}

/// Room for an answer, as a part of the context, that dropping old turns makes at least.
const ROOM: usize = 4;

impl Session {
    /// A session that takes up this conversation, which may not have begun.
    pub fn new(
        model: &Arc<Model>,
        context: Context,
        conversation: Conversation,
        settings: Settings,
    ) -> Result<Session> {
        let mut session = Session {
            model: Arc::clone(model),
            context,
            format: model.chat_template()?.into(),
            conversation: Conversation::default(),
            settings,
        };
        session.take_up(conversation);
        Ok(session)
    }

    /// The context it takes place in.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// What the user should know about how the model is spoken to.
    pub fn notice(&self) -> Option<&'static str> {
        self.format.notice()
    }

    /// What was said so far.
    pub fn conversation(&self) -> &Conversation {
        &self.conversation
    }

    /// Sets the system prompt for what follows; an empty one removes it.
    pub fn set_system(&mut self, text: &str) {
        self.conversation.set_system(text);
    }

    /// Forgets the conversation.
    pub fn reset(&mut self) {
        self.conversation.reset();
        self.context.reset();
    }

    /// Takes up another conversation.
    pub fn take_up(&mut self, conversation: Conversation) {
        self.conversation = conversation;
        let Settings {
            tools, variables, ..
        } = &self.settings;
        if tools.is_some() {
            self.conversation.tools.clone_from(tools);
        }
        self.conversation.variables.extend(variables.clone());
        self.context.reset();
    }

    /// Answers a message. The text goes to `sink` as it comes.
    pub fn answer(&mut self, text: String, sink: &mut Sink<'_>) -> Result<Ending> {
        self.conversation.push("user", text);
        let answered = self.complete(sink);
        // A message that could not be answered at all is not part of the conversation.
        if answered.is_err() {
            self.conversation
                .messages
                .pop_if(|last| last.role == "user");
        }
        answered
    }

    /// Answers the last message again.
    pub fn answer_again(&mut self, sink: &mut Sink<'_>) -> Result<Ending> {
        let before = self.conversation.clone();
        if !self.conversation.take_back_answer() {
            bail!("there is no message to answer again");
        }
        let answered = self.complete(sink);
        if answered.is_err() {
            self.conversation = before;
        }
        answered
    }

    /// Answers the last message, which is the user's.
    fn complete(&mut self, sink: &mut Sink<'_>) -> Result<Ending> {
        let mut answer = Draft::default();
        let (mut timings, mut guesses) = (Timings::default(), None);
        let outcome = loop {
            let spent = (&mut timings, &mut guesses);
            match self.stretch(&mut answer, spent, sink) {
                Ok(StopReason::ContextFull)
                    if self.settings.on_full == OnFull::Drop && self.drop_oldest() => {}
                outcome => break outcome,
            }
        };
        let ended = answer.push(sink, |splitter, sink| splitter.finish(sink));
        // An empty answer is one too: roles have to alternate.
        if !answer.text.is_empty() || outcome.is_ok() {
            let template = match &self.format {
                ChatFormat::Template(template) => Some(template),
                ChatFormat::Plain => None,
            };
            let message = answer.text.message(template);
            self.conversation.messages.push(message);
        }
        let outcome = outcome.and_then(|reason| ended.map(|()| reason));
        Ok(Ending {
            reason: outcome?,
            timings,
            guesses,
        })
    }

    /// Generates until something ends it. What has been generated already is fed as the answer's beginning.
    fn stretch(
        &mut self,
        answer: &mut Draft,
        (timings, guesses): (&mut Timings, &mut Option<Counts>),
        sink: &mut Sink<'_>,
    ) -> Result<StopReason> {
        let model = Arc::clone(&self.model);
        let tokenizer = model.tokenizer()?;
        let (ids, stop) = loop {
            let Prompt {
                mut ids,
                stop,
                text,
                ..
            } = self.format.prompt(&self.conversation, tokenizer)?;
            answer.splitter.get_or_insert_with(|| Splitter::new(&text));
            ids.extend_from_slice(&answer.ids);
            let capacity = self.context.capacity();
            let wanted = match self.settings.on_full {
                OnFull::Stop => ids.len() + 1,
                OnFull::Drop => ids.len() + capacity / ROOM,
            };
            if wanted <= capacity {
                break (ids, stop);
            }
            if self.settings.on_full == OnFull::Drop && self.drop_oldest() {
                continue;
            }
            if ids.len() < capacity {
                break (ids, stop);
            }
            bail!(
                "the context is full: the conversation has {} tokens and the context {capacity}; \
                 /reset begins anew, -c sets a larger context, --on-full drop forgets the oldest turns",
                ids.len()
            );
        };
        let kept = self.context.keep_prefix(&ids);
        let left = self
            .settings
            .max_tokens
            .map(|most| most.saturating_sub(answer.ids.len()));
        let options = GenerateOptions {
            max_tokens: left,
            stop,
            sampler: self.settings.sampler.clone(),
            ..GenerateOptions::default()
        };
        let _guard = interrupt::guard(self.context.stop_handle());
        let mut generation = self.context.generate(&ids[kept..], options)?;
        for piece in generation.by_ref() {
            let piece = match piece {
                Ok(piece) => piece,
                Err(Error::Stopped) => return Ok(StopReason::Interrupt),
                Err(error) => return Err(error.into()),
            };
            answer.ids.push(piece.id);
            answer.push(sink, |splitter, sink| {
                splitter.text(&piece.text, sink)?;
                if tokenizer.is_control(piece.id) {
                    splitter.control(tokenizer.text(piece.id), sink)?;
                }
                Ok(())
            })?;
        }
        let new = generation.timings();
        timings.prompt_tokens += new.prompt_tokens;
        timings.prompt += new.prompt;
        timings.generated_tokens += new.generated_tokens;
        timings.generate += new.generate;
        if let Some(new) = generation.speculation() {
            let guesses = guesses.get_or_insert_default();
            guesses.proposed += new.proposed;
            guesses.accepted += new.accepted;
        }
        Ok(generation.stop_reason().unwrap_or(StopReason::Interrupt))
    }

    /// Forgets the oldest question with its answer, and says so; false if only the current question is left.
    fn drop_oldest(&mut self) -> bool {
        let dropped = self.conversation.drop_oldest_turn();
        if dropped {
            note!("[The context is full: the oldest turn of the conversation is forgotten.]");
        }
        dropped
    }
}
