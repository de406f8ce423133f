//! A drafter, what is known of it, and whether it is worth asking.
//!
//! A drafter that costs time (a model) is *on* while its guesses promise more tokens in a second. When they no longer do,
//! it is off, and is tried again now and then: every pass puts [`Voice::SHARE`] of its time aside, and a try waits until
//! that pays for all of it, that is for reading what the drafter missed, for the guesses, and for the longer pass. What a
//! try really took is then taken away. So all tries together stay below that share of the time, but for the very first
//! one and the time of [`Voice::ADVANCE`] tokens when it is switched off. One try reads no more than the last
//! [`Voice::READS`] tokens of the text, however long it has been off.
//! Flows in: seconds, as they were measured. Flows out: how many guesses to ask for.

use gristmill_kernels::{Compute, FEW_COLUMNS};

use super::depth::{Costs, Mean};
use super::{Drafter, MOST_GUESSES, Odds, Spent};
use crate::error::Error;

pub(super) struct Voice {
    pub(super) drafter: Box<dyn Drafter>,
    /// By kind.
    odds: Vec<Odds>,
    /// The guess of what comes next, and its kind.
    first: Option<(usize, u32)>,
    /// By kind: guesses that are compared with the text as it comes, whether they are checked in a pass or not.
    trials: Vec<Trial>,
    /// Seconds that a guess takes.
    each: Mean,
    /// Seconds that reading a token takes.
    read: Mean,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    On,
    /// Seconds that may be spent on tries.
    Off {
        saved: f64,
    },
    /// The next pass is that of a try; the seconds that are left for it.
    Trying {
        saved: f64,
    },
}

/// Guesses, one after the other, and which is next to be compared.
#[derive(Debug, Default)]
struct Trial {
    guesses: Vec<u32>,
    next: usize,
}

impl Trial {
    fn end(&mut self) {
        self.guesses.clear();
        self.next = 0;
    }

    /// Compares the next guess with what came.
    fn judge(&mut self, id: u32, odds: &mut Odds) {
        let Some(&guess) = self.guesses.get(self.next) else {
            return;
        };
        // First ones are counted each time, and trials begin more seldom.
        if self.next > 0 {
            odds.add(self.next, guess == id);
        }
        self.next += 1;
        if guess != id {
            self.end();
        }
    }
}

impl Voice {
    /// The part of the time that goes into tries.
    const SHARE: f64 = 0.02;
    /// Tokens whose time is there for tries when it is switched off: one slow pass shall not decide for long.
    const ADVANCE: f64 = 4.0;
    /// Guesses of a try.
    const TRY: usize = 2;
    /// Tokens that are read for a try at most.
    const READS: usize = 256;

    pub(super) fn new(drafter: Box<dyn Drafter>) -> Self {
        let odds = drafter.odds();
        Self {
            trials: odds.iter().map(|_| Trial::default()).collect(),
            odds,
            first: None,
            drafter,
            each: Mean::default(),
            read: Mean::default(),
            state: State::On,
        }
    }

    /// A text begins.
    pub(super) fn begin(&mut self) {
        self.first = None;
        self.trials.iter_mut().for_each(Trial::end);
    }

    /// The text goes on with `id`.
    pub(super) fn judge(&mut self, id: u32) {
        if let Some((kind, guess)) = self.first.take() {
            self.odds[kind].add(0, guess == id);
        }
        for (trial, odds) in self.trials.iter_mut().zip(&mut self.odds) {
            trial.judge(id, odds);
        }
    }

    /// How many guesses of a kind to ask for after `ids`.
    pub(super) fn depth(&mut self, costs: &Costs, kind: usize, most: usize, ids: &[u32]) -> usize {
        let odds = &self.odds[kind];
        if self.drafter.is_free() {
            return odds.best_depth(costs, 0.0, most);
        }
        let Some(plain) = costs.seconds(1) else {
            return 0;
        };
        // Before it is measured, a guess is taken to cost a fifth of a token.
        let each = self.each.get().unwrap_or(plain / 5.0);
        let depth = odds.best_depth(costs, each, most);
        let lacks = self.drafter.lacks(ids);
        let saved = match self.state {
            // Within reach of the text it can go on at once.
            State::Off { .. } if depth > 0 && lacks <= FEW_COLUMNS => {
                self.state = State::On;
                return depth;
            }
            State::On if depth > 0 => return depth,
            // What it costs is not known yet: it is tried once at any rate.
            State::On if self.each.get().is_none() => {
                self.state = State::Trying {
                    saved: Self::ADVANCE * plain,
                };
                return Self::TRY.min(most);
            }
            State::On | State::Trying { .. } => Self::ADVANCE * plain,
            State::Off { saved } => saved,
        };
        let guesses = depth.max(Self::TRY).min(most);
        let reading = lacks.min(Self::READS) as f64 * self.read.get().unwrap_or(each);
        let longer = costs.seconds(guesses + 1).unwrap_or(plain) - plain;
        if saved < reading + guesses as f64 * each + longer {
            self.state = State::Off { saved };
            return 0;
        }
        self.state = State::Trying { saved };
        guesses
    }

    /// Appends `depth` guesses of a kind.
    pub(super) fn propose(
        &mut self,
        compute: &mut Compute,
        ids: &[u32],
        kind: usize,
        depth: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), Error> {
        // Where guesses are free, deep ones are compared before any are checked.
        let free = self.drafter.is_free();
        let most = if free { MOST_GUESSES } else { depth };
        let mut guesses = Vec::new();
        if most > 0 {
            let reads = match self.state {
                State::Trying { .. } => Self::READS,
                _ => usize::MAX,
            };
            let spent = self
                .drafter
                .propose(compute, ids, most, reads, &mut guesses)?;
            self.spend(spent, guesses.len());
        }
        out.extend_from_slice(&guesses[..depth.min(guesses.len())]);
        self.first = guesses.first().map(|&guess| (kind, guess));
        let trial = &mut self.trials[kind];
        if trial.next >= trial.guesses.len() {
            *trial = Trial { guesses, next: 0 };
        }
        Ok(())
    }

    fn spend(&mut self, spent: Spent, guesses: usize) {
        let is_first = self.each.get().is_none();
        if guesses > 0 {
            self.each.add(spent.guessing / guesses as f64);
        }
        if spent.read > 0 {
            self.read.add(spent.reading / spent.read as f64);
        }
        if let State::Trying { saved } = &mut self.state
            && !is_first
        {
            *saved -= spent.reading + spent.guessing;
        }
    }

    /// A pass took `seconds`, which is `more` than a plain one takes.
    pub(super) fn passed(&mut self, seconds: f64, more: f64) {
        let saved = match self.state {
            State::On => return,
            State::Off { saved } => saved,
            State::Trying { saved } => saved - more.max(0.0),
        };
        self.state = State::Off {
            saved: saved + Self::SHARE * seconds,
        };
    }
}
