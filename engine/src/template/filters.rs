//! Jinja's filters on single values, with what Python does to each type. Those on sequences are in [`super::select`].

use minijinja::value::{Kwargs, Rest, Tuple};
use minijinja::{Environment, Error, State, Value};

use super::arguments::{Arguments, integer, string};
use super::error::{fail, undefined};
use super::number::Number;
use super::sort::{sort_by_keys, sort_key};
use super::strings::{capitalize, replace};
use super::text::{display, escaped, with_safety};
use super::{budget, json, methods, objects, printf, strings};

/// A filter: the value before the `|`, and the arguments.
pub(super) type Filter = fn(&mut State<'_, '_>, &Value, &Arguments) -> Result<Value, Error>;

pub(super) fn register(environment: &mut Environment<'static>) {
    add(environment, FILTERS);
    for name in ["lines", "split", "bool", "chain", "zip", "pprint"] {
        // minijinja's own inventions: Jinja2 has no such filters.
        environment.remove_filter(name);
    }
}

pub(super) fn add(
    environment: &mut Environment<'static>,
    filters: &'static [(&'static str, Filter)],
) {
    for (name, filter) in filters {
        environment.add_filter(
            *name,
            move |state: &mut State, value: Value, rest: Rest<Value>, named: Kwargs| {
                let result = filter(state, &value, &Arguments::with_keywords(&rest, &named)?)?;
                budget::charge_result(state, result)
            },
        );
    }
}

static FILTERS: &[(&str, Filter)] = &[
    ("tojson", json::tojson),
    ("length", length),
    ("count", length),
    ("string", |_, value, _| {
        Ok(with_safety(display(value)?.into_owned(), value.is_safe()))
    }),
    ("safe", |_, value, _| {
        Ok(Value::from_safe_string(display(value)?.into_owned()))
    }),
    ("default", default),
    ("d", default),
    ("upper", |_, value, _| {
        Ok(with_safety(display(value)?.to_uppercase(), value.is_safe()))
    }),
    ("lower", |_, value, _| {
        Ok(with_safety(display(value)?.to_lowercase(), value.is_safe()))
    }),
    ("title", |_, value, _| {
        Ok(Value::from(title(&display(value)?)))
    }),
    ("capitalize", |_, value, _| {
        Ok(with_safety(capitalize(&display(value)?), value.is_safe()))
    }),
    ("trim", trim),
    ("escape", escape),
    ("e", escape),
    ("forceescape", |_, value, _| {
        let plain = Value::from(display(value)?);
        Ok(Value::from_safe_string(escaped(&plain)?.into_owned()))
    }),
    ("replace", |state, value, arguments| {
        let [old, new, count] = arguments.bind(["old", "new", "count"])?;
        let (Some(old), Some(new)) = (old, new) else {
            return fail("replace needs two texts");
        };
        let count = integer(&count.filter(|count| !count.is_none()), "count")?;
        replace(
            state,
            &display(value)?,
            &display(&old)?,
            &display(&new)?,
            count,
        )
        .map(Value::from)
    }),
    ("indent", indent),
    ("center", |state, value, arguments| {
        let [width] = arguments.bind(["width"])?;
        let text = Value::from(display(value)?);
        methods::call(
            state,
            &text,
            "center",
            &[width.unwrap_or_else(|| Value::from(80))],
        )
    }),
    ("wordcount", |_, value, _| {
        let text = display(value)?;
        let words = text
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|word| !word.is_empty());
        Ok(Value::from(words.count()))
    }),
    ("format", |state, value, arguments| {
        let text = with_safety(display(value)?.into_owned(), value.is_safe());
        if arguments.keywords().next().is_some() {
            return fail("format: named arguments are not supported");
        }
        printf::printf(state, &text, arguments.positional())
    }),
    ("truncate", truncate),
    ("urlencode", urlencode),
    ("int", int),
    ("float", float),
    ("abs", |_, value, _| match Number::of(value) {
        Some(Number::Int(number)) => Ok(Number::Int(number.saturating_abs()).value()),
        Some(Number::Float(number)) => Ok(Value::from(number.abs())),
        None => fail(format!("abs of '{}'", objects::type_name(value))),
    }),
    ("attr", |_, value, arguments| {
        let name = arguments.one("name")?;
        methods::attribute_only(value, &display(&name)?)
    }),
    ("items", |_, value, _| match objects::pairs(value) {
        Some(pairs) => Ok(objects::generator(
            pairs
                .into_iter()
                .map(|(k, v)| Value::from(Tuple::from([k, v])))
                .collect(),
        )),
        None if value.is_undefined() => Ok(objects::generator(Vec::new())),
        None => fail("Can only get item pairs from a mapping."),
    }),
    ("dictsort", dictsort),
];

