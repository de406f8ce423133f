//! PLaMo 2's tokenizer (`tokenizer.ggml.model` = `plamo2`): of all ways to spell a text, the one with the highest score.
//!
//! In: text. From its end to its beginning, the best way on from each character is found: a token, or, for the price of a
//! very unlikely one, the character's bytes as `<0x00>`..`<0xFF>`. Scores are counted in steps of 1/10,000, so that sums
//! are exact; of ways with the same score the one that begins with the longest token is taken. Nothing is escaped, and a
//! byte order mark at the start is dropped.

use super::trie::Trie;
use super::vocabulary::{Kind, Vocabulary};
use super::{Algorithm, Definition, Settings, Spelling};
use crate::Error;

/// Steps in a score of 1.
const STEPS: f64 = 1e4;
/// The score of a character without a token, in steps.
const UNKNOWN: i64 = -10_000_000;
/// Tokens must score more than this, in steps.
const INVALID: i64 = -20_000_000;

#[derive(Debug)]
struct Segmenter {
    tokens: Trie,
    /// By id, in steps.
    scores: Vec<i64>,
    bytes: [u32; 256],
}

pub(super) fn build(
    _: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    _: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let mut bytes = [0; 256];
    for (byte, token) in bytes.iter_mut().enumerate() {
        let text = format!("<0x{byte:02X}>");
        *token = vocabulary.token(text.as_bytes());
        if !vocabulary.is_token(*token) || !vocabulary.kind(*token).is(Kind::BYTE) {
            return Err(Error::Metadata {
                key: "tokenizer.ggml.tokens".into(),
                problem: format!(
                    "there is no byte token {text}, and this kind of vocabulary needs all 256"
                ),
            });
        }
    }
    let ids = 0..vocabulary.len() as u32;
    let steps = |id: u32| (f64::from(vocabulary.score(id)) * STEPS).round();
    let usable = |&id: &u32| {
        let valid = steps(id).is_finite() && steps(id) > INVALID as f64;
        valid && !vocabulary.kind(id).is(Kind::BYTE)
    };
    let tokens = ids.clone().filter(usable);
    Ok(Box::new(Segmenter {
        tokens: Trie::new(tokens.map(|id| (vocabulary.text(id).into(), id)).collect()),
        scores: ids.map(|id| steps(id) as i32 as i64).collect(),
        bytes,
    }))
}

/// The best way on from a place in the text.
#[derive(Clone, Copy, Default)]
struct Way {
    score: i64,
    /// The next token and its length; `None`: the character's bytes.
    token: Option<u32>,
    length: u32,
}

impl Algorithm for Segmenter {
    fn encode(&self, _: &Vocabulary, text: &str, _after_special: bool, out: &mut Vec<u32>) {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let mut ways = vec![Way::default(); text.len() + 1];
        for (at, c) in text.char_indices().rev() {
            let length = c.len_utf8();
            let mut best = Way {
                score: ways[at + length].score + UNKNOWN,
                token: None,
                length: length as u32,
            };
            for (length, token) in self.tokens.prefixes(&text.as_bytes()[at..]) {
                let score = ways[at + length].score + self.scores[token as usize];
                if score >= best.score {
                    best = Way {
                        score,
                        token: Some(token),
                        length: length as u32,
                    };
                }
            }
            ways[at] = best;
        }
        let mut at = 0;
        while at < text.len() {
            let Way { token, length, .. } = ways[at];
            let end = at + length as usize;
            match token {
                Some(token) => out.push(token),
                None => {
                    let bytes = text[at..end].bytes();
                    out.extend(bytes.map(|byte| self.bytes[usize::from(byte)]));
                }
            }
            at = end;
        }
    }

    fn spelling(&self) -> Spelling {
        Spelling::Verbatim
    }

    fn spells_control_tokens(&self) -> bool {
        true
    }
}
