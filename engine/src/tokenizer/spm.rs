//! SentencePiece BPE (`tokenizer.ggml.model` = `llama`): merges by score, bytes where there is no token.
//!
//! In: text, spaces escaped as `▁`, a `▁` put in front where text follows a special token (if the vocabulary asks for
//! it). Characters are merged, the pair whose joined token has the highest score first, until no two neighbours form
//! a token. What is no token even then is spelt in byte tokens `<0x00>`..`<0xFF>`. (Kudo & Richardson 2018.)

use super::merge::{Merge, Merger, Symbol};
use super::vocabulary::{NONE, Vocabulary};
use super::words::{SPACE, Seams, WordMemory, escape_spaces};
use super::{Algorithm, Definition, Settings, Spelling};
use crate::Error;

#[derive(Debug)]
pub(super) struct SentencePiece {
    seams: Seams,
    bytes: [u32; 256],
    unknown: u32,
    space_prefix: bool,
}

pub(super) fn build(
    _: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    Ok(Box::new(SentencePiece {
        seams: Seams::new(vocabulary),
        bytes: byte_tokens(vocabulary),
        unknown: settings.roles.unknown.unwrap_or(NONE),
        space_prefix: settings.space_prefix,
    }))
}

/// The tokens `<0x00>`..`<0xFF>`, or else the byte itself where it is a character with a token.
pub(super) fn byte_tokens(vocabulary: &Vocabulary) -> [u32; 256] {
    std::array::from_fn(|byte| {
        let token = vocabulary.token(format!("<0x{byte:02X}>").as_bytes());
        if token == NONE {
            vocabulary.token(&[byte as u8])
        } else {
            token
        }
    })
}

impl SentencePiece {
    fn word(&self, vocabulary: &Vocabulary, merger: &mut Merger, word: &str, out: &mut Vec<u32>) {
        let text = word.as_bytes();
        merger.symbols.clear();
        for (start, c) in word.char_indices() {
            let end = start + c.len_utf8();
            let id = vocabulary.token(&text[start..end]);
            merger.symbols.push(Symbol {
                id,
                start: start as u32,
                end: end as u32,
            });
        }
        merger.run(|left, right| {
            let id = vocabulary.token(&text[left.start as usize..right.end as usize]);
            (id != NONE).then(|| Merge {
                priority: descending(vocabulary.score(id)),
                id,
            })
        });
        for symbol in &merger.symbols {
            if symbol.id != NONE {
                out.push(symbol.id);
                continue;
            }
            for &byte in &text[symbol.start as usize..symbol.end as usize] {
                let token = self.bytes[byte as usize];
                let token = if token == NONE { self.unknown } else { token };
                if token != NONE {
                    out.push(token);
                }
            }
        }
    }
}

impl Algorithm for SentencePiece {
    fn encode(&self, vocabulary: &Vocabulary, text: &str, after_special: bool, out: &mut Vec<u32>) {
        let prefix = if self.space_prefix && after_special {
            SPACE
        } else {
            ""
        };
        let text = escape_spaces(text, prefix);
        let mut memory = WordMemory::new(text.len());
        let mut merger = Merger::default();
        let mut start = 0;
        while start < text.len() {
            let end = self.seams.next(&text, start);
            memory.word(text.as_bytes(), start, end, out, |_, out| {
                self.word(vocabulary, &mut merger, &text[start..end], out);
            });
            start = end;
        }
    }

    fn spelling(&self) -> Spelling {
        Spelling::Escaped
    }
}

/// A key that is smaller for a higher score.
fn descending(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits(); // -0.0 becomes 0.0: they are equal as scores
    // Floats order like integers once the sign is folded in; inverted, the highest comes first.
    if bits >> 31 == 1 {
        bits
    } else {
        !(bits | 0x8000_0000)
    }
}

#[cfg(test)]
mod tests {
    use super::descending;

    #[test]
    fn higher_scores_have_smaller_keys() {
        let scores = [
            f32::INFINITY,
            1e9,
            1.0,
            1e-30,
            0.0,
            -1e-30,
            -1.0,
            -2.5,
            -1e9,
            f32::NEG_INFINITY,
        ];
        assert!(
            scores
                .windows(2)
                .all(|pair| descending(pair[0]) < descending(pair[1]))
        );
        assert_eq!(descending(0.0), descending(-0.0));
    }
}
