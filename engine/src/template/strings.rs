//! What Python's methods of `str` do to a text, apart from how a template calls them.

use minijinja::{Error, State, Value};

use super::budget;
use super::error::fail;
use super::text::is_space;

/// The first character in upper case, the rest in lower case.
pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars.as_str().to_lowercase().chars())
            .collect(),
        None => String::new(),
    }
}

/// Replaces a text by another, at most `count` times where that is not negative.
pub(super) fn replace(
    state: &mut State<'_, '_>,
    text: &str,
    old: &str,
    new: &str,
    count: Option<i64>,
) -> Result<String, Error> {
    let count = count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX);
    budget::charge(
        state,
        text.matches(old)
            .take(count)
            .count()
            .saturating_mul(new.len()),
    )?;
    Ok(if count == usize::MAX {
        text.replace(old, new)
    } else {
        text.replacen(old, new, count)
    })
}

/// Methods without arguments.
pub(super) fn simple(text: &str, name: &str) -> Value {
    let all = |test: fn(char) -> bool| Value::from(!text.is_empty() && text.chars().all(test));
    let cased = |case: fn(char) -> bool, other: fn(char) -> bool| {
        Value::from(text.chars().any(case) && !text.chars().any(other))
    };
    match name {
        "upper" => Value::from(text.to_uppercase()),
        "lower" | "casefold" => Value::from(text.to_lowercase()),
        "capitalize" => Value::from(capitalize(text)),
        "title" => Value::from(title(text)),
        "swapcase" => Value::from(
            text.chars()
                .map(|c| {
                    if c.is_uppercase() {
                        c.to_lowercase().to_string()
                    } else {
                        c.to_uppercase().to_string()
                    }
                })
                .collect::<String>(),
        ),
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => Value::from(text.is_ascii()),
        "isspace" => all(is_space),
        "isidentifier" => {
            let begins = |c: char| c.is_alphabetic() || c == '_';
            let goes_on = |c: char| c.is_alphanumeric() || c == '_';
            Value::from(text.starts_with(begins) && text.chars().all(goes_on))
        }
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        _ => all(char::is_numeric),
    }
}

/// Each run of letters begins with a capital.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphabetic();
    }
    out
}

/// Removes characters of a set, or white space, from one end or both.
pub(super) fn strip<'a>(text: &'a str, set: Option<&[char]>, left: bool, right: bool) -> &'a str {
    let strips = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(&c));
    let text = if left {
        text.trim_start_matches(strips)
    } else {
        text
    };
    if right {
        text.trim_end_matches(strips)
    } else {
        text
    }
}

/// `text[start:end]`, in characters.
pub(super) fn part(text: &str, start: Option<i64>, end: Option<i64>) -> &str {
    if start.is_none() && end.is_none() {
        return text;
    }
    let length = text.chars().count();
    let clip = |bound: i64| match usize::try_from(bound) {
        Ok(bound) => bound.min(length),
        Err(_) => {
            length.saturating_sub(usize::try_from(bound.unsigned_abs()).unwrap_or(usize::MAX))
        }
    };
    let byte = |index: usize| {
        text.char_indices()
            .nth(index)
            .map_or(text.len(), |(offset, _)| offset)
    };
    let (start, end) = (byte(start.map_or(0, clip)), byte(end.map_or(length, clip)));
    &text[start..end.max(start)]
}

/// The pieces between separators, at most `limit` cuts, counted from the right if asked.
pub(super) fn split_at<'a>(
    text: &'a str,
    separator: &str,
    limit: usize,
    right: bool,
) -> Result<Vec<&'a str>, Error> {
    if separator.is_empty() {
        return fail("str.split: the separator is empty");
    }
    let pieces = limit.saturating_add(1);
    Ok(if right {
        let mut parts: Vec<&str> = text.rsplitn(pieces, separator).collect();
        parts.reverse();
        parts
    } else {
        text.splitn(pieces, separator).collect()
    })
}

/// Splits at runs of white space; what is left after `limit` splits is one piece.
pub(super) fn split_at_space(text: &str, limit: usize, right: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        rest = strip(rest, None, !right, right);
        if rest.is_empty() {
            break;
        }
        if parts.len() == limit {
            // The far end of the last piece keeps its space.
            parts.push(rest);
            break;
        }
        if right {
            match rest.rfind(is_space) {
                Some(at) => {
                    let space = rest[at..].chars().next().map_or(1, char::len_utf8);
                    parts.push(&rest[at + space..]);
                    rest = &rest[..at];
                }
                None => {
                    parts.push(rest);
                    break;
                }
            }
        } else {
            let at = rest.find(is_space).unwrap_or(rest.len());
            parts.push(&rest[..at]);
            rest = &rest[at..];
        }
    }
    if right {
        parts.reverse();
    }
    parts
}

/// Whether Unicode ends a line with this character.
pub(super) fn line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r'
            | '\x0b'
            | '\x0c'
            | '\x1c'
            | '\x1d'
            | '\x1e'
            | '\u{85}'
            | '\u{2028}'
            | '\u{2029}'
    )
}

/// The lines of a text.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(line_end) {
        let end = if rest[at..].starts_with("\r\n") {
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        lines.push(&rest[..if keep_ends { at + end } else { at }]);
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// `ljust`, `rjust`, `zfill` and `center`: the text filled up to a width in characters.
pub(super) fn pad(text: &str, method: &str, width: usize, fill: &str) -> String {
    let missing = width.saturating_sub(text.chars().count());
    match method {
        "ljust" => format!("{text}{}", fill.repeat(missing)),
        "rjust" => format!("{}{text}", fill.repeat(missing)),
        "zfill" => {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            format!("{sign}{}{digits}", fill.repeat(missing))
        }
        _ => {
            // Where it can't be even, the left gets more if the width is odd.
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
        }
    }
}
