//! The `tojson` of transformers: Python's `json.dumps`.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::arguments::Arguments;
use super::budget::{self, DEPTH};
use super::error::fail;
use super::number::Number;
use super::sort::sort_by_keys;
use super::{objects, text};

struct Writer {
    ascii: bool,
    /// What a level is indented by; `None` writes all in one line.
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    sort: bool,
    out: String,
}

/// Bytes of what may stand between two values: it comes for each of them.
const LONGEST_GAP: usize = 1000;

/// The filter.
pub(super) fn tojson(
    _state: &mut State<'_, '_>,
    value: &Value,
    arguments: &Arguments,
) -> Result<Value, Error> {
    let [ascii, indent, separators, sort] =
        arguments.bind(["ensure_ascii", "indent", "separators", "sort_keys"])?;
    let indent = match indent.filter(|indent| !indent.is_none()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), Number::of(&indent)) {
            (Some(text), _) if text.len() <= LONGEST_GAP => text.to_owned(),
            (None, Some(Number::Int(width))) if width <= LONGEST_GAP as i128 => {
                " ".repeat(usize::try_from(width).unwrap_or(0))
            }
            _ => return fail("tojson: indent must be a small number or a short text"),
        }),
    };
    let (item_separator, key_separator) =
        match separators.filter(|separators| !separators.is_none()) {
            None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
            None => (", ".to_owned(), ": ".to_owned()),
            Some(pair) => match objects::items(&pair)?.as_slice() {
                [item, key] => {
                    let (item, key) = (text::display(item)?, text::display(key)?);
                    if item.len().max(key.len()) > LONGEST_GAP {
                        return fail("tojson: separators must be short");
                    }
                    (item.into_owned(), key.into_owned())
                }
                _ => return fail("tojson: separators must be two texts"),
            },
        };
    let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let mut writer = Writer {
        ascii: truth(ascii),
        indent,
        item_separator,
        key_separator,
        sort: truth(sort),
        out: String::new(),
    };
    writer.value(value, 0)?;
    Ok(Value::from(writer.out))
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEPTH {
            return fail("a value is nested too deeply for JSON");
        }
        budget::check(self.out.len())?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self
                .out
                .push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            _ => {
                if let Some(mut pairs) = objects::pairs(value) {
                    if self.sort {
                        pairs = sort_by_keys(pairs, false)?;
                    }
                    self.container('{', '}', pairs, depth, |writer, (key, value)| {
                        let name = key_name(&key)?;
                        writer.string(&name);
                        let separator = writer.key_separator.clone();
                        writer.out.push_str(&separator);
                        writer.value(&value, depth + 1)
                    })?;
                } else if objects::is_list(value) {
                    let items = objects::items(value)?;
                    self.container('[', ']', items, depth, |writer, item| {
                        writer.value(&item, depth + 1)
                    })?;
                } else {
                    return fail(format!(
                        "Object of type {} is not JSON serializable",
                        objects::type_name(value)
                    ));
                }
            }
        }
        Ok(())
    }

    fn container<T>(
        &mut self,
        open: char,
        close: char,
        items: Vec<T>,
        depth: usize,
        mut write: impl FnMut(&mut Writer, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        let empty = items.is_empty();
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                let separator = self.item_separator.clone();
                self.out.push_str(&separator);
            }
            self.new_line(depth + 1);
            write(self, item)?;
        }
        if !empty {
            self.new_line(depth);
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            self.out.push_str(&indent.repeat(depth));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                c if c < ' ' || (self.ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn number(value: &Value) -> String {
    match Number::of(value) {
        Some(Number::Float(value)) if value.is_nan() => "NaN".to_owned(),
        Some(Number::Float(value)) if value.is_infinite() => {
            if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Some(Number::Float(value)) => text::float(value),
        _ => value.to_string(),
    }
}

fn key_name(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => number(key),
        _ => return fail(format!("JSON keys can't be {}", objects::type_name(key))),
    })
}
