//! What a code point is: the general category (one letter of it) and white space, as the tokenizers need it.
//!
//! The table is Unicode 15.1, pinned: it is part of a vocabulary's definition, and a newer standard library must not
//! change token ids. Runs are unpacked once into pages of 256 code points.

use std::sync::LazyLock;

use super::unicode_table::RUNS;

/// Bits of [`class`]: every character has exactly one, its coarse general category or white space.
pub(crate) mod bit {
    /// Unassigned (Cn).
    #[cfg(test)]
    pub const UNASSIGNED: u8 = 1 << 0;
    /// Numbers, `\p{N}`.
    pub const NUMBER: u8 = 1 << 1;
    /// Letters, `\p{L}`.
    pub const LETTER: u8 = 1 << 2;
    /// White space, `\s` (the White_Space property). Such characters have this bit only.
    pub const SPACE: u8 = 1 << 3;
    /// Combining marks, `\p{M}`.
    pub const MARK: u8 = 1 << 4;
    /// Punctuation, `\p{P}`.
    pub const PUNCTUATION: u8 = 1 << 5;
    /// Symbols, `\p{S}`.
    pub const SYMBOL: u8 = 1 << 6;
    /// Control, format, surrogate and private use (C without Cn).
    pub const CONTROL: u8 = 1 << 7;
}

struct Pages {
    page_of: Vec<u16>,
    pages: Vec<[u8; 256]>,
}

static PAGES: LazyLock<Pages> = LazyLock::new(|| {
    let mut classes = Vec::with_capacity(0x11_0000);
    for run in RUNS {
        classes.resize(classes.len() + (run / 8) as usize, 1u8 << (run % 8));
    }
    for code_point in (0..0x3001).filter(|&c| char::from_u32(c).is_some_and(char::is_whitespace)) {
        classes[code_point as usize] = bit::SPACE;
    }
    let mut pages: Vec<[u8; 256]> = Vec::new();
    let mut page_of = Vec::with_capacity(classes.len() / 256);
    for chunk in classes.chunks_exact(256) {
        let mut page = [0; 256];
        page.copy_from_slice(chunk);
        // Neighbours are mostly equal (CJK, unassigned planes), so a look at the last few pages finds nearly all.
        let found = pages.iter().rposition(|p| *p == page).unwrap_or_else(|| {
            pages.push(page);
            pages.len() - 1
        });
        page_of.push(found as u16);
    }
    Pages { page_of, pages }
});

/// The category bits of a character; see [`bit`].
#[inline]
pub(crate) fn class(c: char) -> u8 {
    let pages = &*PAGES;
    let code_point = c as usize;
    pages.pages[pages.page_of[code_point >> 8] as usize][code_point & 0xff]
}

/// Whether a character is a Han ideograph in the sense of `\p{Han}` in pre-tokenizer patterns (the unified and
/// compatibility blocks).
pub(crate) const HAN: [(u32, u32); 9] = [
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x2_0000, 0x2_A6DF),
    (0x2_A700, 0x2_B73F),
    (0x2_B740, 0x2_B81F),
    (0x2_B820, 0x2_CEAF),
    (0x2_CEB0, 0x2_EBEF),
    (0x2_F800, 0x2_FA1F),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_cover_unicode() {
        assert_eq!(RUNS.iter().map(|run| run / 8).sum::<u32>(), 0x11_0000);
    }

    #[test]
    fn known_characters() {
        for (c, expected) in [
            ('a', bit::LETTER),
            ('7', bit::NUMBER),
            ('½', bit::NUMBER),
            ('_', bit::PUNCTUATION),
            ('$', bit::SYMBOL),
            ('\u{301}', bit::MARK),
            ('\n', bit::SPACE),
            ('\u{200b}', bit::CONTROL),
            ('中', bit::LETTER),
            ('\u{1C89}', bit::UNASSIGNED), // a letter since Unicode 16
        ] {
            assert_eq!(class(c), expected, "{c:?}");
        }
    }

    #[test]
    fn numbers_agree_with_the_standard_library_where_both_know_the_character() {
        for c in (0..=char::MAX as u32).filter_map(char::from_u32) {
            if class(c) & bit::UNASSIGNED == 0 {
                assert_eq!(class(c) & bit::NUMBER != 0, c.is_numeric(), "{c:?}");
                assert_eq!(class(c) & bit::SPACE != 0, c.is_whitespace(), "{c:?}");
            }
        }
    }
}
