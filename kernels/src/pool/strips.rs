//! Matrices that a team fills together: each piece of work owns some rows of the output, in all columns.

use super::Team;
use std::marker::PhantomData;

/// An output, `columns` runs of `rows` values, cut into strips of `strip_rows`.
#[derive(Debug)]
pub struct Grid<'a> {
    /// The output.
    pub out: &'a mut [f32],
    /// Values in a run.
    pub rows: usize,
    /// Rows of a strip; the last may be shorter.
    pub strip_rows: usize,
}

/// The part of an output that one piece of work owns.
pub struct Strip<'a> {
    base: *mut f32,
    stride: usize,
    columns: usize,
    /// Which of the outputs.
    pub grid: usize,
    /// Its first row.
    pub first: usize,
    /// Its number of rows.
    pub rows: usize,
    life: PhantomData<&'a mut [f32]>,
}

impl Strip<'_> {
    /// Columns of the output.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The strip's rows in one column.
    #[inline]
    pub fn column(&mut self, column: usize) -> &mut [f32] {
        assert!(column < self.columns);
        // SAFETY: inside the output (checked in `strips`); strips don't overlap and this one is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.base.add(column * self.stride), self.rows) }
    }
}

/// What a worker needs to find the strips of an output.
struct Place {
    out: *mut f32,
    rows: usize,
    strip_rows: usize,
    columns: usize,
    first_task: usize,
}

// SAFETY: workers use the pointer only for the strips that are handed to them, which are disjoint.
unsafe impl Sync for Place {}
// SAFETY: as above.
unsafe impl Send for Place {}

/// The most outputs of one job.
pub const MAX_GRIDS: usize = 8;

impl Team {
    /// Calls `task(worker, strip)` for every strip of up to [`MAX_GRIDS`] outputs, on at most `limit` threads.
    pub fn strips(
        &self,
        limit: usize,
        grids: &mut [Grid<'_>],
        task: impl Fn(usize, Strip<'_>) + Sync,
    ) {
        assert!(grids.len() <= MAX_GRIDS);
        let mut tasks = 0;
        let places: [Place; MAX_GRIDS] = std::array::from_fn(|index| match grids.get_mut(index) {
            Some(grid) if grid.rows > 0 => {
                assert!(grid.out.len().is_multiple_of(grid.rows) && grid.strip_rows > 0);
                let place = Place {
                    columns: grid.out.len() / grid.rows,
                    out: grid.out.as_mut_ptr(),
                    rows: grid.rows,
                    strip_rows: grid.strip_rows,
                    first_task: tasks,
                };
                tasks += grid.rows.div_ceil(grid.strip_rows);
                place
            }
            _ => Place {
                columns: 0,
                out: std::ptr::null_mut(),
                rows: 0,
                strip_rows: 1,
                first_task: usize::MAX,
            },
        });
        self.for_each(limit, tasks, |worker, index| {
            // `first_task` ascends over the outputs that have rows.
            let found = places
                .iter()
                .enumerate()
                .rfind(|(_, place)| place.first_task <= index);
            let Some((grid, place)) = found else { return };
            let first = (index - place.first_task) * place.strip_rows;
            let strip = Strip {
                // SAFETY: `first` is a row of the output: index is below the number of strips.
                base: unsafe { place.out.add(first) },
                stride: place.rows,
                columns: place.columns,
                grid,
                first,
                rows: place.strip_rows.min(place.rows - first),
                life: PhantomData,
            };
            // Every index is handed out once, so every strip has one owner.
            task(worker, strip);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_output_once() {
        let team = Team::new(3).unwrap();
        for strip_rows in 1..6 {
            let (mut one, mut two) = (vec![0.0; 3 * 7], vec![0.0; 3 * 4]);
            let mut none = [];
            let mut grids = [
                Grid {
                    out: &mut one,
                    rows: 7,
                    strip_rows,
                },
                Grid {
                    out: &mut none,
                    rows: 0,
                    strip_rows,
                },
                Grid {
                    out: &mut two,
                    rows: 4,
                    strip_rows: 2,
                },
            ];
            team.strips(3, &mut grids, |_, mut strip| {
                for column in 0..strip.columns() {
                    let (grid, first) = (strip.grid, strip.first);
                    for (row, out) in strip.column(column).iter_mut().enumerate() {
                        *out += (grid * 1000 + column * 100 + first + row + 1) as f32;
                    }
                }
            });
            for (i, value) in one.iter().enumerate() {
                assert_eq!(*value as usize, i / 7 * 100 + i % 7 + 1);
            }
            for (i, value) in two.iter().enumerate() {
                assert_eq!(*value as usize, 2000 + i / 4 * 100 + i % 4 + 1);
            }
        }
    }
}
