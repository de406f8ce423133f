//! Operators with Python's meaning, as functions that [`program`](super::program) puts into the instructions.

use std::cmp::Ordering;

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::budget;
use super::error::{fail, undefined};
use super::number::{Number, arithmetic};
use super::{names, objects, printf, text};

pub(super) fn register(environment: &mut Environment<'static>) {
    for operator in ["+", "-", "*", "/", "//", "%", "**"] {
        environment.add_function(operator, move |state: &mut State, a: Value, b: Value| {
            let result = binary(state, operator, &a, &b)?;
            if result.kind() == ValueKind::Number {
                Ok(result)
            } else {
                charge(state, result)
            }
        });
    }
    environment.add_function("neg ", |value: Value| match Number::of(&value) {
        Some(Number::Float(number)) => Ok(Value::from(-number)),
        Some(number) => arithmetic("-", Number::Int(0), number),
        None => unsupported("unary -", &value, &value),
    });
    environment.add_function(">", |a: Value, b: Value| {
        order(">", &a, &b).map(|o| o == Some(Ordering::Greater))
    });
    environment.add_function("<", |a: Value, b: Value| {
        order("<", &a, &b).map(|o| o == Some(Ordering::Less))
    });
    environment.add_function(">=", |a: Value, b: Value| {
        order(">=", &a, &b).map(|o| o.is_some_and(Ordering::is_ge))
    });
    environment.add_function("<=", |a: Value, b: Value| {
        order("<=", &a, &b).map(|o| o.is_some_and(Ordering::is_le))
    });
    environment.add_function("~", |state: &mut State, a: Value, b: Value| {
        let (a, b) = (text::display(&a)?, text::display(&b)?);
        budget::charge(state, a.len() + b.len())?;
        Ok::<_, Error>(Value::from(a.into_owned() + &b))
    });
    environment.add_function("in ", |item: Value, container: Value| {
        contains(&container, &item)
    });
    environment.add_function(
        "[:]",
        |state: &mut State, value: Value, start: Value, stop: Value, step: Value| {
            let result = slice(&value, &start, &stop, &step)?;
            charge(state, result)
        },
    );
    environment.add_function(".", |value: Value, name: Value| {
        attribute(&value, name.as_str().unwrap_or_default())
    });
    environment.add_function("[]", |value: Value, key: Value| item(&value, &key));
    environment.add_function("made ", |state: &mut State, value: Value| {
        budget::charge_value(state, value)
    });
    environment.add_function("for ", |value: Value| {
        if objects::is_iterable(&value) {
            Ok(value)
        } else {
            fail(format!(
                "'{}' object is not iterable",
                objects::type_name(&value)
            ))
        }
    });
}

fn charge(state: &mut State<'_, '_>, result: Value) -> Result<Value, Error> {
    match result.as_str() {
        Some(text) => {
            budget::charge(state, text.len())?;
            Ok(result)
        }
        None => budget::charge_value(state, result),
    }
}

fn unsupported<T>(operator: &str, a: &Value, b: &Value) -> Result<T, Error> {
    if a.is_undefined() || b.is_undefined() {
        return undefined(format!("{operator} of an undefined value"));
    }
    let (a, b) = (objects::type_name(a), objects::type_name(b));
    if operator == "+" && matches!(a, "str" | "list" | "tuple") {
        return fail(format!("can only concatenate {a} (not \"{b}\") to {a}"));
    }
    fail(format!(
        "unsupported operand types for {operator}: '{a}' and '{b}'"
    ))
}

fn binary(state: &mut State<'_, '_>, operator: &str, a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return arithmetic(operator, a, b);
    }
    match operator {
        "+" => match (a.as_str(), b.as_str()) {
            (Some(x), Some(y)) => {
                budget::charge(state, x.len() + y.len())?;
                if a.is_safe() || b.is_safe() {
                    // As in Jinja2: what is added to a safe text is escaped.
                    return Ok(Value::from_safe_string(
                        text::escaped(a)?.into_owned() + &text::escaped(b)?,
                    ));
                }
                Ok(Value::from([x, y].concat()))
            }
            (None, None)
                if objects::is_list(a) && objects::is_list(b) && a.is_tuple() == b.is_tuple() =>
            {
                let mut all = objects::items(a)?;
                all.extend(objects::items(b)?);
                Ok(sequence(all, a.is_tuple()))
            }
            _ => unsupported(operator, a, b),
        },
        "*" => {
            let (many, times) = if Number::of(b).is_some() {
                (a, b)
            } else {
                (b, a)
            };
            let Some(Number::Int(times)) = Number::of(times) else {
                return unsupported(operator, a, b);
            };
            let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
            if let Some(string) = many.as_str() {
                budget::charge(state, string.len().saturating_mul(times))?;
                Ok(text::with_safety(string.repeat(times), many.is_safe()))
            } else if objects::is_list(many) {
                let items = objects::items(many)?;
                budget::charge_items(state, items.len().saturating_mul(times))?;
                let repeated = (0..times).flat_map(|_| items.iter().cloned()).collect();
                Ok(sequence(repeated, many.is_tuple()))
            } else {
                unsupported(operator, a, b)
            }
        }
        "%" if a.as_str().is_some() => {
            let arguments = if b.is_tuple() {
                objects::items(b)?
            } else {
                vec![b.clone()]
            };
            printf::printf(state, a, &arguments)
        }
        _ => unsupported(operator, a, b),
    }
}

fn sequence(items: Vec<Value>, tuple: bool) -> Value {
    if tuple {
        Value::from(Tuple::from(items))
    } else {
        Value::from(items)
    }
}

