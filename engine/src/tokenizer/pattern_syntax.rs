//! The notation of pre-tokenizer patterns: from its text to a tree of nodes and sets of characters.

use super::unicode::{self, bit};

/// A set of characters.
#[derive(Debug, Clone)]
pub(super) struct Set {
    pub(super) ascii: [bool; 128],
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

    pub(super) fn compute(&self, c: char) -> bool {
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

/// A part of a pattern.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Set(u16),
    Sequence(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat {
        node: Box<Node>,
        min: u32,
        max: u32,
        possessive: bool,
    },
    /// A look at the next character.
    Look {
        set: u16,
        negative: bool,
    },
    End,
}

/// Reads a pattern from left to right.
pub(super) struct Parser<'a> {
    source: &'a str,
    position: usize,
    sets: Vec<Set>,
    /// Inside `(?i:...)`.
    fold: bool,
    /// Open brackets.
    depth: u32,
}

impl Parser<'_> {
    /// The tree of a pattern, and the sets that it refers to by number.
    pub(super) fn parse(source: &str) -> Result<(Node, Vec<Set>), String> {
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
        Ok((node, parser.sets))
    }

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
            return match (look, inner) {
                (None, inner) => Ok(inner),
                (Some(negative), inner) => match single(inner) {
                    Some(set) => Ok(Node::Look { set, negative }),
                    None => {
                        Err(self.error("lookahead at more than one character is not supported"))
                    }
                },
            };
        }
        if self.eat("$") {
            return Ok(Node::End);
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

/// The set of a node that is nothing but one character.
fn single(node: Node) -> Option<u16> {
    match node {
        Node::Set(set) => Some(set),
        Node::Sequence(mut list) if list.len() == 1 => list.pop().and_then(single),
        _ => None,
    }
}
