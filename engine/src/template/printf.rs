//! Formatting as with Python's `%`.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use super::error::fail;
use super::text::{display, escaped, with_safety};
use super::{budget, objects};

/// `text % arguments`.
pub(super) fn printf(
    state: &mut State<'_, '_>,
    value: &Value,
    arguments: &[Value],
) -> Result<Value, Error> {
    let text = value.as_str().unwrap_or_default();
    check_widths(text)?;
    // Texts of what isn't a number or a text are Python's, not minijinja's.
    let safe = value.is_safe();
    let shown = arguments.iter().map(|value| match value.kind() {
        ValueKind::Number | ValueKind::Undefined => Ok(value.clone()),
        ValueKind::String if safe => escaped(value).map(Value::from),
        ValueKind::String => Ok(value.clone()),
        ValueKind::Map
            if objects::is_dict(value) && arguments.len() == 1 && text.contains("%(") =>
        {
            Ok(value.clone())
        }
        _ => display(value).map(Value::from),
    });
    let shown = shown.collect::<Result<Vec<_>, Error>>()?;
    let formatted = format(FormatStyle::Printf, text, &shown)?;
    budget::charge(state, formatted.len())?;
    Ok(with_safety(formatted, value.is_safe()))
}

/// Refuses widths and precisions that would fill the memory.
pub(super) fn check_widths(format: &str) -> Result<(), Error> {
    let digits = format
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max();
    if digits.is_some_and(|digits| digits > 5) {
        fail("a width in a format is too large")
    } else {
        Ok(())
    }
}
