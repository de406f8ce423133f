//! What the worker team is made of: the standard library's threads, atomics and cells, or those of `loom`, which runs
//! every interleaving of them. The team's code is the same for both.

pub(super) use library::*;

/// A test under `--cfg loom`; the library itself never needs `loom`.
#[cfg(all(loom, test))]
mod library {
    pub use loom::cell::UnsafeCell;
    pub use loom::hint::spin_loop;
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub use loom::sync::{Arc, Mutex, MutexGuard};
    pub use loom::thread::{Builder, JoinHandle, Thread, park, yield_now};
}

#[cfg(not(all(loom, test)))]
mod library {
    pub use std::hint::spin_loop;
    pub use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
    pub use std::sync::{Arc, Mutex, MutexGuard};
    pub use std::thread::{Builder, JoinHandle, Thread, park, yield_now};

    /// The standard cell behind the methods of `loom`'s, which watches who reads and writes and when.
    pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}
