//! The input side of a chat in a terminal: line editing, history, input of several lines, completion of commands.

use super::slash::COMMANDS;
use crate::{cache, diagnostics};
use anyhow::Result;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};
use std::borrow::Cow;
use std::path::PathBuf;

/// What a person did at the prompt.
pub enum Input {
    /// Typed something.
    Text(String),
    /// Pressed Ctrl-C.
    Interrupt,
    /// Pressed Ctrl-D, or the terminal is gone.
    End,
}

/// The line editor.
pub struct Terminal {
    editor: Editor<Assistant, FileHistory>,
    history: Option<PathBuf>,
}

impl Terminal {
    /// An editor with the history of earlier chats.
    pub fn new() -> Result<Terminal> {
        let config = Config::builder()
            .history_ignore_space(true)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant {
            colour: diagnostics::colour_wanted(),
        }));
        let history = cache::history_file();
        if let Some(file) = &history {
            // The first chat has none.
            let _ = editor.load_history(file);
        }
        Ok(Terminal { editor, history })
    }

    /// Waits for the next input.
    pub fn read(&mut self) -> Result<Input> {
        match self.editor.readline("> ") {
            Ok(text) => {
                if !text.trim().is_empty() {
                    let _ = self.editor.add_history_entry(text.as_str());
                    self.save();
                }
                Ok(Input::Text(plain(&text)))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Interrupt),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the history. A chat is not worth failing over a history that can't be written.
    fn save(&mut self) {
        if let Some(file) = &self.history {
            if let Some(folder) = file.parent() {
                let _ = std::fs::create_dir_all(folder);
            }
            let _ = self.editor.append_history(file);
        }
    }
}

/// The text without the marks of input over several lines: a backslash at a line's end, or `"""` around it.
fn plain(text: &str) -> String {
    let trimmed = text.trim();
    if let Some(inner) = trimmed
        .strip_prefix("\"\"\"")
        .and_then(|rest| rest.strip_suffix("\"\"\""))
    {
        return inner.trim_matches('\n').to_owned();
    }
    text.replace("\\\n", "\n")
}

/// Whether the text so far wants another line.
fn wants_more(text: &str) -> bool {
    let trimmed = text.trim();
    match trimmed.strip_prefix("\"\"\"") {
        Some(rest) => !rest.ends_with("\"\"\""),
        None => text.ends_with('\\'),
    }
}

/// What the editor asks while a person types.
struct Assistant {
    colour: bool,
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if wants_more(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..position];
        let names = COMMANDS
            .iter()
            .map(|command| command.name)
            .filter(|name| name.starts_with(typed));
        Ok(if typed.starts_with('/') {
            (0, names.map(str::to_owned).collect())
        } else {
            (position, Vec::new())
        })
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        if self.colour {
            Cow::Owned(format!("\x1b[1;32m{prompt}\x1b[0m"))
        } else {
            Cow::Borrowed(prompt)
        }
    }
}

impl Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_over_several_lines() {
        assert!(wants_more("one \\") && !wants_more("one \\\ntwo"));
        assert_eq!(plain("one \\\ntwo"), "one \ntwo");
        assert!(
            wants_more("\"\"\"one") && wants_more("\"\"\"") && !wants_more("\"\"\"one\ntwo\"\"\"")
        );
        assert_eq!(plain("\"\"\"\none\n\ntwo\n\"\"\""), "one\n\ntwo");
        assert_eq!(plain("say \"hi\""), "say \"hi\"");
    }
}
