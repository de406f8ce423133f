//! Prompt lookup: text that repeats itself foretells how it goes on. The end of the text is looked for further up, and
//! what followed there is the guess; of several places the one with the longest match is taken, then the latest one
//! (known as prompt-lookup or n-gram speculation; after arXiv:2304.04487). It keeps no index: going over some ten
//! thousand ids takes a few microseconds, and nothing has to be taken back.

use gristmill_kernels::Compute;

use super::{Drafter, MOST_GUESSES, Odds, Spent};
use crate::error::Error;

/// Matches longer than this are not told apart.
const LONGEST: usize = 32;

/// The matches' lengths by their certainty: the shortest of each kind, and the odds that are assumed at first.
const KINDS: [(usize, Odds); 6] = [
    (1, Odds::assumed(0.10, 0.40)),
    (2, Odds::assumed(0.20, 0.50)),
    (3, Odds::assumed(0.35, 0.60)),
    (5, Odds::assumed(0.50, 0.70)),
    (8, Odds::assumed(0.70, 0.85)),
    (16, Odds::assumed(0.85, 0.95)),
];

/// Guesses from the text so far.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Where the guess begins.
    at: usize,
}

impl Lookup {
    /// Where the longest match of the end of `ids` further up ends, and how long it is.
    fn longest_match(ids: &[u32]) -> Option<(usize, usize)> {
        let (&last, before) = ids.split_last()?;
        let mut best: Option<(usize, usize)> = None;
        for (at, _) in before
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, id)| **id == last)
        {
            let pairs = before[..at].iter().rev().zip(before.iter().rev());
            let length = 1 + pairs.take(LONGEST - 1).take_while(|(a, b)| a == b).count();
            if best.is_none_or(|(_, longest)| length > longest) {
                best = Some((at + 1, length));
                if length == LONGEST {
                    break;
                }
            }
        }
        best
    }
}

impl Drafter for Lookup {
    fn odds(&self) -> Vec<Odds> {
        KINDS.map(|(_, odds)| odds).to_vec()
    }

    fn is_free(&self) -> bool {
        true
    }

    fn look(&mut self, ids: &[u32]) -> Option<usize> {
        let (at, length) = Self::longest_match(ids)?;
        self.at = at;
        KINDS.iter().rposition(|(least, _)| length >= *least)
    }

    fn propose(
        &mut self,
        _: &mut Compute,
        ids: &[u32],
        most: usize,
        _: usize,
        out: &mut Vec<u32>,
    ) -> Result<Spent, Error> {
        // A text that goes round goes round in the guess as well.
        let from = self.at;
        let period = ids.len() - from;
        out.extend((0..most.min(MOST_GUESSES)).map(|i| ids[from + i % period]));
        Ok(Spent::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gristmill_kernels::ComputeOptions;

    fn guess(ids: &[u32], most: usize) -> (Option<usize>, Vec<u32>) {
        let mut compute = Compute::new(&ComputeOptions {
            threads: Some(1),
            ..Default::default()
        })
        .unwrap();
        let (mut lookup, mut out) = (Lookup::default(), Vec::new());
        let kind = lookup.look(ids);
        if kind.is_some() {
            lookup
                .propose(&mut compute, ids, most, usize::MAX, &mut out)
                .unwrap();
        }
        (kind, out)
    }

    #[test]
    fn the_longest_match_then_the_latest() {
        assert_eq!(guess(&[], 4), (None, vec![]));
        assert_eq!(guess(&[1], 4), (None, vec![]));
        assert_eq!(guess(&[1, 2, 3], 4), (None, vec![]));
        // Two ids match, later but shorter ones don't count.
        assert_eq!(guess(&[7, 8, 1, 8, 2, 7, 8], 2), (Some(1), vec![1, 8]));
        assert_eq!(
            guess(&[7, 8, 1, 7, 8, 2, 7, 8], 3),
            (Some(1), vec![2, 7, 8])
        );
        let long: Vec<u32> = (0..40).chain(0..20).collect();
        assert_eq!(guess(&long, 3), (Some(5), vec![20, 21, 22]));
    }

    #[test]
    fn a_guess_goes_round() {
        assert_eq!(guess(&[5, 5], 3), (Some(0), vec![5, 5, 5]));
        assert_eq!(
            guess(&[1, 2, 1, 2, 1, 2], 5),
            (Some(2), vec![1, 2, 1, 2, 1])
        );
        assert_eq!(guess(&[9; 100], 20).1.len(), MOST_GUESSES);
    }
}
