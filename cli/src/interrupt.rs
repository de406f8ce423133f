//! Ctrl-C: the first stops what the engine is doing, a second one ends the program, and so does one while nothing runs,
//! except in a chat: there, a first one that comes a moment after an answer has ended is let go.

use crate::diagnostics::INTERRUPTED;
use anyhow::{Context, Result};
use gristmill_engine::StopHandle;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What Ctrl-C stops at the moment.
static RUNNING: Mutex<Option<StopHandle>> = Mutex::new(None);
/// Whether Ctrl-C was pressed since a [`Guard`] was last made or dropped.
static PRESSED: AtomicBool = AtomicBool::new(false);
/// Whether a first Ctrl-C spares the program even while nothing runs.
static SPARED: AtomicBool = AtomicBool::new(false);

fn running() -> std::sync::MutexGuard<'static, Option<StopHandle>> {
    RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes Ctrl-C over from the system. Call once, before the first [`guard`].
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        let again = PRESSED.swap(true, Ordering::SeqCst);
        match running().as_ref() {
            Some(handle) if !again => handle.stop(),
            None if !again && SPARED.load(Ordering::SeqCst) => {}
            _ => std::process::exit(i32::from(INTERRUPTED)),
        }
    })
    .context("cannot take over Ctrl-C")
}

/// From now on one Ctrl-C while nothing runs does not end the program.
pub fn spare() {
    SPARED.store(true, Ordering::SeqCst);
}

/// While this lives, Ctrl-C stops one piece of work instead of the program.
pub struct Guard(());

/// Makes Ctrl-C call the handle's `stop`.
pub fn guard(handle: StopHandle) -> Guard {
    PRESSED.store(false, Ordering::SeqCst);
    *running() = Some(handle);
    Guard(())
}

impl Guard {
    /// Whether Ctrl-C was pressed meanwhile.
    pub fn pressed(&self) -> bool {
        PRESSED.load(Ordering::SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        *running() = None;
        PRESSED.store(false, Ordering::SeqCst);
    }
}
