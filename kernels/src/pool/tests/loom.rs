//! Every order in which threads can meet, up to a number of preemptions, run by `loom` on the team's own code.
//!
//! What holds in all of them: a job does every index once and its results are seen by the caller; a worker that sleeps or
//! is about to is woken by a job that opens; panics reach the caller and leave the team whole; callers on two threads
//! don't meet; a team that is dropped joins its threads, none of which sleeps on. What is left out: spinning (a worker
//! without a job sleeps at once), more than three threads, and strips, which are ordinary code over `for_each`.
//! Run by `.ci/loom`, or:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p gristmill-kernels --release --lib loom
//! ```

use super::super::Team;
use super::super::sync::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a model in every order with at most this many preemptions.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.check(model);
}

/// Values that one thread each may write, without a lock: `loom` fails if two do, or if one reads too early.
struct Values(Vec<UnsafeCell<usize>>);

// SAFETY: a claim about the team, which `loom` checks at every access to a cell.
unsafe impl Sync for Values {}

impl Values {
    fn new(count: usize) -> Values {
        Values((0..count).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, index: usize) {
        // SAFETY: `loom` fails when another thread's access is not ordered with this one.
        self.0[index].with_mut(|value| unsafe { *value += 1 });
    }

    fn all(&self, wanted: usize) -> bool {
        // SAFETY: as in `add`.
        let equal = |value: *const usize| unsafe { *value == wanted };
        self.0.iter().all(|value| value.with(equal))
    }
}

/// Lets the caller's task sleep until others have come: if they never do, no thread can go on, which `loom` reports.
struct Arrivals {
    caller: Thread,
    count: AtomicUsize,
}

impl Arrivals {
    fn new() -> Arrivals {
        Arrivals {
            caller: loom::thread::current(),
            count: AtomicUsize::new(0),
        }
    }

    fn meet(&self, worker: usize, others: usize) {
        if worker == 0 {
            while self.count.load(Ordering::Acquire) < others {
                park();
            }
        } else {
            self.count.fetch_add(1, Ordering::AcqRel);
            self.caller.unpark();
        }
    }
}

fn every_index_is_done_once(threads: usize, tasks: usize, jobs: usize, preemptions: usize) {
    check(preemptions, move || {
        let team = Team::new(threads).unwrap();
        let values = Values::new(tasks);
        for job in 1..=jobs {
            team.for_each(threads, tasks, |worker, index| {
                assert!(worker < threads);
                values.add(index);
            });
            assert!(values.all(job));
        }
    });
}

// The second job finds workers in every state that the first can leave them in.
#[test]
fn two_threads_do_every_index_once() {
    every_index_is_done_once(2, 3, 2, 3);
}

#[test]
fn three_threads_do_every_index_once() {
    every_index_is_done_once(3, 2, 1, 2);
}

#[test]
fn three_threads_do_two_jobs() {
    every_index_is_done_once(3, 2, 2, 1);
}

fn no_wake_up_is_lost(threads: usize, limit: usize, jobs: usize, preemptions: usize) {
    check(preemptions, move || {
        let team = Team::new(threads).unwrap();
        for _ in 0..jobs {
            let arrivals = Arrivals::new();
            team.run(limit, &|worker| arrivals.meet(worker, limit - 1));
            assert_eq!(arrivals.count.load(Ordering::Relaxed), limit - 1);
        }
    });
}

#[test]
fn one_sleeper_wakes() {
    no_wake_up_is_lost(2, 2, 2, 4);
}

#[test]
fn two_sleepers_wake() {
    no_wake_up_is_lost(3, 3, 1, 2);
}

#[test]
fn a_sleeper_wakes_beside_one_that_is_not_wanted() {
    no_wake_up_is_lost(3, 2, 1, 2);
}

/// Which workers panic, for a team of this many threads; all of them take part.
fn panics_reach_the_caller(threads: usize, bad: &'static [usize], preemptions: usize) {
    check(preemptions, move || {
        let team = Team::new(threads).unwrap();
        let arrivals = Arrivals::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.run(threads, &|worker| {
                arrivals.meet(worker, threads - 1);
                if bad.contains(&worker) {
                    // As a panic, but without a message for every order.
                    resume_unwind(Box::new(worker));
                }
            });
        }));
        let panicked = *result.unwrap_err().downcast::<usize>().unwrap();
        assert!(bad.contains(&panicked));
        // Nothing of it is left.
        let values = Values::new(2);
        team.for_each(threads, 2, |_, index| values.add(index));
        assert!(values.all(1));
    });
}

#[test]
fn a_panic_of_a_worker_reaches_the_caller() {
    panics_reach_the_caller(2, &[1], 3);
}

#[test]
fn a_panic_of_the_caller_waits_for_the_worker() {
    panics_reach_the_caller(2, &[0], 3);
}

#[test]
fn panics_of_two_workers_are_one() {
    panics_reach_the_caller(3, &[1, 2], 1);
}

#[test]
fn callers_on_two_threads_do_not_meet() {
    check(2, || {
        let team = Arc::new(Team::new(2).unwrap());
        let other = {
            let team = Arc::clone(&team);
            let job = move || {
                let values = Values::new(2);
                team.for_each(2, 2, |_, index| values.add(index));
                assert!(values.all(1));
            };
            Builder::new().spawn(job).unwrap()
        };
        let values = Values::new(2);
        team.for_each(2, 2, |_, index| values.add(index));
        assert!(values.all(1));
        other.join().unwrap();
    });
}

#[test]
fn a_team_without_a_job_ends() {
    check(3, || drop(Team::new(3).unwrap()));
}
