//! The metadata of a file: ordered entries, found by key, with typed access whose errors say which key is missing or
//! holds what instead.
//!
//! Every accessor comes in three forms: `u32(key)` (must be there), `opt_u32(key)` (may be missing, but then has the
//! right type) and `u32_or(key, default)`. Integers are taken from any integer width that holds the value.

use std::borrow::Cow;

use crate::error::{KeyError, Kind};
use crate::index::Index;
use crate::value::{Array, Strings, Value};

/// The key/value pairs of a GGUF file, in file order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    index: Index,
    /// Keys of texts that are not UTF-8 in the file.
    repaired: Vec<String>,
}

impl Metadata {
    /// Takes entries with distinct keys; fails with a key that comes twice and where.
    pub(crate) fn new(
        entries: Vec<(String, Value)>,
        repaired: Vec<String>,
    ) -> Result<Metadata, (String, usize, usize)> {
        match Index::new(entries.len(), |i| entries[i].0.as_str()) {
            Ok(index) => Ok(Metadata {
                entries,
                index,
                repaired,
            }),
            Err((first, second)) => Err((entries[second].0.clone(), first, second)),
        }
    }

    /// All entries in file order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let at = self.index.find(key, |i| self.entries[i].0.as_str())?;
        Some(&self.entries[at].1)
    }

    /// A text that is only shown: what is not UTF-8 in it are replacement characters, where [`Metadata::string`] refuses it.
    pub fn shown(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The keys whose texts are not UTF-8 in the file.
    pub fn not_utf8(&self) -> &[String] {
        &self.repaired
    }

    fn check_utf8(&self, key: &str) -> Result<(), KeyError> {
        match self.repaired.iter().any(|repaired| repaired == key) {
            true => Err(KeyError::NotUtf8 {
                key: key.to_owned(),
            }),
            false => Ok(()),
        }
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// `general.architecture`: the name of the model's architecture.
    pub fn architecture(&self) -> Result<&str, KeyError> {
        self.string("general.architecture")
    }

    fn integer<T: TryFrom<i128>>(
        &self,
        key: &str,
        expected: &'static str,
    ) -> Result<Option<T>, KeyError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let Some(integer) = value.as_integer() else {
            return Err(wrong_type(key, value, expected));
        };
        match T::try_from(integer) {
            Ok(integer) => Ok(Some(integer)),
            Err(_) => Err(KeyError::Range {
                key: key.to_owned(),
                found: integer.to_string(),
                expected,
            }),
        }
    }

    /// A string, if the key is there.
    pub fn opt_string(&self, key: &str) -> Result<Option<&str>, KeyError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => self.check_utf8(key).map(|()| Some(text.as_str())),
            Some(other) => Err(wrong_type(key, other, "a string")),
        }
    }

    /// An array of strings, if the key is there.
    pub fn opt_strings(&self, key: &str) -> Result<Option<&Strings>, KeyError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(Array::String(strings))) => {
                self.check_utf8(key).map(|()| Some(strings))
            }
            Some(other) => Err(wrong_type(key, other, "an array of string")),
        }
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&Strings, KeyError> {
        self.opt_strings(key)?.ok_or_else(|| missing(key))
    }

    /// An array, if the key is there.
    pub fn opt_array(&self, key: &str) -> Result<Option<&Array>, KeyError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(array)) => Ok(Some(array)),
            Some(other) => Err(wrong_type(key, other, "an array")),
        }
    }

    /// A value for each of `count` layers: an array of as many integers (or bools, as 0 and 1), or one integer that
    /// holds for all, as in `*.attention.head_count_kv`.
    pub fn opt_u32_per_layer(&self, key: &str, count: usize) -> Result<Option<Vec<u32>>, KeyError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Array(_)) => {
                let values = match self.get(key) {
                    Some(Value::Array(Array::Bool(flags))) => {
                        flags.iter().map(|&b| b.into()).collect()
                    }
                    _ => self.u32s(key)?.into_owned(),
                };
                // Some writers leave more entries than layers (next-token-prediction layers), never fewer.
                if values.len() < count {
                    return Err(KeyError::Length {
                        key: key.to_owned(),
                        found: values.len(),
                        expected: count,
                    });
                }
                Ok(Some(values[..count].to_vec()))
            }
            Some(_) => Ok(Some(vec![self.u32(key)?; count])),
        }
    }
}

