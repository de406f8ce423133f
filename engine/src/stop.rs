//! How work is stopped from outside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Stops a generation, or the reading of a prompt within one of its layers, from another thread or a signal handler.
#[derive(Debug, Clone, Default)]
pub struct StopHandle(
    /// Looks until one finds a stop, itself included; 0: none will.
    Arc<AtomicUsize>,
);

impl StopHandle {
    /// Ends the generation that is running; none that starts later.
    pub fn stop(&self) {
        self.stop_at(1);
    }

    /// Ends it when this handle is looked at for the `look`th time from now on, counted from 1. A pass looks between any two
    /// steps of a layer; so tests stop at every place that there is.
    #[doc(hidden)]
    pub fn stop_at(&self, look: usize) {
        self.0.store(look, Ordering::Release);
    }

    /// A look: whether it was called.
    pub(crate) fn is_set(&self) -> bool {
        let later = |looks: usize| (looks > 1).then(|| looks - 1);
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, later)
            == Err(1)
    }

    /// Whether it was called; that is then forgotten.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(0, Ordering::AcqRel) == 1
    }
}
