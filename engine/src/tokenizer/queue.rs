//! Proposals to merge two neighbours, best first: by priority, then from left to right.
//!
//! A long text has millions of proposals but few priorities, each with a line of its own. Most proposals come from left to
//! right and are added at the end of a line; only the others are sorted in by a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// A merge that may be made, if both symbols are still what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Proposal {
    pub left: u32,
    pub right: u32,
    /// Where the right symbol ended when this was proposed.
    pub end: u32,
    /// What the two become.
    pub id: u32,
}

/// Proposals of one priority.
#[derive(Debug, Default)]
struct Line {
    ordered: VecDeque<Proposal>,
    others: BinaryHeap<Reverse<Proposal>>,
}

impl Line {
    fn is_empty(&self) -> bool {
        self.ordered.is_empty() && self.others.is_empty()
    }

    fn push(&mut self, proposal: Proposal) {
        match self.ordered.back() {
            Some(last) if *last > proposal => self.others.push(Reverse(proposal)),
            _ => self.ordered.push_back(proposal),
        }
    }

    fn pop(&mut self) -> Option<Proposal> {
        let is_other = match (self.ordered.front(), self.others.peek()) {
            (Some(first), Some(Reverse(other))) => other < first,
            (first, _) => first.is_none(),
        };
        match is_other {
            true => self.others.pop().map(|Reverse(proposal)| proposal),
            false => self.ordered.pop_front(),
        }
    }
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: HashMap<u32, Line>,
    /// Priorities whose lines are not empty.
    priorities: BinaryHeap<Reverse<u32>>,
}

impl Queue {
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.priorities.clear();
    }

    pub(super) fn push(&mut self, priority: u32, proposal: Proposal) {
        let line = self.lines.entry(priority).or_default();
        if line.is_empty() {
            self.priorities.push(Reverse(priority));
        }
        line.push(proposal);
    }

    pub(super) fn pop(&mut self) -> Option<Proposal> {
        let Reverse(priority) = self.priorities.peek()?;
        let line = self.lines.get_mut(priority)?;
        let proposal = line.pop();
        if line.is_empty() {
            self.priorities.pop();
        }
        proposal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_comes_first(steps in prop::collection::vec((0u32..5, 0u32..9, any::<bool>()), 0..200)) {
            let (mut queue, mut plain) = (Queue::default(), Vec::new());
            for (priority, left, pops) in steps {
                let proposal = Proposal { left, right: left + 1, end: left + 2, id: priority };
                queue.push(priority, proposal);
                plain.push((priority, proposal));
                if pops {
                    plain.sort();
                    prop_assert_eq!(queue.pop(), Some(plain.remove(0).1));
                }
            }
            plain.sort();
            for (_, proposal) in plain {
                prop_assert_eq!(queue.pop(), Some(proposal));
            }
            prop_assert_eq!(queue.pop(), None);
        }
    }
}
