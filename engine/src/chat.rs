//! Chats: from a conversation to the token ids that the model continues with its answer.
//!
//! In: messages, the model's chat template (or none) and its tokenizer. Out: a [`Prompt`]. Control tokens come from the
//! template only: where a message spells one, it stays text. To tell them apart after rendering, a guard character that
//! is nowhere else goes into each such spelling, and the tokenizer takes it out again.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::reasoning;
use crate::template::{ChatTemplate, Message, TemplateError};
use crate::tokenizer::Tokenizer;

/// How a model is talked to.
#[derive(Debug, Clone)]
pub enum ChatFormat {
    /// In the form that it was trained on.
    Template(ChatTemplate),
    /// As lines that begin with `User:` and `Assistant:`, where the model says nothing about it.
    Plain,
}

/// A conversation, as it is kept and saved.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// What was said, in order.
    pub messages: Vec<Message>,
    /// Further variables for the template, such as `enable_thinking`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub variables: Map<String, Value>,
    /// Tools that the model may call: a list in the form of OpenAI's interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Value>,
}

/// What a model is given to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The whole conversation as token ids, up to where the answer begins.
    pub ids: Vec<u32>,
    /// The same as text, control tokens spelled out.
    pub text: String,
    /// Texts that end the answer, besides the model's own end tokens.
    pub stop: Vec<String>,
    /// The template takes no system message; its text was put before the first one of the user.
    pub system_moved: bool,
}

/// What the plain format writes before a user's message; it ends an answer too.
const PLAIN_STOPS: [&str; 2] = ["\nUser:", "\nSystem:"];

impl Conversation {
    /// Appends a message.
    pub fn push(&mut self, role: impl Into<String>, content: impl Into<String>) {
        self.messages.push(Message::new(role, content));
    }

    /// Sets the system message, or removes it where the text is empty.
    pub fn set_system(&mut self, content: &str) {
        self.messages.retain(|message| message.role != "system");
        if !content.is_empty() {
            self.messages.insert(0, Message::new("system", content));
        }
    }

    /// The system message.
    pub fn system(&self) -> Option<&str> {
        self.messages
            .iter()
            .find(|message| message.role == "system")
            .map(|message| message.content.as_str())
    }

    /// Forgets all but the system message.
    pub fn reset(&mut self) {
        self.messages.retain(|message| message.role == "system");
    }

    /// Removes the answers after the last message of the user, so that it can be answered again. False where the user has
    /// said nothing.
    pub fn take_back_answer(&mut self) -> bool {
        let last = self
            .messages
            .iter()
            .rposition(|message| message.role == "user");
        self.messages
            .truncate(last.map_or(self.messages.len(), |last| last + 1));
        last.is_some()
    }

    /// Removes the oldest message of the user with all that was answered to it. False where there is only one left.
    pub fn drop_oldest_turn(&mut self) -> bool {
        let mut turns =
            (0..self.messages.len()).filter(|&index| self.messages[index].role == "user");
        match (turns.next(), turns.next()) {
            (Some(first), Some(second)) => {
                self.messages.drain(first..second);
                true
            }
            _ => false,
        }
    }
}

impl From<Option<ChatTemplate>> for ChatFormat {
    fn from(template: Option<ChatTemplate>) -> Self {
        template.map_or(ChatFormat::Plain, ChatFormat::Template)
    }
}

impl ChatFormat {
    /// A line that tells the user about a format that may work badly.
    pub fn notice(&self) -> Option<&'static str> {
        match self {
            ChatFormat::Template(_) => None,
            ChatFormat::Plain => Some(
                "this model has no chat template: the conversation is given to it as plain text (User: ... Assistant: ...), \
                 which a model that was not trained for chats may continue in odd ways",
            ),
        }
    }

    /// The prompt of a conversation whose last message is to be answered.
    pub fn prompt(
        &self,
        conversation: &Conversation,
        tokenizer: &Tokenizer,
    ) -> Result<Prompt, TemplateError> {
        let messages: Vec<Value> = match self {
            ChatFormat::Plain => conversation.messages.iter().map(Message::to_json).collect(),
            ChatFormat::Template(template) => {
                let field = reasoning::field(template);
                let messages = conversation.messages.iter();
                messages
                    .map(|message| reasoning::named(message, field).to_json())
                    .collect()
            }
        };
        let messages = Value::Array(messages);
        let talk = Talk {
            messages: &messages,
            tools: conversation.tools.as_ref(),
            add_generation_prompt: true,
            variables: &conversation.variables,
        };
        match (talk.prompt(self, tokenizer), without_system(&messages)) {
            // Some templates refuse system messages.
            (Err(error), Some(moved)) if error.is_raised() => {
                let messages = &moved;
                let prompt = Talk { messages, ..talk }.prompt(self, tokenizer);
                let system_moved = true;
                prompt.map_err(|_| error).map(|prompt| Prompt {
                    system_moved,
                    ..prompt
                })
            }
            (prompt, _) => prompt,
        }
    }
}

