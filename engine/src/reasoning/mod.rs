//! Reasoning in answers: what models write between marks such as `<think>` and `</think>` before they answer.
//!
//! In: the end of the prompt, then an answer piece by piece. Out: the same, told apart ([`Part`]). [`MARKS`] is the table
//! of marks; adding a kind is one entry. Also here: in which form a template takes earlier reasoning back.

use std::ops::Range;

mod history;
mod marks;

pub use history::{Answer, field};
pub(crate) use history::{marks_in, named};
pub use marks::{MARKS, Marks};

/// What a piece of an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What begins or ends the reasoning, as it is spelled.
    Mark,
    /// What the model thinks.
    Reasoning,
    /// What it says.
    Answer,
}

/// What receives the parts of an answer.
pub type Sink<'a, E> = dyn FnMut(Part, &str) -> Result<(), E> + 'a;

#[derive(Debug, Clone, Copy)]
enum State {
    /// Nothing but white space so far.
    Start,
    Inside(&'static Marks),
    /// The reasoning has ended, and the answer has not begun.
    After(&'static Marks),
    Answer,
}

/// Tells the parts of an answer apart as it comes. White space stays as it is.
///
/// ```
/// use gristmill_engine::reasoning::{Part, Splitter};
///
/// let mut splitter = Splitter::new("<|im_start|>assistant\n");
/// let mut parts = Vec::new();
/// for piece in ["<thi", "nk>Hm.</th", "ink>\nYes."] {
///     splitter.text(piece, &mut |part, text| Ok::<(), ()>(parts.push((part, text.to_owned()))))?;
/// }
/// assert_eq!(parts[1], (Part::Reasoning, "Hm.".to_owned()));
/// assert_eq!(parts[3], (Part::Answer, "\nYes.".to_owned()));
/// # Ok::<(), ()>(())
/// ```
#[derive(Debug)]
pub struct Splitter {
    state: State,
    /// What is not decided yet, control tokens spelled out.
    held: String,
    /// Where in it control tokens are: they are no text.
    controls: Vec<Range<usize>>,
}

impl Splitter {
    /// For the answer to this prompt, which may begin the reasoning itself.
    pub fn new(prompt: &str) -> Splitter {
        let end = prompt.trim_end();
        let begun = MARKS
            .iter()
            .find(|marks| marks.open.iter().any(|open| end.ends_with(open)));
        Splitter {
            state: begun.map_or(State::Start, State::Inside),
            held: String::new(),
            controls: Vec::new(),
        }
    }

    /// Takes the next text.
    pub fn text<E>(&mut self, text: &str, sink: &mut Sink<'_, E>) -> Result<(), E> {
        self.held.push_str(text);
        self.decide(sink)
    }

    /// Takes a control token, which is no text, but may be a mark.
    pub fn control<E>(&mut self, spelling: &str, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let start = self.held.len();
        self.held.push_str(spelling);
        self.controls.push(start..self.held.len());
        self.decide(sink)
    }

    /// The answer has ended: what was held back comes out.
    pub fn finish<E>(&mut self, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let part = match self.state {
            State::Inside(_) => Part::Reasoning,
            _ => Part::Answer,
        };
        self.emit(self.held.len(), part, sink)
    }

    fn decide<E>(&mut self, sink: &mut Sink<'_, E>) -> Result<(), E> {
        while !self.held.is_empty() {
            match self.state {
                State::Start => {
                    let all = MARKS.iter().filter(|marks| !marks.by_prompt);
                    match self.beginning(
                        all.flat_map(|marks| marks.beginnings().map(move |b| (b, marks))),
                    ) {
                        None => return Ok(()),
                        Some(found) => self.begin(found, sink)?,
                    }
                }
                State::After(marks) => {
                    match self.beginning(marks.beginnings().map(|b| (b, marks))) {
                        None => return Ok(()),
                        Some(found) => self.begin(found, sink)?,
                    }
                }
                State::Inside(marks) => {
                    if let Some(at) = self.held.find(marks.close) {
                        self.emit(at, Part::Reasoning, sink)?;
                        self.mark(marks.close.len(), sink)?;
                        self.state = State::After(marks);
                    } else {
                        let sure = self.held.len() - overlap(&self.held, marks.close);
                        return self.emit(sure, Part::Reasoning, sink);
                    }
                }
                State::Answer => return self.emit(self.held.len(), Part::Answer, sink),
            }
        }
        Ok(())
    }

    /// What the held text begins with, white space aside: `None` if that is not decided yet, `Some(None)` if it is none
    /// of these.
    #[expect(
        clippy::option_option,
        reason = "undecided, decided that none, decided which"
    )]
    fn beginning(
        &self,
        among: impl Iterator<Item = (&'static str, &'static Marks)>,
    ) -> Option<Option<(&'static str, &'static Marks)>> {
        let text = self.held.trim_start();
        let mut undecided = text.is_empty();
        for (beginning, marks) in among {
            if text.starts_with(beginning) {
                return Some(Some((beginning, marks)));
            }
            undecided |= beginning.starts_with(text);
        }
        (!undecided).then_some(None)
    }

