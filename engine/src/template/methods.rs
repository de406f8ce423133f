//! Methods of texts, dictionaries and lists, as Python has them.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::Tuple;
use minijinja::{Error, ErrorKind, State, Value};

use super::arguments::{Arguments, integer, string};
use super::error::{fail, undefined};
use super::names::exists;
use super::printf::check_widths;
use super::strings::{
    line_end, lines, pad, part, replace, simple, split_at, split_at_space, strip,
};
use super::text::{escaped, is_space};
use super::{budget, objects, operators};

/// They change their object, which a template may not do.
const CHANGING: &[&str] = &[
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "reverse",
    "setdefault",
    "sort",
    "update",
];

/// Calls a method; minijinja's callback for methods it doesn't know.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if value.is_undefined() {
        return undefined(format!("an undefined value has no method '{name}'"));
    }
    let kind = objects::type_name(value);
    if !exists(value, name) {
        if CHANGING.contains(&name) && matches!(kind, "list" | "dict") {
            return fail(format!(
                "{kind}.{name} changes its object, which a template may not do"
            ));
        }
        return Err(Error::new(
            ErrorKind::UnknownMethod,
            format!("'{kind}' object has no method '{name}'"),
        ));
    }
    let arguments = Arguments::new(args)?;
    let result = match kind {
        "str" => {
            let result = string_method(state, value, name, args, &arguments)?;
            if value.is_safe() {
                make_safe(result)?
            } else {
                result
            }
        }
        "dict" => dict_method(value, name, &arguments)?,
        _ => list_method(value, name, &arguments)?,
    };
    budget::charge_result(state, result)
}

fn dict_method(value: &Value, name: &str, arguments: &Arguments) -> Result<Value, Error> {
    let pairs = || objects::pairs(value).unwrap_or_default();
    if name == "get" {
        let [key, default] = arguments.bind(["key", "default"])?;
        if arguments.keywords().next().is_some() {
            return fail("dict.get takes no named arguments");
        }
        let Some(key) = key else {
            return fail("dict.get needs a key");
        };
        let found = value.as_object().and_then(|object| object.get_value(&key));
        return Ok(found.or(default).unwrap_or_else(|| Value::from(())));
    }
    arguments.none()?;
    Ok(match name {
        "items" => objects::view(
            "dict_items",
            pairs()
                .into_iter()
                .map(|(k, v)| Value::from(Tuple::from([k, v])))
                .collect(),
        ),
        "keys" => objects::view(
            "dict_keys",
            pairs().into_iter().map(|(key, _)| key).collect(),
        ),
        "values" => objects::view(
            "dict_values",
            pairs().into_iter().map(|(_, value)| value).collect(),
        ),
        _ => Value::from_pairs(pairs()),
    })
}

fn list_method(value: &Value, name: &str, arguments: &Arguments) -> Result<Value, Error> {
    let items = objects::items(value)?;
    if name == "copy" {
        arguments.none()?;
        return Ok(Value::from(items));
    }
    let wanted = arguments.one("value")?;
    match name {
        "count" => Ok(Value::from(
            items.iter().filter(|item| **item == wanted).count(),
        )),
        _ => match items.iter().position(|item| *item == wanted) {
            Some(index) => Ok(Value::from(index)),
            None => fail("list.index: the value is not in the list"),
        },
    }
}

