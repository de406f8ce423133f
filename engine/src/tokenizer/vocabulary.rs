//! The tokens of a model: their texts, scores and kinds, and the way back from a text to its id.
//!
//! In: what the file lists. Out: id → text, text → id. All texts lie in one buffer and the index is an open-addressed
//! table of ids, so a vocabulary of a quarter of a million tokens is ready in milliseconds and without an allocation
//! per token. Beyond the file's tokens the index can hold *fragments*: texts that only occur in merges.

/// The id that stands for "no such token".
pub(crate) const NONE: u32 = u32::MAX;

/// What a token is, as a set: llama.cpp's loader may mark a user-defined token as control as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind(pub u8);

impl Kind {
    pub const UNKNOWN: Kind = Kind(1 << 0);
    pub const UNUSED: Kind = Kind(1 << 1);
    pub const NORMAL: Kind = Kind(1 << 2);
    pub const CONTROL: Kind = Kind(1 << 3);
    pub const USER_DEFINED: Kind = Kind(1 << 4);
    pub const BYTE: Kind = Kind(1 << 5);

    /// The kind for a value of `tokenizer.ggml.token_type`; unknown values are tokens that are never shown.
    pub fn from_file(value: i32) -> Kind {
        match value {
            1 => Kind::NORMAL,
            2 => Kind::UNKNOWN,
            3 => Kind::CONTROL,
            4 => Kind::USER_DEFINED,
            5 => Kind::UNUSED,
            6 => Kind::BYTE,
            _ => Kind(0),
        }
    }

    /// Whether any of `other`'s marks is set.
    pub fn is(self, other: Kind) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets of marks together.
    pub const fn with(self, other: Kind) -> Kind {
        Kind(self.0 | other.0)
    }
}

/// Token texts and their index.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    bytes: String,
    /// End of each text in `bytes`; it starts where the one before ends.
    ends: Vec<u32>,
    /// Slots of (low hash bits, id + 1); 0 is free.
    index: Vec<u64>,
    /// Tokens of the file; ids from here on are fragments.
    tokens: usize,
    longest: usize,
    duplicates: usize,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) scores: Vec<f32>,
}

impl Vocabulary {
    /// An empty vocabulary with room for `count` texts.
    pub(crate) fn with_capacity(count: usize) -> Vocabulary {
        // The file has these strings, so the size is honest; the table is at most half full.
        let slots = (count.max(8) * 2).next_power_of_two();
        Vocabulary {
            bytes: String::with_capacity(count * 8),
            ends: Vec::with_capacity(count),
            index: vec![0; slots],
            ..Vocabulary::default()
        }
    }