fn length(_: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    match objects::length(value) {
        Some(length) => Ok(Value::from(length)),
        None => fail(format!(
            "object of type '{}' has no length",
            objects::type_name(value)
        )),
    }
}

fn default(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [other, boolean] = arguments.bind(["default_value", "boolean"])?;
    let lax = boolean.is_some_and(|boolean| boolean.is_true());
    if value.is_undefined() || (lax && !value.is_true()) {
        Ok(other.unwrap_or_else(|| Value::from("")))
    } else {
        Ok(value.clone())
    }
}

fn trim(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [chars] = arguments.bind(["chars"])?;
    let chars = chars.filter(|chars| !chars.is_none());
    let set: Option<Vec<char>> = match &chars {
        Some(chars) => Some(string(chars, "chars")?.chars().collect()),
        None => None,
    };
    Ok(with_safety(
        strings::strip(&display(value)?, set.as_deref(), true, true).to_owned(),
        value.is_safe(),
    ))
}

fn escape(_: &mut State<'_, '_>, value: &Value, _: &Arguments) -> Result<Value, Error> {
    Ok(Value::from_safe_string(escaped(value)?.into_owned()))
}

fn truncate(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [length, kill_words, end, leeway] =
        arguments.bind(["length", "killwords", "end", "leeway"])?;
    let size = |value, name, default| -> Result<usize, Error> {
        Ok(integer(value, name)?.map_or(default, |value| usize::try_from(value).unwrap_or(0)))
    };
    let (length, leeway) = (size(&length, "length", 255)?, size(&leeway, "leeway", 5)?);
    let end = match &end {
        Some(end) => string(end, "end")?,
        None => "...",
    };
    let text = display(value)?;
    let Some(room) = length.checked_sub(end.chars().count()) else {
        return fail("truncate: the length is less than that of the end");
    };
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(with_safety(text.into_owned(), value.is_safe()));
    }
    let mut kept: String = text.chars().take(room).collect();
    if !kill_words.is_some_and(|kill| kill.is_true())
        && let Some(space) = kept.rfind(' ')
    {
        kept.truncate(space);
    }
    Ok(with_safety(kept + end, value.is_safe()))
}

fn urlencode(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    arguments.none()?;
    let encode = |text: &str, slash: bool| {
        let mut out = String::new();
        for byte in text.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                    out.push(char::from(byte));
                }
                b'/' if slash => out.push('/'),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
        out
    };
    let Some(pairs) = objects::pairs(value) else {
        return Ok(Value::from(encode(&display(value)?, true)));
    };
    let mut parts = Vec::new();
    for (key, value) in pairs {
        let (key, value) = (display(&key)?, display(&value)?);
        parts.push(format!("{}={}", encode(&key, false), encode(&value, false)));
    }
    Ok(Value::from(parts.join("&")))
}

/// Words begin after white space, a hyphen or an opening bracket.
fn title(text: &str) -> String {
    let separates = |c: char| super::text::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<');
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        inside = !separates(c);
    }
    out
}

