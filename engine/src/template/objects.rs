//! What kinds of values there are, and those that minijinja lacks: iterators that run dry, views of dictionaries,
//! methods as values.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, State, Value};

/// Values that are handed out one after another: Python's generators and reversed iterators, which can be gone through
/// once, are always true and have no length; and views of dictionaries.
pub(super) struct Lazy {
    kind: &'static str,
    items: Vec<Value>,
    /// How many are gone, for a generator.
    taken: Option<AtomicUsize>,
}

impl Lazy {
    /// What Python calls it.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether it can be gone through once only.
    pub(super) fn is_generator(&self) -> bool {
        self.taken.is_some()
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.kind)
    }
}

impl Object for Lazy {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(LazyIterator {
            of: self.clone(),
            next: 0,
        }))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.is_generator() || !self.items.is_empty()
    }
}

struct LazyIterator {
    of: Arc<Lazy>,
    next: usize,
}

impl Iterator for LazyIterator {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let index = match &self.of.taken {
            Some(taken) => taken.fetch_add(1, Ordering::Relaxed),
            None => self.next,
        };
        self.next = index + 1;
        self.of.items.get(index).cloned()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let gone = self
            .of
            .taken
            .as_ref()
            .map_or(self.next, |taken| taken.load(Ordering::Relaxed));
        let left = self.of.items.len().saturating_sub(gone);
        (left, Some(left))
    }
}

/// A generator over these items.
pub(super) fn generator(items: Vec<Value>) -> Value {
    Value::from_object(Lazy {
        kind: "generator",
        items,
        taken: Some(AtomicUsize::new(0)),
    })
}

/// A view of a dictionary: `dict_items` and the like.
pub(super) fn view(kind: &'static str, items: Vec<Value>) -> Value {
    Value::from_object(Lazy {
        kind,
        items,
        taken: None,
    })
}

/// A group of `groupby`: a pair whose parts have names.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) grouper: Value,
    pub(super) list: Value,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_usize(), key.as_str()) {
            (Some(0), _) | (_, Some("grouper")) => Some(self.grouper.clone()),
            (Some(1), _) | (_, Some("list")) => Some(self.list.clone()),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// Whether a list is a tuple to Python.
pub(super) fn is_tuple(value: &Value) -> bool {
    value.is_tuple() || value.downcast_object_ref::<Group>().is_some()
}

/// A method that was looked up, and not called yet.
#[derive(Debug)]
pub(super) struct BoundMethod {
    pub(super) receiver: Value,
    pub(super) name: String,
}

impl Object for BoundMethod {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.receiver.call_method(state, &self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<built-in method {} of {} object>",
            self.name,
            type_name(&self.receiver)
        )
    }
}

/// minijinja's own objects that behave like mappings but are none to a template.
fn special(object: &DynObject) -> Option<&'static str> {
    let name = object.type_name();
    [
        ("::Namespace", "Namespace"),
        ("::Loop", "LoopContext"),
        ("::Macro", "Macro"),
    ]
    .into_iter()
    .find(|(suffix, _)| name.ends_with(suffix))
    .map(|(_, name)| name)
}

/// Whether it is a namespace, the loop variable or a macro: things with attributes, not items.
pub(super) fn is_special(value: &Value) -> bool {
    value
        .as_object()
        .is_some_and(|object| special(object).is_some())
}

/// Whether it holds other values that are worth walking through: a list, tuple, dictionary or iterator.
pub(super) fn is_container(object: &DynObject) -> bool {
    object.repr() != ObjectRepr::Plain
        && special(object).is_none()
        && object
            .downcast_ref::<Lazy>()
            .is_none_or(|lazy| !lazy.is_generator())
}

/// The items of a dictionary; `None` for all else.
pub(super) fn pairs(value: &Value) -> Option<Vec<(Value, Value)>> {
    let object = value.as_object()?;
    if object.repr() != ObjectRepr::Map || special(object).is_some() {
        return None;
    }
    let keys: Vec<Value> = value.try_iter().ok()?.collect();
    Some(
        keys.into_iter()
            .map(|key| {
                (
                    key.clone(),
                    object.get_value(&key).unwrap_or(Value::UNDEFINED),
                )
            })
            .collect(),
    )
}

/// Whether it is a dictionary.
pub(super) fn is_dict(value: &Value) -> bool {
    value.kind() == ValueKind::Map && !is_special(value)
}

/// Whether it is a list or a tuple (or a range): something with a length and places.
pub(super) fn is_list(value: &Value) -> bool {
    match value.as_object() {
        Some(object) => {
            matches!(object.repr(), ObjectRepr::Seq | ObjectRepr::Iterable)
                && object.downcast_ref::<Lazy>().is_none()
        }
        None => false,
    }
}

/// Whether `for` can go through it.
pub(super) fn is_iterable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::String => true,
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => !is_special(value),
        _ => false,
    }
}

/// The items that `for` would give; an error for what can't be gone through.
pub(super) fn items(value: &Value) -> Result<Vec<Value>, Error> {
    if !is_iterable(value) {
        return super::error::fail(format!("'{}' object is not iterable", type_name(value)));
    }
    Ok(value.try_iter()?.collect())
}

/// `len(value)`, where there is one.
pub(super) fn length(value: &Value) -> Option<usize> {
    if let Some(lazy) = value.as_object().and_then(DynObject::downcast_ref::<Lazy>) {
        return (!lazy.is_generator()).then_some(lazy.items.len());
    }
    match value.kind() {
        ValueKind::Undefined => Some(0),
        _ if is_special(value) => None,
        _ => value.len(),
    }
}

/// What Python calls the value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let object = value.as_object();
            if let Some(name) = object.and_then(special) {
                name
            } else if let Some(lazy) = object.and_then(|object| object.downcast_ref::<Lazy>()) {
                lazy.kind
            } else if is_tuple(value) {
                "tuple"
            } else if value.kind() == ValueKind::Map {
                "dict"
            } else {
                "list"
            }
        }
        _ => "function",
    }
}
