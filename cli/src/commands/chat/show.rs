//! How an answer is shown: the reasoning dimmed in a terminal with colour, else as it is written.

use crate::diagnostics;
use crate::render;
use gristmill_engine::reasoning::Part;
use std::io::{self, IsTerminal, Write};

const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What becomes of the reasoning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Between its marks, as the model writes it.
    Written,
    /// In a fainter colour, without its marks.
    Dimmed,
    /// It is left out.
    Hidden,
}

/// Writes one answer as it comes.
pub struct Show {
    style: Style,
    /// Whether the terminal is set to faint.
    dim: bool,
    /// There was a mark: white space before what follows is the mark's.
    after_mark: bool,
    /// Some of the reasoning is shown, and nothing yet of the answer.
    reasoned: bool,
    /// White space that is shown only if something follows it.
    space: String,
}

impl Show {
    /// For standard output.
    pub fn new(hide_reasoning: bool) -> Show {
        let colour = io::stdout().is_terminal() && diagnostics::colour_wanted();
        Show::with(match (hide_reasoning, colour) {
            (true, _) => Style::Hidden,
            (false, true) => Style::Dimmed,
            (false, false) => Style::Written,
        })
    }

    fn with(style: Style) -> Show {
        Show {
            style,
            dim: false,
            after_mark: false,
            reasoned: false,
            space: String::new(),
        }
    }

    /// Writes the next piece.
    pub fn write(&mut self, part: Part, text: &str, out: &mut impl Write) -> io::Result<()> {
        if self.style == Style::Written {
            return put(text, out);
        }
        match part {
            Part::Mark => {
                self.after_mark = true;
                self.space.clear();
                Ok(())
            }
            Part::Reasoning if self.style == Style::Hidden => Ok(()),
            Part::Reasoning => self.reasoning(text, out),
            Part::Answer => self.answer(text, out),
        }
    }

    fn reasoning(&mut self, text: &str, out: &mut impl Write) -> io::Result<()> {
        let text = if self.reasoned {
            text
        } else {
            text.trim_start()
        };
        let shown = text.trim_end();
        if !shown.is_empty() {
            if !self.dim {
                out.write_all(DIM.as_bytes())?;
                self.dim = true;
            }
            let space = std::mem::take(&mut self.space);
            put(&format!("{space}{shown}"), out)?;
            self.reasoned = true;
        }
        self.space.push_str(&text[shown.len()..]);
        Ok(())
    }

    fn answer(&mut self, text: &str, out: &mut impl Write) -> io::Result<()> {
        let text = if self.after_mark {
            text.trim_start()
        } else {
            text
        };
        if text.is_empty() {
            return Ok(());
        }
        self.after_mark = false;
        self.end(out)?;
        if std::mem::take(&mut self.reasoned) {
            out.write_all(b"\n\n")?;
        }
        put(text, out)
    }

    /// Leaves the terminal as it was.
    pub fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        if std::mem::take(&mut self.dim) {
            out.write_all(PLAIN.as_bytes())?;
        }
        Ok(())
    }
}

fn put(text: &str, out: &mut impl Write) -> io::Result<()> {
    out.write_all(render::generated(text).as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(style: Style, parts: &[(Part, &str)]) -> String {
        let (mut show, mut out) = (Show::with(style), Vec::new());
        for (part, text) in parts {
            show.write(*part, text, &mut out).unwrap();
        }
        show.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reasoning_in_three_styles() {
        let parts = [
            (Part::Mark, "<think>"),
            (Part::Reasoning, "\nHm"),
            (Part::Reasoning, ". \n"),
            (Part::Reasoning, "So.\n"),
            (Part::Mark, "</think>"),
            (Part::Answer, "\n\n"),
            (Part::Answer, "Yes"),
            (Part::Answer, " .\n"),
        ];
        assert_eq!(
            shown(Style::Written, &parts),
            "<think>\nHm. \nSo.\n</think>\n\nYes .\n"
        );
        assert_eq!(
            shown(Style::Dimmed, &parts),
            "\x1b[2mHm. \nSo.\x1b[0m\n\nYes .\n"
        );
        assert_eq!(shown(Style::Hidden, &parts), "Yes .\n");
        // Cut short, and with nothing to show.
        assert_eq!(shown(Style::Dimmed, &parts[..4]), "\x1b[2mHm. \nSo.\x1b[0m");
        assert_eq!(shown(Style::Hidden, &parts[..4]), "");
        let empty = [
            parts[0],
            (Part::Reasoning, "\n\n"),
            parts[4],
            parts[5],
            parts[6],
        ];
        assert_eq!(shown(Style::Dimmed, &empty), "Yes");
        // An answer alone stays as it is.
        assert_eq!(shown(Style::Dimmed, &[(Part::Answer, "\n A ")]), "\n A ");
    }
}