fn string_method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
    arguments: &Arguments,
) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    // What becomes part of a safe text is escaped.
    let part_of = |part: &Value| {
        if value.is_safe() {
            escaped(part).map(Value::from)
        } else {
            Ok(part.clone())
        }
    };
    if name == "format" {
        check_widths(text)?;
        let args = args.iter().map(|arg| {
            if arg.as_str().is_some() {
                part_of(arg)
            } else {
                Ok(arg.clone())
            }
        });
        return format(
            FormatStyle::StrFormat,
            text,
            &args.collect::<Result<Vec<_>, Error>>()?,
        )
        .map(Value::from);
    }
    Ok(match name {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = arguments.bind(["chars"])?;
            let chars = chars.filter(|chars| !chars.is_none());
            let set: Option<Vec<char>> = match &chars {
                Some(chars) => Some(string(chars, "chars")?.chars().collect()),
                None => None,
            };
            Value::from(strip(
                text,
                set.as_deref(),
                name != "rstrip",
                name != "lstrip",
            ))
        }
        "startswith" | "endswith" => {
            let [affix, start, end] = arguments.bind(["affix", "start", "end"])?;
            let Some(affix) = affix else {
                return fail(format!("str.{name} needs a text"));
            };
            let part = part(text, integer(&start, "start")?, integer(&end, "end")?);
            let affixes = if affix.is_tuple() {
                objects::items(&affix)?
            } else {
                vec![affix]
            };
            let mut found = false;
            for affix in &affixes {
                let affix = string(affix, "affix")?;
                found |= if name == "startswith" {
                    part.starts_with(affix)
                } else {
                    part.ends_with(affix)
                };
            }
            Value::from(found)
        }
        "split" | "rsplit" => {
            let [separator, limit] = arguments.bind(["sep", "maxsplit"])?;
            let limit =
                usize::try_from(integer(&limit, "maxsplit")?.unwrap_or(-1)).unwrap_or(usize::MAX);
            let separator = separator.filter(|separator| !separator.is_none());
            budget::charge_items(state, pieces(text, separator.as_ref()))?;
            let parts = match &separator {
                Some(separator) => {
                    split_at(text, string(separator, "sep")?, limit, name == "rsplit")?
                }
                None => split_at_space(text, limit, name == "rsplit"),
            };
            Value::from(parts.into_iter().map(Value::from).collect::<Vec<_>>())
        }
        "splitlines" => {
            let [keep] = arguments.bind(["keepends"])?;
            let keep = keep.is_some_and(|keep| keep.is_true());
            budget::charge_items(state, text.matches(line_end).count())?;
            Value::from(
                lines(text, keep)
                    .into_iter()
                    .map(Value::from)
                    .collect::<Vec<_>>(),
            )
        }
        "partition" | "rpartition" => {
            let separator = arguments.one("sep")?;
            let separator = string(&separator, "sep")?;
            let found = if name == "partition" {
                text.split_once(separator)
            } else {
                text.rsplit_once(separator)
            };
            let parts = match found {
                _ if separator.is_empty() => {
                    return fail(format!("str.{name}: the separator is empty"));
                }
                Some((before, after)) => [before, separator, after],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Value::from(Tuple::from(parts.map(Value::from)))
        }
        "join" => {
            let items = arguments.one("iterable")?;
            let mut joined = String::new();
            for (index, item) in objects::items(&items)?.iter().enumerate() {
                string(item, "item")?;
                let part = part_of(item)?;
                let part = string(&part, "item")?;
                budget::charge(state, text.len() + part.len())?;
                joined.push_str(if index > 0 { text } else { "" });
                joined.push_str(part);
            }
            Value::from(joined)
        }
        "replace" => {
            let [old, new, count] = arguments.bind(["old", "new", "count"])?;
            let (Some(old), Some(new)) = (old, new) else {
                return fail("str.replace needs two texts");
            };
            let count = integer(&count, "count")?;
            string(&new, "new")?;
            let new = part_of(&new)?;
            return replace(
                state,
                text,
                string(&old, "old")?,
                string(&new, "new")?,
                count,
            )
            .map(Value::from);
        }
        "count" | "find" | "rfind" | "index" | "rindex" => {
            let [wanted, start, end] = arguments.bind(["sub", "start", "end"])?;
            let Some(wanted) = wanted else {
                return fail(format!("str.{name} needs a text"));
            };
            let wanted = string(&wanted, "sub")?;
            let start = integer(&start, "start")?;
            let part = part(text, start, integer(&end, "end")?);
            if name == "count" {
                return Ok(Value::from(part.matches(wanted).count()));
            }
            let found = if name.starts_with('r') {
                part.rfind(wanted)
            } else {
                part.find(wanted)
            };
            let before = part.as_ptr() as usize - text.as_ptr() as usize;
            match found {
                Some(offset) => Value::from(text[..before + offset].chars().count()),
                None if name.ends_with("index") => {
                    return fail(format!("str.{name}: substring not found"));
                }
                None => Value::from(-1),
            }
        }
        "removeprefix" | "removesuffix" => {
            let affix = arguments.one("affix")?;
            let affix = string(&affix, "affix")?;
            let cut = if name == "removeprefix" {
                text.strip_prefix(affix)
            } else {
                text.strip_suffix(affix)
            };
            Value::from(cut.unwrap_or(text))
        }
        "center" | "ljust" | "rjust" | "zfill" => {
            let [width, fill] = arguments.bind(["width", "fillchar"])?;
            let width = usize::try_from(integer(&width, "width")?.unwrap_or(0)).unwrap_or(0);
            let fill = match &fill {
                Some(fill) => string(fill, "fillchar")?,
                None if name == "zfill" => "0",
                None => " ",
            };
            if fill.chars().count() != 1 {
                return fail(format!("str.{name}: the fill must be one character"));
            }
            budget::charge(state, width.saturating_mul(fill.len()))?;
            Value::from(pad(text, name, width, fill))
        }
        _ => {
            arguments.none()?;
            simple(text, name)
        }
    })
}

/// How many pieces a split may give at most.
fn pieces(text: &str, separator: Option<&Value>) -> usize {
    1 + match separator.map(|separator| separator.as_str()) {
        Some(Some(separator)) => text.matches(separator).count(),
        Some(None) => 0,
        None => text.matches(is_space).count(),
    }
}

/// A text, or a list of texts, made from a safe one.
fn make_safe(value: Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Value::from_safe_string(text.to_owned()));
    }
    if !objects::is_list(&value) {
        return Ok(value);
    }
    let items = objects::items(&value)?
        .into_iter()
        .map(make_safe)
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(if value.is_tuple() {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    })
}

/// `value.name` for the filter `attr`: attributes and methods only, no items.
pub(super) fn attribute_only(value: &Value, name: &str) -> Result<Value, Error> {
    if exists(value, name) || objects::is_special(value) || value.is_undefined() {
        operators::attribute(value, name)
    } else {
        Ok(Value::UNDEFINED)
    }
}
