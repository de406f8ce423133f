//! The unigram model (`tokenizer.ggml.model` = `t5`): of all ways to spell a text, the one with the highest total score.
//!
//! In: text, normalized by the file's character map, spaces escaped as `▁`. A Viterbi pass finds the best sequence of
//! tokens; characters without a token are the unknown token, which costs more than any other, or their bytes' tokens in a
//! vocabulary that has these (SentencePiece's byte fallback). (Kudo 2018.) The character map is SentencePiece's: a
//! double-array trie over byte strings and their replacements (Kanda 2018).

use super::settings::Settings;
use super::trie::Trie;
use super::vocabulary::{Kind, NONE, Vocabulary};
use super::words::SPACE;
use super::{Algorithm, Definition, Spelling};
use crate::Error;

/// An unknown character scores this much less than the least likely token.
const UNKNOWN_PENALTY: f64 = 10.0;

#[derive(Debug)]
struct Unigram {
    /// Those that may be used.
    tokens: Trie,
    /// User-defined tokens: they pass normalization untouched.
    protected: Trie,
    characters: CharacterMap,
    /// The tokens `<0x00>`..`<0xFF>`, as far as there are any.
    bytes: [u32; 256],
    unknown: u32,
    unknown_score: f64,
    space_prefix: bool,
    merge_spaces: bool,
}

pub(super) fn build(
    definition: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    settings: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let vocabulary: &Vocabulary = vocabulary;
    let of_kind = |kind: Kind| {
        // Of tokens with the same text the first one counts.
        let ids = (0..vocabulary.len() as u32).rev();
        ids.filter(move |&id| vocabulary.kind(id).is(kind))
    };
    let trie = |kind| {
        let tokens = of_kind(kind).map(|id| (vocabulary.text(id).into(), id));
        Trie::new(tokens.collect())
    };
    let normal = of_kind(Kind::NORMAL).filter(|&id| !vocabulary.text(id).is_empty());
    let least = normal
        .map(|id| vocabulary.score(id))
        .fold(f32::MAX, f32::min);
    Ok(Box::new(Unigram {
        tokens: trie(Kind::NORMAL.with(Kind::USER_DEFINED).with(Kind::UNUSED)),
        protected: trie(Kind::USER_DEFINED),
        characters: CharacterMap::new(&definition.character_map)?,
        bytes: std::array::from_fn(|byte| {
            let token = vocabulary.token(format!("<0x{byte:02X}>").as_bytes());
            match token != NONE && vocabulary.kind(token).is(Kind::BYTE) {
                true => token,
                false => NONE,
            }
        }),
        unknown: settings.roles.unknown.unwrap_or(NONE),
        unknown_score: f64::from(least) - UNKNOWN_PENALTY,
        space_prefix: settings.space_prefix,
        merge_spaces: definition.remove_extra_whitespaces.unwrap_or(false),
    }))
}

/// The best way to a place in the text: the last token, where it starts, and the score up to here.
#[derive(Clone, Copy)]
struct Best {
    token: u32,
    from: usize,
    score: f64,
}

impl Unigram {
    fn normalize(&self, text: &str) -> Vec<u8> {
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len() * 3 / 2 + SPACE.len());
        let (mut prefixed, mut in_word, mut at) = (false, false, 0);
        while at < bytes.len() {
            let rest = &bytes[at..];
            let protected = self.protected.begun(rest);
            let (length, piece) = if protected > 0 {
                (protected, &rest[..protected])
            } else {
                self.characters.replace(rest).unwrap_or_else(|| {
                    let length = text
                        .get(at..)
                        .and_then(|t| t.chars().next())
                        .map_or(1, char::len_utf8);
                    (length, &rest[..length])
                })
            };
            for &byte in piece {
                if byte != b' ' {
                    if !in_word && ((self.space_prefix && !prefixed) || self.merge_spaces) {
                        out.extend_from_slice(SPACE.as_bytes());
                        prefixed = true;
                    }
                    in_word = true;
                    out.push(byte);
                } else {
                    in_word = false;
                    if !self.merge_spaces {
                        out.extend_from_slice(SPACE.as_bytes());
                    }
                }
            }
            at += length;
        }
        out
    }
}

