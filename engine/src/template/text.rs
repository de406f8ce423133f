//! Values as Python writes them: `str()` for what a template prints, `repr()` for what is inside of a container.

use std::borrow::Cow;
use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, Value};
use serde_json::Value as Json;

use super::budget::{self, DEPTH};
use super::error::fail;
use super::objects;

/// A value from JSON; the order of keys is kept.
pub(super) fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(value), ..) => Value::from(value),
            (_, Some(value), _) => Value::from(value),
            (.., value) => Value::from(value.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(from_json).collect::<Vec<_>>()),
        Json::Object(map) => Value::from_pairs(
            map.iter()
                .map(|(key, value)| (Value::from(key.as_str()), from_json(value))),
        ),
    }
}

/// `str(value)`.
pub(super) fn display(value: &Value) -> Result<Cow<'_, str>, Error> {
    match value.as_str() {
        Some(text) => Ok(Cow::Borrowed(text)),
        None if value.is_undefined() => Ok(Cow::Borrowed("")),
        None => {
            let mut out = String::new();
            write_repr(value, &mut out, 0)?;
            Ok(Cow::Owned(out))
        }
    }
}

/// A text that is safe (Python's `Markup`) or plain.
pub(super) fn with_safety(text: String, safe: bool) -> Value {
    if safe {
        Value::from_safe_string(text)
    } else {
        Value::from(text)
    }
}

/// A text as it becomes part of a safe one: escaped for HTML, unless it is safe itself.
pub(super) fn escaped(value: &Value) -> Result<Cow<'_, str>, Error> {
    let text = display(value)?;
    if value.is_safe() {
        return Ok(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    Ok(Cow::Owned(out))
}

fn write_repr(value: &Value, out: &mut String, depth: usize) -> Result<(), Error> {
    if depth > DEPTH {
        return fail("a value is nested too deeply to be printed");
    }
    budget::check(out.len())?;
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number if !value.is_integer() => {
            out.push_str(&float(f64::try_from(value.clone())?))
        }
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable => {
            if let Some(object) = value.as_object()
                && let Some(lazy) = object.downcast_ref::<objects::Lazy>()
            {
                if lazy.is_generator() {
                    let _ = write!(out, "<{} object>", lazy.kind());
                    return Ok(());
                }
                out.push_str(lazy.kind());
                out.push('(');
                write_sequence(value, out, depth, "[", "]")?;
                out.push(')');
            } else if let Some(pairs) = objects::pairs(value) {
                out.push('{');
                for (index, (key, value)) in pairs.into_iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write_repr(&key, out, depth + 1)?;
                    out.push_str(": ");
                    write_repr(&value, out, depth + 1)?;
                }
                out.push('}');
            } else if !objects::is_iterable(value) {
                let _ = write!(out, "<{}>", objects::type_name(value));
            } else if objects::is_tuple(value) {
                let close = if value.len() == Some(1) { ",)" } else { ")" };
                write_sequence(value, out, depth, "(", close)?;
            } else {
                write_sequence(value, out, depth, "[", "]")?;
            }
        }
        _ => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

fn write_sequence(
    value: &Value,
    out: &mut String,
    depth: usize,
    open: &str,
    close: &str,
) -> Result<(), Error> {
    out.push_str(open);
    for (index, item) in value.try_iter()?.enumerate() {
        out.push_str(if index > 0 { ", " } else { "" });
        write_repr(&item, out, depth + 1)?;
    }
    out.push_str(close);
    Ok(())
}

/// The shortest digits that give the float back; with an exponent below 1e-4 and from 1e16 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => {
            let plain = format!("{value}");
            if plain.contains('.') {
                plain
            } else {
                plain + ".0"
            }
        }
    }
}

/// A text in quotes with escapes.
fn quote(text: &str, out: &mut String) {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if printable(c) => out.push(c),
            c => {
                let code = c as u32;
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// `str.isprintable`: no control, format or private-use character and no separator but the space. Code points that no
/// version of Unicode has assigned count as printable here.
fn printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2 | 0x180e | 0x200b..=0x200f | 0x202a..=0x202e
            | 0x2060..=0x2064 | 0x2066..=0x206f | 0xe000..=0xf8ff | 0xfeff | 0xfff9..=0xfffb | 0xfffe..=0xffff | 0x110bd
            | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a | 0xe0001 | 0xe0020..=0xe007f
            | 0xf0000..=0x10_ffff))
}

/// Whether Python's `str.strip` and `str.split` take a character for white space.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_writes() {
        for (value, expected) in [
            (Value::from(1.0), "1.0"),
            (Value::from(21.5), "21.5"),
            (Value::from(1e16), "1e+16"),
            (Value::from(1.5e300), "1.5e+300"),
            (Value::from(123456789012345680.0), "1.2345678901234568e+17"),
            (Value::from(0.0001), "0.0001"),
            (Value::from(0.00001), "1e-05"),
            (Value::from(-0.0), "-0.0"),
            (Value::from(()), "None"),
            (
                from_json(&serde_json::json!([true, 1, "it's", {"a": null}])),
                "[True, 1, \"it's\", {'a': None}]",
            ),
            (
                Value::from(vec!["\u{a0}\n\"'\u{200d}é"]),
                "['\\xa0\\n\"\\'\\u200dé']",
            ),
        ] {
            assert_eq!(display(&value).unwrap(), expected);
        }
    }
}
