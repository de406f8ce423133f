//! Pages of a cache: which are free, and how many sequences hold each of the others. Sequences with the same beginning
//! hold the same pages; a page that several hold is copied before one of them writes to it.

use gristmill_kernels::attention::PAGE;

/// No page: what it held is further back than any window.
pub(super) const NONE: u32 = u32::MAX;

/// All pages of the caches that look back equally far.
#[derive(Debug)]
pub(super) struct Pool {
    /// By page: the number of sequences that hold it.
    holders: Vec<u32>,
    free: Vec<u32>,
}

impl Pool {
    pub(super) fn new(pages: usize) -> Self {
        Self {
            holders: vec![0; pages],
            // The first are taken first: memory is taken as pages are written.
            free: (0..pages as u32).rev().collect(),
        }
    }

    /// A free page. There is one as long as no sequence has more than its share, see `States::new`.
    fn take(&mut self) -> Option<u32> {
        let page = self.free.pop()?;
        self.holders[page as usize] = 1;
        Some(page)
    }

    fn leave(&mut self, page: u32) {
        if page == NONE {
            return;
        }
        let holders = &mut self.holders[page as usize];
        *holders -= 1;
        if *holders == 0 {
            self.free.push(page);
        }
    }
}

/// The pages of a sequence, by position / [`PAGE`].
#[derive(Debug, Default)]
pub(super) struct Table(Vec<u32>);

impl Table {
    /// An empty one, with room for this number of pages.
    pub(super) fn new(pages: usize) -> Self {
        Self(Vec::with_capacity(pages))
    }

    pub(super) fn pages(&self) -> &[u32] {
        &self.0
    }

    /// Leaves the first `pages` of an empty table out: no window reaches them.
    pub(super) fn skip(&mut self, pages: usize) {
        debug_assert!(self.0.is_empty());
        self.0.resize(pages, NONE);
    }

    /// A second holder of the same pages.
    pub(super) fn share(&self, pool: &mut Pool, other: &mut Table) {
        debug_assert!(other.0.is_empty());
        for &page in self.0.iter().filter(|&&page| page != NONE) {
            pool.holders[page as usize] += 1;
        }
        other.0.extend_from_slice(&self.0);
    }

    /// Makes the pages of `positions` this sequence's own, calling `copy` with each that it shared and the one that takes
    /// its place, and gives up those that hold nothing from position `oldest` on. `None` if the pool has no page left.
    pub(super) fn reserve(
        &mut self,
        pool: &mut Pool,
        positions: std::ops::Range<usize>,
        oldest: usize,
        mut copy: impl FnMut(u32, u32),
    ) -> Option<()> {
        for page in self.0.iter_mut().take(oldest / PAGE) {
            pool.leave(std::mem::replace(page, NONE));
        }
        let (first, end) = (positions.start / PAGE, positions.end.div_ceil(PAGE));
        for number in first..end {
            match self.0.get_mut(number) {
                None => self.0.push(pool.take()?),
                Some(page) if *page == NONE => *page = pool.take()?,
                Some(page) if pool.holders[*page as usize] > 1 => {
                    let own = pool.take()?;
                    copy(*page, own);
                    pool.leave(std::mem::replace(page, own));
                }
                Some(_) => {}
            }
        }
        Some(())
    }

    /// Gives up the pages that hold only positions from `positions` on.
    pub(super) fn truncate(&mut self, pool: &mut Pool, positions: usize) {
        for page in self.0.drain(positions.div_ceil(PAGE).min(self.0.len())..) {
            pool.leave(page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_pages_are_copied_before_they_are_written_to() {
        let mut pool = Pool::new(6);
        let (mut one, mut other) = (Table::new(3), Table::new(3));
        let alone = |_, _| panic!("nothing is shared");
        one.reserve(&mut pool, 0..2 * PAGE + 1, 0, alone).unwrap();
        assert_eq!(one.pages(), [0, 1, 2]);
        one.share(&mut pool, &mut other);
        let mut copies = Vec::new();
        let mut copy = |from, to| copies.push((from, to));
        other
            .reserve(&mut pool, 2 * PAGE - 1..2 * PAGE, 0, &mut copy)
            .unwrap();
        assert_eq!(copies, [(1, 3)]);
        assert_eq!(other.pages(), [0, 3, 2]);
        // The first one has its page to itself again.
        one.reserve(&mut pool, PAGE..PAGE + 1, 0, alone).unwrap();
        one.truncate(&mut pool, 0);
        other.truncate(&mut pool, PAGE);
        assert_eq!((one.pages(), other.pages()), (&[][..], &[0][..]));
        other.truncate(&mut pool, 0);
        assert_eq!(pool.free.len(), 6);
        // More than there is.
        assert_eq!(one.reserve(&mut pool, 0..7 * PAGE, 0, alone), None);
    }

    #[test]
    fn pages_that_no_window_reaches_are_given_up() {
        let mut pool = Pool::new(3);
        let mut table = Table::new(8);
        for end in 1..8 * PAGE {
            let oldest = end.saturating_sub(PAGE + 1);
            let alone = |_, _| panic!("nothing is shared");
            table
                .reserve(&mut pool, end - 1..end, oldest, alone)
                .unwrap();
            let held = table.pages().iter().filter(|&&page| page != NONE).count();
            assert!(held <= 3);
            assert_ne!(table.pages()[oldest / PAGE], NONE);
        }
    }
}