macro_rules! scalars {
    ($($type:ty, $article:literal, $get:ident, $opt:ident, $or:ident, |$self:ident, $key:ident| $read:expr;)*) => {
        impl Metadata {
            $(
                #[doc = concat!("The key's ", $article, ", if the key is there.")]
                pub fn $opt(&self, key: &str) -> Result<Option<$type>, KeyError> {
                    let ($self, $key) = (self, key);
                    $read
                }

                #[doc = concat!("The key's ", $article, ".")]
                pub fn $get(&self, key: &str) -> Result<$type, KeyError> {
                    self.$opt(key)?.ok_or_else(|| missing(key))
                }

                #[doc = concat!("The key's ", $article, ", or `default` where the key is missing.")]
                pub fn $or(&self, key: &str, default: $type) -> Result<$type, KeyError> {
                    Ok(self.$opt(key)?.unwrap_or(default))
                }
            )*
        }
    };
}

scalars! {
    u32, "integer as u32", u32, opt_u32, u32_or, |m, key| m.integer(key, "an integer (u32)");
    i32, "integer as i32", i32, opt_i32, i32_or, |m, key| m.integer(key, "an integer (i32)");
    u64, "integer as u64", u64, opt_u64, u64_or, |m, key| m.integer(key, "an integer (u64)");
    i64, "integer as i64", i64, opt_i64, i64_or, |m, key| m.integer(key, "an integer (i64)");
    usize, "integer as usize", usize, opt_usize, usize_or, |m, key| m.integer(key, "an integer (usize)");
    f32, "float (of either width) as f32", f32, opt_f32, f32_or, |m, key| Ok(m.opt_f64(key)?.map(|v| v as f32));
    f64, "float (of either width) as f64", f64, opt_f64, f64_or, |m, key| m
        .get(key)
        .map(|value| value.as_float().ok_or_else(|| wrong_type(key, value, "a float")))
        .transpose();
    bool, "bool", bool, opt_bool, bool_or, |m, key| match m.get(key) {
        None => Ok(None),
        Some(Value::Bool(v)) => Ok(Some(*v)),
        Some(other) => Err(wrong_type(key, other, "a bool")),
    };
}

impl Metadata {
    /// A string.
    pub fn string(&self, key: &str) -> Result<&str, KeyError> {
        self.opt_string(key)?.ok_or_else(|| missing(key))
    }

    /// A string, or `default` where the key is missing.
    pub fn string_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, KeyError> {
        Ok(self.opt_string(key)?.unwrap_or(default))
    }
}

/// Integers of any width, each checked to fit.
fn integers<T: TryFrom<i128> + Copy>(
    key: &str,
    array: &Array,
    expected: &'static str,
) -> Result<Vec<T>, KeyError> {
    fn convert<S: Into<i128> + Copy, T: TryFrom<i128>>(
        key: &str,
        from: &[S],
        expected: &'static str,
    ) -> Result<Vec<T>, KeyError> {
        from.iter()
            .map(|&v| {
                let integer: i128 = v.into();
                T::try_from(integer).map_err(|_| KeyError::Range {
                    key: key.to_owned(),
                    found: integer.to_string(),
                    expected,
                })
            })
            .collect()
    }
    match array {
        Array::U8(v) => convert(key, v, expected),
        Array::I8(v) => convert(key, v, expected),
        Array::U16(v) => convert(key, v, expected),
        Array::I16(v) => convert(key, v, expected),
        Array::U32(v) => convert(key, v, expected),
        Array::I32(v) => convert(key, v, expected),
        Array::U64(v) => convert(key, v, expected),
        Array::I64(v) => convert(key, v, expected),
        // An empty array has nothing of a wrong type.
        other if other.is_empty() => Ok(Vec::new()),
        other => Err(KeyError::Type {
            key: key.to_owned(),
            expected,
            found: Kind::Array(other.element_type()),
        }),
    }
}

macro_rules! arrays {
    ($($type:ty, $doc:literal, $get:ident, $opt:ident, $same:ident, |$key:ident, $array:ident| $read:expr;)*) => {
        impl Metadata {
            $(
                #[doc = concat!($doc, ", if the key is there.")]
                pub fn $opt(&self, key: &str) -> Result<Option<Cow<'_, [$type]>>, KeyError> {
                    Ok(match self.opt_array(key)? {
                        None => None,
                        Some(Array::$same(values)) => Some(Cow::Borrowed(values)),
                        Some($array) => {
                            let $key = key;
                            Some(Cow::Owned($read?))
                        }
                    })
                }

                #[doc = concat!($doc, ".")]
                pub fn $get(&self, key: &str) -> Result<Cow<'_, [$type]>, KeyError> {
                    self.$opt(key)?.ok_or_else(|| missing(key))
                }
            )*
        }
    };
}

