//! A slice handed out in equal parts, each to exactly one taker, from any thread.
//!
//! Parallel tasks write their results through it: which task gets which part is the counter's doing, that no two get
//! the same is the type's.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The parts of a slice that are still to be taken, last one first.
pub struct Parts<'a, T> {
    data: *mut T,
    len: usize,
    part: usize,
    left: AtomicUsize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: a part is reachable by one taker only, so sharing `Parts` moves disjoint `&mut [T]` between threads.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    /// Cuts `slice` into parts of `part` elements (at least 1); the last one may be shorter.
    pub fn new(slice: &'a mut [T], part: usize) -> Self {
        let part = part.max(1);
        Parts {
            data: slice.as_mut_ptr(),
            len: slice.len(),
            part,
            left: AtomicUsize::new(slice.len().div_ceil(part)),
            slice: PhantomData,
        }
    }

    /// How many parts are left.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    /// The next part and its number, or nothing when all are taken.
    pub fn take(&self) -> Option<(usize, &'a mut [T])> {
        let index = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .ok()?
            - 1;
        let start = index * self.part;
        let len = self.part.min(self.len - start);
        // SAFETY: the counter only falls, so no other taker gets this index; start + len <= self.len; the slice stays
        // mutably borrowed for 'a.
        Some((index, unsafe {
            std::slice::from_raw_parts_mut(self.data.add(start), len)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_taken_once() {
        let mut data = vec![0u32; 1003];
        let parts = Parts::new(&mut data, 10);
        assert_eq!(parts.left(), 101);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while let Some((index, part)) = parts.take() {
                        for x in part {
                            *x += index as u32 + 1;
                        }
                    }
                });
            }
        });
        assert!(parts.take().is_none());
        assert!(
            data.iter()
                .enumerate()
                .all(|(i, x)| *x == i as u32 / 10 + 1)
        );
    }
}
