//! Limits on what a template may use up: steps, bytes of the values it makes, depth of nesting.

use minijinja::{Error, State, Value};

use super::error::fail;

/// Instructions of a whole rendering. A conversation of a thousand messages takes less than a hundredth of it.
pub(super) const STEPS: u64 = 50_000_000;
/// Bytes of all texts and lists that a rendering makes, output included.
const BYTES: usize = 256 << 20;
/// Bytes of a value, without what it refers to.
const ITEM: usize = 24;
/// Lists in lists, objects in objects.
pub(super) const DEPTH: usize = 200;
/// Namespaces, each of which can refer to the next and so make a chain that the depth of one value doesn't show.
const NAMESPACES: usize = 50_000;

#[derive(Default)]
struct Used {
    bytes: usize,
    namespaces: usize,
}

/// Counts bytes that were made, or are about to be.
pub(super) fn charge(state: &mut State<'_, '_>, bytes: usize) -> Result<(), Error> {
    let used = state.get_or_insert_extension_with(Used::default);
    used.bytes = used.bytes.saturating_add(bytes);
    check(used.bytes)
}

/// Counts items of a list that is about to be made, without what is in them.
pub(super) fn charge_items(state: &mut State<'_, '_>, count: usize) -> Result<(), Error> {
    charge(state, count.saturating_mul(ITEM))
}

/// Refuses what is too much for a whole rendering already, while it is made.
pub(super) fn check(bytes: usize) -> Result<(), Error> {
    if bytes > BYTES {
        return fail(format!("it makes more than {} MiB of text", BYTES >> 20));
    }
    Ok(())
}

/// Counts a namespace.
pub(super) fn charge_namespace(state: &mut State<'_, '_>) -> Result<(), Error> {
    let used = state.get_or_insert_extension_with(Used::default);
    used.namespaces += 1;
    if used.namespaces > NAMESPACES {
        return fail(format!("it makes more than {NAMESPACES} namespaces"));
    }
    Ok(())
}

/// Counts what a filter or method made.
pub(super) fn charge_result(state: &mut State<'_, '_>, result: Value) -> Result<Value, Error> {
    match result.as_str() {
        Some(text) => charge(state, text.len())?,
        None if result.as_object().is_some() => return charge_value(state, result),
        None => {}
    }
    Ok(result)
}

/// Counts what a value takes, and refuses one that is nested too deeply.
pub(super) fn charge_value(state: &mut State<'_, '_>, value: Value) -> Result<Value, Error> {
    let size = measure(&value, 0)?;
    charge(state, size)?;
    Ok(value)
}

/// About the size of a value in bytes, without the texts, which were counted when they were made.
fn measure(value: &Value, depth: usize) -> Result<usize, Error> {
    if depth > DEPTH {
        return fail(format!("values are nested more than {DEPTH} deep"));
    }
    let mut size = ITEM;
    let Some(object) = value.as_object() else {
        return Ok(size);
    };
    if !super::objects::is_container(object) {
        return Ok(size);
    }
    match super::objects::pairs(value) {
        Some(pairs) => {
            for (key, value) in pairs {
                size += measure(&key, depth + 1)? + measure(&value, depth + 1)?;
            }
        }
        None => {
            for item in value.try_iter()? {
                size += measure(&item, depth + 1)?;
            }
        }
    }
    Ok(size)
}
