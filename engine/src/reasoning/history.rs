//! Reasoning of earlier answers: kept with the conversation, and given back in the form that a template takes it in.
//!
//! In: the parts of an answer. Out: a message for later turns. A template that has a field for reasoning gets it there and
//! decides what becomes of it; others get the answer as it was written.

use std::ops::Range;

use serde_json::{Map, json};

use super::{MARKS, Part};
use crate::template::{ChatTemplate, Message};

/// An answer, taken apart and kept.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Answer {
    written: String,
    reasoning: String,
    content: String,
}

impl Answer {
    /// Takes the next part.
    pub fn push(&mut self, part: Part, text: &str) {
        self.written.push_str(text);
        match part {
            Part::Mark => {}
            Part::Reasoning => self.reasoning.push_str(text),
            Part::Answer => self.content.push_str(text),
        }
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// The message that it is to this template in later turns: with its reasoning apart where the template has a field
    /// for that, else as the model wrote it.
    pub fn message(&self, template: Option<&ChatTemplate>) -> Message {
        let apart = template.and_then(field).is_some();
        // Nothing was marked, or the template looks for the marks itself.
        if !apart || self.written == self.content {
            return Message::new("assistant", self.written.as_str());
        }
        let mut message = Message::new("assistant", self.content.trim_start());
        let reasoning = self.reasoning.trim();
        if !reasoning.is_empty() {
            message.more.insert(FIELDS[0].into(), reasoning.into());
        }
        message
    }
}

/// What templates call the reasoning of a message; conversations are kept with the first.
const FIELDS: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// The field of a message in which a template wants its reasoning, if it has one.
pub fn field(template: &ChatTemplate) -> Option<&'static str> {
    *template.reasoning_field.get_or_init(|| {
        let text = |extra: Option<&str>| {
            let mut answer = json!({"role": "assistant", "content": "Yes."});
            if let Some(field) = extra {
                answer[field] = "Hm.".into();
            }
            let messages = json!([{"role": "user", "content": "Well?"}, answer]);
            template
                .render_values(&messages, None, false, &Map::new())
                .ok()
        };
        let without = text(None)?;
        let seen = |field: &&str| text(Some(field)).is_some_and(|with| with != without);
        // One that is shown beside tool calls only is named all the same.
        let named = |field: &&str| *field == FIELDS[0] && template.source().contains(*field);
        FIELDS
            .into_iter()
            .find(seen)
            .or_else(|| FIELDS.into_iter().find(named))
    })
}

/// A message whose reasoning is in the field that the template looks at.
pub(crate) fn named(message: &Message, field: Option<&'static str>) -> Message {
    let mut message = message.clone();
    if let Some(field) = field.filter(|field| *field != FIELDS[0])
        && !message.more.contains_key(field)
        && let Some(reasoning) = message.more.shift_remove(FIELDS[0])
    {
        message.more.insert(field.into(), reasoning);
    }
    message
}

/// Where in an earlier answer the marks of its reasoning are: at its start, and where that ends. Empty where there is none.
pub(crate) fn marks_in(answer: &str) -> [Range<usize>; 2] {
    let start = answer.len() - answer.trim_start().len();
    for marks in MARKS {
        let opens = |open: &&&str| answer[start..].starts_with(**open);
        let open = marks.open.iter().find(opens);
        let after = start + open.map_or(0, |open| open.len());
        let close = answer[after..].find(marks.close).map(|at| after + at);
        let close = close.map_or(0..0, |close| close..close + marks.close.len());
        match open {
            Some(_) => return [start..after, close],
            // The prompt has begun it. What ends other things too is no sign of that.
            None if !close.is_empty() && marks.lead.is_empty() => return [0..0, close],
            None => {}
        }
    }
    [0..0, 0..0]
}

#[cfg(test)]
mod tests {
    use super::super::Splitter;
    use super::*;

    fn answer(text: &str) -> Answer {
        let mut answer = Answer::default();
        let mut splitter = Splitter::new("");
        let mut sink = |part: Part, text: &str| -> Result<(), ()> {
            answer.push(part, text);
            Ok(())
        };
        splitter.text(text, &mut sink).unwrap();
        splitter.finish(&mut sink).unwrap();
        answer
    }

    #[test]
    fn earlier_reasoning_as_templates_take_it() {
        let template = |source: &str| ChatTemplate::new(source, "", "").unwrap();
        let each = "{% for m in messages %}{{ m.content }}";
        let apart = template(&format!(
            "{each}{{{{ m.reasoning_content }}}}{{% endfor %}}"
        ));
        let thinking = template(&format!(
            "{each}{{% if m.thinking %}}({{{{ m.thinking }}}}){{% endif %}}{{% endfor %}}"
        ));
        let inline = template(&format!("{each}{{% endfor %}}"));
        assert_eq!(field(&apart), Some("reasoning_content"));
        assert_eq!(field(&thinking), Some("thinking"));
        assert_eq!(field(&inline), None);

        let thought = answer("<think>\nHm.\n</think>\n\nYes.");
        let message = thought.message(Some(&apart));
        assert_eq!(message.content, "Yes.");
        assert_eq!(message.more["reasoning_content"], "Hm.");
        assert_eq!(named(&message, field(&apart)), message);
        let renamed = named(&message, field(&thinking));
        assert_eq!(renamed.more["thinking"], "Hm.");
        assert!(!renamed.more.contains_key("reasoning_content"));
        // As it was written where the template knows nothing of it, or does it itself.
        let written = "<think>\nHm.\n</think>\n\nYes.";
        assert_eq!(
            thought.message(Some(&inline)),
            Message::new("assistant", written)
        );
        assert_eq!(thought.message(None), Message::new("assistant", written));
        // Nothing thought is nothing kept.
        let blank = answer("<think>\n\n</think>\n\nYes.").message(Some(&apart));
        assert_eq!(blank, Message::new("assistant", "Yes."));
        let plain = answer(" Yes. ").message(Some(&apart));
        assert_eq!(plain, Message::new("assistant", " Yes. "));
    }

    #[test]
    fn where_marks_are_in_an_answer() {
        let found = |text: &str| marks_in(text).map(|range| text[range].to_owned());
        assert_eq!(found(" <think>a</think>b</think>"), ["<think>", "</think>"]);
        assert_eq!(found("a</think>b<think>"), ["", "</think>"]);
        assert_eq!(found("[THINK]a"), ["[THINK]", ""]);
        assert_eq!(found("a <think> <|end|>"), ["", ""]);
    }
}
