//! Arguments of filters, tests and methods, by position or by name as in Python.

use minijinja::value::Kwargs;
use minijinja::{Error, Value};

use super::error::fail;

/// The arguments of one call.
pub(super) struct Arguments {
    positional: Vec<Value>,
    keyword: Vec<(String, Value)>,
}

impl Arguments {
    /// The arguments of a method, where named ones come last and wrapped up.
    pub(super) fn new(values: &[Value]) -> Result<Arguments, Error> {
        match values.split_last() {
            Some((last, rest)) if last.is_kwargs() => {
                Self::with_keywords(rest, &Kwargs::try_from(last.clone())?)
            }
            _ => Ok(Arguments {
                positional: values.to_vec(),
                keyword: Vec::new(),
            }),
        }
    }

    pub(super) fn with_keywords(
        positional: &[Value],
        keywords: &Kwargs,
    ) -> Result<Arguments, Error> {
        let named = keywords
            .args()
            .map(|name| Ok((name.to_owned(), keywords.peek::<Value>(name)?)));
        Ok(Arguments {
            positional: positional.to_vec(),
            keyword: named.collect::<Result<Vec<_>, Error>>()?,
        })
    }

    /// The arguments of a function with these parameters, all of which may be left out.
    pub(super) fn bind<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<Value>; N], Error> {
        if self.positional.len() > N {
            return fail(format!(
                "{} arguments where at most {N} are allowed",
                self.positional.len()
            ));
        }
        let mut bound: [Option<Value>; N] =
            std::array::from_fn(|index| self.positional.get(index).cloned());
        for (name, value) in &self.keyword {
            match names.iter().position(|known| known == name) {
                Some(index) if bound[index].is_none() => bound[index] = Some(value.clone()),
                Some(_) => return fail(format!("argument '{name}' is given twice")),
                None => return fail(format!("there is no argument '{name}'")),
            }
        }
        Ok(bound)
    }

    /// One argument that must be there, and no other.
    pub(super) fn one(&self, name: &str) -> Result<Value, Error> {
        match self.bind([name])? {
            [Some(value)] => Ok(value),
            [None] => fail(format!("argument '{name}' is missing")),
        }
    }

    pub(super) fn none(&self) -> Result<(), Error> {
        self.bind([]).map(|[]| ())
    }

    pub(super) fn positional(&self) -> &[Value] {
        &self.positional
    }

    pub(super) fn keyword(&self, name: &str) -> Option<&Value> {
        self.keyword
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    pub(super) fn keywords(&self) -> impl Iterator<Item = &str> {
        self.keyword.iter().map(|(name, _)| name.as_str())
    }
}

/// An optional argument that must be an integer.
pub(super) fn integer(value: &Option<Value>, name: &str) -> Result<Option<i64>, Error> {
    match value {
        None => Ok(None),
        Some(value) => match super::number::Number::of(value) {
            Some(super::number::Number::Int(number)) => Ok(i64::try_from(number).ok()),
            _ => fail(format!(
                "argument '{name}' must be an integer, not {}",
                super::objects::type_name(value)
            )),
        },
    }
}

/// A value that must be a text.
pub(super) fn string<'a>(value: &'a Value, name: &str) -> Result<&'a str, Error> {
    match value.as_str() {
        Some(text) => Ok(text),
        None => fail(format!(
            "argument '{name}' must be a str, not {}",
            super::objects::type_name(value)
        )),
    }
}
