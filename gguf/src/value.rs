//! Metadata values: what each of GGUF's thirteen value types becomes in memory.
//!
//! Arrays are stored typed and packed: a vocabulary of 260,000 strings is one block of text and one list of ends.

use std::fmt;

use crate::cursor::{Cursor, Fault};
use crate::error::{ErrorKind, Kind};

/// Arrays inside arrays inside …: deeper ones are refused.
pub(crate) const MOST_DEPTH: usize = 8;

/// The type of a metadata value, with its id in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum ValueType {
    /// 8-bit unsigned integer.
    U8 = 0,
    /// 8-bit signed integer.
    I8 = 1,
    /// 16-bit unsigned integer.
    U16 = 2,
    /// 16-bit signed integer.
    I16 = 3,
    /// 32-bit unsigned integer.
    U32 = 4,
    /// 32-bit signed integer.
    I32 = 5,
    /// 32-bit float.
    F32 = 6,
    /// One byte, 0 or 1.
    Bool = 7,
    /// UTF-8 text.
    String = 8,
    /// A list of values of one type.
    Array = 9,
    /// 64-bit unsigned integer.
    U64 = 10,
    /// 64-bit signed integer.
    I64 = 11,
    /// 64-bit float.
    F64 = 12,
}

impl ValueType {
    /// All of them, by id.
    pub const ALL: [ValueType; 13] = [
        ValueType::U8,
        ValueType::I8,
        ValueType::U16,
        ValueType::I16,
        ValueType::U32,
        ValueType::I32,
        ValueType::F32,
        ValueType::Bool,
        ValueType::String,
        ValueType::Array,
        ValueType::U64,
        ValueType::I64,
        ValueType::F64,
    ];

    /// The number that stands for the type in a file.
    pub fn id(self) -> u32 {
        self as u32
    }

    /// The type's name as the format's text has it, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            ValueType::U8 => "u8",
            ValueType::I8 => "i8",
            ValueType::U16 => "u16",
            ValueType::I16 => "i16",
            ValueType::U32 => "u32",
            ValueType::I32 => "i32",
            ValueType::F32 => "f32",
            ValueType::Bool => "bool",
            ValueType::String => "string",
            ValueType::Array => "array",
            ValueType::U64 => "u64",
            ValueType::I64 => "i64",
            ValueType::F64 => "f64",
        }
    }

    fn read(cursor: &mut Cursor<'_>, what: &'static str) -> Result<ValueType, Fault> {
        let offset = cursor.position();
        let found = cursor.u32(what)?;
        Self::ALL.get(found as usize).copied().ok_or(Fault {
            offset,
            kind: ErrorKind::ValueType { what, found },
        })
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each is the value type of its name")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of values of one type, packed.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each is an array of the value type of its name"
)]
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Strings),
    Array(Vec<Array>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

/// Many strings in one block of text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Strings {
    text: String,
    /// Where each string ends in `text`; it starts where the one before ends.
    ends: Vec<u32>,
}

impl Strings {
    /// How many strings there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at this position.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1] as usize,
        };
        Some(&self.text[start..end])
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> + Clone {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let string = &self.text[start..end as usize];
            start = end as usize;
            string
        })
    }

    /// All text, without borders.
    pub fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends a string; false (and nothing appended) if the text would go over 4 GiB.
    #[must_use]
    fn push(&mut self, string: &str) -> bool {
        match u32::try_from(self.text.len() + string.len()) {
            Ok(end) => {
                self.text.push_str(string);
                self.ends.push(end);
                true
            }
            Err(_) => false,
        }
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Strings, Fault> {
        let count = cursor.count("array length", cursor.size_bytes())?;
        let mut strings = Strings {
            text: String::new(),
            ends: Vec::with_capacity(count),
        };
        for _ in 0..count {
            let string = cursor.text("string in an array")?;
            if !strings.push(&string) {
                return Err(cursor.fault(ErrorKind::TextTooLarge {
                    most: u32::MAX.into(),
                }));
            }
        }
        strings.text.shrink_to_fit();
        Ok(strings)
    }
}

impl fmt::Debug for Strings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Strings {
    /// Collects strings.
    ///
    /// # Panics
    /// If they are more than 4 GiB of text.
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Strings {
        let mut all = Strings::default();
        for string in strings {
            assert!(all.push(string.as_ref()), "over 4 GiB of text");
        }
        all
    }
}

fn read_bool(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    let offset = cursor.position();
    match cursor.u8("value")? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(Fault {
            offset,
            kind: ErrorKind::Bool { found },
        }),
    }
}

