//! A slice handed out in equal parts, each to exactly one taker, from any thread.
//!
//! Parallel tasks write their results through it: which task gets which part is the counter's doing, that no two get
//! the same is the type's.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The parts of a slice that are still to be taken, last one first.
///
/// What it covers can't be changed from outside, and the slice is out of reach while parts of it are:
///
/// ```
/// use gristmill_kernels::isa::parts::Parts;
///
/// let mut data = [0; 5];
/// let parts = Parts::new(&mut data, 2);
/// while let Some((index, part)) = parts.take() {
///     part.fill(index);
/// }
/// assert_eq!(data, [0, 0, 1, 1, 2]);
/// ```
///
/// ```compile_fail,E0616
/// let mut data = [0; 5];
/// let mut parts = gristmill_kernels::isa::parts::Parts::new(&mut data, 2);
/// parts.len = 1 << 20;
/// ```
///
/// ```compile_fail,E0506
/// let mut data = [0; 5];
/// let part = gristmill_kernels::isa::parts::Parts::new(&mut data, 2).take();
/// data[0] = 1;
/// drop(part);
/// ```
///
/// Parts of what only one thread may have stay on that thread:
///
/// ```compile_fail,E0277
/// let mut data = [std::rc::Rc::new(1)];
/// let parts = gristmill_kernels::isa::parts::Parts::new(&mut data, 1);
/// std::thread::scope(|scope| {
///     scope.spawn(|| parts.take().is_some());
/// });
/// ```
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
        // Below the length, and so without wrapping: there are `len / part` parts, rounded up.
        let start = index * self.part;
        let len = self.part.min(self.len - start);
        // SAFETY: the counter begins at the number of parts, only falls and stops at 0, so no other taker gets this index
        // and parts don't overlap; start + len <= self.len; the slice stays mutably borrowed for 'a.
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

    #[test]
    fn parts_longer_than_the_slice_and_parts_of_nothing() {
        let mut data = [1u8, 2, 3];
        let parts = Parts::new(&mut data, usize::MAX);
        assert_eq!(parts.take(), Some((0, &mut [1, 2, 3][..])));
        assert_eq!(parts.take(), None);
        assert_eq!(Parts::<u8>::new(&mut [], 4).take(), None);
        // Values without a size: a slice can have as many as a usize counts.
        let mut units = vec![(); usize::MAX];
        let parts = Parts::new(&mut units, usize::MAX - 1);
        assert_eq!(
            parts.take().map(|(index, part)| (index, part.len())),
            Some((1, 1))
        );
        assert_eq!(
            parts.take().map(|(index, part)| (index, part.len())),
            Some((0, usize::MAX - 1))
        );
        assert_eq!(Parts::new(&mut units, 0).left(), usize::MAX);
    }
}