impl Algorithm for Unigram {
    fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        _after_special: bool,
        out: &mut Vec<u32>,
    ) {
        let text = self.normalize(text);
        if text.is_empty() {
            return;
        }
        let nowhere = Best {
            token: self.unknown,
            from: 0,
            score: f64::MIN,
        };
        let mut best = vec![nowhere; text.len() + 1];
        best[0].score = 0.0;
        let mut start = 0;
        while start < text.len() {
            let so_far = best[start].score;
            let width = match text[start] {
                0..0xC0 => 1,
                0xC0..0xE0 => 2,
                0xE0..0xF0 => 3,
                _ => 4,
            };
            let next = (start + width).min(text.len());
            let mut whole_character = false;
            for (length, token) in self.tokens.prefixes(&text[start..]) {
                let end = start + length;
                whole_character |= end == next;
                let score = match vocabulary.kind(token).is(Kind::USER_DEFINED) {
                    true => so_far,
                    false => so_far + f64::from(vocabulary.score(token)),
                };
                if score > best[end].score {
                    best[end] = Best {
                        token,
                        from: start,
                        score,
                    };
                }
            }
            if !whole_character && so_far + self.unknown_score > best[next].score {
                best[next] = Best {
                    token: self.unknown,
                    from: start,
                    score: so_far + self.unknown_score,
                };
            }
            start = next;
        }
        let first = out.len();
        let (mut at, mut last) = (text.len(), NONE);
        while at > 0 {
            let Best { token, from, .. } = best[at];
            let bytes = text[from..at].iter().rev();
            let mut bytes = bytes.map(|&byte| self.bytes[usize::from(byte)]);
            if token == self.unknown && bytes.clone().all(|byte| byte != NONE) {
                out.extend(&mut bytes);
                (at, last) = (from, NONE);
                continue;
            }
            // Neighbouring unknown characters are one unknown token.
            if token != NONE && !(token == self.unknown && last == self.unknown) {
                out.push(token);
            }
            (at, last) = (from, token);
        }
        out[first..].reverse();
    }

    fn spelling(&self) -> Spelling {
        Spelling::Escaped
    }
}

/// SentencePiece's normalization table (`tokenizer.ggml.precompiled_charsmap`).
#[derive(Debug, Default)]
struct CharacterMap {
    units: Vec<u32>,
    replacements: Vec<u8>,
}

impl CharacterMap {
    /// Reads the table: the length of the trie in bytes, the trie, the replacements, each ended by a zero byte.
    fn new(bytes: &[u8]) -> Result<CharacterMap, Error> {
        if bytes.is_empty() {
            return Ok(CharacterMap::default());
        }
        let error = |problem: &str| Error::Metadata {
            key: "tokenizer.ggml.precompiled_charsmap".into(),
            problem: problem.into(),
        };
        let (length, rest) = bytes
            .split_first_chunk::<4>()
            .ok_or_else(|| error("too short"))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length >= rest.len() || !length.is_multiple_of(4) {
            return Err(error("its trie does not fit into it"));
        }
        let (trie, replacements) = rest.split_at(length);
        if replacements.last() != Some(&0) {
            return Err(error("its last replacement has no end"));
        }
        let units = trie
            .as_chunks::<4>()
            .0
            .iter()
            .map(|unit| u32::from_le_bytes(*unit))
            .collect();
        Ok(CharacterMap {
            units,
            replacements: replacements.to_vec(),
        })
    }

    /// The longest beginning of `text` that is replaced: its length, and by what.
    fn replace(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        // A unit holds its label in bits 0-7, "has a value" in bit 8, and in bits 10-30 the offset to its children,
        // shifted left by 8 where bit 9 is set. A value is a unit with bit 31 set.
        let offset = |unit: u32| ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize;
        let mut node = offset(*self.units.first()?);
        let mut found = None;
        for (depth, &byte) in text.iter().enumerate() {
            node ^= usize::from(byte);
            let Some(&unit) = self.units.get(node) else {
                break;
            };
            if byte == 0 || unit & (1 << 31 | 0xFF) != u32::from(byte) {
                break;
            }
            node ^= offset(unit);
            if unit & 1 << 8 != 0
                && let Some(&value) = self.units.get(node)
            {
                found = Some((depth + 1, (value & !(1 << 31)) as usize));
            }
        }
        let (length, start) = found?;
        let replacement = self.replacements.get(start..)?;
        Some((
            length,
            &replacement[..replacement.iter().position(|&byte| byte == 0)?],
        ))
    }
}
