//! Matrices that a team fills together: each piece of work owns some rows of the output, in all columns.

use super::Team;
use std::marker::PhantomData;

/// An output of columns, each a run of `rows` values, cut into strips of `strip_rows` rows.
#[derive(Debug)]
pub struct Grid<'a> {
    out: &'a mut [f32],
    rows: usize,
    strip_rows: usize,
}

impl<'a> Grid<'a> {
    /// An output of `out.len() / rows` columns of `rows` values; the last strip may be shorter than `strip_rows`.
    ///
    /// # Panics
    /// If `out` is not a whole number of columns, or if `strip_rows` is 0.
    pub fn new(out: &'a mut [f32], rows: usize, strip_rows: usize) -> Grid<'a> {
        assert!(
            out.len().checked_rem(rows).unwrap_or(out.len()) == 0,
            "{} values are no columns of {rows}",
            out.len()
        );
        let mut grid = Grid {
            out,
            rows,
            strip_rows: 1,
        };
        grid.set_strip_rows(strip_rows);
        grid
    }

    /// Cuts into strips of this many rows from now on.
    ///
    /// # Panics
    /// If `strip_rows` is 0.
    pub fn set_strip_rows(&mut self, strip_rows: usize) {
        assert!(strip_rows > 0, "strips of no rows");
        self.strip_rows = strip_rows;
    }

    /// How many strips it makes. An output without values has none, whatever its rows.
    fn strips(&self) -> usize {
        if self.out.is_empty() {
            0
        } else {
            self.rows.div_ceil(self.strip_rows)
        }
    }
}

/// The part of an output that one piece of work owns: some of its rows, in all columns.
///
/// Only [`Team::strips`] makes one, and what it covers can't be changed afterwards:
///
/// ```
/// use gristmill_kernels::pool::{Grid, Strip, Team};
///
/// fn fill(strip: &mut Strip<'_>) {
///     let value = (100 * strip.grid() + strip.first() + strip.rows()) as f32;
///     for column in 0..strip.columns() {
///         strip.column(column).fill(value);
///     }
/// }
///
/// let mut out = [0.0; 6];
/// let team = Team::new(2)?;
/// team.strips(2, &mut [Grid::new(&mut out, 3, 2)], |_, mut strip| fill(&mut strip));
/// assert_eq!(out, [2.0, 2.0, 3.0, 2.0, 2.0, 3.0]);
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// ```compile_fail,E0616
/// fn longer(strip: &mut gristmill_kernels::pool::Strip<'_>) {
///     strip.rows = 1 << 20;
/// }
/// ```
///
/// ```compile_fail,E0451
/// fn forged<'a>(strip: gristmill_kernels::pool::Strip<'a>) -> gristmill_kernels::pool::Strip<'a> {
///     gristmill_kernels::pool::Strip { rows: 1 << 20, ..strip }
/// }
/// ```
///
/// Nor can two borrows of its columns live at once, or a strip outlive its task:
///
/// ```compile_fail,E0499
/// fn twice(strip: &mut gristmill_kernels::pool::Strip<'_>) {
///     let (one, two) = (strip.column(0), strip.column(0));
///     one.copy_from_slice(two);
/// }
/// ```
///
/// ```compile_fail,E0521
/// use gristmill_kernels::pool::{Grid, Strip, Team};
///
/// fn kept(team: &Team, out: &mut [f32]) {
///     let cell = std::sync::Mutex::new(None::<&mut [f32]>);
///     team.strips(2, &mut [Grid::new(out, 1, 1)], |_, mut strip| {
///         *cell.lock().unwrap() = Some(strip.column(0));
///     });
/// }
/// ```
pub struct Strip<'a> {
    base: *mut f32,
    stride: usize,
    columns: usize,
    grid: usize,
    first: usize,
    rows: usize,
    life: PhantomData<&'a mut [f32]>,
}

