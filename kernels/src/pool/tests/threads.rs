//! The team on threads as they happen to run.

use super::super::*;
use std::time::{Duration, Instant};

const ROUNDS: usize = if cfg!(miri) { 20 } else { 20_000 };

#[test]
fn every_index_is_done_once_whatever_the_number_of_threads() {
    for threads in 1..5 {
        let team = Team::new(threads).unwrap();
        for round in 0..ROUNDS {
            let tasks = round % 17;
            let done: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
            team.for_each(threads, tasks, |worker, index| {
                assert!(worker < threads);
                done[index].fetch_add(1, Ordering::Relaxed);
            });
            assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
        }
    }
}

#[test]
fn sleepers_wake() {
    let within = Duration::from_secs(20);
    let team = Team::new(3).unwrap();
    for _ in 0..3 {
        let begun = Instant::now();
        while !(1..3).all(|worker| team.shared.asleep[worker].0.load(Ordering::Relaxed)) {
            assert!(begun.elapsed() < within, "idle workers don't go to sleep");
            std::thread::yield_now();
        }
        // What lies between saying so and sleeping.
        std::thread::sleep(Duration::from_millis(20));
        let woken = AtomicUsize::new(0);
        team.run(3, &|worker| {
            if worker > 0 {
                woken.fetch_add(1, Ordering::Relaxed);
                return;
            }
            // The job stays open until they have come.
            let begun = Instant::now();
            while woken.load(Ordering::Relaxed) < 2 && begun.elapsed() < within {
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        assert_eq!(woken.into_inner(), 2, "a job did not wake the sleepers");
    }
}

#[test]
fn a_panic_reaches_the_caller_and_the_team_lives_on() {
    let team = Team::new(4).unwrap();
    for bad in 0..20 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            team.for_each(4, 20, |_, index| {
                if index == bad {
                    panic!("piece {index}");
                }
            });
        }));
        assert!(result.is_err());
        let sum = AtomicUsize::new(0);
        team.for_each(4, 100, |_, index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 4950);
    }
}

#[test]
fn a_job_inside_a_job_runs_on_its_caller() {
    let team = Team::new(2).unwrap();
    let sum = AtomicUsize::new(0);
    team.for_each(2, 8, |_, _| {
        team.for_each(2, 8, |_, _| {
            sum.fetch_add(1, Ordering::Relaxed);
        });
    });
    assert_eq!(sum.into_inner(), 64);
}

#[test]
fn of_several_panics_one_is_passed_on_and_the_others_are_not_dropped() {
    /// A payload that panics when it is dropped.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("dropped"));
        }
    }
    let team = Team::new(3).unwrap();
    let came = AtomicUsize::new(0);
    let result = catch_unwind(AssertUnwindSafe(|| {
        team.run(3, &|worker| {
            if worker > 0 {
                came.fetch_add(1, Ordering::Relaxed);
                resume_unwind(Box::new(Bomb));
            }
            let begun = Instant::now();
            while came.load(Ordering::Relaxed) < 2 && begun.elapsed() < Duration::from_secs(20) {
                std::thread::yield_now();
            }
        });
    }));
    assert_eq!(came.into_inner(), 2);
    let bomb = result.unwrap_err();
    assert!(bomb.is::<Bomb>());
    std::mem::forget(bomb);
    let sum = AtomicUsize::new(0);
    team.for_each(3, 10, |_, index| {
        sum.fetch_add(index, Ordering::Relaxed);
    });
    assert_eq!(sum.into_inner(), 45);
}

#[test]
fn two_callers_share_a_team() {
    let team = Team::new(3).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..ROUNDS / 10 {
                    let done: Vec<AtomicUsize> = (0..7).map(|_| AtomicUsize::new(0)).collect();
                    team.for_each(3, 7, |_, index| {
                        done[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(done.iter().all(|d| d.load(Ordering::Relaxed) == 1));
                }
            });
        }
    });
}

#[test]
fn runs_follow_one_another_and_end_with_the_last_task() {
    for tasks in [0, 1, 2, 15, 16, 17, 1000, usize::MAX - 1, usize::MAX] {
        for runs in 1..=MAX_RUNS {
            let starts: Vec<usize> = (0..=runs)
                .map(|run| start_of_run(tasks, runs, run))
                .collect();
            assert_eq!((starts[0], starts[runs]), (0, tasks));
            for pair in starts.windows(2) {
                let length = pair[1].checked_sub(pair[0]).unwrap();
                assert!(length == tasks / runs || length == tasks / runs + 1);
            }
        }
    }
}
