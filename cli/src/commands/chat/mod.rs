//! `gristmill chat`: a conversation, in a terminal or through a pipe.

mod record;
mod session;
mod show;
mod slash;
mod terminal;

use crate::catalogue::CATALOGUE;
use crate::diagnostics::{self, Interrupted, note, usage};
use crate::options::{EngineArgs, SpeculationArgs, TemplateArgs, positive, tools_file};
use crate::render::{self, count};
use crate::sampling::{self, SamplingArgs};
use crate::{interrupt, source};
use anyhow::{Context as _, Result};
use clap::Args;
use gristmill_engine::chat::Conversation;
use gristmill_engine::{Model, StopReason};
use session::{Ending, OnFull, Session, Settings, Sink};
use show::Show;
use slash::Slash;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use terminal::{Input, Terminal};

/// Chat with a model
#[derive(Args)]
#[command(after_long_help = "\
Without MODEL, SmolLM2-135M-Instruct is used, and downloaded (98 MB, Apache-2.0) the first time.

In a terminal: /help lists the commands of a chat (/system /reset /regen /save /load /params /quit). A line that \
     ends in \\ goes on in the next one; \"\"\" begins and ends a text of several lines. Ctrl-C stops an answer, \
     Ctrl-D leaves.

Without a terminal: one prompt per line is read from standard input, all in one conversation, and only the \
     answers are printed, each with a newline after it.

What a reasoning model thinks before it answers (between <think> and </think>, or as its family marks it) is dimmed \
     in a terminal with colour, else printed with its marks; --no-reasoning leaves it out. It stays in the \
     conversation in the form that the model's template takes it in. --var sets what a template can be told: \
     enable_thinking=false for Qwen 3 and others, reasoning_effort=high for gpt-oss. Variables and tools are saved \
     with a conversation.

Control tokens inside of what you type are text. A model without a chat template gets plain \"User:\" and \
     \"Assistant:\" lines, and that is said.

Examples:
  gristmill chat
  gristmill chat model.gguf --system 'You are a poet.' --temp 0.7 --timings
  gristmill chat model.gguf --system 'You edit code.' --lookup
  gristmill chat qwen3.gguf --var enable_thinking=false
  echo 'What is gravity?' | gristmill chat --temp 0 -n 60")]
pub struct Chat {
    /// Path, short name or owner/repo:QUANTIZATION [default: smollm2-135m-instruct]
    model: Option<OsString>,
    /// What the model is told before the conversation; with --load, in place of what it was told in there
    #[arg(short, long, value_name = "TEXT")]
    system: Option<String>,
    /// Take up a conversation that /save wrote
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Tokens of context [default: what the model was trained for, as far as memory goes]
    #[arg(short, long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// The most tokens of an answer
    #[arg(short = 'n', long = "tokens", value_name = "N", value_parser = positive)]
    tokens: Option<usize>,
    /// When the conversation no longer fits: stop, or drop the oldest turns
    #[arg(long, value_name = "WHAT", value_enum, default_value = "stop")]
    on_full: OnFull,
    /// Say after each answer how fast it was
    #[arg(long)]
    timings: bool,
    /// Leave out what a reasoning model thinks before it answers
    #[arg(long)]
    no_reasoning: bool,
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    speculation: SpeculationArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

impl Chat {
    /// Chats until the input ends.
    pub fn run(self) -> Result<()> {
        let sampler = self.sampling.options()?;
        self.engine.more.check()?;
        let tools = self.template.tools.as_deref().map(tools_file).transpose()?;
        let name = self
            .model
            .clone()
            .unwrap_or_else(|| CATALOGUE[0].name.into());
        let path = source::locate(&name)?;
        let model = Model::open(&path, &self.engine.model_options()?)?;
        let speculation = self.speculation.options(&self.engine)?;
        let context = self
            .engine
            .speculative_context(&model, self.context, speculation)?;
        let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let settings = Settings {
            on_full: self.on_full,
            max_tokens: self.tokens,
            sampler,
            tools,
            variables: self.template.variables(),
        };
        let conversation = match &self.load {
            Some(file) => record::load(file)?,
            None => Conversation::default(),
        };
        let mut session = Session::new(&model, context, conversation, settings)?;
        self.introduce(&model, &session, terminal);
        if let Some(system) = &self.system {
            session.set_system(system);
        }
        interrupt::install()?;
        if terminal {
            self.interactive(&mut session)
        } else {
            self.piped(&mut session)
        }
    }

    /// Says what the user should know before the first answer.
    fn introduce(&self, model: &Model, session: &Session, terminal: bool) {
        let (capacity, trained) = (session.context().capacity(), model.trained_context());
        if terminal {
            let metadata = model.gguf().metadata();
            let named = metadata.shown("general.name").unwrap_or("Model");
            note!(
                "{}, {} tokens of context. /help lists the commands.",
                render::safe(named),
                count(capacity as u64)
            );
            for lora in &self.engine.more.lora {
                note!("With the adapter {}.", render::safe(&lora.name()));
            }
        }
        if self.context.is_none() && capacity < trained {
            note!(
                "The model was trained for {} tokens of context; memory allows {} (-c asks for another size).",
                count(trained as u64),
                count(capacity as u64)
            );
        }
        if self.context.is_some_and(|asked| asked > trained) {
            note!(
                "The model was trained for {} tokens of context: beyond, answers may get worse.",
                count(trained as u64)
            );
        }
        if let Some(notice) = session.notice() {
            note!("Note: {notice}.");
        }
    }