impl<'a> Strip<'a> {
    /// All of an output that nobody else has: columns of `rows` values.
    ///
    /// # Panics
    /// As [`Grid::new`], and if `out` is empty.
    pub(crate) fn all(out: &'a mut [f32], rows: usize) -> Strip<'a> {
        let grid = Grid::new(out, rows, 1);
        assert!(grid.strips() > 0, "a strip of nothing");
        Strip {
            columns: grid.out.len() / rows,
            base: grid.out.as_mut_ptr(),
            stride: rows,
            grid: 0,
            first: 0,
            rows,
            life: PhantomData,
        }
    }

    /// Where its values are, for kernels that write them column by column: the first one, and how far apart columns are.
    pub(crate) fn places(&mut self) -> (*mut f32, usize) {
        (self.base, self.stride)
    }

    /// Which of the outputs.
    #[inline]
    pub fn grid(&self) -> usize {
        self.grid
    }

    /// Its first row in the output.
    #[inline]
    pub fn first(&self) -> usize {
        self.first
    }

    /// Its number of rows, at least 1.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the output, at least 1.
    #[inline]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The strip's rows in one column: [`Strip::rows`] values.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    pub fn column(&mut self, column: usize) -> &mut [f32] {
        assert!(column < self.columns);
        // SAFETY: the output has `columns` columns of `stride` values, `base` points at row `first` of column 0, and
        // `first + rows <= stride`, so the values lie inside of the output, whose length a usize holds. Fields are
        // private and never change. No other strip has these rows, and this one is borrowed mutably.
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

// SAFETY: workers use the pointer only for the strips that are handed to them, which are disjoint, and f32 may be
// written by any thread.
unsafe impl Sync for Place {}

/// The most outputs of one job.
pub const MAX_GRIDS: usize = 8;

impl Team {
    /// Calls `task(worker, strip)` for every strip of up to [`MAX_GRIDS`] outputs, on at most `limit` threads.
    ///
    /// # Panics
    /// If there are more outputs, or more strips in all than a `usize` counts; and when a task panics, after all have
    /// stopped: then some strips may not have been handed out.
    pub fn strips(
        &self,
        limit: usize,
        grids: &mut [Grid<'_>],
        task: impl Fn(usize, Strip<'_>) + Sync,
    ) {
        self.all_strips(limit, grids, &task);
    }

    /// [`Team::strips`], which is compiled once and not for every task: there are some eighty.
    fn all_strips(
        &self,
        limit: usize,
        grids: &mut [Grid<'_>],
        task: &(dyn Fn(usize, Strip<'_>) + Sync),
    ) {
        assert!(grids.len() <= MAX_GRIDS);
        let mut tasks = 0usize;
        let places: [Place; MAX_GRIDS] = std::array::from_fn(|index| match grids.get_mut(index) {
            Some(grid) if grid.strips() > 0 => {
                let place = Place {
                    columns: grid.out.len() / grid.rows,
                    out: grid.out.as_mut_ptr(),
                    rows: grid.rows,
                    strip_rows: grid.strip_rows,
                    first_task: tasks,
                };
                let Some(sum) = tasks.checked_add(grid.strips()) else {
                    panic!("more strips than can be counted");
                };
                tasks = sum;
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
            // `first_task` ascends over the outputs that have strips; `index` is below usize::MAX.
            let found = places
                .iter()
                .enumerate()
                .rfind(|(_, place)| place.first_task <= index);
            let Some((grid, place)) = found else { return };
            // Below `rows`: the output has `rows / strip_rows` strips, rounded up.
            let first = (index - place.first_task) * place.strip_rows;
            let strip = Strip {
                // SAFETY: `first` is a row of the output, which is not empty.
                base: unsafe { place.out.add(first) },
                stride: place.rows,
                columns: place.columns,
                grid,
                first,
                rows: place.strip_rows.min(place.rows - first),
                life: PhantomData,
            };
            // `for_each` hands every index out once, so every strip has one owner.
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
                Grid::new(&mut one, 7, strip_rows),
                Grid::new(&mut none, 0, strip_rows),
                Grid::new(&mut two, 4, 2),
            ];
            team.strips(3, &mut grids, |_, mut strip| {
                for column in 0..strip.columns() {
                    let (grid, first) = (strip.grid(), strip.first());
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

    #[test]
    fn absurd_numbers_of_rows_make_no_strips_and_do_not_wrap() {
        let team = Team::new(2).unwrap();
        let (mut none, mut out) = ([[0.0; 0]; 7], [0.0; 6]);
        let mut grids: Vec<Grid<'_>> = none
            .iter_mut()
            .map(|none| Grid::new(none, usize::MAX, 1))
            .collect();
        grids.push(Grid::new(&mut out, 3, usize::MAX));
        team.strips(2, &mut grids, |_, mut strip| {
            assert_eq!((strip.grid(), strip.first(), strip.rows()), (7, 0, 3));
            for column in 0..strip.columns() {
                strip.column(column).fill(1.0);
            }
        });
        assert_eq!(out, [1.0; 6]);
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        let refused = |length: usize, rows: usize, strip_rows: usize| {
            std::panic::catch_unwind(|| {
                Grid::new(&mut vec![0.0; length], rows, strip_rows);
            })
            .is_err()
        };
        assert!(!refused(6, 3, 2) && !refused(0, 0, 1) && !refused(0, 5, 1));
        assert!(refused(6, 4, 1) && refused(6, 0, 1) && refused(6, 7, 1) && refused(6, 3, 0));
        assert!(refused(6, usize::MAX, 1));
    }

    #[test]
    #[should_panic(expected = "column < self.columns")]
    fn a_column_that_is_not_there_is_refused() {
        let team = Team::new(1).unwrap();
        let mut out = [0.0; 6];
        team.strips(1, &mut [Grid::new(&mut out, 3, 2)], |_, mut strip| {
            strip.column(2);
        });
    }
}
