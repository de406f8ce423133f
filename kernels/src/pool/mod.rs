//! The worker team: threads that stay, spin for a moment between jobs and then sleep.
//!
//! A job is a function that every thread may run at once, each with its own worker number; it takes pieces of work from
//! a counter until none are left. The caller is worker 0 and starts at once. A worker that comes too late (it slept, or
//! the machine is busy) finds the job closed and is not waited for, so a small job never costs a wake-up.
//! One dispatch costs well under a microsecond. A panic in any worker reaches the caller after all have stopped.
//!
//! `tests/loom.rs` runs this code in every order that threads can meet in; `.ci/miri` looks for undefined behaviour.

mod strips;
mod sync;
#[cfg(test)]
mod tests;
mod topology;

pub use strips::{Grid, MAX_GRIDS, Strip};
pub use topology::{Topology, last_cache_bytes, performance_cores};

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::PoisonError;
use sync::{
    Arc, AtomicBool, AtomicU64, AtomicUsize, Builder, JoinHandle, Mutex, MutexGuard, Ordering,
    Thread, UnsafeCell, fence, park, spin_loop, yield_now,
};

/// Relaxes a worker waits for the next job before it sleeps: a few hundred microseconds, longer than what lies between
/// two products of a model, shorter than what a person notices as heat.
const SPINS_BEFORE_SLEEP: u32 = if cfg!(loom) {
    1
} else if cfg!(miri) {
    4
} else {
    20_000
};

/// A fixed number of threads, the caller's among them.
pub struct Team {
    shared: Arc<Shared>,
    sleepers: Vec<Thread>,
    handles: Vec<JoinHandle<()>>,
}

/// Keeps a value on cache lines of its own: spinning readers don't slow the writers of its neighbours.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared {
    state: Padded<AtomicU64>,
    finished: Padded<AtomicUsize>,
    busy: AtomicBool,
    closing: AtomicBool,
    job: Job,
    asleep: Vec<Padded<AtomicBool>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The function of the current job. Written by the caller while the job is closed, read by workers that joined.
struct Job(UnsafeCell<Option<Task>>);
type Task = *const (dyn Fn(usize) + Sync);

// SAFETY: `State` orders all accesses: a worker reads the job only between joining an open job and finishing it, and
// the caller writes it only when no worker has joined.
unsafe impl Sync for Job {}
// SAFETY: the pointer's target is Sync, so any thread may call it.
unsafe impl Send for Job {}

/// The word that workers watch: job number, whether it is open, how many threads may take part, how many have joined.
#[derive(Clone, Copy)]
struct State {
    number: u32,
    open: bool,
    limit: u16,
    joined: u16,
}

impl State {
    fn pack(self) -> u64 {
        u64::from(self.number) << 32
            | u64::from(self.open) << 31
            | u64::from(self.limit & 0x7fff) << 16
            | u64::from(self.joined)
    }
    fn unpack(word: u64) -> State {
        State {
            number: (word >> 32) as u32,
            open: word >> 31 & 1 == 1,
            limit: (word >> 16) as u16 & 0x7fff,
            joined: word as u16,
        }
    }
}

/// The most threads a team can have.
pub const MAX_THREADS: usize = 1024;

impl Team {
    /// A team of `threads` (at least 1), counting the caller.
    pub fn new(threads: usize) -> std::io::Result<Team> {
        let threads = threads.clamp(1, MAX_THREADS);
        let shared = Arc::new(Shared {
            state: Padded(AtomicU64::new(0)),
            finished: Padded(AtomicUsize::new(0)),
            busy: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            job: Job(UnsafeCell::new(None)),
            asleep: (0..threads)
                .map(|_| Padded(AtomicBool::new(false)))
                .collect(),
            panic: Mutex::new(None),
        });
        let mut team = Team {
            shared,
            sleepers: Vec::new(),
            handles: Vec::new(),
        };
        for worker in 1..threads {
            let shared = Arc::clone(&team.shared);
            let handle = Builder::new()
                .name(format!("gristmill-{worker}"))
                .spawn(move || shared.work(worker))?;
            team.sleepers.push(handle.thread().clone());
            team.handles.push(handle);
        }
        Ok(team)
    }

    /// Threads, counting the caller.
    pub fn threads(&self) -> usize {
        self.handles.len() + 1
    }

