//! Ctrl-C: the first stops what the engine is doing, a second one (or one while nothing runs) ends the program.

use crate::diagnostics::INTERRUPTED;
use anyhow::{Context, Result};
use gristmill_engine::StopHandle;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// What Ctrl-C stops at the moment.
static RUNNING: Mutex<Option<StopHandle>> = Mutex::new(None);
/// Whether Ctrl-C was pressed since the current [`Guard`] was made.
static PRESSED: AtomicBool = AtomicBool::new(false);

fn running() -> std::sync::MutexGuard<'static, Option<StopHandle>> {
    RUNNING
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Takes Ctrl-C over from the system. Call once, before the first [`guard`].
pub fn install() -> Result<()> {
    ctrlc::set_handler(|| match running().as_ref() {
        Some(handle) if !PRESSED.swap(true, Ordering::SeqCst) => handle.stop(),
        _ => std::process::exit(i32::from(INTERRUPTED)),
    })
    .context("cannot take over Ctrl-C")
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
    }
}