    fn begin<E>(
        &mut self,
        found: Option<(&'static str, &'static Marks)>,
        sink: &mut Sink<'_, E>,
    ) -> Result<(), E> {
        let Some((beginning, marks)) = found else {
            self.state = State::Answer;
            return Ok(());
        };
        let space = self.held.len() - self.held.trim_start().len();
        self.mark(space + beginning.len(), sink)?;
        self.state = if marks.open.contains(&beginning) {
            State::Inside(marks)
        } else {
            State::Answer
        };
        Ok(())
    }

    /// Hands out the first bytes of what is held, but for control tokens.
    fn emit<E>(&mut self, end: usize, part: Part, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let (text, controls) = self.take(end);
        let mut at = 0;
        for control in controls.into_iter().chain(std::iter::once(end..end)) {
            if at < control.start {
                sink(part, &text[at..control.start])?;
            }
            at = control.end;
        }
        Ok(())
    }

    /// Hands out the first bytes of what is held, which are a mark.
    fn mark<E>(&mut self, end: usize, sink: &mut Sink<'_, E>) -> Result<(), E> {
        let (text, _) = self.take(end);
        sink(Part::Mark, &text)
    }

    fn take(&mut self, end: usize) -> (String, Vec<Range<usize>>) {
        let rest = self.held.split_off(end);
        let text = std::mem::replace(&mut self.held, rest);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for control in self.controls.drain(..) {
            if control.start < end {
                before.push(control.start..control.end.min(end));
            } else {
                after.push(control.start - end..control.end - end);
            }
        }
        self.controls = after;
        (text, before)
    }
}

