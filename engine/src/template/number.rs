//! Numbers as Python has them: integers (here of 128 bits), floats, and booleans that count as 0 and 1.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::error::fail;

/// A number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// The value as a number, if it is one.
    pub(super) fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Int(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Number::Int)
            }
            ValueKind::Number => f64::try_from(value.clone()).ok().map(Number::Float),
            _ => None,
        }
    }

    pub(super) fn float(self) -> f64 {
        match self {
            Number::Int(value) => value as f64,
            Number::Float(value) => value,
        }
    }

    pub(super) fn value(self) -> Value {
        match self {
            Number::Int(value) => {
                i64::try_from(value).map_or_else(|_| Value::from(value), Value::from)
            }
            Number::Float(value) => Value::from(value),
        }
    }
}

/// Arithmetic of two numbers; division rounds down, and the remainder has the divisor's sign.
pub(super) fn arithmetic(operator: &str, a: Number, b: Number) -> Result<Value, Error> {
    use Number::{Float, Int};
    let zero = match b {
        Int(b) => b == 0,
        Float(b) => b == 0.0,
    };
    if zero && matches!(operator, "/" | "//" | "%") {
        return fail("division by zero");
    }
    let result = match (operator, a, b) {
        ("+", Int(a), Int(b)) => a.checked_add(b).map(Int),
        ("-", Int(a), Int(b)) => a.checked_sub(b).map(Int),
        ("*", Int(a), Int(b)) => a.checked_mul(b).map(Int),
        ("//", Int(a), Int(b)) => a.checked_div_euclid(b).map(|_| Int(floor_divide(a, b))),
        ("%", Int(a), Int(b)) => a.checked_rem(b).map(|rest| {
            Int(if rest != 0 && (rest < 0) != (b < 0) {
                rest + b
            } else {
                rest
            })
        }),
        ("**", Int(a), Int(b)) if b >= 0 => u32::try_from(b)
            .ok()
            .and_then(|b| a.checked_pow(b))
            .map(Int),
        ("**", a, b) if a.float() == 0.0 && b.float() < 0.0 => {
            return fail("0 can't be raised to a negative power");
        }
        ("**", a, b) => Some(Float(a.float().powf(b.float()))),
        ("/", a, b) => Some(Float(a.float() / b.float())),
        ("+", a, b) => Some(Float(a.float() + b.float())),
        ("-", a, b) => Some(Float(a.float() - b.float())),
        ("*", a, b) => Some(Float(a.float() * b.float())),
        ("//", a, b) => Some(Float((a.float() / b.float()).floor())),
        ("%", a, b) => {
            let rest = a.float() % b.float();
            Some(Float(if rest != 0.0 && (rest < 0.0) != (b.float() < 0.0) {
                rest + b.float()
            } else {
                rest
            }))
        }
        _ => None,
    };
    match result {
        Some(number) => Ok(number.value()),
        None => fail(format!("the result of {operator} is too large")),
    }
}

fn floor_divide(a: i128, b: i128) -> i128 {
    let quotient = a / b;
    if a % b != 0 && ((a < 0) != (b < 0)) {
        quotient - 1
    } else {
        quotient
    }
}
