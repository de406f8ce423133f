//! The regular expressions of pre-tokenizers, matched fast and without surprises.
//!
//! Publishers describe a pre-tokenizer by a pattern; this is a small backtracking matcher for exactly the notation
//! they use: alternatives, groups, `(?i:...)`, classes with `\p{..}` and `&&`, greedy and possessive counts,
//! lookahead, `$` and `\b`. In: a pattern and a piece of text. Out: the ends of the pieces it is cut into, matches
//! and what lies between them alike. A first-byte table picks the alternatives worth trying, ASCII is looked up, and
//! pending choices live on an explicit stack, so long runs cost no recursion.

use super::unicode::{self, bit};

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
    /// The body follows and ends with `Accept`; go on at `then`.
    Look {
        negative: bool,
        then: u32,
    },
    /// End of the text.
    End,
    /// Between a word character (ASCII letter, digit, `_`) and something else.
    Boundary,
    Accept,
}

/// A set of characters.
#[derive(Debug, Clone)]
struct Set {
    ascii: [bool; 128],
    classes: u8,
    ranges: Vec<(u32, u32)>,
    negated: bool,
    /// The other sides of `&&`.
    also: Vec<Set>,
}

impl Set {
    fn empty() -> Set {
        Set {
            ascii: [false; 128],
            classes: 0,
            ranges: Vec::new(),
            negated: false,
            also: Vec::new(),
        }
    }

    fn compute(&self, c: char) -> bool {
        let class = unicode::class(c);
        // Only `\s` knows the white space beyond ASCII: the reference turns it into a vertical tab before it matches.
        let code_point = if class == bit::SPACE && !c.is_ascii() {
            0x0B
        } else {
            c as u32
        };
        let inside = class & self.classes != 0
            || self
                .ranges
                .binary_search_by(|&(low, high)| compare(low, high, code_point))
                .is_ok();
        inside != self.negated && self.also.iter().all(|set| set.compute(c))
    }

