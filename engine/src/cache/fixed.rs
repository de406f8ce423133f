//! States of one size, however long the sequence is: those of recurrent layers. A state is cut into parts (heads), so that
//! threads share a layer's work; each has a lock that nobody ever waits for.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::stream::{Reading, Writing};

/// Names one of a decoder's fixed states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedId(pub(crate) usize);

/// The size of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedShape {
    /// Parts that are worked on independently.
    pub parts: usize,
    /// Values of a part.
    pub values: usize,
}

impl FixedShape {
    /// Bytes that a state of this shape takes.
    pub fn bytes(&self) -> u64 {
        (self.parts as u64)
            .saturating_mul(self.values as u64)
            .saturating_mul(4)
    }
}

/// What a recurrent layer knows of the past; zeros at the beginning of a sequence.
#[derive(Debug)]
pub struct FixedState(Vec<Mutex<Vec<f32>>>);

impl FixedState {
    /// The state before the first token.
    pub fn new(shape: FixedShape) -> Self {
        let part = || Mutex::new(vec![0.0; shape.values]);
        Self((0..shape.parts).map(|_| part()).collect())
    }

    /// One part, to be read and written.
    pub fn part(&self, part: usize) -> MutexGuard<'_, Vec<f32>> {
        // Any content of a part is sound memory: what a panic left behind is replaced at the next reset.
        self.0[part].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Becomes what `other`, of the same shape, is.
    pub fn copy_from(&self, other: &FixedState) {
        for number in 0..self.0.len() {
            self.part(number).copy_from_slice(&other.part(number));
        }
    }

    /// Back to the beginning of a sequence.
    pub fn clear(&self) {
        for number in 0..self.0.len() {
            self.part(number).fill(0.0);
        }
    }
}

/// All fixed states of a sequence, and copies of two earlier ones, from which it can go on.
///
/// A state can't be gone back in: what was fed since the latest copy that is early enough is fed again.
#[derive(Debug)]
pub struct FixedStates {
    states: Vec<FixedState>,
    /// Tokens that the states have seen.
    seen: usize,
    /// Copies, with the number of tokens that they have seen.
    copies: [(usize, Vec<FixedState>); 2],
}

/// Which of the two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Where the last text that was fed began.
    Turn,
    /// Where guesses began.
    Guess,
}

impl FixedStates {
    /// Those of an empty sequence.
    pub fn new(shapes: &[FixedShape]) -> Self {
        let states = || shapes.iter().map(|&shape| FixedState::new(shape)).collect();
        Self {
            states: states(),
            seen: 0,
            copies: [(0, states()), (0, states())],
        }
    }

    /// Bytes that they take, copies included.
    pub fn bytes(shapes: &[FixedShape]) -> u64 {
        let one = shapes.iter().map(FixedShape::bytes);
        one.fold(0, u64::saturating_add).saturating_mul(3)
    }

    /// The states, by [`FixedId`].
    pub fn states(&self) -> &[FixedState] {
        &self.states
    }

    /// All values of the states, part by part.
    pub(super) fn save(&self, out: &mut Writing<'_>) -> Result<(), Error> {
        for state in &self.states {
            for part in 0..state.0.len() {
                out.floats(&state.part(part))?;
            }
        }
        Ok(())
    }

    /// Takes the values over that were saved when the states had seen this number of tokens. That is then the earliest moment
    /// to go back to, short of the beginning.
    pub(super) fn restore(&mut self, seen: usize, from: &mut Reading<'_>) -> Result<(), Error> {
        for state in &self.states {
            for part in 0..state.0.len() {
                from.floats(&mut state.part(part))?;
            }
        }
        self.seen = seen;
        self.keep(Moment::Turn);
        self.keep(Moment::Guess);
        Ok(())
    }

    /// Copies the states as they are now.
    pub fn keep(&mut self, moment: Moment) {
        let (seen, copy) = &mut self.copies[moment as usize];
        *seen = self.seen;
        for (copy, state) in copy.iter().zip(&self.states) {
            copy.copy_from(state);
        }
    }

    /// Becomes what another sequence's are, copies included.
    pub fn become_like(&mut self, other: &FixedStates) {
        self.seen = other.seen;
        for (own, other) in self.states.iter().zip(&other.states) {
            own.copy_from(other);
        }
        for ((seen, own), (other_seen, other)) in self.copies.iter_mut().zip(&other.copies) {
            *seen = *other_seen;
            for (own, other) in own.iter().zip(other) {
                own.copy_from(other);
            }
        }
    }

    /// `tokens` more were seen.
    pub fn advance(&mut self, tokens: usize) {
        self.seen += tokens;
    }

    /// What was seen is not known any more: only the copies are of use.
    pub fn lose(&mut self) {
        self.seen = usize::MAX;
    }

    /// Goes back to the latest moment at which no more than `held` tokens were seen, and says which tokens of those held
    /// are to be fed again.
    pub fn rewind(&mut self, held: usize) -> std::ops::Range<usize> {
        if self.states.is_empty() {
            self.seen = held;
        }
        if self.seen > held {
            let copies = self.copies.iter().filter(|(seen, _)| *seen <= held);
            match copies.max_by_key(|(seen, _)| *seen) {
                Some((seen, copy)) if *seen > 0 => {
                    self.seen = *seen;
                    for (state, copy) in self.states.iter().zip(copy) {
                        state.copy_from(copy);
                    }
                }
                _ => self.clear(),
            }
        }
        self.seen..held
    }

    /// Where [`rewind`](Self::rewind) would go back to.
    pub fn restart(&self, held: usize) -> usize {
        if self.states.is_empty() || self.seen <= held {
            return self.seen.min(held);
        }
        let copies = self.copies.iter().map(|(seen, _)| *seen);
        copies.filter(|&seen| seen <= held).max().unwrap_or(0)
    }

    /// Back to the beginning.
    pub fn clear(&mut self) {
        self.seen = 0;
        self.states.iter().for_each(FixedState::clear);
        for (seen, _) in &mut self.copies {
            *seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: FixedShape = FixedShape {
        parts: 2,
        values: 3,
    };

    fn feed(states: &mut FixedStates, tokens: usize) {
        for part in 0..SHAPE.parts {
            states.states()[0].part(part)[0] += tokens as f32;
        }
        states.advance(tokens);
    }

    #[test]
    fn going_back_ends_at_the_latest_copy_that_is_early_enough() {
        let mut states = FixedStates::new(&[SHAPE]);
        feed(&mut states, 5);
        states.keep(Moment::Turn);
        feed(&mut states, 3);
        states.keep(Moment::Guess);
        feed(&mut states, 4);
        assert_eq!(states.rewind(12), 12..12);
        assert_eq!(states.restart(9), 8);
        assert_eq!(states.rewind(9), 8..9);
        assert_eq!(states.states()[0].part(1)[0], 8.0);
        feed(&mut states, 1);
        assert_eq!(states.rewind(7), 5..7);
        assert_eq!(states.states()[0].part(0)[0], 5.0);
        assert_eq!(states.rewind(4), 0..4);
        assert_eq!(states.states()[0].part(0)[0], 0.0);
        assert_eq!(FixedStates::bytes(&[SHAPE]), 72);
    }

    #[test]
    fn without_states_nothing_is_fed_again() {
        let mut states = FixedStates::new(&[]);
        states.advance(10);
        assert_eq!(states.rewind(4), 4..4);
    }
}