    /// One prompt per line, answers only.
    fn piped(&self, session: &mut Session) -> Result<()> {
        let mut out = render::output();
        for line in io::stdin().lock().lines() {
            let line = line.context("cannot read standard input")?;
            if line.trim().is_empty() {
                continue;
            }
            let mut show = Show::new(self.no_reasoning);
            let answered =
                session.answer(
                    line,
                    &mut |part, text| Ok(show.write(part, text, &mut out)?),
                );
            show.end(&mut out)?;
            let ending = answered?;
            writeln!(out)?;
            out.flush()?;
            self.after(session, &ending);
            if ending.reason == StopReason::Interrupt {
                return Err(Interrupted.into());
            }
        }
        Ok(())
    }

    fn interactive(&self, session: &mut Session) -> Result<()> {
        interrupt::spare();
        let mut terminal = Terminal::new()?;
        let mut sampling = self.sampling.clone();
        let mut asked_to_leave = false;
        loop {
            let text = match terminal.read()? {
                Input::Text(text) => text,
                Input::End => return Ok(()),
                Input::Interrupt if asked_to_leave => return Ok(()),
                Input::Interrupt => {
                    note!("Ctrl-C again or Ctrl-D leaves.");
                    asked_to_leave = true;
                    continue;
                }
            };
            asked_to_leave = false;
            if text.trim().is_empty() {
                continue;
            }
            let done = if text.trim_start().starts_with('/') {
                match Slash::parse(&text) {
                    Ok(Slash::Quit) => return Ok(()),
                    Ok(Slash::Parameters(words)) => parameters(&mut sampling, &words, session),
                    Ok(slash) => self.obey(slash, session),
                    Err(complaint) => {
                        note!("{complaint}");
                        Ok(())
                    }
                }
            } else {
                self.show(session, |session, sink| session.answer(text, sink))
            };
            // An answer that fails does not end the chat; a terminal that is gone does.
            if let Err(error) = done {
                if diagnostics::is_closed_output(&error) {
                    return Err(error);
                }
                diagnostics::line("error", "1;31", &diagnostics::one_line(&error));
            }
        }
    }

    /// Prints an answer as it comes.
    fn show(
        &self,
        session: &mut Session,
        answer: impl FnOnce(&mut Session, &mut Sink<'_>) -> Result<Ending>,
    ) -> Result<()> {
        let mut out = render::output();
        let mut show = Show::new(self.no_reasoning);
        let mut some = false;
        let answered = answer(session, &mut |part, text| {
            some = true;
            Ok(show.write(part, text, &mut out)?)
        });
        show.end(&mut out)?;
        if some || answered.is_ok() {
            writeln!(out)?;
            out.flush()?;
        }
        self.after(session, &answered?);
        Ok(())
    }

    /// What there is to say after an answer.
    fn after(&self, session: &Session, ending: &Ending) {
        match ending.reason {
            StopReason::Interrupt => note!("[stopped]"),
            StopReason::ContextFull => note!(
                "[The context of {} tokens is full, so the answer ends here. /reset begins anew, -c sets a larger \
                 context, --on-full drop forgets the oldest turns.]",
                count(session.context().capacity() as u64)
            ),
            StopReason::Length => note!(
                "[{} tokens, the most allowed]",
                ending.timings.generated_tokens
            ),
            StopReason::End | StopReason::String | StopReason::Error => {}
        }
        if self.timings {
            let context = session.context();
            let speeds = super::run::describe(&ending.timings, ending.guesses);
            note!(
                "[{speeds}; context {} of {}]",
                context.position(),
                context.capacity()
            );
        }
    }

    fn obey(&self, slash: Slash, session: &mut Session) -> Result<()> {
        match slash {
            Slash::Help => note!("{}", slash::help()),
            Slash::System(None) => match session.conversation().system() {
                Some(text) => note!("{text}"),
                None => note!("There is no system prompt."),
            },
            Slash::System(Some(text)) if text == "off" => {
                session.set_system("");
                note!("The system prompt is removed.");
            }
            Slash::System(Some(text)) => {
                session.set_system(&text);
                note!("The system prompt is set.");
            }
            Slash::Reset => {
                session.reset();
                note!("The conversation is forgotten.");
            }
            Slash::Regenerate => return self.show(session, Session::answer_again),
            Slash::Save(path) => {
                record::save(session.conversation(), &path)?;
                note!("Saved to {}.", path.display());
            }
            Slash::Load(path) => {
                let conversation = record::load(&path)?;
                let number = conversation.messages.len();
                session.take_up(conversation);
                note!("{number} messages loaded from {}.", path.display());
            }
            Slash::Parameters(_) | Slash::Quit => {}
        }
        Ok(())
    }
}

/// Shows or changes the sampling options.
fn parameters(sampling: &mut SamplingArgs, words: &[String], session: &mut Session) -> Result<()> {
    if !words.is_empty() {
        let changed = sampling::update(sampling, words).map_err(usage)?;
        session.settings.sampler = changed.options()?;
        *sampling = changed;
    }
    note!("{}", sampling::describe(&session.settings.sampler));
    Ok(())
}