    /// Sorts the ranges and fills the ASCII table.
    fn finish(mut self) -> Set {
        self.ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(self.ranges.len());
        for &(low, high) in &self.ranges {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        self.ranges = merged;
        for byte in 0..128u8 {
            self.ascii[byte as usize] = self.compute(byte as char);
        }
        self
    }
}

fn compare(low: u32, high: u32, code_point: u32) -> std::cmp::Ordering {
    if high < code_point {
        std::cmp::Ordering::Less
    } else if low > code_point {
        std::cmp::Ordering::Greater
    } else {
        std::cmp::Ordering::Equal
    }
}

#[derive(Debug, Clone)]
enum Node {
    Set(u16),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: u32,
        possessive: bool,
    },
    Look {
        node: Box<Node>,
        negative: bool,
    },
    End,
    Boundary,
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
        let mut parser = Parser {
            source,
            position: 0,
            sets: Vec::new(),
            fold: false,
            depth: 0,
        };
        let node = parser.alternatives()?;
        if parser.position < source.len() {
            return Err(parser.error("unbalanced )"));
        }
        let alternatives = match node {
            Node::Alternatives(list) => list,
            other => vec![other],
        };
        if alternatives.len() > 32 {
            return Err(format!("pattern {source:?} has more than 32 alternatives"));
        }
        let mut pattern = Pattern {
            sets: parser.sets,
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
            Node::Boundary => self.ops.push(Op::Boundary),
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
            Node::Look { node, negative } => {
                let look = self.ops.len();
                self.ops.push(Op::Accept);
                self.compile(node);
                self.ops.push(Op::Accept);
                self.ops[look] = Op::Look {
                    negative: *negative,
                    then: self.ops.len() as u32,
                };
            }
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
            Node::Look { .. } | Node::End | Node::Boundary => nothing,
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
                    from,
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

    /// Matches the program at `op` from `at`; `start` is where the text begins for `\b`.
    fn run(
        &self,
        op: u32,
        text: &str,
        start: usize,
        at: usize,
        scratch: &mut Scratch,
    ) -> Option<usize> {
        let base = scratch.0.len();
        let (mut op, mut at) = (op as usize, at);
        loop {
            let advanced = match self.ops[op] {
                Op::Accept => {
                    scratch.0.truncate(base);
                    return Some(at);
                }
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
                Op::Look { negative, then } => {
                    if self.run(op as u32 + 1, text, start, at, scratch).is_some() != negative {
                        op = then as usize;
                        continue;
                    }
                    None
                }
                Op::End => (at == text.len()).then_some(at),
                Op::Boundary => (is_word(text, start, at)
                    != (at > start && is_word(text, start, at - 1)))
                .then_some(at),
            };
            match advanced {
                Some(next) => {
                    at = next;
                    op += 1;
                }
                None => {
                    // Back to the latest choice: give back one character of a run, or take the other way.
                    if scratch.0.len() == base {
                        return None;
                    }
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

fn is_word(text: &str, start: usize, at: usize) -> bool {
    at >= start
        && text
            .as_bytes()
            .get(at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

struct Parser<'a> {
    source: &'a str,
    position: usize,
    sets: Vec<Set>,
    /// Inside `(?i:...)`.
    fold: bool,
    /// Open brackets.
    depth: u32,
}

impl Parser<'_> {
    fn error(&self, what: &str) -> String {
        format!("pattern {:?}, byte {}: {what}", self.source, self.position)
    }

    fn peek(&self) -> Option<char> {
        self.source[self.position..].chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.source[self.position..].starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn next(&mut self) -> Result<char, String> {
        let c = self.peek().ok_or_else(|| self.error("unexpected end"))?;
        self.position += c.len_utf8();
        Ok(c)
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut list = vec![self.sequence()?];
        while self.eat("|") {
            list.push(self.sequence()?);
        }
        Ok(if list.len() == 1 {
            list.swap_remove(0)
        } else {
            Node::Alternatives(list)
        })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut list = Vec::new();
        while let Some(c) = self.peek() {
            if c == '|' || c == ')' {
                break;
            }
            let node = self.atom()?;
            list.push(self.counted(node)?);
        }
        Ok(Node::Sequence(list))
    }

    fn counted(&mut self, node: Node) -> Result<Node, String> {
        let (min, max) = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, u32::MAX),
            Some('+') => (1, u32::MAX),
            Some('{') => {
                let end = self.source[self.position..]
                    .find('}')
                    .ok_or_else(|| self.error("{ without }"))?;
                let body = &self.source[self.position + 1..self.position + end];
                let (low, high) = body.split_once(',').unwrap_or((body, body));
                let number =
                    |text: &str| text.parse::<u32>().map_err(|_| self.error("not a count"));
                let range = (
                    number(low)?,
                    if high.is_empty() {
                        u32::MAX
                    } else {
                        number(high)?
                    },
                );
                self.position += end;
                range
            }
            _ => return Ok(node),
        };
        self.position += 1;
        let possessive = self.eat("+");
        let single = matches!(node, Node::Set(_));
        if possessive && !single {
            return Err(self.error("possessive groups are not supported"));
        }
        Ok(Node::Repeat {
            node: Box::new(node),
            min,
            max,
            possessive,
        })
    }

    fn atom(&mut self) -> Result<Node, String> {
        if self.eat("(") {
            let fold = self.fold;
            let look = if self.eat("?=") {
                Some(false)
            } else if self.eat("?!") {
                Some(true)
            } else {
                if self.eat("?i:") {
                    self.fold = true;
                } else {
                    self.eat("?:");
                }
                None
            };
            let inner = self.alternatives()?;
            self.fold = fold;
            if !self.eat(")") {
                return Err(self.error("( without )"));
            }
            return Ok(match look {
                Some(negative) => Node::Look {
                    node: Box::new(inner),
                    negative,
                },
                None => inner,
            });
        }
        if self.eat("$") {
            return Ok(Node::End);
        }
        if self.eat("\\b") {
            return Ok(Node::Boundary);
        }
        let set = if self.eat("[") {
            self.class()?
        } else {
            let mut set = Set::empty();
            self.member(&mut set)?;
            set
        };
        self.sets.push(set.finish());
        Ok(Node::Set((self.sets.len() - 1) as u16))
    }

    /// The inside of `[...]`, after the bracket.
    fn class(&mut self) -> Result<Set, String> {
        let mut set = Set::empty();
        set.negated = self.eat("^");
        self.depth += 1;
        loop {
            if self.eat("]") {
                self.depth -= 1;
                return Ok(set);
            }
            if self.eat("&&[") {
                let other = self.class()?;
                set.also.push(other.finish());
                continue;
            }
            self.member(&mut set)?;
        }
    }

    /// One character, range or escape, added to a set.
    fn member(&mut self, set: &mut Set) -> Result<(), String> {
        if self.eat("\\s") {
            set.classes |= bit::SPACE;
        } else if self.eat("\\S") {
            set.classes |= !bit::SPACE;
        } else if self.eat("\\d") {
            set.ranges.push(('0' as u32, '9' as u32));
        } else if self.eat("\\p") {
            self.property(set)?;
        } else {
            let low = self.literal()?;
            self.range(set, low)?;
        }
        Ok(())
    }

    /// A character that stands for itself, or its escape.
    fn literal(&mut self) -> Result<char, String> {
        let c = self.next()?;
        if c != '\\' {
            return Ok(c);
        }
        match self.next()? {
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'u' => {
                let rest = &self.source[self.position..];
                let hex = rest
                    .strip_prefix('{')
                    .and_then(|r| r.split_once('}'))
                    .map(|(hex, _)| hex);
                let hex = hex.ok_or_else(|| self.error("\\u without {code point}"))?;
                let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                let c = c.ok_or_else(|| self.error("no such code point"))?;
                self.position += hex.len() + 2;
                Ok(c)
            }
            other if other.is_ascii_alphanumeric() => Err(self.error("unknown escape")),
            other => Ok(other),
        }
    }

    fn range(&mut self, set: &mut Set, low: char) -> Result<(), String> {
        let rest = &self.source[self.position..];
        let mut high = low;
        if self.depth > 0 && rest.starts_with('-') && !rest.starts_with("-]") {
            self.position += 1;
            high = self.literal()?;
            if high < low {
                return Err(self.error("range out of order"));
            }
        }
        set.ranges.push((low as u32, high as u32));
        if self.fold && low == high && low.is_ascii_alphabetic() {
            let other = (low as u8 ^ 0x20) as u32; // the other case of an ASCII letter differs in this bit
            set.ranges.push((other, other));
        }
        Ok(())
    }

    fn property(&mut self, set: &mut Set) -> Result<(), String> {
        let rest = &self.source[self.position..];
        let name = rest
            .strip_prefix('{')
            .and_then(|r| r.split_once('}'))
            .map(|(name, _)| name);
        let name = name.ok_or_else(|| self.error("\\p without {name}"))?;
        match name {
            "L" => set.classes |= bit::LETTER,
            "N" => set.classes |= bit::NUMBER,
            "M" => set.classes |= bit::MARK,
            "P" => set.classes |= bit::PUNCTUATION,
            "S" => set.classes |= bit::SYMBOL,
            "Han" => set.ranges.extend(unicode::HAN),
            _ => return Err(self.error("unknown property")),
        }
        self.position += name.len() + 2;
        Ok(())
    }
}