impl Value {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Value, Fault> {
        Ok(match ValueType::read(cursor, "value type")? {
            ValueType::U8 => Value::U8(cursor.u8("value")?),
            ValueType::I8 => Value::I8(cursor.u8("value")? as i8),
            ValueType::U16 => Value::U16(cursor.u16("value")?),
            ValueType::I16 => Value::I16(cursor.i16("value")?),
            ValueType::U32 => Value::U32(cursor.u32("value")?),
            ValueType::I32 => Value::I32(cursor.i32("value")?),
            ValueType::F32 => Value::F32(cursor.f32("value")?),
            ValueType::Bool => Value::Bool(read_bool(cursor)?),
            ValueType::String => Value::String(cursor.text("string")?.into_owned()),
            ValueType::Array => Value::Array(Array::read(cursor, 1)?),
            ValueType::U64 => Value::U64(cursor.u64("value")?),
            ValueType::I64 => Value::I64(cursor.i64("value")?),
            ValueType::F64 => Value::F64(cursor.f64("value")?),
        })
    }

    /// The value's type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::U8(_) => ValueType::U8,
            Value::I8(_) => ValueType::I8,
            Value::U16(_) => ValueType::U16,
            Value::I16(_) => ValueType::I16,
            Value::U32(_) => ValueType::U32,
            Value::I32(_) => ValueType::I32,
            Value::F32(_) => ValueType::F32,
            Value::Bool(_) => ValueType::Bool,
            Value::String(_) => ValueType::String,
            Value::Array(_) => ValueType::Array,
            Value::U64(_) => ValueType::U64,
            Value::I64(_) => ValueType::I64,
            Value::F64(_) => ValueType::F64,
        }
    }

    /// The value's type in words, arrays with their elements'.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Array(array) => Kind::Array(array.element_type()),
            other => Kind::Scalar(other.value_type()),
        }
    }

    /// The value of an integer of any width.
    pub fn as_integer(&self) -> Option<i128> {
        Some(match *self {
            Value::U8(v) => v.into(),
            Value::I8(v) => v.into(),
            Value::U16(v) => v.into(),
            Value::I16(v) => v.into(),
            Value::U32(v) => v.into(),
            Value::I32(v) => v.into(),
            Value::U64(v) => v.into(),
            Value::I64(v) => v.into(),
            _ => return None,
        })
    }

    /// The value of a float of either width.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(v) => Some(v),
            _ => None,
        }
    }

    /// The elements of an array.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(v) => Some(v),
            _ => None,
        }
    }
}