fn indent(state: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [width, first, blank] = arguments.bind(["width", "first", "blank"])?;
    let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let (first, blank) = (truth(first), truth(blank));
    let Some(text) = value.as_str() else {
        return if value.is_undefined() {
            undefined("indent of an undefined value")
        } else {
            fail("indent needs a text")
        };
    };
    let indention = match &width {
        Some(width) if width.as_str().is_some() => width.as_str().unwrap_or_default().to_owned(),
        _ => {
            let width = integer(&width, "width")?.unwrap_or(4).clamp(0, 1 << 20);
            " ".repeat(usize::try_from(width).unwrap_or(0))
        }
    };
    let whole = format!("{text}\n");
    let lines = strings::lines(&whole, false);
    budget::charge(state, lines.len().saturating_mul(indention.len()))?;
    let mut out = if first {
        indention.clone()
    } else {
        String::new()
    };
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
            out.push_str(if blank || !line.is_empty() {
                &indention
            } else {
                ""
            });
        }
        out.push_str(line);
    }
    Ok(with_safety(out, value.is_safe()))
}

fn int(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [default, base] = arguments.bind(["default", "base"])?;
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = integer(&base, "base")?.unwrap_or(10);
    if value.is_undefined() {
        return undefined("int of an undefined value");
    }
    let truncate = |float: f64| {
        float
            .is_finite()
            .then(|| Number::Int(float.trunc() as i128).value())
    };
    let found = match (Number::of(value), value.as_str()) {
        (Some(Number::Float(float)), _) => truncate(float),
        (Some(number), _) => Some(number.value()),
        (None, Some(text)) => {
            parse_int(text, base).or_else(|| parse_float(text).and_then(truncate))
        }
        (None, None) => None,
    };
    Ok(found.unwrap_or(default))
}

fn parse_int(text: &str, base: i64) -> Option<Value> {
    let text = strings::strip(text, None, true, true).to_lowercase();
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    let prefix = |prefix: &str| digits.strip_prefix(prefix);
    let (digits, base) = match base {
        16 => (prefix("0x").unwrap_or(digits), 16),
        8 => (prefix("0o").unwrap_or(digits), 8),
        2 => (prefix("0b").unwrap_or(digits), 2),
        base @ 2..=36 => (digits, u32::try_from(base).ok()?),
        _ => return None,
    };
    if digits.starts_with(['_', '+', '-']) || digits.ends_with('_') || digits.contains("__") {
        return None;
    }
    let number = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    Some(Number::Int(if sign == "-" { -number } else { number }).value())
}

fn parse_float(text: &str) -> Option<f64> {
    strings::strip(text, None, true, true)
        .replace('_', "")
        .parse()
        .ok()
}

fn float(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [default] = arguments.bind(["default"])?;
    if value.is_undefined() {
        return undefined("float of an undefined value");
    }
    let found = match (Number::of(value), value.as_str()) {
        (Some(number), _) => Some(number.float()),
        (None, Some(text)) => parse_float(text),
        (None, None) => None,
    };
    Ok(found
        .map(Value::from)
        .or(default)
        .unwrap_or_else(|| Value::from(0.0)))
}

fn dictsort(_: &mut State<'_, '_>, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let [case_sensitive, by, reverse] = arguments.bind(["case_sensitive", "by", "reverse"])?;
    let truth = |value: Option<Value>| value.is_some_and(|value| value.is_true());
    let case_sensitive = truth(case_sensitive);
    let by_value = match by.as_ref().map(|by| by.as_str()) {
        None | Some(Some("key")) => false,
        Some(Some("value")) => true,
        _ => return fail("dictsort: by must be 'key' or 'value'"),
    };
    let Some(pairs) = objects::pairs(value) else {
        let what = objects::type_name(value);
        return if value.is_undefined() {
            undefined("dictsort of an undefined value")
        } else {
            fail(format!("dictsort of '{what}'"))
        };
    };
    let keyed: Vec<(Value, Value)> = pairs
        .into_iter()
        .map(|(key, value)| {
            let by = sort_key(if by_value { &value } else { &key }, case_sensitive);
            (by, Value::from(Tuple::from([key, value])))
        })
        .collect();
    let keyed = sort_by_keys(keyed, truth(reverse))?;
    Ok(Value::from(
        keyed.into_iter().map(|(_, pair)| pair).collect::<Vec<_>>(),
    ))
}
