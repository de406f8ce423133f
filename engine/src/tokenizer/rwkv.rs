//! RWKV's tokenizer (`tokenizer.ggml.model` = `rwkv`): from the left, always the longest token.
//!
//! In: text. Its bytes are cut into tokens, which may be any byte strings, also parts of characters; the file writes them
//! as Python writes bytes (`\n`, `\xe2`). Control tokens are tokens like any other here, as in the reference: a text that
//! spells one becomes that token.

use super::trie::Trie;
use super::vocabulary::{NONE, Vocabulary};
use super::{Algorithm, Definition, Settings, Spelling};
use crate::Error;

#[derive(Debug)]
struct Longest {
    tokens: Trie,
    unknown: u32,
}

pub(super) fn build(
    _: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let ids = 0..vocabulary.len() as u32;
    let tokens = ids.map(|id| (unescape(vocabulary.text(id)), id)).collect();
    Ok(Box::new(Longest {
        tokens: Trie::new(tokens),
        unknown: settings.roles.unknown.unwrap_or(NONE),
    }))
}

/// The bytes behind a token's text in the file. A backslash before anything else than a known letter stands for that.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some((&letter, after)) = rest.split_first() else {
            break;
        };
        rest = after;
        let digit = |at: usize| {
            rest.get(at)
                .and_then(|&digit| char::from(digit).to_digit(16))
        };
        let value = digit(0)
            .zip(digit(1))
            .map(|(high, low)| (high << 4 | low) as u8);
        bytes.push(match letter {
            b't' => b'\t',
            b'n' => b'\n',
            b'r' => b'\r',
            b'x' => match value {
                Some(value) => {
                    rest = &rest[2..];
                    value
                }
                None => b'x',
            },
            other => other,
        });
    }
    bytes
}

impl Algorithm for Longest {
    fn encode(&self, _: &Vocabulary, text: &str, _after_special: bool, out: &mut Vec<u32>) {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (length, token) = self
                .tokens
                .prefixes(rest)
                .last()
                .unwrap_or((1, self.unknown));
            if token != NONE {
                out.push(token);
            }
            rest = &rest[length..];
        }
    }

    fn spelling(&self) -> Spelling {
        Spelling::PythonBytes
    }

    fn spells_control_tokens(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn bytes_as_python_writes_them() {
        for (text, bytes) in [
            ("plain ü", "plain ü".as_bytes()),
            (r"\t\n\r\\\'", b"\t\n\r\\'"),
            (r"\x00\xff\xe4\xbd", b"\x00\xff\xe4\xbd"),
            (r"a\x41b", b"aAb"),
            // What is malformed is kept as far as it goes.
            (r"\x4", b"x4"),
            (r"\xzz", b"xzz"),
            (r"\x+1", b"x+1"),
            ("a\\", b"a"),
        ] {
            assert_eq!(unescape(text), bytes, "{text}");
        }
    }
}
