//! The regular expressions of pre-tokenizers, matched fast and without surprises.
//!
//! Publishers describe a pre-tokenizer by a pattern; this is a small backtracking matcher for exactly the notation
//! they use: alternatives, groups, `(?i:...)`, classes with `\p{..}` and `&&`, greedy and possessive counts,
//! lookahead at one character and `$`. In: a pattern and a piece of text. Out: the ends of the pieces it is cut into, matches
//! and what lies between them alike. A first-byte table picks the alternatives worth trying, ASCII is looked up, and
//! pending choices live on an explicit stack, so long runs cost no recursion.

use super::pattern_syntax::{Node, Parser, Set};

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    sets: Vec<Set>,
    ops: Vec<Op>,
    /// Where each alternative of the top level starts.
    starts: Vec<u32>,
    /// For each first byte (all of non-ASCII is entry 128) the alternatives that may match, as bits.
    first: Vec<u32>,
    /// The pattern starts with this possessive run: where it fails, it fails from every start inside the run.
    skip: Option<u16>,
}

/// One step of a compiled pattern.
#[derive(Debug, Clone, Copy)]
enum Op {
    One(u16),
    Run {
        set: u16,
        min: u32,
        max: u32,
        possessive: bool,
    },
    /// Try the first; if all that follows fails, the second.
    Split(u32, u32),
    Jump(u32),
    /// The next character is in the set; if negative, it is not or there is none.
    Look {
        set: u16,
        negative: bool,
    },
    /// End of the text.
    End,
    Accept,
}

/// What a node can start with: ASCII characters, anything else, or nothing at all.
#[derive(Clone)]
struct First {
    bytes: [bool; 129],
    empty: bool,
}

impl Pattern {
    /// Compiles a pattern. The error says what was not understood, and where.
    pub(crate) fn new(source: &str) -> Result<Pattern, String> {
        let (node, sets) = Parser::parse(source)?;
        let alternatives = match node {
            Node::Alternatives(list) => list,
            other => vec![other],
        };
        if alternatives.len() > 32 {
            return Err(format!("pattern {source:?} has more than 32 alternatives"));
        }
        let mut pattern = Pattern {
            sets,
            ops: Vec::new(),
            starts: Vec::new(),
            first: vec![0; 129],
            skip: None,
        };
        if let [only] = alternatives.as_slice() {
            let head = if let Node::Sequence(list) = only {
                list.first()
            } else {
                Some(only)
            };
            if let Some(Node::Repeat {
                node,
                min: 1,
                max: u32::MAX,
                possessive: true,
            }) = head
                && let Node::Set(set) = **node
            {
                pattern.skip = Some(set);
            }
        }
        for (index, alternative) in alternatives.iter().enumerate() {
            pattern.starts.push(pattern.ops.len() as u32);
            pattern.compile(alternative);
            pattern.ops.push(Op::Accept);
            let first = pattern.first_of(alternative);
            for (mask, &possible) in pattern.first.iter_mut().zip(&first.bytes) {
                if possible || first.empty {
                    *mask |= 1 << index;
                }
            }
        }
        Ok(pattern)
    }

    fn compile(&mut self, node: &Node) {
        match node {
            Node::Set(set) => self.ops.push(Op::One(*set)),
            Node::End => self.ops.push(Op::End),
            Node::Sequence(list) => list.iter().for_each(|item| self.compile(item)),
            Node::Alternatives(list) => {
                let mut jumps = Vec::new();
                for (index, item) in list.iter().enumerate() {
                    if index + 1 == list.len() {
                        self.compile(item);
                        continue;
                    }
                    let split = self.ops.len();
                    self.ops.push(Op::Accept);
                    self.compile(item);
                    jumps.push(self.ops.len());
                    self.ops.push(Op::Accept);
                    self.ops[split] = Op::Split(split as u32 + 1, self.ops.len() as u32);
                }
                for jump in jumps {
                    self.ops[jump] = Op::Jump(self.ops.len() as u32);
                }
            }
            Node::Repeat {
                node,
                min,
                max,
                possessive,
            } => {
                if let Node::Set(set) = **node {
                    self.ops.push(Op::Run {
                        set,
                        min: *min,
                        max: *max,
                        possessive: *possessive,
                    });
                    return;
                }
                for _ in 0..*min {
                    self.compile(node);
                }
                if *max == u32::MAX {
                    let split = self.ops.len();
                    self.ops.push(Op::Accept);
                    self.compile(node);
                    self.ops.push(Op::Jump(split as u32));
                    self.ops[split] = Op::Split(split as u32 + 1, self.ops.len() as u32);
                } else {
                    let mut splits = Vec::new();
                    for _ in *min..*max {
                        splits.push(self.ops.len());
                        self.ops.push(Op::Accept);
                        self.compile(node);
                    }
                    for split in splits {
                        self.ops[split] = Op::Split(split as u32 + 1, self.ops.len() as u32);
                    }
                }
            }
            Node::Look { set, negative } => self.ops.push(Op::Look {
                set: *set,
                negative: *negative,
            }),
        }
    }

