//! Sorting of values, as filters do it.

use std::cmp::Ordering;

use minijinja::{Error, Value};

use super::operators;

/// Texts compare without regard to case unless that is asked for.
pub(super) fn sort_key(value: &Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value.clone(),
    }
}

/// Sorts by keys, equal ones in the order they had; an error where two can't be compared. A merge sort of our own: the
/// standard one may panic where comparisons contradict each other, as those with what is no number do.
pub(super) fn sort_by_keys<T>(
    mut items: Vec<(Value, T)>,
    reverse: bool,
) -> Result<Vec<(Value, T)>, Error> {
    if items.len() < 2 {
        return Ok(items);
    }
    let second = items.split_off(items.len() / 2);
    let mut first = sort_by_keys(items, reverse)?.into_iter().peekable();
    let mut second = sort_by_keys(second, reverse)?.into_iter().peekable();
    let before = if reverse {
        Ordering::Greater
    } else {
        Ordering::Less
    };
    let mut sorted = Vec::with_capacity(first.len() + second.len());
    while let (Some((a, _)), Some((b, _))) = (first.peek(), second.peek()) {
        let takes_second = operators::order("<", b, a)? == Some(before);
        sorted.extend(if takes_second {
            second.next()
        } else {
            first.next()
        });
    }
    sorted.extend(first.chain(second));
    Ok(sorted)
}
