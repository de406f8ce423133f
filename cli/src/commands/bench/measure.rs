//! One measurement: a prompt read or tokens generated, after tokens that are there already.

use crate::diagnostics::Interrupted;
use crate::interrupt;
use anyhow::Result;
use gristmill_engine::layers::Cost;
use gristmill_engine::{Context, Error, Logits};
use gristmill_kernels::Ceilings;
use gristmill_kernels::ceilings::Bound;
use serde::Serialize;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// A prompt of this number of tokens.
    Prompt(usize),
    /// This number of tokens, one by one.
    Generation(usize),
}

impl Test {
    /// How many tokens.
    pub fn tokens(self) -> usize {
        match self {
            Test::Prompt(n) | Test::Generation(n) => n,
        }
    }

    /// `pp512`, `tg128`.
    pub fn name(self) -> String {
        match self {
            Test::Prompt(n) => format!("pp{n}"),
            Test::Generation(n) => format!("tg{n}"),
        }
    }

    /// The least time that the weights allow on a machine with these ceilings, in seconds, and what most of it goes to.
    /// `cost` is that of a token, and what is added where logits are asked for; `batch`, the tokens of a prompt that go
    /// through the weights together. `None` where the multiply-adds are mostly those of floats, which have another
    /// ceiling.
    pub fn least_seconds(
        self,
        ceilings: &Ceilings,
        cost: (Cost, Cost),
        batch: usize,
    ) -> Option<(f64, Bound)> {
        let (inner, last) = cost;
        let pass = |tokens: usize, wanted: u64| {
            let all = inner * tokens as u64 + last * wanted;
            // Weights are read once for all tokens of a pass.
            let bytes = inner.bytes + last.bytes * wanted.min(1);
            let (seconds, bound) = ceilings.least_seconds(bytes as f64, all.multiply_adds as f64);
            let floats = 2 * all.float_multiply_adds > all.multiply_adds;
            (!(floats && bound == Bound::Int8)).then_some((seconds, bound))
        };
        match self {
            Test::Generation(n) => pass(1, 1).map(|(seconds, bound)| (seconds * n as f64, bound)),
            Test::Prompt(n) => {
                let batch = batch.clamp(1, n);
                let rest = n - (n - 1) / batch * batch;
                let (end, bound) = pass(rest, 1)?;
                if rest == n {
                    return Some((end, bound));
                }
                let (seconds, bound) = pass(batch, 0)?;
                Some((seconds * ((n - rest) / batch) as f64 + end, bound))
            }
        }
    }
}

/// Tokens per second of one run of one test.
pub fn measure(context: &mut Context, vocab: usize, test: Test, depth: usize) -> Result<f64> {
    let guard = interrupt::guard(context.stop_handle());
    // What is there from the run before is kept where the cache can go back to it.
    if context.position() < depth || context.truncate(depth).is_err() {
        context.reset();
        if depth > 0 {
            feed(context, &numbers(depth, vocab, 1), Logits::None)?;
        }
    }
    let tokens = numbers(test.tokens(), vocab, 2);
    let start = Instant::now();
    match test {
        Test::Prompt(_) => feed(context, &tokens, Logits::Last)?,
        Test::Generation(_) => {
            for id in &tokens {
                feed(context, std::slice::from_ref(id), Logits::Last)?;
                if guard.pressed() {
                    return Err(Interrupted.into());
                }
            }
        }
    }
    Ok(tokens.len() as f64 / start.elapsed().as_secs_f64())
}

fn feed(context: &mut Context, ids: &[u32], want: Logits) -> Result<()> {
    match context.feed(ids, want) {
        Ok(_) => Ok(()),
        Err(Error::Stopped) => Err(Interrupted.into()),
        Err(error) => Err(error.into()),
    }
}

/// Numbers below `limit` that look like no pattern but are the same every time (a linear congruential generator; Knuth's
/// constants).
pub fn numbers(count: usize, limit: usize, seed: u64) -> Vec<u32> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % limit.max(1) as u64) as u32
    };
    (0..count).map(|_| next()).collect()
}

/// The outcome of some runs.
#[derive(Clone, Copy, Serialize)]
pub struct Speeds {
    /// The middle one.
    pub median: f64,
    /// The slowest.
    pub min: f64,
    /// The fastest.
    pub max: f64,
}

impl Speeds {
    /// Of at least one run.
    pub fn of(mut speeds: Vec<f64>) -> Speeds {
        speeds.sort_by(f64::total_cmp);
        let middle = speeds.len() / 2;
        let median = if speeds.len() % 2 == 1 {
            speeds[middle]
        } else {
            (speeds[middle - 1] + speeds[middle]) / 2.0
        };
        Speeds {
            median,
            min: speeds[0],
            max: speeds[speeds.len() - 1],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let odd = Speeds::of(vec![3.0, 1.0, 2.0]);
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        assert_eq!(Speeds::of(vec![4.0, 1.0, 2.0, 3.0]).median, 2.5);
    }

    #[test]
    fn token_ids_are_in_the_vocabulary() {
        let tokens = numbers(1000, 7, 2);
        assert!(tokens.iter().all(|id| *id < 7) && tokens.windows(8).any(|w| w[0] != w[7]));
        assert_eq!(tokens, numbers(1000, 7, 2));
    }

    #[test]
    fn the_least_time_is_that_of_reading_or_of_multiplying() {
        let ceilings = Ceilings {
            stream: 10.0,
            int8: 1000.0,
        };
        let cost = |bytes, multiply_adds| Cost {
            bytes,
            multiply_adds,
            float_multiply_adds: 0,
        };
        let both = (cost(100, 200), cost(50, 100));
        // 150 bytes a token
        assert_eq!(
            Test::Generation(4).least_seconds(&ceilings, both, 512),
            Some((60.0, Bound::Memory))
        );
        // 1000 tokens of 200, and the logits of one
        assert_eq!(
            Test::Prompt(1000).least_seconds(&ceilings, both, 1000),
            Some((200.1, Bound::Int8))
        );
        // Three passes: 400, 400 and 200 tokens.
        assert_eq!(
            Test::Prompt(1000).least_seconds(&ceilings, both, 400),
            Some((80.0 + 80.0 + 40.1, Bound::Int8))
        );
        let floats = Cost {
            float_multiply_adds: 200,
            ..both.0
        };
        let prompt = Test::Prompt(1000).least_seconds(&ceilings, (floats, floats), 1000);
        assert_eq!(prompt, None);
        assert!(
            Test::Generation(1)
                .least_seconds(&ceilings, (floats, floats), 1)
                .is_some()
        );
    }
}