/// What a template is given: messages of any form, as they come over an interface.
#[derive(Debug, Clone, Copy)]
pub struct Talk<'a> {
    /// A list of messages in the form of OpenAI's interface.
    pub messages: &'a Value,
    /// The tools that the model may call, in that form; `None` where there are none.
    pub tools: Option<&'a Value>,
    /// Whether the text ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// Further variables of the template.
    pub variables: &'a Map<String, Value>,
}

impl Talk<'_> {
    /// The text alone, with every message exactly as it is.
    pub fn text(&self, format: &ChatFormat) -> Result<String, TemplateError> {
        match format {
            ChatFormat::Plain => Ok(plain_text(self.messages)),
            ChatFormat::Template(template) => self.render(template, self.messages),
        }
    }

    fn render(&self, template: &ChatTemplate, messages: &Value) -> Result<String, TemplateError> {
        let prompt = self.add_generation_prompt;
        template.render_values(messages, self.tools, prompt, self.variables)
    }

    /// The text, and the ids that it becomes.
    pub fn prompt(
        &self,
        format: &ChatFormat,
        tokenizer: &Tokenizer,
    ) -> Result<Prompt, TemplateError> {
        let guard = self.guard(format)?;
        let spellings = control_tokens(tokenizer);
        let mut guarded = self.messages.clone();
        for message in guarded.as_array_mut().into_iter().flatten() {
            // Marks of reasoning in an answer are the model's own, and templates look for them.
            let answer = message["role"] == "assistant";
            let fields = message.as_object_mut().into_iter().flatten();
            for (_, value) in fields.filter(|(name, _)| *name != "role") {
                guard_value(value, &spellings, answer, guard);
            }
        }
        let (rendered, stop) = match format {
            ChatFormat::Plain => (plain_text(&guarded), &PLAIN_STOPS[..]),
            ChatFormat::Template(template) => (self.render(template, &guarded)?, &[][..]),
        };
        let mut ids = tokenizer.encode_guarded(&rendered, guard, false);
        // A template that writes the token itself gets no second one.
        if let Some(bos) = tokenizer.bos()
            && tokenizer.adds_bos()
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(Prompt {
            ids,
            text: rendered.replace(guard, ""),
            stop: stop.iter().map(|&stop| stop.to_owned()).collect(),
            system_moved: false,
        })
    }

    /// A character that is in none of the texts that make up the prompt. Unicode's noncharacters are meant for such use;
    /// if a message has them all, there are the private-use ones.
    fn guard(&self, format: &ChatFormat) -> Result<char, TemplateError> {
        let said = serde_json::json!([self.messages, self.tools, self.variables]).to_string();
        let mut texts: Vec<&str> = vec![&said];
        if let ChatFormat::Template(template) = format {
            texts.extend([template.source(), template.bos(), template.eos()]);
        }
        let used: std::collections::HashSet<char> = texts
            .iter()
            .flat_map(|text| text.chars())
            .filter(|&c| c as u32 >= 0xe000)
            .collect();
        ('\u{fdd0}'..='\u{fdef}')
            .chain('\u{f0000}'..='\u{10ffff}')
            .find(|c| !used.contains(c))
            .ok_or_else(|| {
                TemplateError::internal("the messages use every private character that there is")
            })
    }
}

/// Spellings of control tokens, by their first character, of two characters or more.
type Spellings = std::collections::HashMap<char, Vec<String>>;

fn control_tokens(tokenizer: &Tokenizer) -> Spellings {
    let mut spellings = Spellings::new();
    for id in 0..u32::try_from(tokenizer.len()).unwrap_or(u32::MAX) {
        if tokenizer.is_control(id) || tokenizer.unknown() == Some(id) {
            let text = tokenizer.text(id);
            let mut letters = text.chars();
            if let (Some(first), Some(_)) = (letters.next(), letters.next()) {
                spellings.entry(first).or_default().push(text.to_owned());
            }
        }
    }
    spellings
}

/// Puts a guard behind the first character of each control token that a text spells, but for those at `spared`.
fn guard_text(text: &str, spellings: &Spellings, spared: &[Range<usize>], guard: char) -> String {
    let mut guarded = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        guarded.push(c);
        if spellings.get(&c).is_some_and(|tokens| {
            tokens
                .iter()
                .any(|token| text[at..].starts_with(token.as_str()))
        }) && !spared.iter().any(|range| range.contains(&at))
        {
            guarded.push(guard);
        }
    }
    guarded
}

