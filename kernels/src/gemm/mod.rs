//! The drivers of matrix products: they choose a path by type and shape, share rows out to the team and know neither
//! block layouts nor intrinsics.
//!
//! Few columns: each strip of rows goes through the fused dot of its type, or is unpacked row by row. Many columns: a
//! slab of rows is unpacked and interleaved once ([`slabs`]), and multiplied with all columns, a block of them after the
//! other. Both add up in the one order of [`crate::isa`]. Float weights stay floats ([`float`]).

mod columns;
mod float;
pub mod select;
mod slabs;

use std::sync::Mutex;

use crate::isa::aligned::Aligned;
use crate::isa::{Ready, ReadyTile, TileOrder, UNIT, Unpacked};
use crate::matrix::Matrix;
use crate::pool::{Grid, MAX_GRIDS, Strip, Team};
use crate::product::{FEW_COLUMNS, Product};
use columns::{FewColumns, ManyColumns};
use slabs::Slabs;

/// Memory that products reuse: rounded activations, and what each worker unpacks into.
#[derive(Debug)]
pub struct Scratch {
    few: FewColumns,
    many: ManyColumns,
    workers: Vec<Mutex<Worker>>,
}

/// One worker's buffers.
#[derive(Debug, Default)]
struct Worker {
    codes: Aligned<i8>,
    scales: Aligned<f32>,
    mins: Aligned<f32>,
    results: Aligned<f32>,
    slab: Slabs,
    floats: float::Buffers,
}

impl Scratch {
    /// For so many threads.
    pub fn new(threads: usize) -> Scratch {
        Scratch {
            few: FewColumns::default(),
            many: ManyColumns::default(),
            workers: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }
}

/// A team, how many of it may work, and with which instructions.
#[derive(Clone, Copy)]
pub struct Hands<'a> {
    /// The instruction set.
    pub ready: Ready,
    /// The threads.
    pub team: &'a Team,
    /// The most of them to use.
    pub limit: usize,
}

/// A way that products of one input go together: what they want of it is the same.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Floats,
    Few,
    Many(TileOrder),
}

/// All products of one input of `n` columns, those of each [`Way`] together.
pub fn products(
    hands: Hands<'_>,
    scratch: &mut Scratch,
    x: &[f32],
    n: usize,
    products: &mut [Product<'_>],
) {
    let way = |product: &Product<'_>| match select::tile(hands.ready, product.weights.quant(), n) {
        Some(tile) => Way::Many(tile.order()),
        None if product.weights.quant().codes.is_some() => Way::Few,
        None => Way::Floats,
    };
    for index in 0..products.len() {
        let this = way(&products[index]);
        if products[..index].iter().any(|product| way(product) == this) {
            continue;
        }
        let mut chosen = products[index..].iter_mut().filter(|p| way(p) == this);
        loop {
            // A job takes a few outputs; no list is allocated.
            let mut weights = [None; MAX_GRIDS];
            let mut grids: [Grid<'_>; MAX_GRIDS] =
                std::array::from_fn(|_| Grid::new(&mut [], 0, 1));
            let mut count = 0;
            for (product, (weight, grid)) in chosen.by_ref().zip(weights.iter_mut().zip(&mut grids))
            {
                *weight = Some(product.weights);
                *grid = Grid::new(&mut *product.out, product.weights.rows(), 1);
                count += 1;
                if count == MAX_GRIDS {
                    break;
                }
            }
            let Some(first) = weights[0] else { break };
            let job = Job {
                hands,
                workers: &scratch.workers,
                weights: &weights,
                x,
                n,
                inputs: 1,
            };
            let grids = &mut grids[..count];
            match select::tile(hands.ready, first.quant(), n) {
                Some(tile) => job.many(tile, &mut scratch.many, first.cols(), grids),
                None if this == Way::Few => job.few(&mut scratch.few, first.cols(), grids),
                None => job.floats(grids),
            }
        }
    }
}

/// Products whose inputs are `n` columns each, one input after the other in `x`: as many as fit share a job where they go
/// straight from the file's bytes.
pub fn products_of_each(
    hands: Hands<'_>,
    scratch: &mut Scratch,
    x: &[f32],
    n: usize,
    all: &mut [Product<'_>],
) {
    let goes_together = |product: &Product<'_>, cols: usize| {
        let quant = product.weights.quant();
        let few = select::tile(hands.ready, quant, n).is_none() && quant.codes.is_some();
        few && product.weights.cols() == cols
    };
    let (mut rest, mut x) = (all, x);
    while let Some(first) = rest.first() {
        let cols = first.weights.cols();
        let together = rest.iter().take(MAX_GRIDS);
        let together = together.take_while(|p| goes_together(p, cols)).count();
        let (now, later) = rest.split_at_mut(together.max(1));
        let (inputs, others) = x.split_at(now.len() * n * cols);
        (rest, x) = (later, others);
        if together < 2 {
            products(hands, scratch, inputs, n, now);
            continue;
        }
        let mut weights = [None; MAX_GRIDS];
        let mut grids: [Grid<'_>; MAX_GRIDS] = std::array::from_fn(|_| Grid::new(&mut [], 0, 1));
        for (product, (weight, grid)) in now.iter_mut().zip(weights.iter_mut().zip(&mut grids)) {
            *weight = Some(product.weights);
            *grid = Grid::new(&mut *product.out, product.weights.rows(), 1);
        }
        let job = Job {
            hands,
            workers: &scratch.workers,
            weights: &weights,
            x: inputs,
            n,
            inputs: together,
        };
        job.few(&mut scratch.few, cols, &mut grids[..together]);
    }
}

/// What the paths share.
struct Job<'a> {
    hands: Hands<'a>,
    workers: &'a [Mutex<Worker>],
    weights: &'a [Option<Matrix<'a>>; MAX_GRIDS],
    x: &'a [f32],
    /// Columns of an input.
    n: usize,
    /// One for all products, or one for each.
    inputs: usize,
}