    /// Appends a text. The id that had it first, if it is a duplicate (lookups keep finding that one).
    pub(crate) fn push(&mut self, text: &str) -> Result<u32, u32> {
        let id = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u32);
        let inserted = self.insert(text.as_bytes(), id);
        self.duplicates += usize::from(inserted.is_err());
        inserted
    }

    /// How many texts were there twice.
    pub(crate) fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// Ends the list of tokens: what is interned from now on is a fragment.
    pub(crate) fn seal(&mut self) {
        self.tokens = self.ends.len();
        self.longest = (0..self.tokens as u32)
            .map(|id| self.text(id).len())
            .max()
            .unwrap_or(0);
    }

    /// The id of a text, token or fragment; a new fragment if it has none.
    pub(crate) fn intern(&mut self, text: &str) -> u32 {
        let found = self.find(text.as_bytes());
        if found != NONE {
            return found;
        }
        let id = self.ends.len() as u32;
        self.bytes.push_str(text);
        self.ends.push(self.bytes.len() as u32);
        let _ = self.insert(text.as_bytes(), id); // not there yet: `find` has just said so
        id
    }

    fn insert(&mut self, text: &[u8], id: u32) -> Result<u32, u32> {
        if (self.ends.len() + 1) * 2 > self.index.len() {
            self.grow();
        }
        let hash = hash(text);
        let mask = self.index.len() - 1;
        let mut slot = (hash >> 32) as usize & mask;
        while self.index[slot] != 0 {
            let entry = self.index[slot];
            if entry as u32 == hash as u32 && self.text_bytes((entry >> 32) as u32 - 1) == text {
                return Err((entry >> 32) as u32 - 1);
            }
            slot = (slot + 1) & mask;
        }
        self.index[slot] = (id as u64 + 1) << 32 | (hash & 0xFFFF_FFFF);
        Ok(id)
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.index);
        self.index = vec![0; old.len() * 2];
        let mask = self.index.len() - 1;
        for entry in old.into_iter().filter(|&entry| entry != 0) {
            let hash = hash(self.text_bytes((entry >> 32) as u32 - 1));
            let mut slot = (hash >> 32) as usize & mask;
            while self.index[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.index[slot] = entry;
        }
    }

    /// The id of a text, token or fragment, or [`NONE`].
    #[inline]
    pub(crate) fn find(&self, text: &[u8]) -> u32 {
        let hash = hash(text);
        let mask = self.index.len().wrapping_sub(1);
        let mut slot = (hash >> 32) as usize & mask;
        while let Some(&entry) = self.index.get(slot) {
            if entry == 0 {
                break;
            }
            if entry as u32 == hash as u32 {
                let id = (entry >> 32) as u32 - 1;
                if self.text_bytes(id) == text {
                    return id;
                }
            }
            slot = (slot + 1) & mask;
        }
        NONE
    }

    /// As [`find`](Self::find), for many texts: the table is far larger than the caches, and looked at in batches
    /// the processor waits for many places at once instead of one after the other.
    pub(crate) fn find_all(&self, texts: &[&[u8]], ids: &mut Vec<u32>) {
        let mask = self.index.len().wrapping_sub(1);
        let mut guesses = [(0u64, 0u64); 64];
        let mut spans = [(0u32, 0u32); 64];
        for batch in texts.chunks(64) {
            for (text, guess) in batch.iter().zip(&mut guesses) {
                let hash = hash(text);
                *guess = (
                    hash,
                    self.index
                        .get((hash >> 32) as usize & mask)
                        .copied()
                        .unwrap_or(0),
                );
            }
            for (guess, span) in guesses.iter().zip(&mut spans) {
                let id = (guess.1 >> 32) as usize;
                let end = |id: usize| self.ends.get(id).copied().unwrap_or(0);
                *span = (
                    if id < 2 { 0 } else { end(id - 2) },
                    if id == 0 { 0 } else { end(id - 1) },
                );
            }
            for ((text, guess), &(start, end)) in batch.iter().zip(&guesses).zip(&spans) {
                let (hash, entry) = *guess;
                let found = entry != 0
                    && entry as u32 == hash as u32
                    && self.bytes.as_bytes().get(start as usize..end as usize) == Some(*text);
                ids.push(if found {
                    (entry >> 32) as u32 - 1
                } else {
                    self.find(text)
                });
            }
        }
    }

    /// The id of a token (not a fragment) by its text, or [`NONE`].
    #[inline]
    pub(crate) fn token(&self, text: &[u8]) -> u32 {
        if text.len() > self.longest {
            return NONE;
        }
        let id = self.find(text);
        if (id as usize) < self.tokens {
            id
        } else {
            NONE
        }
    }

    /// Whether an id is a token of the file.
    #[inline]
    pub(crate) fn is_token(&self, id: u32) -> bool {
        (id as usize) < self.tokens
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.tokens
    }

    /// Number of tokens and fragments.
    pub(crate) fn texts(&self) -> usize {
        self.ends.len()
    }

    /// The text of a token or fragment; empty for an id that is neither.
    #[inline]
    pub(crate) fn text(&self, id: u32) -> &str {
        let id = id as usize;
        let start = if id == 0 {
            0
        } else {
            self.ends.get(id - 1).copied().unwrap_or(0)
        };
        let end = self.ends.get(id).copied().unwrap_or(start);
        self.bytes.get(start as usize..end as usize).unwrap_or("")
    }

    #[inline]
    fn text_bytes(&self, id: u32) -> &[u8] {
        self.text(id).as_bytes()
    }

    /// The kind of a token; an id outside the vocabulary has no marks.
    #[inline]
    pub(crate) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind(0))
    }

    /// The score of a token, 0 where the file has none.
    #[inline]
    pub(crate) fn score(&self, id: u32) -> f32 {
        self.scores.get(id as usize).copied().unwrap_or(0.0)
    }

    /// Length in bytes of the longest token.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }
}

/// A fast hash for short texts: eight bytes at a time, multiply and fold. Both halves are well mixed.
#[inline]
pub(crate) fn hash(text: &[u8]) -> u64 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15; // 2^64 / golden ratio: an odd constant with well-spread bits
    let mut state = text.len() as u64 ^ 0x51_7C_C1_B7;
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), K);
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    fold(state ^ u64::from_le_bytes(last), K ^ 0xA076_1D64_78BD_642F)
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_across_growth() {
        let mut vocabulary = Vocabulary::with_capacity(0);
        let texts: Vec<String> = (0..5000).map(|i| format!("token {i}")).collect();
        for (id, text) in texts.iter().enumerate() {
            assert_eq!(vocabulary.push(text), Ok(id as u32));
        }
        vocabulary.seal();
        for (id, text) in texts.iter().enumerate() {
            assert_eq!(vocabulary.token(text.as_bytes()), id as u32);
            assert_eq!(vocabulary.text(id as u32), text);
        }
        assert_eq!(vocabulary.token(b"token"), NONE);
        assert_eq!(vocabulary.text(5000), "");
        assert_eq!(vocabulary.text(NONE), "");
    }

    #[test]
    fn duplicates_keep_the_first_id() {
        let mut vocabulary = Vocabulary::with_capacity(3);
        assert_eq!(vocabulary.push("a"), Ok(0));
        assert_eq!(vocabulary.push("a"), Err(0));
        assert_eq!(vocabulary.push("b"), Ok(2));
        vocabulary.seal();
        assert_eq!(vocabulary.token(b"a"), 0);
        assert_eq!(vocabulary.len(), 3);
    }

    #[test]
    fn fragments_are_found_but_are_no_tokens() {
        let mut vocabulary = Vocabulary::with_capacity(1);
        assert_eq!(vocabulary.push("ab"), Ok(0));
        vocabulary.seal();
        assert_eq!(vocabulary.intern("ab"), 0);
        let fragment = vocabulary.intern("b");
        assert_eq!(vocabulary.intern("b"), fragment);
        assert_eq!(vocabulary.find(b"b"), fragment);
        assert_eq!(vocabulary.token(b"b"), NONE);
        assert!(!vocabulary.is_token(fragment));
    }
}
