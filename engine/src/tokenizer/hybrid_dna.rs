//! Byte-pair encoding with sequences of bases (`tokenizer.ggml.model` = `hybriddna`).
//!
//! In: text. What is between `<dna>` and `</dna>` is cut into tokens of six bases, the last one filled up with `A`; what is
//! no such token becomes `<oov>`. The rest is byte-level BPE. In the file, tokens of bases end with U+E000, so that they
//! are not mistaken for words of the same letters.

use super::vocabulary::{NONE, Vocabulary};
use super::{Algorithm, Definition, Settings, Spelling, bpe};
use crate::Error;

const BASES: usize = 6;
const MARK: &str = "\u{E000}";
const BEGIN: &str = "<dna>";
const END: &str = "</dna>";

#[derive(Debug)]
struct HybridDna {
    text: Box<dyn Algorithm>,
    tokens: Option<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    begin: u32,
    end: u32,
    /// What stands for bases without a token; tokens of bases come after it.
    outside: u32,
}

pub(super) fn build(
    definition: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let text = bpe::build(definition, vocabulary, settings)?;
    let token = |text: &str| Some(vocabulary.token(text.as_bytes())).filter(|&id| id != NONE);
    // Without one of these the whole text is text.
    let tokens = token(BEGIN)
        .zip(token(END))
        .zip(token("<oov>"))
        .map(|((begin, end), outside)| Tokens {
            begin,
            end,
            outside,
        });
    Ok(Box::new(HybridDna { text, tokens }))
}

impl Tokens {
    fn sequence(&self, vocabulary: &Vocabulary, bases: &str, out: &mut Vec<u32>) {
        let mut marked = Vec::with_capacity(BASES + MARK.len());
        out.extend(bases.as_bytes().chunks(BASES).map(|bases| {
            marked.clear();
            marked.extend(bases.iter().map(u8::to_ascii_uppercase));
            marked.resize(BASES, b'A');
            marked.extend_from_slice(MARK.as_bytes());
            match vocabulary.token(&marked) {
                NONE => self.outside,
                token => token,
            }
        }));
    }
}

impl Algorithm for HybridDna {
    fn encode(&self, vocabulary: &Vocabulary, text: &str, after_special: bool, out: &mut Vec<u32>) {
        let encode = |text: &str, out: &mut Vec<u32>| {
            if !text.is_empty() {
                self.text.encode(vocabulary, text, after_special, out);
            }
        };
        let mut rest = text;
        while let Some(tokens) = &self.tokens
            && let Some((before, sequence)) = rest.split_once(BEGIN)
        {
            encode(before, out);
            out.push(tokens.begin);
            let Some((sequence, after)) = sequence.split_once(END) else {
                return tokens.sequence(vocabulary, sequence, out);
            };
            tokens.sequence(vocabulary, sequence, out);
            out.push(tokens.end);
            rest = after;
        }
        encode(rest, out);
    }

    fn spelling(&self) -> Spelling {
        self.text.spelling()
    }

    fn shown<'a>(&self, id: u32, text: &'a str) -> &'a str {
        match &self.tokens {
            Some(tokens) if id > tokens.outside && text.len() > MARK.len() => {
                text.strip_suffix(MARK).unwrap_or(text)
            }
            _ => text,
        }
    }
}