impl Job<'_> {
    fn run(
        &self,
        grids: &mut [Grid<'_>],
        task: impl Fn(&mut Worker, Matrix<'_>, Strip<'_>) + Sync,
    ) {
        self.hands
            .team
            .strips(self.hands.limit, grids, |worker, strip| {
                // A worker's own buffers: never contended, and any content will do.
                let mut buffers = match self.workers[worker].lock() {
                    Ok(buffers) => buffers,
                    Err(poisoned) => poisoned.into_inner(),
                };
                if let Some(weights) = self.weights[strip.grid()] {
                    task(&mut buffers, weights, strip);
                }
            });
    }

    /// Rows of a strip: so many that threads share the work evenly, and that each reads long runs of the file.
    fn strips_of_bytes(&self, grids: &mut [Grid<'_>]) {
        let total: usize = self.weights.iter().flatten().map(|w| w.bytes().len()).sum();
        let bytes = (total / 64).clamp(16 * 1024, 256 * 1024);
        for (grid, weights) in grids.iter_mut().zip(self.weights.iter().flatten()) {
            grid.set_strip_rows((bytes / weights.row_bytes().max(1)).clamp(1, 1024));
        }
    }

    fn few(&self, few: &mut FewColumns, cols: usize, grids: &mut [Grid<'_>]) {
        let ready = self.hands.ready;
        let all = few.fill(ready, self.x, self.inputs * self.n, cols);
        self.strips_of_bytes(grids);
        self.run(grids, |worker, weights, mut strip| {
            let input = if self.inputs > 1 { strip.grid() } else { 0 };
            let x = all.range(input * self.n, self.n);
            let Worker {
                codes,
                scales,
                mins,
                results,
                ..
            } = worker;
            let bytes = weights.row_range(strip.first(), strip.rows());
            let dot = ready.dot(weights.quant());
            if x.count == 1
                && let Some(dot) = dot
            {
                return dot(bytes, &x, strip.column(0));
            }
            let results = results.of(strip.rows() * x.count);
            match dot {
                Some(dot) => dot(bytes, &x, results),
                None => {
                    let row_bytes = weights.row_bytes().max(1);
                    let rows = bytes
                        .chunks_exact(row_bytes)
                        .zip(results.chunks_exact_mut(x.count));
                    for (row, out) in rows {
                        let row = unpack_row(ready, weights, row, x.units, codes, scales, mins);
                        ready.dot_unpacked(&row, &x, out);
                    }
                }
            }
            for column in 0..x.count {
                for (row, out) in strip.column(column).iter_mut().enumerate() {
                    *out = results[row * x.count + column];
                }
            }
        });
    }

    fn many(&self, tile: ReadyTile, many: &mut ManyColumns, cols: usize, grids: &mut [Grid<'_>]) {
        let Hands {
            ready, team, limit, ..
        } = self.hands;
        let x = many.fill((ready, tile), (team, limit), (self.x, self.n, cols));
        for grid in &mut *grids {
            grid.set_strip_rows(tile.rows());
        }
        let rows = tile.rows();
        self.run(grids, |worker, weights, mut strip| {
            let Some(slab) = worker.slab.fill(ready, tile, &weights, &strip) else {
                return;
            };
            if strip.rows() == rows {
                return tile.run(&slab, &x, &mut strip);
            }
            // Rows that the matrix does not have are left out.
            let results = worker.results.of(self.n * rows);
            tile.run(&slab, &x, &mut Strip::all(results, rows));
            for (column, results) in results.chunks_exact(rows).enumerate() {
                let rows = strip.rows();
                strip.column(column).copy_from_slice(&results[..rows]);
            }
        });
    }

    fn floats(&self, grids: &mut [Grid<'_>]) {
        let floats = self.hands.ready.floats();
        if self.n <= FEW_COLUMNS {
            self.strips_of_bytes(grids);
        } else {
            for grid in &mut *grids {
                grid.set_strip_rows(float::STRIP_ROWS);
            }
        }
        self.run(grids, |worker, weights, strip| {
            float::product(floats, &mut worker.floats, weights, self.x, strip);
        });
    }
}

/// A whole row to codes.
fn unpack_row<'a>(
    ready: Ready,
    weights: Matrix<'_>,
    row: &[u8],
    units: usize,
    codes: &'a mut Aligned<i8>,
    scales: &'a mut Aligned<f32>,
    mins: &'a mut Aligned<f32>,
) -> Unpacked<'a> {
    let quant = weights.quant();
    let (group, has_mins) = quant
        .codes
        .as_ref()
        .map_or((32, false), |c| (c.group, c.has_mins));
    let groups = units * UNIT / group;
    let codes = codes.of(units * UNIT);
    let scales = scales.of(groups);
    let mins = mins.of(groups);
    codes[weights.cols()..].fill(0);
    scales[weights.cols() / group..].fill(0.0);
    mins[weights.cols() / group..].fill(0.0);
    let unit_bytes = UNIT / quant.block_elements * quant.block_bytes;
    let units_of_row = codes[..weights.cols()]
        .chunks_mut(UNIT)
        .zip(row.chunks(unit_bytes));
    for (unit, (codes, blocks)) in units_of_row.enumerate() {
        let (at, groups) = (unit * UNIT / group, codes.len() / group);
        let (scales, mins) = (&mut scales[at..][..groups], &mut mins[at..][..groups]);
        ready.unpack(quant, blocks, codes, scales, mins);
    }
    Unpacked {
        codes,
        scales,
        mins: if has_mins { mins } else { &[] },
        group,
    }
}