/// How many bytes at the end of `text` may be the beginning of `word`.
fn overlap(text: &str, word: &str) -> usize {
    let most = word.len().min(text.len() + 1) - 1;
    let fits = |&length: &usize| text.as_bytes().ends_with(&word.as_bytes()[..length]);
    (1..=most).rev().find(fits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes in: text, or a control token in brackets of its own.
    enum Piece<'a> {
        Text(&'a str),
        Control(&'a str),
    }
    use Piece::{Control, Text};

    fn parts(prompt: &str, pieces: &[Piece<'_>]) -> Vec<(Part, String)> {
        let mut splitter = Splitter::new(prompt);
        let mut parts: Vec<(Part, String)> = Vec::new();
        let mut sink = |part: Part, text: &str| -> Result<(), ()> {
            match parts.last_mut() {
                Some((last, before)) if *last == part => before.push_str(text),
                _ => parts.push((part, text.to_owned())),
            }
            Ok(())
        };
        for piece in pieces {
            match piece {
                Text(text) => splitter.text(text, &mut sink),
                Control(text) => splitter.control(text, &mut sink),
            }
            .unwrap();
        }
        splitter.finish(&mut sink).unwrap();
        parts
    }

    fn expected(parts: &[(Part, &str)]) -> Vec<(Part, String)> {
        parts
            .iter()
            .map(|&(part, text)| (part, text.to_owned()))
            .collect()
    }

    use Part::{Answer as Said, Mark, Reasoning};

    #[test]
    fn marks_in_any_pieces() {
        let text = " \n<think>\nIs < 2 </thin>k?\n</think>\n\nYes, </think> too.";
        let whole = expected(&[
            (Mark, " \n<think>"),
            (Reasoning, "\nIs < 2 </thin>k?\n"),
            (Mark, "</think>"),
            (Said, "\n\nYes, </think> too."),
        ]);
        for size in 1..text.len() {
            let pieces: Vec<Piece<'_>> = text
                .as_bytes()
                .chunks(size)
                .map(|chunk| Text(std::str::from_utf8(chunk).unwrap()))
                .collect();
            assert_eq!(parts("assistant\n", &pieces), whole, "pieces of {size}");
        }
    }

    #[test]
    fn answers_without_reasoning_stay_as_they_are() {
        for text in [
            "Yes.",
            " <b>Yes</b> <think>no</think>",
            "<thin",
            "  ",
            "<think >",
            "",
        ] {
            let said = if text.is_empty() {
                Vec::new()
            } else {
                expected(&[(Said, text)])
            };
            assert_eq!(parts("", &[Text(text)]), said);
        }
        // Words that only a prompt begins the reasoning with.
        let text = "Here are my reasoning steps: none.";
        assert_eq!(parts("", &[Text(text)]), expected(&[(Said, text)]));
    }

    #[test]
    fn the_prompt_may_begin_it() {
        assert_eq!(
            parts(
                "<|assistant|><think>\n",
                &[Text("Hm."), Text("</think>Yes.")]
            ),
            expected(&[(Reasoning, "Hm."), (Mark, "</think>"), (Said, "Yes.")])
        );
        let prompt = "assistant\nHere are my reasoning steps:\n";
        assert_eq!(
            parts(prompt, &[Text("1. No.\n[BEGIN FINAL RESPONSE]\nYes.")]),
            expected(&[
                (Reasoning, "1. No.\n"),
                (Mark, "[BEGIN FINAL RESPONSE]"),
                (Said, "\nYes.")
            ])
        );
        // It may end it too.
        let closed = "assistant\n<think>\n\n</think>\n\n";
        assert_eq!(parts(closed, &[Text("Yes.")]), expected(&[(Said, "Yes.")]));
        // Cut short.
        assert_eq!(
            parts("<think>", &[Text("Hm </th")]),
            expected(&[(Reasoning, "Hm </th")])
        );
    }

    #[test]
    fn control_tokens_are_marks_or_nothing() {
        assert_eq!(
            parts(
                "",
                &[
                    Control("[THINK]"),
                    Text("Hm."),
                    Control("[/THINK]"),
                    Text("Yes."),
                    Control("</s>")
                ]
            ),
            expected(&[
                (Mark, "[THINK]"),
                (Reasoning, "Hm."),
                (Mark, "[/THINK]"),
                (Said, "Yes.")
            ])
        );
        assert_eq!(
            parts(
                "",
                &[
                    Control("<|START_RESPONSE|>"),
                    Text("Yes."),
                    Control("<|END_RESPONSE|>")
                ]
            ),
            expected(&[(Mark, "<|START_RESPONSE|>"), (Said, "Yes.")])
        );
        assert_eq!(
            parts(
                "",
                &[Control("<a>"), Text("Yes"), Control("<b>"), Text(".")]
            ),
            expected(&[(Said, "Yes.")])
        );
    }

    /// gpt-oss: a channel for what it thinks, one for what it says. Most of these tokens are shown as text.
    #[test]
    fn channels() {
        let pieces = [
            Text("<|channel|>"),
            Text("analysis"),
            Text("<|message|>"),
            Text("Hm."),
            Text("<|end|>"),
            Text("<|start|>"),
            Text("assistant"),
            Text("<|channel|>"),
            Text("analysis<|message|>So.<|end|><|start|>assistant<|channel|>final"),
            Text("<|message|>"),
            Text("Yes."),
            Control("<|return|>"),
        ];
        let parts = parts("<|start|>assistant", &pieces);
        let only = |wanted: Part| -> String {
            parts
                .iter()
                .filter(|(part, _)| *part == wanted)
                .map(|(_, text)| text.as_str())
                .collect()
        };
        assert_eq!(only(Reasoning), "Hm.So.");
        assert_eq!(only(Said), "Yes.");
        let at_once = [Text("<|channel|>final<|message|>Yes.")];
        assert_eq!(
            super::tests::parts("<|start|>assistant", &at_once),
            expected(&[(Mark, "<|channel|>final<|message|>"), (Said, "Yes.")])
        );
    }
}
