use std::sync::{Arc, Mutex};

use super::*;

/// Guesses `2 * last`, and so on. Takes as long as it is told to.
#[derive(Default)]
struct Doubling {
    free: bool,
    /// Seconds for a guess and for reading a token.
    each: f64,
    reading: f64,
    /// Tokens that it has read.
    known: usize,
    /// All that it took, and the most that one call took.
    took: Arc<Mutex<(f64, f64)>>,
}

impl Drafter for Doubling {
    fn odds(&self) -> Vec<Odds> {
        vec![Odds::assumed(0.5, 0.5)]
    }
    fn is_free(&self) -> bool {
        self.free
    }
    fn look(&mut self, _: &[u32]) -> Option<usize> {
        Some(0)
    }
    fn lacks(&self, ids: &[u32]) -> usize {
        ids.len() - self.known
    }
    fn propose(
        &mut self,
        _: &mut Compute,
        ids: &[u32],
        most: usize,
        reads: usize,
        out: &mut Vec<u32>,
    ) -> Result<Spent, Error> {
        let last = ids[ids.len() - 1];
        out.extend((1..=most as u32).map(|i| last << i));
        let read = self.lacks(ids).min(reads);
        self.known = ids.len();
        let spent = Spent {
            read,
            reading: read as f64 * self.reading,
            guessing: most as f64 * self.each,
        };
        let mut took = self.took.lock().unwrap();
        let all = spent.reading + spent.guessing;
        *took = (took.0 + all, took.1.max(all));
        Ok(spent)
    }
}

fn compute() -> Compute {
    Compute::new(&gristmill_kernels::ComputeOptions {
        threads: Some(1),
        ..Default::default()
    })
    .unwrap()
}

fn speculation(drafter: Doubling, depth: Option<usize>) -> Speculation {
    Speculation {
        drafters: vec![Voice::new(Box::new(drafter))],
        costs: Costs::default(),
        depth,
        counts: Counts::default(),
    }
}

fn free() -> Doubling {
    Doubling {
        free: true,
        ..Doubling::default()
    }
}

#[test]
fn guesses_are_counted() {
    let (mut speculation, mut compute) = (speculation(free(), Some(4)), compute());
    speculation.begin();
    let mut fed = vec![3];
    speculation
        .propose(&mut compute, &[1, 3], 9, &mut fed)
        .unwrap();
    assert_eq!(fed, [3, 6, 12, 24, 48]);
    for (id, right) in [(6, true), (12, true), (25, false)] {
        speculation.judge(id, right);
    }
    let counts = Counts {
        proposed: 4,
        accepted: 2,
    };
    assert_eq!(speculation.counts(), counts);
    fed.clear();
    speculation
        .propose(&mut compute, &[1, 3], 0, &mut fed)
        .unwrap();
    assert!(fed.is_empty());
    assert_eq!(speculation.counts(), counts);
    speculation.begin();
    assert_eq!(speculation.counts(), Counts::default());
}

/// Passes over a text that the guesses foretell or not; a pass takes a second, and `each` more for a guess. The counts,
/// and all the time of the passes.
fn passes(
    speculation: &mut Speculation,
    text: &mut Vec<u32>,
    passes: usize,
    right: bool,
    each: f64,
) -> (Counts, f64) {
    let mut compute = compute();
    let mut seconds = 0.0;
    speculation.begin();
    for _ in 0..passes {
        let mut fed = vec![0];
        speculation
            .propose(&mut compute, text, 14, &mut fed)
            .unwrap();
        let time = 1.0 + each * (fed.len() - 1) as f64;
        seconds += time;
        speculation.passed(fed.len(), Duration::from_secs_f64(time));
        for guess in 1..=fed.len() {
            let id = if right { 0 } else { 7 };
            text.push(id);
            let is_right = fed.get(guess) == Some(&id);
            speculation.judge(id, is_right);
            if !is_right {
                break;
            }
        }
    }
    (speculation.counts(), seconds)
}

#[test]
fn free_guesses_are_compared_before_they_are_checked() {
    // They are not even tried while they are wrong, and taken up when right.
    let (mut free, mut text) = (speculation(free(), None), vec![0, 0]);
    passes(&mut free, &mut text, 100, false, 0.1);
    let (counts, _) = passes(&mut free, &mut text, 400, false, 0.1);
    assert_eq!(counts, Counts::default());
    let (counts, _) = passes(&mut free, &mut text, 100, true, 0.1);
    assert!(
        counts.accepted > 300 && counts.accepted == counts.proposed,
        "{counts:?}"
    );
}

#[test]
fn shallow_guesses_teach_about_deep_ones() {
    // Where a long pass costs so much that one guess is best by what is assumed, the text shows that all would be right.
    let (mut free, mut text) = (speculation(free(), None), vec![0, 0]);
    passes(&mut free, &mut text, 200, true, 0.3);
    let (counts, _) = passes(&mut free, &mut text, 10, true, 0.3);
    assert!(counts.proposed > 100, "{counts:?}");
}

#[test]
fn what_costs_less_than_assumed_is_found_out() {
    let drafter = Doubling {
        each: 0.01,
        reading: 0.001,
        ..Doubling::default()
    };
    let (mut cheap, mut text) = (speculation(drafter, None), vec![0; 2000]);
    let (counts, _) = passes(&mut cheap, &mut text, 40, true, 0.3);
    assert!(counts.accepted > 100, "{counts:?}");
}

#[test]
fn what_does_not_pay_is_tried_now_and_then() {
    // Reading a token costs a tenth of making one: to read all that was missed would be too much.
    for (each, reading) in [(0.2, 0.1), (0.01, 0.0001), (3.0, 2.0)] {
        let took = Arc::new(Mutex::new((0.0, 0.0)));
        let drafter = Doubling {
            each,
            reading,
            took: took.clone(),
            ..Doubling::default()
        };
        let (mut costly, mut text) = (speculation(drafter, None), vec![0; 2000]);
        passes(&mut costly, &mut text, 100, false, 0.1);
        *took.lock().unwrap() = (0.0, 0.0);
        let (counts, seconds) = passes(&mut costly, &mut text, 100_000, false, 0.1);
        let (tries, largest) = *took.lock().unwrap();
        let longer = 0.1 * counts.proposed as f64;
        assert!(
            tries + longer <= 0.02 * seconds + largest + 1.0,
            "{tries} and {longer} of {seconds} seconds"
        );
        assert!(
            tries + longer >= 0.01 * seconds,
            "{tries} of {seconds} seconds: it is tried at all"
        );
        assert!(largest <= 256.0 * reading + 2.0 * each + 1e-9, "{largest}");
        assert_eq!(counts.accepted, 0);
    }
    // One that has become right is taken up again.
    let drafter = Doubling {
        each: 0.01,
        reading: 0.001,
        ..Doubling::default()
    };
    let (mut costly, mut text) = (speculation(drafter, None), vec![0; 2000]);
    passes(&mut costly, &mut text, 1000, false, 0.1);
    passes(&mut costly, &mut text, 5000, true, 0.1);
    let (counts, _) = passes(&mut costly, &mut text, 1000, true, 0.1);
    assert!(counts.accepted > 5000, "{counts:?}");
    // Right guesses don't pay either where passes with them cost too much.
    passes(&mut costly, &mut text, 400, true, 3.0);
    let (counts, _) = passes(&mut costly, &mut text, 1000, true, 3.0);
    assert!(counts.proposed < 100, "{counts:?}");
}