impl Array {
    fn read(cursor: &mut Cursor<'_>, depth: usize) -> Result<Array, Fault> {
        if depth > MOST_DEPTH {
            return Err(cursor.fault(ErrorKind::Depth { most: MOST_DEPTH }));
        }
        Ok(match ValueType::read(cursor, "element type")? {
            ValueType::U8 => {
                let count = cursor.count("array length", 1)?;
                Array::U8(cursor.take(count, "array")?.to_vec())
            }
            ValueType::I8 => {
                let count = cursor.count("array length", 1)?;
                Array::I8(
                    cursor
                        .take(count, "array")?
                        .iter()
                        .map(|&b| b as i8)
                        .collect(),
                )
            }
            ValueType::U16 => Array::U16(cursor.u16s()?),
            ValueType::I16 => Array::I16(cursor.i16s()?),
            ValueType::U32 => Array::U32(cursor.u32s()?),
            ValueType::I32 => Array::I32(cursor.i32s()?),
            ValueType::F32 => Array::F32(cursor.f32s()?),
            ValueType::Bool => {
                let count = cursor.count("array length", 1)?;
                Array::Bool(
                    (0..count)
                        .map(|_| read_bool(cursor))
                        .collect::<Result<_, _>>()?,
                )
            }
            ValueType::String => Array::String(Strings::read(cursor)?),
            ValueType::Array => {
                let count = cursor.count("array length", 4 + cursor.size_bytes())?;
                // Grows as elements come, since one takes several times its bytes in the file.
                let mut arrays = Vec::new();
                for _ in 0..count {
                    arrays.push(Array::read(cursor, depth + 1)?);
                }
                Array::Array(arrays)
            }
            ValueType::U64 => Array::U64(cursor.u64s()?),
            ValueType::I64 => Array::I64(cursor.i64s()?),
            ValueType::F64 => Array::F64(cursor.f64s()?),
        })
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ValueType {
        match self {
            Array::U8(_) => ValueType::U8,
            Array::I8(_) => ValueType::I8,
            Array::U16(_) => ValueType::U16,
            Array::I16(_) => ValueType::I16,
            Array::U32(_) => ValueType::U32,
            Array::I32(_) => ValueType::I32,
            Array::F32(_) => ValueType::F32,
            Array::Bool(_) => ValueType::Bool,
            Array::String(_) => ValueType::String,
            Array::Array(_) => ValueType::Array,
            Array::U64(_) => ValueType::U64,
            Array::I64(_) => ValueType::I64,
            Array::F64(_) => ValueType::F64,
        }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            Array::U8(v) => v.len(),
            Array::I8(v) => v.len(),
            Array::U16(v) => v.len(),
            Array::I16(v) => v.len(),
            Array::U32(v) => v.len(),
            Array::I32(v) => v.len(),
            Array::F32(v) => v.len(),
            Array::Bool(v) => v.len(),
            Array::String(v) => v.len(),
            Array::Array(v) => v.len(),
            Array::U64(v) => v.len(),
            Array::I64(v) => v.len(),
            Array::F64(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at this position as a value of its own.
    pub fn get(&self, index: usize) -> Option<Value> {
        Some(match self {
            Array::U8(v) => Value::U8(*v.get(index)?),
            Array::I8(v) => Value::I8(*v.get(index)?),
            Array::U16(v) => Value::U16(*v.get(index)?),
            Array::I16(v) => Value::I16(*v.get(index)?),
            Array::U32(v) => Value::U32(*v.get(index)?),
            Array::I32(v) => Value::I32(*v.get(index)?),
            Array::F32(v) => Value::F32(*v.get(index)?),
            Array::Bool(v) => Value::Bool(*v.get(index)?),
            Array::String(v) => Value::String(v.get(index)?.to_owned()),
            Array::Array(v) => Value::Array(v.get(index)?.clone()),
            Array::U64(v) => Value::U64(*v.get(index)?),
            Array::I64(v) => Value::I64(*v.get(index)?),
            Array::F64(v) => Value::F64(*v.get(index)?),
        })
    }
}

macro_rules! conversions {
    ($($type:ty => $variant:ident),*) => {
        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Value {
                    Value::$variant(value)
                }
            }

            impl From<Vec<$type>> for Value {
                fn from(values: Vec<$type>) -> Value {
                    Value::Array(Array::$variant(values))
                }
            }
        )*
    };
}

conversions!(
    u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64,
    f32 => F32, f64 => F64, bool => Bool
);

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::String(value)
    }
}

impl From<Strings> for Value {
    fn from(value: Strings) -> Value {
        Value::Array(Array::String(value))
    }
}

impl From<Array> for Value {
    fn from(value: Array) -> Value {
        Value::Array(value)
    }
}

/// Values as a person reads them: text quoted, long arrays cut short.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::U8(v) => write!(f, "{v}"),
            Value::I8(v) => write!(f, "{v}"),
            Value::U16(v) => write!(f, "{v}"),
            Value::I16(v) => write!(f, "{v}"),
            Value::U32(v) => write!(f, "{v}"),
            Value::I32(v) => write!(f, "{v}"),
            Value::F32(v) => write!(f, "{v}"),
            Value::Bool(v) => write!(f, "{v}"),
            Value::String(v) => write!(f, "{v:?}"),
            Value::U64(v) => write!(f, "{v}"),
            Value::I64(v) => write!(f, "{v}"),
            Value::F64(v) => write!(f, "{v}"),
            Value::Array(array) => {
                const SHOWN: usize = 8;
                f.write_str("[")?;
                for i in 0..array.len().min(SHOWN) {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    if let Some(value) = array.get(i) {
                        write!(f, "{value}")?;
                    }
                }
                if array.len() > SHOWN {
                    write!(f, ", … {} in all", array.len())?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order() {
        let strings: Strings = ["a", "", "ßé", "z"].into_iter().collect();
        assert_eq!(strings.len(), 4);
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "ßé", "z"]);
        assert_eq!(strings.get(1), Some(""));
        assert_eq!(strings.get(2), Some("ßé"));
        assert_eq!(strings.get(4), None);
        assert_eq!(strings.text_bytes(), 6);
    }

    #[test]
    fn long_arrays_are_shown_cut() {
        let value = Value::from((0u32..100).collect::<Vec<_>>());
        assert_eq!(value.to_string(), "[0, 1, 2, 3, 4, 5, 6, 7, … 100 in all]");
        assert_eq!(value.kind().to_string(), "an array of u32");
    }
}