/// How two values compare: numbers, texts and sequences with their like. `None` where one is not a number.
pub(super) fn order(operator: &str, a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    if let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) {
        return Ok(match (x, y) {
            (Number::Int(x), Number::Int(y)) => Some(x.cmp(&y)),
            (x, y) => x.float().partial_cmp(&y.float()),
        });
    }
    if let (Some(x), Some(y)) = (a.as_str(), b.as_str()) {
        return Ok(Some(x.cmp(y)));
    }
    if objects::is_list(a) && objects::is_list(b) && a.is_tuple() == b.is_tuple() {
        let (x, y) = (objects::items(a)?, objects::items(b)?);
        return match x.iter().zip(&y).find(|(x, y)| x != y) {
            Some((x, y)) => order(operator, x, y),
            None => Ok(Some(x.len().cmp(&y.len()))),
        };
    }
    unsupported(operator, a, b)
}

/// `item in container`.
pub(super) fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(text) = container.as_str() {
        return match item.as_str() {
            Some(part) => Ok(text.contains(part)),
            None if item.is_undefined() => undefined("'in <str>' of an undefined value"),
            None => fail(format!(
                "'in <str>' requires a str, not {}",
                objects::type_name(item)
            )),
        };
    }
    if objects::is_dict(container) {
        return Ok(container
            .as_object()
            .is_some_and(|object| object.get_value(item).is_some()));
    }
    if !objects::is_iterable(container) {
        return fail(format!(
            "argument of type '{}' is not iterable",
            objects::type_name(container)
        ));
    }
    Ok(container.try_iter()?.any(|other| other == *item))
}

/// `value[start:stop:step]`.
fn slice(value: &Value, start: &Value, stop: &Value, step: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return undefined("a part of an undefined value");
    }
    let bound = |bound: &Value| match Number::of(bound) {
        _ if bound.is_none() => Ok(None),
        Some(Number::Int(number)) => Ok(Some(number)),
        _ => fail(format!(
            "slice indices must be integers or none, not {}",
            objects::type_name(bound)
        )),
    };
    let (start, stop, step) = (bound(start)?, bound(stop)?, bound(step)?.unwrap_or(1));
    if step == 0 {
        return fail("slice step can't be zero");
    }
    if let Some(string) = value.as_str() {
        let letters: Vec<char> = string.chars().collect();
        let picked = positions(letters.len(), start, stop, step);
        Ok(text::with_safety(
            picked.map(|index| letters[index]).collect(),
            value.is_safe(),
        ))
    } else if objects::is_list(value) {
        let items = objects::items(value)?;
        let picked = positions(items.len(), start, stop, step);
        Ok(sequence(
            picked.map(|index| items[index].clone()).collect(),
            value.is_tuple(),
        ))
    } else {
        fail(format!(
            "'{}' object has no parts to take",
            objects::type_name(value)
        ))
    }
}

/// The places that a Python slice picks.
fn positions(
    length: usize,
    start: Option<i128>,
    stop: Option<i128>,
    step: i128,
) -> impl Iterator<Item = usize> {
    let length = length as i128;
    let (low, high) = if step > 0 {
        (0, length)
    } else {
        (-1, length - 1)
    };
    let clip = |bound: i128| {
        if bound < 0 {
            (bound.saturating_add(length)).max(low)
        } else {
            bound.min(high)
        }
    };
    let start = start.map_or(if step > 0 { low } else { high }, clip);
    let stop = stop.map_or(if step > 0 { high } else { low }, clip);
    let count = if step > 0 {
        stop.saturating_sub(start)
    } else {
        start.saturating_sub(stop)
    }
    .max(0);
    let stride = step.saturating_abs();
    let count = count / stride + i128::from(count % stride != 0);
    (0..count).map(move |index| (start + index * step) as usize)
}

/// `value.name`: the attribute or method, then the item.
pub(super) fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    if value.is_undefined() {
        return undefined(format!("an undefined value has no attribute '{name}'"));
    }
    if names::exists(value, name) {
        return Ok(Value::from_object(objects::BoundMethod {
            receiver: value.clone(),
            name: name.to_owned(),
        }));
    }
    match value.as_object() {
        Some(object)
            if matches!(value.kind(), ValueKind::Map | ValueKind::Plain)
                || object.downcast_ref::<objects::Group>().is_some() =>
        {
            Ok(object
                .get_value(&Value::from(name))
                .unwrap_or(Value::UNDEFINED))
        }
        _ => Ok(Value::UNDEFINED),
    }
}

/// `value[key]`: the item, then, for a text, the attribute or method.
pub(super) fn item(value: &Value, key: &Value) -> Result<Value, Error> {
    if value.is_undefined() {
        return undefined("an item of an undefined value");
    }
    let found = if objects::is_dict(value) {
        value.as_object().and_then(|object| object.get_value(key))
    } else if let (Some(Number::Int(index)), true) = (
        Number::of(key),
        objects::is_list(value) || value.kind() == ValueKind::String,
    ) {
        let length = value.len().unwrap_or_default() as i128;
        let index = if index < 0 { index + length } else { index };
        match usize::try_from(index) {
            Ok(index) if (index as i128) < length => match value.as_str() {
                Some(text) => text.chars().nth(index).map(Value::from),
                None => value.get_item_by_index(index).ok(),
            },
            _ => None,
        }
    } else {
        None
    };
    match (found, key.as_str()) {
        (Some(found), _) => Ok(found),
        (None, Some(name)) => attribute(value, name),
        (None, None) => Ok(Value::UNDEFINED),
    }
}
