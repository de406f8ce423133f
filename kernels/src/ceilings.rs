//! What this machine can do at most: bytes read from memory a second, and multiply-adds of bytes a second.
//!
//! Flows in: a worker team with its instruction set. Flows out: [`Ceilings`], and the roofline (Williams, Waterman and
//! Patterson 2009) that they make: no pass over some weights can be quicker than reading them, or than multiplying them.
//! Both are taken from many short runs, and of those from the best: other work on the machine makes a run slower.

use crate::compute::Compute;
use crate::isa::float::{Kernel, Simd};
use crate::pool::last_cache_bytes;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each of the two is measured.
const MEASURED_FOR: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 400 });
/// Bytes a thread reads in a row.
const CHUNK: usize = 256 * 1024;

/// Bytes that are read in one timed run; the next run reads on from there.
const WINDOW: usize = 256 * CHUNK;

/// The two ceilings of a machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ceilings {
    /// Bytes a second, read in order from more memory than the last cache holds, by the threads for generation.
    pub stream: f64,
    /// Multiply-adds of bytes a second, in registers, by the threads for prompts.
    pub int8: f64,
}

/// Which of the two ceilings a piece of work is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Reading the weights.
    Memory,
    /// Multiplying.
    Int8,
}

impl Bound {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Bound::Memory => "memory",
            Bound::Int8 => "int8",
        }
    }
}

impl Ceilings {
    /// Measures both; takes about a second.
    pub fn measure(compute: &Compute) -> Ceilings {
        Ceilings {
            stream: stream(compute),
            int8: int8(compute),
        }
    }

    /// The least time, in seconds, for one pass that reads so many bytes and does so many multiply-adds, and what it is
    /// bound by.
    pub fn least_seconds(&self, bytes: f64, multiply_adds: f64) -> (f64, Bound) {
        let (reading, multiplying) = (bytes / self.stream, multiply_adds / self.int8);
        if reading >= multiplying {
            (reading, Bound::Memory)
        } else {
            (multiplying, Bound::Int8)
        }
    }
}

/// The rates of `work`, which says how much it did, over [`MEASURED_FOR`], the slowest first; at least one.
fn rates(mut work: impl FnMut() -> u64) -> Vec<f64> {
    let start = Instant::now();
    let mut rates = Vec::new();
    while rates.is_empty() || start.elapsed() < MEASURED_FOR {
        let begun = Instant::now();
        let done = work();
        // A clock that stands still gives a finite rate all the same.
        rates.push(done as f64 / begun.elapsed().as_secs_f64().max(1e-9));
    }
    rates.sort_by(f64::total_cmp);
    rates
}

/// Bytes to read: so many that what a pass leaves in the last cache is of little use to the next.
fn stream_bytes() -> usize {
    if cfg!(test) {
        return 8 << 20;
    }
    (8 * last_cache_bytes().unwrap_or(0)).clamp(256 << 20, 1 << 30)
}

fn stream(compute: &Compute) -> f64 {
    let mut memory: Vec<u64> = Vec::new();
    let mut words = stream_bytes() / 8;
    // Where memory is short, less of it says nearly the same.
    while memory.try_reserve_exact(words).is_err() && words > CHUNK {
        words /= 2;
    }
    memory.resize(words, 1);
    let mut windows = memory.chunks(WINDOW / 8).cycle();
    let rates = rates(|| {
        let window = windows.next().unwrap_or_default();
        let chunks: usize = window.len().div_ceil(CHUNK / 8);
        compute.share(compute.threads(), chunks, |index| {
            let chunk = window.chunks(CHUNK / 8).nth(index).unwrap_or_default();
            // Plain Rust: what a core has in flight is the limit, not its instructions.
            black_box(chunk.iter().fold(0, |sum, word| sum ^ word));
        });
        8 * window.len() as u64
    });
    // What the best tenth of the runs reach: single ones can be lucky, where others share the memory.
    rates[(rates.len() - 1) * 9 / 10]
}

fn int8(compute: &Compute) -> f64 {
    let ready = compute.ready();
    let adds = ready.isa().kernels.peak.multiply_adds;
    in_registers(compute, adds, &|rounds| {
        ready.peak(rounds);
    })
}

/// Multiply-adds of floats a second, in registers, by the threads for prompts: what float weights and attention can reach.
/// Takes half a second.
pub fn floats(compute: &Compute) -> f64 {
    let floats = compute.floats();
    in_registers(compute, FLOAT_SUMS * floats.lanes(), &|rounds| {
        black_box(floats.run(FloatPeak(rounds)));
    })
}

/// Sums that don't wait for each other; with both factors they fit in 16 registers.
const FLOAT_SUMS: usize = 12;

/// So many rounds of a multiply-add to each sum.
struct FloatPeak(usize);

impl Kernel for FloatPeak {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (a, b) = (s.splat(black_box(0.5)), s.splat(black_box(0.25)));
        let mut sums = [s.splat(black_box(0.0)); FLOAT_SUMS];
        for _ in 0..self.0 {
            for sum in &mut sums {
                *sum = s.fma(*sum, a, b);
            }
        }
        let mut all = sums[0];
        for sum in &sums[1..] {
            all = s.add(all, *sum);
        }
        s.sum(all)
    }
}

/// Multiply-adds a second of `run`, which does rounds of so many.
fn in_registers(compute: &Compute, multiply_adds: usize, run: &(dyn Fn(usize) + Sync)) -> f64 {
    let threads = compute.threads_prompt();
    // Rounds that take about a tenth of a millisecond, so that a late thread finds some left.
    let mut rounds = 256;
    while rounds < 1 << 24 {
        let start = Instant::now();
        run(rounds);
        if start.elapsed() >= Duration::from_micros(100) {
            break;
        }
        rounds *= 2;
    }
    let tasks = 16 * threads;
    let rates = rates(|| {
        compute.share(threads, tasks, |_| run(rounds));
        (tasks * rounds * multiply_adds) as u64
    });
    // The best: nothing can make registers quicker than they are.
    rates[rates.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::ComputeOptions;
    use crate::registry::ISAS;

    #[test]
    fn work_is_bound_by_what_takes_longer() {
        let ceilings = Ceilings {
            stream: 10.0,
            int8: 100.0,
        };
        assert_eq!(ceilings.least_seconds(20.0, 100.0), (2.0, Bound::Memory));
        assert_eq!(ceilings.least_seconds(20.0, 400.0), (4.0, Bound::Int8));
    }

    #[test]
    fn ceilings_are_positive_and_finite() {
        let options = ComputeOptions {
            threads: Some(2),
            ..ComputeOptions::default()
        };
        let measured = Ceilings::measure(&Compute::new(&options).unwrap());
        // No machine reads a terabyte a second on two threads, or one as slow as a megabyte.
        assert!((1e6..1e12).contains(&measured.stream), "{measured:?}");
        assert!((1e6..1e14).contains(&measured.int8), "{measured:?}");
        let floats = floats(&Compute::new(&options).unwrap());
        assert!((1e6..1e14).contains(&floats), "{floats}");
    }

    #[test]
    fn every_set_has_a_peak() {
        for ready in ISAS.iter().filter_map(|isa| isa.ready()) {
            let adds = ready.isa().kernels.peak.multiply_adds as u64;
            assert!(adds >= 16);
            assert_eq!(ready.peak(3), 3 * adds);
        }
    }
}
