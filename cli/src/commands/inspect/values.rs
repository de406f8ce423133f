//! Metadata values as JSON and as short text for a terminal.

use crate::render;
use gristmill_gguf::{Array, Value};
use serde_json::{Value as Json, json};

/// Elements of an array that a terminal shows.
const SHOWN: usize = 6;
/// Characters of a value that a terminal shows.
const LONGEST: usize = 160;

/// A value whole. Numbers that JSON does not have (infinities, NaN) become null.
pub fn as_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::String(value) => json!(value),
        Value::F32(value) => float(*value),
        Value::F64(value) => json!(value),
        Value::U64(value) => json!(value),
        Value::Array(array) => Json::Array(elements(array, usize::MAX)),
        other => json!(
            other
                .as_integer()
                .and_then(|value| i64::try_from(value).ok())
        ),
    }
}

/// A value in one line; long arrays and strings are cut.
pub fn short(value: &Value) -> String {
    let Value::Array(array) = value else {
        return short_json(&as_json(value));
    };
    let shown: Vec<String> = elements(array, SHOWN).iter().map(short_json).collect();
    let rest = if array.len() > SHOWN { ", …" } else { "" };
    format!(
        "{} × {}: [{}{rest}]",
        render::count(array.len() as u64),
        array.element_type().name(),
        shown.join(", ")
    )
}

fn short_json(value: &Json) -> String {
    render::shorten(&render::safe(&value.to_string()), LONGEST)
}

/// A 32-bit float with the digits that a person would write, not those of the nearest 64-bit one.
fn float(value: f32) -> Json {
    value
        .to_string()
        .parse::<f64>()
        .map_or(Json::Null, |value| json!(value))
}

fn elements(array: &Array, most: usize) -> Vec<Json> {
    macro_rules! plain {
        ($values:expr) => {
            $values
                .iter()
                .take(most)
                .map(|value| json!(value))
                .collect()
        };
    }
    match array {
        Array::U8(values) => plain!(values),
        Array::I8(values) => plain!(values),
        Array::U16(values) => plain!(values),
        Array::I16(values) => plain!(values),
        Array::U32(values) => plain!(values),
        Array::I32(values) => plain!(values),
        Array::U64(values) => plain!(values),
        Array::I64(values) => plain!(values),
        Array::F64(values) => plain!(values),
        Array::Bool(values) => plain!(values),
        Array::String(values) => plain!(values),
        Array::F32(values) => values
            .iter()
            .take(most)
            .map(|value| float(*value))
            .collect(),
        Array::Array(arrays) => arrays
            .iter()
            .take(most)
            .map(|array| Json::Array(elements(array, most)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown() {
        assert_eq!(short(&Value::F32(1e-5)), "0.00001");
        assert_eq!(short(&Value::String("a\n\"b\"".into())), r#""a\n\"b\"""#);
        assert_eq!(
            short(&Value::Array(Array::U32((0..9).collect()))),
            "9 × u32: [0, 1, 2, 3, 4, 5, …]"
        );
        assert_eq!(as_json(&Value::F32(f32::INFINITY)), Json::Null);
        assert_eq!(as_json(&Value::I8(-3)), json!(-3));
        let nested = Array::Array(vec![
            Array::F32(vec![0.1]),
            Array::String(["x"].iter().collect()),
        ]);
        assert_eq!(as_json(&Value::Array(nested)), json!([[0.1], ["x"]]));
    }
}
