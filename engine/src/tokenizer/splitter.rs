//! Cutting a text into words, by the steps of a pre-tokenizer.
//!
//! In: an entry of the table, then texts. Out: the ends of the words.

use super::pattern::{Pattern, Scratch};
use super::pretok::{PreTokenizer, Step};
use super::unicode::{bit, class};

/// A pre-tokenizer made ready.
#[derive(Debug)]
pub(crate) struct Splitter {
    steps: Vec<Ready>,
}

#[derive(Debug)]
enum Ready {
    Pattern(Pattern),
    DigitGroups { ascii: bool },
}

/// Working memory, kept between texts.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    /// The ends of the words after [`Splitter::split`].
    pub ends: Vec<u32>,
    before: Vec<u32>,
    scratch: Scratch,
}

impl Splitter {
    /// Compiles the patterns of an entry.
    pub(crate) fn new(entry: &PreTokenizer) -> Result<Splitter, String> {
        let ready = |step: &Step| match step {
            Step::Pattern(source) => Pattern::new(source).map(Ready::Pattern),
            Step::DigitGroups => Ok(Ready::DigitGroups { ascii: false }),
            Step::AsciiDigitGroups => Ok(Ready::DigitGroups { ascii: true }),
        };
        Ok(Splitter {
            steps: entry.steps.iter().map(ready).collect::<Result<_, _>>()?,
        })
    }

    /// Cuts a text into words: their ends.
    pub(crate) fn split(&self, text: &str, pieces: &mut Pieces) {
        pieces.ends.clear();
        pieces.ends.push(text.len() as u32);
        for step in &self.steps {
            std::mem::swap(&mut pieces.ends, &mut pieces.before);
            pieces.ends.clear();
            let mut start = 0;
            for &end in &pieces.before {
                let end = end as usize;
                match step {
                    Ready::Pattern(pattern) => {
                        pattern.split(text, start, end, &mut pieces.scratch, &mut pieces.ends);
                    }
                    Ready::DigitGroups { ascii } => {
                        digit_groups(text, start, end, *ascii, &mut pieces.ends)
                    }
                }
                start = end;
            }
        }
    }
}

/// Cuts `text[from..to]` so that runs of digits end in groups of three; see [`Step`] for the two manners.
fn digit_groups(text: &str, from: usize, to: usize, ascii: bool, ends: &mut Vec<u32>) {
    let is_digit = |c: char| {
        if ascii {
            c.is_ascii_digit()
        } else {
            class(c) == bit::NUMBER
        }
    };
    let mut last = from;
    let mut cut = |at: usize| {
        if at > last {
            ends.push(at as u32);
            last = at;
        }
    };
    let mut at = from;
    while let Some(start) = text[at..to].find(is_digit).map(|offset| at + offset) {
        let end = text[start..to]
            .find(|c| !is_digit(c))
            .map_or(to, |offset| start + offset);
        let run = &text[start..end];
        let count = run.chars().count();
        for (index, (offset, _)) in run.char_indices().enumerate() {
            if (count - index).is_multiple_of(3) && (ascii || index > 0) {
                cut(start + offset);
            }
        }
        if !ascii {
            cut(end);
        }
        at = end;
    }
    cut(to);
}

#[cfg(test)]
mod tests {
    use super::super::pretok::{PRE_TOKENIZERS, find};
    use super::*;

    fn words<'a>(name: &str, text: &'a str) -> Vec<&'a str> {
        let splitter = Splitter::new(find(name).unwrap()).unwrap();
        let mut pieces = Pieces::default();
        splitter.split(text, &mut pieces);
        let starts = std::iter::once(0).chain(pieces.ends.iter().copied());
        starts
            .zip(&pieces.ends)
            .map(|(from, &to)| &text[from as usize..to as usize])
            .collect()
    }

    #[test]
    fn every_entry_compiles_and_names_are_unique() {
        let mut names: Vec<&str> = Vec::new();
        for entry in PRE_TOKENIZERS {
            Splitter::new(entry).unwrap();
            names.extend(entry.names);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn known_splits() {
        for (name, text, expected) in [
            (
                "gpt-2",
                "I'll  pay $42!",
                &["I", "'ll", " ", " pay", " $", "42", "!"][..],
            ),
            ("gpt-2", "it'S", &["it", "'", "S"]),
            (
                "llama3",
                "it'S 12345\n\n  x",
                &["it", "'S", " ", "123", "45", "\n\n", " ", " x"],
            ),
            (
                "qwen2",
                "v2.10 \t\nb",
                &["v", "2", ".", "1", "0", " \t\n", "b"],
            ),
            ("smollm", "a1 23", &["a", "1", " ", "2", "3"]),
            (
                "deepseek-v3",
                "1234 tests,日本",
                &["123", "4", " tests", ",", "日本"],
            ),
            ("gpt-4o", "HELLOWorld's don'T", &["HELLOWorld's", " don'T"]),
            (
                "superbpe",
                "pay 1234567 now",
                &["pay ", "1", "234", "567", " now"],
            ),
            ("tiny_aya", "x1234567y", &["x", "1", "234", "567", "y"]),
            ("afmoe", "n12345", &["n", "12", "345"]),
            ("kimi-k2", "abc漢字def", &["abc", "漢字", "def"]),
            (
                "deepseek-llm",
                "ab  \n c  ",
                &["ab", "  ", "\n", " c", "  "],
            ),
            ("bloom", "a b, c.", &["a", " b", ",", " c", "."]),
        ] {
            assert_eq!(words(name, text), expected, "{name} {text:?}");
        }
    }
}
