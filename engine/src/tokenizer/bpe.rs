//! Byte-pair encoding with a list of merges (`tokenizer.ggml.model` = `gpt2`, `gemma4`).
//!
//! In: text, cut into words by the pre-tokenizer. A word's bytes are written in GPT-2's 256 byte letters (Radford et
//! al. 2019), and neighbours merge in the order of the merge list. Some vocabularies (`gemma4`) hold plain UTF-8 with
//! `▁` for spaces instead, and byte tokens for what is missing. Merges are looked up by the ids of both sides; a side
//! that is no token itself gets the id of a fragment.

use super::merge::{Merge, Merger, Symbol};
use super::pretok::{self, PreTokenizer};
use super::splitter::{Pieces, Splitter};
use super::spm::byte_tokens;
use super::vocabulary::{NONE, Vocabulary};
use super::words::{Seams, WordMemory, escape_spaces};
use super::{Algorithm, Definition, Settings, Spelling};
use crate::Error;

#[derive(Debug)]
pub(super) struct BytePair {
    splitter: Splitter,
    merges: Merges,
    whole_words: bool,
    letters: Letters,
}

/// How the vocabulary spells text.
#[derive(Debug)]
enum Letters {
    /// GPT-2's byte letters: the symbol of each byte.
    Bytes(Box<[u32; 256]>),
    /// Plain UTF-8 with `▁`, bytes as `<0x00>`.
    Escaped {
        bytes: Box<[u32; 256]>,
        seams: Seams,
    },
}

pub(super) fn build(
    definition: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    _: &mut Settings,
) -> Result<Box<dyn Algorithm>, Error> {
    let entry = pre_tokenizer(definition);
    let splitter = Splitter::new(entry).map_err(Error::Unsupported)?;
    if definition.merges.is_empty() && definition.pre != Some("kimi-k2") {
        return Err(Error::Metadata {
            key: "tokenizer.ggml.merges".into(),
            problem: "missing or empty, and a byte-pair vocabulary is of no use without merges"
                .into(),
        });
    }
    let merges = Merges::new(&definition.merges, vocabulary);
    let letters = if entry.escaped {
        Letters::Escaped {
            bytes: Box::new(byte_tokens(vocabulary)),
            seams: Seams::new(vocabulary),
        }
    } else {
        let symbol =
            |byte: usize| vocabulary.find(letter(byte as u8).encode_utf8(&mut [0; 4]).as_bytes());
        Letters::Bytes(Box::new(std::array::from_fn(symbol)))
    };
    Ok(Box::new(BytePair {
        splitter,
        merges,
        whole_words: entry.whole_words,
        letters,
    }))
}

/// The pre-tokenizer that the file names; the default one where it names none or one that is unknown (about which
/// `Tokenizer::warnings` speaks).
pub(super) fn pre_tokenizer(definition: &Definition<'_>) -> &'static PreTokenizer {
    let name = if definition.model == "gemma4" {
        "gemma4"
    } else {
        definition.pre.unwrap_or("default")
    };
    pretok::find(name).unwrap_or(&pretok::PRE_TOKENIZERS[0])
}

/// GPT-2's letter for a byte: printable Latin-1 stands for itself, the rest are the letters from U+0100 on.
pub(super) fn letter(byte: u8) -> char {
    let offset = match byte {
        0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF => return byte as char,
        0x00..=0x20 => byte as u32,
        0x7F..=0xA0 => byte as u32 - 0x7F + 0x21,
        0xAD => 0x43,
    };
    char::from_u32(0x100 + offset).unwrap_or('\u{FFFD}')
}

/// The byte of one of GPT-2's letters.
pub(super) fn byte(letter: char) -> Option<u8> {
    match letter as u32 {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7F) as u8),
        0x143 => Some(0xAD),
        _ => None,
    }
}

impl BytePair {
    fn word(&self, vocabulary: &Vocabulary, work: &mut Work, word: &str, out: &mut Vec<u32>) {
        let merger = &mut work.merger;
        merger.symbols.clear();
        match &self.letters {
            Letters::Bytes(symbols) => {
                if self.whole_words {
                    work.spelt.clear();
                    work.spelt.extend(word.bytes().map(letter));
                    let token = vocabulary.token(work.spelt.as_bytes());
                    if token != NONE {
                        return out.push(token);
                    }
                }
                merger
                    .symbols
                    .extend(word.bytes().enumerate().map(|(at, byte)| Symbol {
                        id: symbols[byte as usize],
                        start: at as u32,
                        end: at as u32 + 1,
                    }));
            }
            Letters::Escaped { .. } => {
                // Runs of newlines are tokens that no merge leads to.
                if self.whole_words || word.bytes().all(|b| b == b'\n') {
                    let token = vocabulary.token(word.as_bytes());
                    if token != NONE {
                        return out.push(token);
                    }
                }
                merger
                    .symbols
                    .extend(word.char_indices().map(|(at, c)| Symbol {
                        id: vocabulary.find(&word.as_bytes()[at..at + c.len_utf8()]),
                        start: at as u32,
                        end: (at + c.len_utf8()) as u32,
                    }));
            }
        }
        merger.run(|left, right| self.merges.get(left.id, right.id));
        for symbol in &merger.symbols {
            if vocabulary.is_token(symbol.id) {
                out.push(symbol.id);
                continue;
            }
            // No token: its bytes, as far as they have tokens; the rest is lost, as in the reference.
            for &byte in &word.as_bytes()[symbol.start as usize..symbol.end as usize] {
                let token = match &self.letters {
                    Letters::Bytes(symbols) if letter(byte).is_ascii() => symbols[byte as usize],
                    Letters::Bytes(_) => NONE,
                    Letters::Escaped { bytes, .. } => bytes[byte as usize],
                };
                if vocabulary.is_token(token) {
                    out.push(token);
                }
            }
        }
    }
}

