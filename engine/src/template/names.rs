//! Which methods the types of values have.

use minijinja::Value;

use super::objects;

const STRING: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];
const DICT: &[&str] = &["copy", "get", "items", "keys", "values"];
const LIST: &[&str] = &["copy", "count", "index"];
const TUPLE: &[&str] = &["count", "index"];
fn of(value: &Value) -> &'static [&'static str] {
    match objects::type_name(value) {
        "str" => STRING,
        "dict" => DICT,
        "list" => LIST,
        "tuple" => TUPLE,
        _ => &[],
    }
}

/// Whether the value has such a method (that a template may call).
pub(super) fn exists(value: &Value, name: &str) -> bool {
    of(value).contains(&name)
}