    fn first_of(&self, node: &Node) -> First {
        let nothing = First {
            bytes: [false; 129],
            empty: true,
        };
        match node {
            Node::Set(set) => {
                let mut first = First {
                    bytes: [true; 129],
                    empty: false,
                };
                first.bytes[..128].copy_from_slice(&self.sets[*set as usize].ascii);
                first
            }
            Node::Sequence(list) => {
                let mut first = nothing;
                for item in list {
                    let next = self.first_of(item);
                    first
                        .bytes
                        .iter_mut()
                        .zip(&next.bytes)
                        .for_each(|(a, b)| *a |= b);
                    if !next.empty {
                        first.empty = false;
                        break;
                    }
                }
                first
            }
            Node::Alternatives(list) => {
                let mut first = First {
                    empty: false,
                    ..nothing
                };
                for next in list.iter().map(|item| self.first_of(item)) {
                    first
                        .bytes
                        .iter_mut()
                        .zip(&next.bytes)
                        .for_each(|(a, b)| *a |= b);
                    first.empty |= next.empty;
                }
                first
            }
            Node::Repeat { node, min, .. } => {
                let mut first = self.first_of(node);
                first.empty |= *min == 0;
                first
            }
            Node::Look { .. } | Node::End => nothing,
        }
    }

    /// Cuts `text[from..to]` at the matches of the pattern, and appends the ends of the pieces.
    pub(crate) fn split(
        &self,
        text: &str,
        from: usize,
        to: usize,
        scratch: &mut Scratch,
        ends: &mut Vec<u32>,
    ) {
        let Some(text) = text.get(..to) else { return };
        let (mut piece, mut at) = (from, from);
        while at < to {
            let byte = text.as_bytes()[at];
            let mut mask = self.first[byte.min(128) as usize];
            let mut matched = None;
            while mask != 0 && matched.is_none() {
                matched = self.run(
                    self.starts[mask.trailing_zeros() as usize],
                    text,
                    at,
                    scratch,
                );
                mask &= mask - 1;
            }
            match matched {
                Some(end) => {
                    if at > piece {
                        ends.push(at as u32);
                    }
                    piece = at;
                    if end > at {
                        ends.push(end as u32);
                        (piece, at) = (end, end);
                    } else {
                        at += width(byte);
                    }
                }
                None => {
                    at = match self.skip {
                        Some(set) if self.first[byte.min(128) as usize] != 0 => {
                            self.take(set, u32::MAX, text, at).0.max(at + width(byte))
                        }
                        _ => at + width(byte),
                    }
                }
            }
        }
        if piece < to {
            ends.push(to as u32);
        }
    }

    #[inline]
    fn is_in(&self, set: u16, text: &str, at: usize) -> Option<usize> {
        let set = &self.sets[set as usize];
        let byte = *text.as_bytes().get(at)?;
        if byte < 128 {
            return set.ascii[byte as usize].then_some(at + 1);
        }
        let c = text[at..].chars().next()?;
        set.compute(c).then_some(at + c.len_utf8())
    }

    /// The longest run of a set from `at`: its end and its count of characters.
    #[inline]
    fn take(&self, set: u16, max: u32, text: &str, at: usize) -> (usize, u32) {
        let (mut end, mut count) = (at, 0);
        while count < max
            && let Some(next) = self.is_in(set, text, end)
        {
            end = next;
            count += 1;
        }
        (end, count)
    }

