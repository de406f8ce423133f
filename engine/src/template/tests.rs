//! Jinja's tests (`x is string`), with the answers that Python's types give.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, State, Value};

use super::arguments::Arguments;
use super::number::Number;
use super::{objects, operators};

type Test = fn(&Value, &Arguments) -> Result<bool, Error>;

pub(super) fn register(environment: &mut Environment<'static>) {
    for (name, test) in TESTS {
        let (name, test) = (*name, *test);
        environment.add_test(
            name,
            move |_: &State, value: Value, rest: Rest<Value>, named: Kwargs| {
                test(&value, &Arguments::with_keywords(&rest, &named)?)
            },
        );
    }
}

static TESTS: &[(&str, Test)] = &[
    ("string", |value, _| Ok(value.kind() == ValueKind::String)),
    ("mapping", |value, _| Ok(objects::is_dict(value))),
    ("iterable", |value, _| Ok(objects::is_iterable(value))),
    ("sequence", |value, _| {
        Ok(
            matches!(value.kind(), ValueKind::String | ValueKind::Undefined)
                || objects::is_dict(value)
                || objects::is_list(value),
        )
    }),
    ("boolean", |value, _| Ok(value.kind() == ValueKind::Bool)),
    ("number", |value, _| Ok(Number::of(value).is_some())),
    ("integer", |value, _| {
        Ok(value.is_integer() && value.kind() == ValueKind::Number)
    }),
    ("float", |value, _| {
        Ok(value.kind() == ValueKind::Number && !value.is_integer())
    }),
    ("true", |value, _| {
        Ok(value.kind() == ValueKind::Bool && value.is_true())
    }),
    ("false", |value, _| {
        Ok(value.kind() == ValueKind::Bool && !value.is_true())
    }),
    ("callable", |value, _| Ok(callable(value))),
    ("in", |value, arguments| {
        operators::contains(&arguments.one("seq")?, value)
    }),
    ("lower", |value, _| {
        Ok(cased(value, char::is_lowercase, char::is_uppercase))
    }),
    ("upper", |value, _| {
        Ok(cased(value, char::is_uppercase, char::is_lowercase))
    }),
    ("lt", |value, arguments| {
        compare("<", value, arguments).map(|order| order == Some(std::cmp::Ordering::Less))
    }),
    ("lessthan", |value, arguments| {
        compare("<", value, arguments).map(|order| order == Some(std::cmp::Ordering::Less))
    }),
    ("gt", |value, arguments| {
        compare(">", value, arguments).map(|order| order == Some(std::cmp::Ordering::Greater))
    }),
    ("greaterthan", |value, arguments| {
        compare(">", value, arguments).map(|order| order == Some(std::cmp::Ordering::Greater))
    }),
    ("le", |value, arguments| {
        compare("<=", value, arguments).map(|order| order.is_some_and(std::cmp::Ordering::is_le))
    }),
    ("ge", |value, arguments| {
        compare(">=", value, arguments).map(|order| order.is_some_and(std::cmp::Ordering::is_ge))
    }),
];

fn compare(
    operator: &str,
    value: &Value,
    arguments: &Arguments,
) -> Result<Option<std::cmp::Ordering>, Error> {
    operators::order(operator, value, &arguments.one("other")?)
}

fn callable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Plain => true,
        _ => objects::type_name(value) == "Macro",
    }
}

/// Some letter has the case, and none the other.
fn cased(value: &Value, case: fn(char) -> bool, other: fn(char) -> bool) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.chars().any(case) && !text.chars().any(other))
}
