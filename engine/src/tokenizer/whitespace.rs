//! Byte-pair encoding of the words between white space (`tokenizer.ggml.model` = `whitespace`, Jina's Chinese embeddings).
//!
//! In: text. White space is dropped, letters become small if the vocabulary says so, and each word is merged on its own.

use super::unicode::{bit, class};
use super::vocabulary::Vocabulary;
use super::{Algorithm, Definition, Settings, Spelling, bpe};
use crate::Error;

#[derive(Debug)]
struct Words {
    pairs: Box<dyn Algorithm>,
    lowercase: bool,
}

pub(super) fn build(
    definition: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let by_default = definition.pre != Some("whitespace");
    Ok(Box::new(Words {
        pairs: bpe::build(definition, vocabulary, settings)?,
        lowercase: definition.lowercase.unwrap_or(by_default),
    }))
}

impl Algorithm for Words {
    fn encode(&self, vocabulary: &Vocabulary, text: &str, after_special: bool, out: &mut Vec<u32>) {
        let mut small = String::new();
        for word in text.split(|c| class(c) & bit::SPACE != 0) {
            let word = if self.lowercase {
                small.clear();
                // One letter for one, as in the reference.
                small.extend(word.chars().map(|c| c.to_lowercase().next().unwrap_or(c)));
                small.as_str()
            } else {
                word
            };
            if !word.is_empty() {
                self.pairs.encode(vocabulary, word, after_special, out);
            }
        }
    }

    fn spelling(&self) -> Spelling {
        self.pairs.spelling()
    }
}
