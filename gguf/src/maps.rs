//! Which files are mapped where. Reading a mapped file that somebody has cut short ends in a signal (SIGBUS), whose handler
//! is given an address and may do next to nothing: [`file_mapped_at`] tells it the file's name by reading atomics alone.
//!
//! In: each map while it lives, as a [`Guard`]. Out: the name of the file that an address belongs to.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

/// Maps that are known at once; further ones just aren't.
const SLOTS: usize = 256;
/// Bytes of a name that are kept: the last ones.
const NAME: usize = 512;

/// A map. `end` is set last and cleared first, so a slot with an end is complete.
struct Slot {
    taken: AtomicBool,
    start: AtomicUsize,
    end: AtomicUsize,
    name: [AtomicU8; NAME],
    name_bytes: AtomicUsize,
}

static MAPS: [Slot; SLOTS] = [const {
    Slot {
        taken: AtomicBool::new(false),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        name: [const { AtomicU8::new(0) }; NAME],
        name_bytes: AtomicUsize::new(0),
    }
}; SLOTS];

/// Keeps a map known while it lives.
#[derive(Debug)]
pub(crate) struct Guard {
    slot: Option<usize>,
}

impl Guard {
    pub fn new(map: &[u8], path: &Path) -> Guard {
        let slot = MAPS
            .iter()
            .position(|slot| !slot.taken.swap(true, Ordering::AcqRel));
        if let Some(slot) = slot {
            let slot = &MAPS[slot];
            let name = path.as_os_str().as_encoded_bytes();
            let name = &name[name.len().saturating_sub(NAME)..];
            for (to, byte) in slot.name.iter().zip(name) {
                to.store(*byte, Ordering::Relaxed);
            }
            let range = map.as_ptr_range();
            slot.name_bytes.store(name.len(), Ordering::Relaxed);
            slot.start.store(range.start.addr(), Ordering::Relaxed);
            slot.end.store(range.end.addr(), Ordering::Release);
        }
        Guard { slot }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            MAPS[slot].end.store(0, Ordering::Release);
            MAPS[slot].taken.store(false, Ordering::Release);
        }
    }
}

/// Writes the name of the file that is mapped at `address` to the beginning of `name` and returns its length in bytes: of a
/// longer name the end, of at most 512 bytes. `None` if no file of ours is there. A signal handler may call this.
pub fn file_mapped_at(address: usize, name: &mut [u8]) -> Option<usize> {
    let slot = MAPS.iter().find(|slot| {
        let end = slot.end.load(Ordering::Acquire);
        (slot.start.load(Ordering::Relaxed)..end).contains(&address)
    })?;
    let bytes = slot.name_bytes.load(Ordering::Relaxed).min(name.len());
    for (to, byte) in name.iter_mut().zip(&slot.name).take(bytes) {
        *to = byte.load(Ordering::Relaxed);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_while_its_map_lives() {
        let map = [0u8; 64];
        let inside = map[63..].as_ptr().addr();
        let mut name = [0; 600];
        assert_eq!(file_mapped_at(inside, &mut name), None);
        let long = "x".repeat(NAME) + "/model.gguf";
        for path in ["model.gguf", &long] {
            let guard = Guard::new(&map, Path::new(path));
            let bytes = file_mapped_at(inside, &mut name).expect("it is mapped");
            assert_eq!(&name[..bytes], &path.as_bytes()[path.len() - bytes..]);
            assert_eq!(bytes, path.len().min(NAME));
            assert_eq!(file_mapped_at(inside, &mut name[..3]), Some(3));
            drop(guard);
            assert_eq!(file_mapped_at(inside, &mut name), None);
        }
    }
}