    /// Matches the program at `op` from `at`.
    fn run(&self, op: u32, text: &str, at: usize, scratch: &mut Scratch) -> Option<usize> {
        scratch.0.clear();
        let (mut op, mut at) = (op as usize, at);
        loop {
            let advanced = match self.ops[op] {
                Op::Accept => return Some(at),
                Op::One(set) => self.is_in(set, text, at),
                Op::Run {
                    set,
                    min,
                    max,
                    possessive,
                } => {
                    let (end, count) = self.take(set, max, text, at);
                    if count < min {
                        None
                    } else {
                        if !possessive && count > min {
                            scratch.0.push(Choice {
                                op: op as u32 + 1,
                                at: end,
                                left: count - min,
                            });
                        }
                        Some(end)
                    }
                }
                Op::Split(first, second) => {
                    scratch.0.push(Choice {
                        op: second,
                        at,
                        left: 0,
                    });
                    op = first as usize;
                    continue;
                }
                Op::Jump(to) => {
                    op = to as usize;
                    continue;
                }
                Op::Look { set, negative } => {
                    (self.is_in(set, text, at).is_some() != negative).then_some(at)
                }
                Op::End => (at == text.len()).then_some(at),
            };
            match advanced {
                Some(next) => {
                    at = next;
                    op += 1;
                }
                None => {
                    // Back to the latest choice: give back one character of a run, or take the other way.
                    let choice = scratch.0.last_mut()?;
                    op = choice.op as usize;
                    if choice.left == 0 {
                        at = choice.at;
                        scratch.0.pop();
                    } else {
                        at = previous(text, choice.at);
                        choice.at = at;
                        choice.left -= 1;
                        if choice.left == 0 {
                            scratch.0.pop();
                        }
                    }
                }
            }
        }
    }
}

/// Pending choices of a match; kept between calls for its capacity.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<Choice>);

#[derive(Debug)]
struct Choice {
    op: u32,
    at: usize,
    /// Characters of a run that can still be given back; 0 for a plain alternative.
    left: u32,
}

/// Bytes of the character that starts with `byte`.
#[inline]
fn width(byte: u8) -> usize {
    match byte {
        0..0xC0 => 1,
        0xC0..0xE0 => 2,
        0xE0..0xF0 => 3,
        _ => 4,
    }
}

/// Where the character before `at` starts.
fn previous(text: &str, at: usize) -> usize {
    let mut at = at.saturating_sub(1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut<'a>(pattern: &str, text: &'a str) -> Vec<&'a str> {
        let mut ends = Vec::new();
        Pattern::new(pattern).unwrap().split(
            text,
            0,
            text.len(),
            &mut Scratch::default(),
            &mut ends,
        );
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts
            .zip(&ends)
            .map(|(from, &to)| &text[from as usize..to as usize])
            .collect()
    }

    #[test]
    fn patterns_match_as_their_notation_says() {
        for (pattern, text, expected) in [
            ("a|ab", "abab", &["a", "b", "a", "b"][..]), // the first alternative wins, not the longest
            ("[a-c]+c", "abcabd", &["abc", "abd"]),      // a run gives characters back
            ("a{2,3}", "aaaaaaa", &["aaa", "aaa", "a"]),
            ("a{2}", "aaa", &["aa", "a"]),
            ("(?:ab)+", "ababa", &["abab", "a"]),
            ("(?:ab){1,2}c", "abababc", &["ab", "ababc"]),
            ("x(?:a|ab)*c", "xaababc", &["xaababc"]), // back into a group
            ("(?i:'re)", "we'RE", &["we", "'RE"]),
            (r"[\p{L}&&[^a-z]]+", "aBCéd", &["a", "BCé", "d"]),
            (r"[^\s\p{L}]+", "ab1.2 c", &["ab", "1.2", " c"]),
            (r"\s+(?!\S)", "a   b  ", &["a", "  ", " b", "  "]),
            (r"a(?=b)", "aab", &["a", "a", "b"]),
            (r"\s++$", "a  b  ", &["a  b", "  "]),
            (r"[\u{E9}-\u{EB}\]-]+", "aé-]ë", &["a", "é-]ë"]),
            (r"\d", "4٤", &["4", "٤"]),
            ("z", "", &[]),
        ] {
            assert_eq!(cut(pattern, text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for pattern in [
            "a)",
            "(a",
            "[a",
            "a{x}",
            "a{2",
            r"\p{Lu}",
            r"\p",
            r"\q",
            "[b-a]",
            "(?=ab)",
            "(?:a)++",
            r"\u{110000}",
        ] {
            assert!(Pattern::new(pattern).is_err(), "{pattern:?}");
        }
    }
}