#[derive(Default)]
struct Work {
    merger: Merger,
    spelt: String,
}

impl Algorithm for BytePair {
    fn encode(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        _after_special: bool,
        out: &mut Vec<u32>,
    ) {
        let escaped;
        let (text, seams) = match &self.letters {
            Letters::Bytes(_) => (text, None),
            Letters::Escaped { seams, .. } => {
                escaped = escape_spaces(text, "");
                (escaped.as_str(), Some(seams))
            }
        };
        let mut pieces = Pieces::default();
        self.splitter.split(text, &mut pieces);
        let mut memory = WordMemory::new(text.len());
        let mut work = Work::default();
        let mut start = 0;
        for &end in &pieces.ends {
            while start < end as usize {
                let stop = seams.map_or(end as usize, |seams| {
                    seams.next(&text[..end as usize], start)
                });
                memory.word(text.as_bytes(), start, stop, out, |_, out| {
                    self.word(vocabulary, &mut work, &text[start..stop], out);
                });
                start = stop;
            }
        }
    }

    fn spelling(&self) -> Spelling {
        match self.letters {
            Letters::Bytes(_) => Spelling::ByteLetters,
            Letters::Escaped { .. } => Spelling::Escaped,
        }
    }
}

/// The merge list as a table from (left id, right id) to (rank, merged id), open-addressed.
#[derive(Debug)]
struct Merges {
    slots: Vec<(u64, Merge)>,
    shift: u32,
}

const FREE: u64 = u64::MAX;
/// Merges that are looked up together.
const BLOCK: usize = 64;

impl Merges {
    fn new(list: &[&str], vocabulary: &mut Vocabulary) -> Merges {
        // At most three quarters full.
        let size = (list.len().max(8) * 4 / 3 + 1).next_power_of_two();
        let mut merges = Merges {
            slots: vec![(FREE, Merge { priority: 0, id: 0 }); size],
            shift: 64 - size.trailing_zeros(),
        };
        let (mut parts, mut joined, mut ids) = (Vec::new(), String::new(), Vec::new());
        for (block, first_rank) in list.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            parts.clear();
            joined.clear();
            ids.clear();
            for (merge, rank) in block.iter().zip(first_rank..) {
                // The separator is a space that is not the first byte.
                let bytes = merge.as_bytes();
                if let Some(space) = bytes.iter().skip(1).position(|&byte| byte == b' ') {
                    let (left, right) = (&merge[..space + 1], &merge[space + 2..]);
                    let start = joined.len();
                    joined.push_str(left);
                    joined.push_str(right);
                    parts.push((rank, left, right, start..joined.len()));
                }
            }
            let texts: Vec<&[u8]> = parts
                .iter()
                .flat_map(|(_, left, right, both)| {
                    [
                        left.as_bytes(),
                        right.as_bytes(),
                        &joined.as_bytes()[both.clone()],
                    ]
                })
                .collect();
            vocabulary.find_all(&texts, &mut ids);
            for ((rank, left, right, both), ids) in parts.iter().zip(ids.as_chunks::<3>().0) {
                let mut id = |id: u32, text: &str| {
                    if id == NONE {
                        vocabulary.intern(text)
                    } else {
                        id
                    }
                };
                let key = key(id(ids[0], left), id(ids[1], right));
                let merge = Merge {
                    priority: *rank,
                    id: id(ids[2], &joined[both.clone()]),
                };
                let mut slot = merges.slot(key);
                while merges.slots[slot].0 != FREE && merges.slots[slot].0 != key {
                    slot = (slot + 1) % size;
                }
                if merges.slots[slot].0 == FREE {
                    merges.slots[slot] = (key, merge);
                }
            }
        }
        merges
    }

    fn slot(&self, key: u64) -> usize {
        // Fibonacci hashing: the high bits of the product are well spread.
        (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }

    #[inline]
    fn get(&self, left: u32, right: u32) -> Option<Merge> {
        let key = key(left, right);
        let mut slot = self.slot(key);
        loop {
            let (found, merge) = self.slots[slot];
            if found == key && key != FREE {
                return Some(merge);
            }
            if found == FREE {
                return None;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }
}

fn key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_a_bijection() {
        for value in 0..=255 {
            assert_eq!(byte(letter(value)), Some(value));
        }
        assert_eq!(letter(b' '), 'Ġ');
        assert_eq!(letter(b'\n'), 'Ċ');
        assert_eq!(byte('\u{144}'), None);
    }
}
