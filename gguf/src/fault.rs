//! A mapped file that is cut short raises SIGBUS at the next read past its new end. This handler turns that into one
//! line that names the file and says what helps, and exit code 1, instead of a bare "Bus error".
//!
//! Maps register their address range and a finished message; the handler only compares addresses, writes and exits,
//! which is all that a signal handler may do. A fault elsewhere goes to whatever handler there was before.
#![allow(unsafe_code)]

use std::path::Path;
use std::ptr::null_mut;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Maps that can be guarded at once; further ones just aren't.
const SLOTS: usize = 256;

/// A guarded range. `end` is set last and cleared first, so a slot with an end is complete.
struct Slot {
    taken: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    message: AtomicPtr<u8>,
    message_bytes: AtomicUsize,
}

static RANGES: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicUsize::new(0),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        message: AtomicPtr::new(null_mut()),
        message_bytes: AtomicUsize::new(0),
    }
}; SLOTS];

/// The handler that was there before.
static PREVIOUS: OnceLock<Option<libc::sigaction>> = OnceLock::new();

/// Keeps a map's range registered while it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: Option<usize>,
    // What the slot points to.
    _message: Box<[u8]>,
}

impl Guard {
    pub fn new(map: &[u8], path: &Path) -> Guard {
        PREVIOUS.get_or_init(install);
        let mut message = format!(
            "gristmill: {}: the file was cut short or could not be read while in use; \
             start again, or use --no-mmap to read it into memory first\n",
            path.display()
        )
        .into_bytes()
        .into_boxed_slice();
        let slot = RANGES.iter().position(|slot| {
            slot.taken
                .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        if let Some(slot) = slot {
            let range = map.as_ptr_range();
            let slot = &RANGES[slot];
            slot.start.store(range.start.addr(), Ordering::Relaxed);
            slot.message.store(message.as_mut_ptr(), Ordering::Relaxed);
            slot.message_bytes.store(message.len(), Ordering::Relaxed);
            slot.end.store(range.end.addr(), Ordering::Release);
        }
        Guard {
            slot,
            _message: message,
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            RANGES[slot].end.store(0, Ordering::Release);
            RANGES[slot].taken.store(0, Ordering::Release);
        }
    }
}

fn install() -> Option<libc::sigaction> {
    // SAFETY: all-zero is a valid sigaction (plain integers and an optional function pointer), and both pointers are
    // to live locals. The handler only does what is allowed in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut previous: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            on_bus_error;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        (libc::sigaction(libc::SIGBUS, &action, &mut previous) == 0).then_some(previous)
    }
}

extern "C" fn on_bus_error(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo to a handler installed with SA_SIGINFO.
    let address = unsafe { (*info).si_addr() }.addr();
    for slot in &RANGES {
        let end = slot.end.load(Ordering::Acquire);
        if (slot.start.load(Ordering::Relaxed)..end).contains(&address) {
            let message = slot.message.load(Ordering::Relaxed);
            let bytes = slot.message_bytes.load(Ordering::Relaxed);
            // SAFETY: a fault inside a registered range means that its map is in use, so its guard, which owns the
            // message, is alive. `write` and `_exit` may be called in a signal handler.
            unsafe {
                libc::write(libc::STDERR_FILENO, message.cast(), bytes);
                libc::_exit(1);
            }
        }
    }
    // Not one of ours: put the handler back that was there, and let the instruction fault again.
    // SAFETY: as in `install`; an all-zero action is the default one, and `info` is as valid as above.
    unsafe {
        let previous = match PREVIOUS.get() {
            Some(Some(previous)) => *previous,
            _ => std::mem::zeroed(),
        };
        libc::sigaction(signal, &previous, null_mut());
        // Sent by a process and not by a fault, it would not come again by itself.
        if (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}