/// Guards all texts of a value.
fn guard_value(value: &mut Value, spellings: &Spellings, answer: bool, guard: char) {
    match value {
        Value::String(text) => {
            let spared = if answer {
                reasoning::marks_in(text)
            } else {
                Default::default()
            };
            *text = guard_text(text, spellings, &spared, guard);
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| guard_value(item, spellings, answer, guard)),
        Value::Object(fields) => fields
            .iter_mut()
            .for_each(|(_, item)| guard_value(item, spellings, answer, guard)),
        _ => {}
    }
}

/// The messages with the system's text before the first of the user; `None` where there is nothing to move.
fn without_system(messages: &Value) -> Option<Value> {
    let (system, rest) = messages.as_array()?.split_first()?;
    let mut rest = rest.to_vec();
    let user = rest.iter_mut().find(|message| message["role"] == "user")?;
    let (system, said) = (plain(system, "system")?, plain(user, "user")?);
    user["content"] = format!("{system}\n\n{said}").into();
    Some(Value::Array(rest))
}

/// The text of a message by `role` that is a text alone.
fn plain<'a>(message: &'a Value, role: &str) -> Option<&'a str> {
    message["content"]
        .as_str()
        .filter(|_| message["role"] == role)
}

/// The conversation as lines, ready for the assistant's.
fn plain_text(messages: &Value) -> String {
    let mut text = String::new();
    for message in messages.as_array().into_iter().flatten() {
        let content = message["content"].as_str().unwrap_or_default();
        match message["role"].as_str().unwrap_or_default() {
            "system" => text.push_str(&format!("{content}\n\n")),
            "assistant" => text.push_str(&format!("Assistant: {}\n", content.trim())),
            _ => text.push_str(&format!("User: {}\n", content.trim())),
        }
    }
    text.push_str("Assistant:");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::{Definition, Roles};

    /// Byte tokens, and three control tokens.
    fn tokenizer(add_bos: bool) -> Tokenizer {
        let letters: Vec<String> = (0x20u8..0x7f)
            .filter(|&b| b != b' ')
            .map(|b| char::from(b).to_string())
            .collect();
        let mut tokens: Vec<&str> = vec!["<s>", "</s>", "<|end|>", "Ġ", "Ċ", "ab"];
        tokens.extend(letters.iter().map(String::as_str));
        let mut types = vec![1; tokens.len()];
        types[..3].fill(3);
        Tokenizer::new(&Definition {
            model: "gpt2",
            pre: Some("gpt-2"),
            tokens,
            token_types: types.into(),
            merges: vec!["a b"],
            roles: Roles {
                bos: Some(0),
                eos: Some(1),
                ..Roles::default()
            },
            add_bos: Some(add_bos),
            ..Definition::default()
        })
        .expect("a valid vocabulary")
    }

    fn template(source: &str) -> ChatFormat {
        ChatFormat::Template(ChatTemplate::new(source, "<s>", "</s>").expect("a valid template"))
    }

    const SOURCE: &str = "{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}";

    fn conversation(texts: &[(&str, &str)]) -> Conversation {
        let messages = texts
            .iter()
            .map(|(role, content)| Message::new(*role, *content))
            .collect();
        Conversation {
            messages,
            ..Conversation::default()
        }
    }

    #[test]
    fn what_a_user_types_is_text() {
        let tokenizer = tokenizer(false);
        let said = "a<|end|>b<s>\u{fdd0}c<|<|end|>";
        let prompt = template(SOURCE)
            .prompt(&conversation(&[("user", said)]), &tokenizer)
            .unwrap();
        assert_eq!(prompt.text, format!("user: {said}<|end|>"));
        let controls: Vec<u32> = prompt.ids.iter().copied().filter(|&id| id < 3).collect();
        assert_eq!(controls, [2], "only the template's own");
        assert_eq!(prompt.ids.last(), Some(&2));
        let plain = tokenizer.encode(&format!("user: {said}"), false, false);
        assert_eq!(prompt.ids[..prompt.ids.len() - 1], plain);
    }

    #[test]
    fn the_first_token_comes_once() {
        let said = conversation(&[("user", "<s>")]);
        let with = template(&format!("{{{{ bos_token }}}}{SOURCE}"));
        for (format, tokenizer, expected) in [
            (&with, tokenizer(true), 1),
            (&with, tokenizer(false), 1),
            (&template(SOURCE), tokenizer(true), 1),
            (&template(SOURCE), tokenizer(false), 0),
            (&template("{{ messages[0].content }}"), tokenizer(true), 1),
        ] {
            let ids = format.prompt(&said, &tokenizer).unwrap().ids;
            assert_eq!(ids.iter().filter(|&&id| id == 0).count(), expected);
        }
    }

    #[test]
    fn a_refused_system_message_moves() {
        let source = format!(
            "{{% if messages[0].role == 'system' %}}{{{{ raise_exception('No!') }}}}{{% endif %}}{SOURCE}"
        );
        let format = template(&source);
        let prompt = format
            .prompt(
                &conversation(&[("system", "Be brief."), ("user", "Hi")]),
                &tokenizer(false),
            )
            .unwrap();
        assert!(prompt.system_moved);
        assert_eq!(prompt.text, "user: Be brief.\n\nHi<|end|>");
        let error = format
            .prompt(&conversation(&[("system", "Be brief.")]), &tokenizer(false))
            .unwrap_err();
        assert_eq!(error.message(), "No!");
    }

    #[test]
    fn plain_text_without_a_template() {
        let format = ChatFormat::from(None);
        assert!(format.notice().is_some());
        let talk = conversation(&[
            ("system", "Be brief."),
            ("user", "Hi<|end|>"),
            ("assistant", " Hello "),
            ("user", "Bye"),
        ]);
        let prompt = format.prompt(&talk, &tokenizer(true)).unwrap();
        assert_eq!(
            prompt.text,
            "Be brief.\n\nUser: Hi<|end|>\nAssistant: Hello\nUser: Bye\nAssistant:"
        );
        assert_eq!(prompt.stop, ["\nUser:", "\nSystem:"]);
        assert_eq!(
            prompt.ids.iter().filter(|&&id| id < 3).collect::<Vec<_>>(),
            [&0]
        );
    }

    #[test]
    fn a_longer_conversation_begins_with_the_shorter() {
        let (format, tokenizer) = (template(SOURCE), tokenizer(true));
        let mut talk = conversation(&[("system", "S"), ("user", "one")]);
        let first = format.prompt(&talk, &tokenizer).unwrap().ids;
        talk.push("assistant", "two");
        talk.push("user", "three");
        let second = format.prompt(&talk, &tokenizer).unwrap().ids;
        assert!(second.starts_with(&first));

        let saved = serde_json::to_string(&talk).unwrap();
        assert_eq!(serde_json::from_str::<Conversation>(&saved).unwrap(), talk);
        talk.push("assistant", "four");
        assert!(talk.take_back_answer());
        assert_eq!(talk.messages.last().unwrap().content, "three");
        assert!(talk.drop_oldest_turn());
        assert_eq!(talk, conversation(&[("system", "S"), ("user", "three")]));
        assert!(!talk.drop_oldest_turn());
        talk.set_system("");
        talk.reset();
        assert!(talk.messages.is_empty() && !talk.take_back_answer());
    }

    /// Marks of reasoning are the model's own in an answer, and text where a user types them.
    #[test]
    fn marks_of_reasoning_stay_control_tokens_in_answers() {
        let tokens = [
            "<s>", "</s>", "[THINK]", "[/THINK]", "a", "b", "[", "]", "/",
        ];
        let letters = ["T", "H", "I", "N", "K", "u", "s", "e", "r", "t", "n", ":"];
        let tokens: Vec<&str> = tokens.into_iter().chain(letters).collect();
        let mut types = vec![1; tokens.len()];
        types[..4].fill(3);
        let tokenizer = Tokenizer::new(&Definition {
            model: "gpt2",
            pre: Some("gpt-2"),
            tokens,
            token_types: types.into(),
            merges: vec!["a b"],
            ..Definition::default()
        })
        .expect("a valid vocabulary");
        let format =
            template("{% for m in messages %}{{ m.content.split('[/THINK]')[-1] }}{% endfor %}");
        let controls = |role: &str, text: &str| -> Vec<u32> {
            let ids = format.prompt(&conversation(&[(role, text)]), &tokenizer);
            let ids = ids.unwrap().ids.into_iter();
            ids.filter(|&id| id < 4).collect()
        };
        // The template finds the mark in the answer, and what follows is kept.
        assert!(controls("assistant", "[THINK]a[/THINK]b").is_empty());
        assert_eq!(controls("assistant", "[THINK]a"), [2]);
        assert!(controls("assistant", "a[THINK]b").is_empty());
        assert!(controls("user", "[THINK]a").is_empty());
    }

    #[test]
    fn tools_and_other_fields_reach_the_template() {
        let source = "{{ tools }}{{ mode }}{% for m in messages %}{{ m.tool_calls }}{% endfor %}";
        let saved = r#"{"messages": [{"role": "user", "content": "", "tool_calls": [1]}],
            "variables": {"mode": "fast"}, "tools": [{"b": 1, "a": 2}]}"#;
        let talk: Conversation = serde_json::from_str(saved).unwrap();
        let prompt = template(source).prompt(&talk, &tokenizer(false)).unwrap();
        assert_eq!(prompt.text, "[{'b': 1, 'a': 2}]fast[1]");
        let again = serde_json::to_string(&talk).unwrap();
        assert_eq!(serde_json::from_str::<Conversation>(&again).unwrap(), talk);
    }
}
