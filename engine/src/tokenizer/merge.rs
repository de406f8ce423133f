//! Merging neighbours, best pair first: the loop that SentencePiece-BPE and byte-level BPE share.
//!
//! In: symbols that lie side by side, and a function that says whether two neighbours may merge, how good that is and
//! what comes out. Out: the symbols that are left. Of equal priorities the leftmost goes first. Short words are
//! scanned again after each merge, which is fastest; long ones have a [`Queue`], so that the work stays near O(n).

use super::queue::{Proposal, Queue};

/// A piece of the text and the token or fragment it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    pub id: u32,
    pub start: u32,
    pub end: u32,
}

/// What two neighbours can become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Merge {
    /// Smaller goes first.
    pub priority: u32,
    pub id: u32,
}

const NEVER: Merge = Merge {
    priority: u32::MAX,
    id: 0,
};

/// Words up to this many symbols are scanned.
const SCANNED: usize = 32;

/// Working memory, kept between words.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    /// The symbols: filled by the caller, and the result after [`Merger::run`].
    pub symbols: Vec<Symbol>,
    pairs: Vec<Merge>,
    links: Vec<(u32, u32)>,
    queue: Queue,
}

impl Merger {
    /// Merges until no two neighbours can.
    pub(crate) fn run(&mut self, merge: impl Fn(Symbol, Symbol) -> Option<Merge>) {
        // u32::MAX marks "never": a real merge may not have it.
        let merge = |left, right| {
            merge(left, right).map_or(NEVER, |m| Merge {
                priority: m.priority.min(u32::MAX - 1),
                ..m
            })
        };
        if self.symbols.len() <= SCANNED {
            self.scan(merge)
        } else {
            self.drain(merge)
        }
    }

    fn scan(&mut self, merge: impl Fn(Symbol, Symbol) -> Merge) {
        let symbols = &mut self.symbols;
        let pairs = &mut self.pairs;
        pairs.clear();
        pairs.extend(symbols.windows(2).map(|pair| merge(pair[0], pair[1])));
        loop {
            let (mut best, mut at) = (u32::MAX, 0);
            for (index, pair) in pairs.iter().enumerate() {
                if pair.priority < best {
                    (best, at) = (pair.priority, index);
                }
            }
            if best == u32::MAX {
                return;
            }
            symbols[at] = Symbol {
                id: pairs[at].id,
                start: symbols[at].start,
                end: symbols[at + 1].end,
            };
            symbols.remove(at + 1);
            pairs.remove(at);
            if at > 0 {
                pairs[at - 1] = merge(symbols[at - 1], symbols[at]);
            }
            if at < pairs.len() {
                pairs[at] = merge(symbols[at], symbols[at + 1]);
            }
        }
    }

    fn drain(&mut self, merge: impl Fn(Symbol, Symbol) -> Merge) {
        const NOWHERE: u32 = u32::MAX;
        const GONE: u32 = u32::MAX;
        let Merger {
            symbols,
            links,
            queue,
            ..
        } = self;
        let count = symbols.len() as u32;
        links.clear();
        links.extend((0..count).map(|i| {
            (
                i.wrapping_sub(1),
                if i + 1 < count { i + 1 } else { NOWHERE },
            )
        }));
        queue.clear();
        // An entry is current as long as both symbols are: the left one can't change while the right one lives, so
        // the ends of both tell.
        let propose = |queue: &mut Queue, symbols: &[Symbol], left: u32, right: u32| {
            if left != NOWHERE && right != NOWHERE {
                let (l, r) = (symbols[left as usize], symbols[right as usize]);
                let Merge { priority, id } = merge(l, r);
                if priority != u32::MAX {
                    let end = r.end;
                    let proposal = Proposal {
                        left,
                        right,
                        end,
                        id,
                    };
                    queue.push(priority, proposal);
                }
            }
        };
        for right in 1..count {
            propose(queue, symbols, right - 1, right);
        }
        while let Some(Proposal {
            left,
            right,
            end,
            id,
        }) = queue.pop()
        {
            let (l, r) = (symbols[left as usize], symbols[right as usize]);
            if l.start == GONE || r.start == GONE || r.end != end || l.end != r.start {
                continue;
            }
            symbols[left as usize] = Symbol {
                id,
                start: l.start,
                end: r.end,
            };
            symbols[right as usize].start = GONE;
            let after = links[right as usize].1;
            links[left as usize].1 = after;
            if after != NOWHERE {
                links[after as usize].0 = left;
            }
            propose(queue, symbols, links[left as usize].0, left);
            propose(queue, symbols, left, after);
        }
        symbols.retain(|symbol| symbol.start != GONE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A toy rule with many ties: symbols are small numbers, and some pairs merge.
    fn rule(left: Symbol, right: Symbol) -> Option<Merge> {
        let sum = left.id * 3 + right.id;
        (!sum.is_multiple_of(4) && left.id + right.id < 12).then_some(Merge {
            priority: sum % 5,
            id: left.id + right.id,
        })
    }

    fn symbols(ids: &[u32]) -> Vec<Symbol> {
        ids.iter()
            .enumerate()
            .map(|(i, &id)| Symbol {
                id,
                start: i as u32,
                end: i as u32 + 1,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn queue_and_scan_agree(ids in prop::collection::vec(1u32..6, 0..200)) {
            let mut scanned = Merger { symbols: symbols(&ids), ..Merger::default() };
            scanned.scan(|l, r| rule(l, r).unwrap_or(NEVER));
            let mut drained = Merger { symbols: symbols(&ids), ..Merger::default() };
            drained.drain(|l, r| rule(l, r).unwrap_or(NEVER));
            let view = |m: &Merger| m.symbols.iter().map(|s| (s.id, s.start, s.end)).collect::<Vec<_>>();
            prop_assert_eq!(view(&scanned), view(&drained));
        }
    }
}
