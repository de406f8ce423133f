//! WordPiece (`tokenizer.ggml.model` = `bert`): the longest token first, from the left.
//!
//! In: text, cut at white space and around punctuation and CJK ideographs, without control characters, lower-cased and
//! without accents if the vocabulary says so. Every word gets a `▁` in front and is cut into the longest tokens that
//! fit; a word that can't be spelt to its end is the unknown token. (Devlin et al. 2018.)

use unicode_normalization::UnicodeNormalization;

use super::unicode::{bit, class};
use super::vocabulary::{NONE, Vocabulary};
use super::words::SPACE;
use super::{Algorithm, Definition, Settings, Spelling};
use crate::Error;

#[derive(Debug)]
struct WordPiece {
    unknown: u32,
    lowercase: bool,
    strip_accents: bool,
}

pub(super) fn build(
    definition: &Definition<'_>,
    _: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let lowercase = definition.lowercase.unwrap_or(true);
    Ok(Box::new(WordPiece {
        unknown: settings.roles.unknown.unwrap_or(NONE),
        lowercase,
        strip_accents: definition.strip_accents.unwrap_or(lowercase),
    }))
}

/// The blocks that BERT takes apart character by character (with the gap of the Rust original, 2B820–2B91F).
fn is_ideograph(c: char) -> bool {
    matches!(c as u32,
        0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x2_A6DF | 0x2_A700..=0x2_B73F
        | 0x2_B740..=0x2_B81F | 0x2_B920..=0x2_CEAF | 0x2_F800..=0x2_FA1F)
}

impl WordPiece {
    fn word(&self, vocabulary: &Vocabulary, word: &mut String, out: &mut Vec<u32>) {
        if word.len() == SPACE.len() {
            return;
        }
        let before = out.len();
        let mut start = 0;
        while start < word.len() {
            let mut end = word.len().min(start + vocabulary.longest());
            let token = loop {
                if end <= start {
                    break NONE;
                }
                let token = vocabulary.token(&word.as_bytes()[start..end]);
                if token != NONE {
                    break token;
                }
                end -= 1;
            };
            if token == NONE {
                out.truncate(before);
                break;
            }
            out.push(token);
            start = end;
        }
        if out.len() == before && self.unknown != NONE {
            out.push(self.unknown);
        }
        word.truncate(SPACE.len());
    }
}

impl Algorithm for WordPiece {
    fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        _after_special: bool,
        out: &mut Vec<u32>,
    ) {
        let mut word = String::from(SPACE);
        for original in text.chars() {
            // The base character only: marks are dropped anyway, and so, in the reference, is what a Hangul syllable
            // decomposes into after its first letter.
            let c = if self.strip_accents {
                std::iter::once(original).nfd().next()
            } else {
                None
            }
            .unwrap_or(original);
            let kind = class(c);
            if kind & bit::SPACE != 0 {
                self.word(vocabulary, &mut word, out);
                continue;
            }
            if c == '\0'
                || c == '\u{FFFD}'
                || kind & bit::CONTROL != 0
                || (self.strip_accents && kind & bit::MARK != 0)
            {
                continue;
            }
            let lower = if self.lowercase {
                c.to_lowercase().next().unwrap_or(c)
            } else {
                c
            };
            let alone = kind & bit::PUNCTUATION != 0
                || (c < '\x7F' && kind & bit::SYMBOL != 0)
                || is_ideograph(c);
            if alone {
                self.word(vocabulary, &mut word, out);
            }
            word.push(lower);
            if alone {
                self.word(vocabulary, &mut word, out);
            }
        }
        self.word(vocabulary, &mut word, out);
    }

    fn spelling(&self) -> Spelling {
        Spelling::Escaped
    }
}
