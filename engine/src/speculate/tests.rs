use super::*;

/// Guesses `2 * last` for even lengths of the text.
struct Doubling {
    free: bool,
    asked: usize,
}

impl Drafter for Doubling {
    fn odds(&self) -> Vec<Odds> {
        vec![Odds::assumed(0.5, 0.5)]
    }
    fn is_free(&self) -> bool {
        self.free
    }
    fn look(&mut self, ids: &[u32]) -> Option<usize> {
        ids.len().is_multiple_of(2).then_some(0)
    }
    fn propose(
        &mut self,
        _: &mut Compute,
        ids: &[u32],
        most: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), Error> {
        self.asked += 1;
        let last = ids[ids.len() - 1];
        out.extend((1..=most as u32).map(|i| last << i));
        Ok(())
    }
}

fn compute() -> Compute {
    Compute::new(&gristmill_kernels::ComputeOptions {
        threads: Some(1),
        ..Default::default()
    })
    .unwrap()
}

fn speculation(free: bool, depth: Option<usize>) -> Speculation {
    Speculation {
        drafters: vec![Voice::new(Box::new(Doubling { free, asked: 0 }))],
        costs: Costs::default(),
        depth,
        speaking: 0,
        trial: Trial::default(),
        counts: Counts::default(),
    }
}

#[test]
fn guesses_are_counted() {
    let (mut speculation, mut compute) = (speculation(true, Some(4)), compute());
    speculation.begin();
    let mut fed = vec![3];
    speculation
        .propose(&mut compute, &[1, 3], 9, &mut fed)
        .unwrap();
    assert_eq!(fed, [3, 6, 12, 24, 48]);
    assert!(speculation.judge(6) && speculation.judge(12) && !speculation.judge(25));
    assert!(
        !speculation.judge(48),
        "guesses behind a wrong one are void"
    );
    let counts = Counts {
        proposed: 4,
        accepted: 2,
    };
    assert_eq!(speculation.counts(), counts);
    fed.clear();
    speculation
        .propose(&mut compute, &[1, 3, 6], 9, &mut fed)
        .unwrap();
    speculation
        .propose(&mut compute, &[1, 3], 0, &mut fed)
        .unwrap();
    assert!(fed.is_empty());
    assert_eq!(speculation.counts(), counts);
    speculation.begin();
    assert_eq!(speculation.counts(), Counts::default());
}

/// Rounds of a text that the guesses foretell or not; passes take a second, and `each` more for a guess.
fn rounds(speculation: &mut Speculation, rounds: usize, right: bool, each: f64) -> Counts {
    let mut compute = compute();
    speculation.begin();
    for _ in 0..rounds {
        let mut fed = vec![0];
        speculation
            .propose(&mut compute, &[0, 0], 15, &mut fed)
            .unwrap();
        let time = Duration::from_secs_f64(1.0 + each * (fed.len() - 1) as f64);
        speculation.passed(fed.len(), time);
        while speculation.judge(if right { 0 } else { 7 }) {}
    }
    speculation.counts()
}

#[test]
fn what_does_not_pay_is_left_off_and_tried_again() {
    // Free guesses are compared in silence: they are not even tried while they are wrong, and taken up when right.
    let mut free = speculation(true, None);
    rounds(&mut free, 100, false, 0.1);
    assert_eq!(rounds(&mut free, 400, false, 0.1), Counts::default());
    let counts = rounds(&mut free, 100, true, 0.1);
    assert!(
        counts.accepted > 300 && counts.accepted == counts.proposed,
        "{counts:?}"
    );

    let mut costly = speculation(false, None);
    rounds(&mut costly, 100, false, 0.1);
    let counts = rounds(&mut costly, 1000, false, 0.1);
    assert!((1..=40).contains(&counts.proposed), "{counts:?}");
    assert_eq!(counts.accepted, 0);
    let counts = rounds(&mut costly, 5000, true, 0.1);
    assert!(counts.accepted > 5000, "{counts:?}");
    // Right guesses don't pay either where passes with them cost too much.
    rounds(&mut costly, 400, true, 3.0);
    let counts = rounds(&mut costly, 1000, true, 3.0);
    assert!(counts.proposed < 100, "{counts:?}");
}