    /// Runs `task(worker)` on the caller (worker 0) and on as many others as come in time, at most `limit` in all;
    /// returns when every one of them has returned. A call from inside a task, or while another thread's job runs, runs
    /// on its caller alone.
    ///
    /// # Panics
    /// If `task` does on any thread, after all have stopped; of several panics one is passed on.
    pub fn run(&self, limit: usize, task: &(dyn Fn(usize) + Sync)) {
        let limit = limit.min(self.threads());
        let shared = &*self.shared;
        if limit <= 1 || shared.busy.swap(true, Ordering::Acquire) {
            return task(0);
        }
        let number = State::unpack(shared.state.0.load(Ordering::Relaxed))
            .number
            .wrapping_add(1);
        shared.finished.0.store(0, Ordering::Relaxed);
        // SAFETY: only the type's lifetime changes, which ends with this call, and no worker uses the pointer after it:
        // the job is closed below and all who joined are waited for, whatever panics.
        let lasting = unsafe {
            let lent: *const (dyn Fn(usize) + Sync + '_) = task;
            std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Task>(lent)
        };
        // SAFETY: `busy` keeps other callers out, and the workers of the last job have finished, so no one else reads
        // or writes here.
        shared.job.0.with_mut(|job| unsafe { *job = Some(lasting) });
        let open = State {
            number,
            open: true,
            limit: limit as u16,
            joined: 0,
        };
        shared.state.0.store(open.pack(), Ordering::Release);
        // Against the fence of a worker that says "I sleep": of the two, one sees what the other stored before.
        fence(Ordering::SeqCst);
        for worker in 1..limit {
            if shared.asleep[worker].0.load(Ordering::Relaxed) {
                self.sleepers[worker - 1].unpark();
            }
        }
        let mine = catch_unwind(AssertUnwindSafe(|| task(0)));
        let closed = 1u64 << 31;
        let joined = State::unpack(shared.state.0.fetch_and(!closed, Ordering::AcqRel)).joined;
        let mut spins = 0u32;
        while shared.finished.0.load(Ordering::Acquire) != usize::from(joined) {
            spins += 1;
            if spins.is_multiple_of(4096) {
                yield_now();
            } else {
                spin_loop();
            }
        }
        let theirs = shared.panic().take();
        shared.busy.store(false, Ordering::Release);
        if let Err(panic) = mine {
            resume_unwind(panic);
        }
        if let Some(panic) = theirs {
            resume_unwind(panic);
        }
    }

    /// Calls `task(worker, index)` once for every index below `tasks`, on at most `limit` threads.
    ///
    /// Each worker begins with a run of its own, in order, so that it reads memory in order; then it helps the others.
    ///
    /// # Panics
    /// As [`Team::run`]; some indices may then not have been done.
    pub fn for_each(&self, limit: usize, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        self.for_all(limit, tasks, &task);
    }

    /// [`Team::for_each`], compiled once and not for every task.
    fn for_all(&self, limit: usize, tasks: usize, task: &(dyn Fn(usize, usize) + Sync)) {
        if tasks == 1 {
            return task(0, 0);
        }
        let runs = limit.min(tasks).clamp(1, MAX_RUNS);
        let next: [Padded<AtomicUsize>; MAX_RUNS] = std::array::from_fn(|run| {
            Padded(AtomicUsize::new(start_of_run(tasks, runs, run.min(runs))))
        });
        self.run(limit.min(tasks), &|worker| {
            for run in (0..runs).map(|run| (worker + run) % runs) {
                let end = start_of_run(tasks, runs, run + 1);
                // Looking before taking keeps the counters from running far past the end.
                while next[run].0.load(Ordering::Relaxed) < end {
                    let index = next[run].0.fetch_add(1, Ordering::Relaxed);
                    if index >= end {
                        break;
                    }
                    task(worker, index);
                }
            }
        });
    }
}

/// The most runs of tasks that workers begin with; more workers share them.
const MAX_RUNS: usize = if cfg!(loom) { 2 } else { 16 };

/// The first task of a run, of `runs` of nearly equal length. Nothing wraps: runs that met would do a task twice.
fn start_of_run(tasks: usize, runs: usize, run: usize) -> usize {
    tasks / runs * run + run.min(tasks % runs)
}

impl Drop for Team {
    fn drop(&mut self) {
        // A wake-up that comes before its worker sleeps is kept, and what was stored before it is seen after it.
        self.shared.closing.store(true, Ordering::Relaxed);
        for sleeper in &self.sleepers {
            sleeper.unpark();
        }
        for handle in self.handles.drain(..) {
            // A worker catches the panics of its tasks, so it ends in order.
            let _ = handle.join();
        }
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Team({} threads)", self.threads())
    }
}

impl Shared {
    /// The life of a worker.
    fn work(&self, worker: usize) {
        let mut last = 0;
        let mut spins = 0;
        loop {
            let word = self.state.0.load(Ordering::Acquire);
            let state = State::unpack(word);
            if state.open && state.number != last && worker < usize::from(state.limit) {
                let join = self.state.0.compare_exchange(
                    word,
                    word + 1,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                if join.is_ok() {
                    last = state.number;
                    self.take_part(worker);
                    spins = 0;
                }
                continue;
            }
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            spins += 1;
            if spins < SPINS_BEFORE_SLEEP {
                spin_loop();
                continue;
            }
            let asleep = &self.asleep[worker].0;
            asleep.store(true, Ordering::Relaxed);
            // See the fence of a job that opens. A team that closes wakes everyone, asleep or not.
            fence(Ordering::SeqCst);
            if self.state.0.load(Ordering::Relaxed) == word {
                park();
            }
            asleep.store(false, Ordering::Relaxed);
            spins = 0;
        }
    }

    fn take_part(&self, worker: usize) {
        // SAFETY: this worker joined while the job was open, so the caller wrote the task before, and writes the next
        // one only after `finished` has counted this worker.
        let task = self.job.0.with(|job| unsafe { *job });
        if let Some(task) = task {
            // SAFETY: the caller's borrow of the task lasts until `finished` has counted this worker.
            let task = unsafe { &*task };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| task(worker))) {
                let mut first = self.panic();
                if first.is_none() {
                    *first = Some(panic);
                } else {
                    // Not dropped: a payload whose destructor panics would end this thread, and the caller would wait
                    // for it in vain.
                    std::mem::forget(panic);
                }
            }
        }
        self.finished.0.fetch_add(1, Ordering::Release);
    }

    /// The first panic of the job's workers.
    fn panic(&self) -> MutexGuard<'_, Option<Box<dyn Any + Send>>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
