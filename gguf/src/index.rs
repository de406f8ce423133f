//! Finding by name in a list that keeps its order: positions, sorted by name. Half the size of a hash map, no copy of
//! the names, and duplicates lie side by side.

/// Positions of a list's items, sorted by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Index(Vec<u32>);

impl Index {
    /// Fails with the positions of two items of the same name, the earlier first.
    pub fn new<'a>(count: usize, name: impl Fn(usize) -> &'a str) -> Result<Index, (usize, usize)> {
        let mut order: Vec<u32> = (0..count as u32).collect();
        order.sort_by_key(|&i| name(i as usize));
        for pair in order.windows(2) {
            let (first, second) = (pair[0] as usize, pair[1] as usize);
            if name(first) == name(second) {
                return Err((first, second));
            }
        }
        Ok(Index(order))
    }

    pub fn find<'a>(&self, wanted: &str, name: impl Fn(usize) -> &'a str) -> Option<usize> {
        let at = self
            .0
            .binary_search_by(|&i| name(i as usize).cmp(wanted))
            .ok()?;
        Some(self.0[at] as usize)
    }
}
