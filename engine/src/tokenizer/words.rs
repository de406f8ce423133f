//! Two helpers that make merging fast on running text: a memory of words seen, and safe places to cut.

use super::vocabulary::{Vocabulary, hash};

/// The character that stands for a space in SentencePiece vocabularies: U+2581.
pub(crate) const SPACE: &str = "▁";

/// Words of the text so far and where their ids are in the output: a word that comes again is copied.
#[derive(Debug)]
pub(crate) struct WordMemory {
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    start: u32,
    end: u32,
    from: u32,
    to: u32,
}

impl WordMemory {
    const SLOTS: usize = 1 << 13;

    /// A memory for a text of that many bytes; a short one is not worth it.
    pub(crate) fn new(bytes: usize) -> WordMemory {
        WordMemory {
            slots: if bytes < 2048 {
                Vec::new()
            } else {
                vec![Slot::default(); Self::SLOTS]
            },
        }
    }

    /// Appends the ids of `text[start..end]` to `out`: from memory, or else by `encode`.
    #[inline]
    pub(crate) fn word(
        &mut self,
        text: &[u8],
        start: usize,
        end: usize,
        out: &mut Vec<u32>,
        encode: impl FnOnce(&[u8], &mut Vec<u32>),
    ) {
        let word = &text[start..end];
        if self.slots.is_empty() || word.len() > 64 {
            return encode(word, out);
        }
        let slot = &mut self.slots[hash(word) as usize % Self::SLOTS];
        if slot.end > slot.start && text[slot.start as usize..slot.end as usize] == *word {
            out.extend_from_within(slot.from as usize..slot.to as usize);
            return;
        }
        let from = out.len() as u32;
        encode(word, out);
        *slot = Slot {
            start: start as u32,
            end: end as u32,
            from,
            to: out.len() as u32,
        };
    }
}

/// Where a text with `▁` for spaces may be cut without changing what merges give: before a `▁` that no token
/// joins to the character in front of it.
#[derive(Debug)]
pub(crate) struct Seams {
    /// Last bytes of characters that some token has in front of a `▁`.
    joined: Box<[bool; 256]>,
}

impl Seams {
    /// Looks through all texts of a vocabulary.
    pub(crate) fn new(vocabulary: &Vocabulary) -> Seams {
        let mut joined = Box::new([false; 256]);
        for id in 0..vocabulary.texts() as u32 {
            let text = vocabulary.text(id);
            let bytes = text.as_bytes();
            // Nearly all tokens have a ▁ only in front.
            if let Some((at, _)) = bytes
                .iter()
                .enumerate()
                .skip(1)
                .find(|&(_, &b)| b == SPACE.as_bytes()[0])
            {
                for (position, _) in text[at..].match_indices(SPACE) {
                    joined[bytes[at + position - 1] as usize] = true;
                }
            }
        }
        Seams { joined }
    }

    /// The end of the piece of `text` that starts at `start`.
    pub(crate) fn next(&self, text: &str, start: usize) -> usize {
        let bytes = text.as_bytes();
        let mut at = start + 1;
        while at < bytes.len() {
            if bytes[at] == SPACE.as_bytes()[0]
                && !self.joined[bytes[at - 1] as usize]
                && bytes[at..].starts_with(SPACE.as_bytes())
            {
                return at;
            }
            at += 1;
        }
        bytes.len()
    }
}

/// `text` with every space replaced by `▁`, after `prefix`.
pub(crate) fn escape_spaces(text: &str, prefix: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + text.len() / 2 + prefix.len());
    escaped.push_str(prefix);
    let mut pieces = text.split(' ');
    escaped.push_str(pieces.next().unwrap_or(""));
    for piece in pieces {
        escaped.push_str(SPACE);
        escaped.push_str(piece);
    }
    escaped
}