arrays! {
    u32, "An array of integers as u32", u32s, opt_u32s, U32, |key, array| integers(key, array, "an array of u32");
    i32, "An array of integers as i32", i32s, opt_i32s, I32, |key, array| integers(key, array, "an array of i32");
    u8, "An array of bytes (signed ones by their bits)", u8s, opt_u8s, U8, |key, array| match array {
        Array::I8(values) => Ok(values.iter().map(|&v| v as u8).collect()),
        other if other.is_empty() => Ok(Vec::new()),
        other => Err(KeyError::Type {
            key: key.to_owned(),
            expected: "an array of bytes",
            found: Kind::Array(other.element_type()),
        }),
    };
    f32, "An array of floats (of either width) as f32", f32s, opt_f32s, F32, |key, array| match array {
        Array::F64(values) => Ok(values.iter().map(|&v| v as f32).collect()),
        other if other.is_empty() => Ok(Vec::new()),
        other => Err(KeyError::Type {
            key: key.to_owned(),
            expected: "an array of f32",
            found: Kind::Array(other.element_type()),
        }),
    };
    bool, "An array of bools", bools, opt_bools, Bool, |key, array| match array {
        other if other.is_empty() => Ok(Vec::new()),
        other => Err(KeyError::Type {
            key: key.to_owned(),
            expected: "an array of bool",
            found: Kind::Array(other.element_type()),
        }),
    };
}

fn missing(key: &str) -> KeyError {
    KeyError::Missing {
        key: key.to_owned(),
    }
}

fn wrong_type(key: &str, found: &Value, expected: &'static str) -> KeyError {
    KeyError::Type {
        key: key.to_owned(),
        expected,
        found: found.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Metadata {
        let entries: Vec<(&str, Value)> = vec![
            ("name", "a".into()),
            ("small", 7u8.into()),
            ("negative", (-1i32).into()),
            ("large", u64::MAX.into()),
            ("float", 0.5f64.into()),
            ("layers", vec![1i32, 2, 3].into()),
            ("flags", vec![true, false].into()),
        ];
        Metadata::new(
            entries
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect(),
            Vec::new(),
        )
        .unwrap()
    }

    #[test]
    fn integers_of_any_width_that_fit() {
        let m = sample();
        assert_eq!(m.u32("small"), Ok(7));
        assert_eq!(m.u64("large"), Ok(u64::MAX));
        assert_eq!(m.u32_or("absent", 3), Ok(3));
        assert_eq!(m.opt_i32("negative"), Ok(Some(-1)));
        assert_eq!(m.f32("float"), Ok(0.5));
    }

    #[test]
    fn errors_name_the_key_and_what_it_is() {
        let m = sample();
        let say = |e: KeyError| e.to_string();
        assert_eq!(say(m.u32("absent").unwrap_err()), "key `absent` is missing");
        assert_eq!(
            say(m.u32("name").unwrap_err()),
            "key `name` is a string, expected an integer (u32)"
        );
        assert_eq!(
            say(m.u32("negative").unwrap_err()),
            "key `negative` is -1, out of the range of an integer (u32)"
        );
        assert_eq!(
            say(m.strings("layers").unwrap_err()),
            "key `layers` is an array of i32, expected an array of string"
        );
        assert_eq!(
            say(m.bool("small").unwrap_err()),
            "key `small` is a u8, expected a bool"
        );
    }

    #[test]
    fn one_value_or_one_per_layer() {
        let m = sample();
        assert_eq!(m.opt_u32_per_layer("small", 2), Ok(Some(vec![7, 7])));
        assert_eq!(m.opt_u32_per_layer("layers", 2), Ok(Some(vec![1, 2])));
        assert_eq!(m.opt_u32_per_layer("flags", 2), Ok(Some(vec![1, 0])));
        assert_eq!(m.opt_u32_per_layer("absent", 2), Ok(None));
        assert!(m.opt_u32_per_layer("layers", 4).is_err());
    }

    #[test]
    fn arrays_convert_where_they_must() {
        let m = sample();
        assert!(matches!(m.i32s("layers"), Ok(Cow::Borrowed([1, 2, 3]))));
        assert!(matches!(m.u32s("layers"), Ok(Cow::Owned(_))));
        assert!(m.f32s("layers").is_err());
    }
}
