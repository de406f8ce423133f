//! The drivers of matrix products: they choose a path by type and shape, share rows out to the team and know neither
//! block layouts nor intrinsics.
//!
//! Few columns: each strip of rows goes through the fused dot of its type, or is unpacked row by row. Many columns: a
//! slab of rows is unpacked one unit (256 weights) deep, interleaved, and multiplied with all columns, unit after unit.
//! Float weights stay floats ([`float`]).

mod columns;
mod float;
pub mod select;

use std::sync::Mutex;

use crate::compute::{FEW_COLUMNS, Matrix, Product};
use crate::isa::aligned::Aligned;
use crate::isa::float::Floats;
use crate::isa::{Ready, ReadyTile, Slab, SlabRows, UNIT, UNIT_GROUPS, Unpacked};
use crate::pool::{Grid, MAX_GRIDS, Strip, Team};
use columns::{FewColumns, ManyColumns};

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
    slab_codes: Aligned<i8>,
    slab_start: Aligned<i32>,
    slab_scales: Aligned<f32>,
    slab_mins: Aligned<f32>,
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
    /// The float instructions that go with it.
    pub floats: Floats,
    /// The threads.
    pub team: &'a Team,
    /// The most of them to use.
    pub limit: usize,
}

/// All products of one input of `n` columns: first those with codes, then those with floats.
pub fn products(
    hands: Hands<'_>,
    scratch: &mut Scratch,
    x: &[f32],
    n: usize,
    products: &mut [Product<'_>],
) {
    for codes in [true, false] {
        let mut chosen = products
            .iter_mut()
            .filter(|p| p.weights.quant.codes.is_some() == codes);
        loop {
            // A job takes a few outputs; no list is allocated.
            let mut weights = [None; MAX_GRIDS];
            let mut grids: [Grid<'_>; MAX_GRIDS] = std::array::from_fn(|_| Grid {
                out: &mut [],
                rows: 0,
                strip_rows: 1,
            });
            let mut count = 0;
            for (product, (weight, grid)) in chosen.by_ref().zip(weights.iter_mut().zip(&mut grids))
            {
                *weight = Some(product.weights);
                *grid = Grid {
                    rows: product.weights.rows,
                    out: &mut *product.out,
                    strip_rows: 1,
                };
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
            };
            let grids = &mut grids[..count];
            if !codes {
                job.floats(grids);
            } else if let Some(tile) = select::tile(hands.ready, n) {
                job.many(tile, &mut scratch.many, first.cols, grids);
            } else {
                job.few(&mut scratch.few, first.cols, grids);
            }
        }
    }
}

/// What the paths share.
struct Job<'a> {
    hands: Hands<'a>,
    workers: &'a [Mutex<Worker>],
    weights: &'a [Option<Matrix<'a>>; MAX_GRIDS],
    x: &'a [f32],
    n: usize,
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
                if let Some(weights) = self.weights[strip.grid] {
                    task(&mut buffers, weights, strip);
                }
            });
    }

    /// Rows of a strip: so many that threads share the work evenly, and that each reads long runs of the file.
    fn strips_of_bytes(&self, grids: &mut [Grid<'_>]) {
        let total: usize = self.weights.iter().flatten().map(|w| w.bytes.len()).sum();
        let bytes = (total / 64).clamp(16 * 1024, 256 * 1024);
        for (grid, weights) in grids.iter_mut().zip(self.weights.iter().flatten()) {
            grid.strip_rows = (bytes / weights.row_bytes().max(1)).clamp(1, 1024);
        }
    }

    fn few(&self, few: &mut FewColumns, cols: usize, grids: &mut [Grid<'_>]) {
        let ready = self.hands.ready;
        let x = few.fill(ready, self.x, self.n, cols);
        self.strips_of_bytes(grids);
        self.run(grids, |worker, weights, mut strip| {
            let Worker {
                codes,
                scales,
                mins,
                results,
                ..
            } = worker;
            let bytes = weights.row_range(strip.first, strip.rows);
            let dot = ready.dot(weights.quant);
            if x.count == 1
                && let Some(dot) = dot
            {
                return dot(bytes, &x, strip.column(0));
            }
            let results = results.of(strip.rows * x.count);
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
        many.fill(
            ready,
            (team, limit),
            (self.x, self.n, cols),
            tile.unsigned_activations(),
        );
        let many = &*many;
        for grid in &mut *grids {
            grid.strip_rows = tile.rows();
        }
        self.run(grids, |worker, weights, mut strip| {
            let rows = tile.rows();
            let sums = worker.results.of(rows * self.n);
            sums.fill(0.0);
            let codes = worker.codes.of(rows * UNIT);
            let scales = worker.scales.of(rows * UNIT_GROUPS);
            let mins = worker.mins.of(rows * UNIT_GROUPS);
            let Some(format) = &weights.quant.codes else {
                return;
            };
            if strip.rows < rows {
                codes.fill(0);
                scales.fill(0.0);
            }
            mins.fill(0.0);
            let mut slab = Slab {
                codes: worker.slab_codes.of(rows * UNIT),
                start: worker.slab_start.of(rows * UNIT_GROUPS),
                scales: worker.slab_scales.of(rows * UNIT_GROUPS),
                mins: worker.slab_mins.of(rows * UNIT_GROUPS),
                group: format.group,
                groups: 0,
                has_mins: false,
                bias: 0,
                largest: None,
            };
            let quant = weights.quant;
            for unit in 0..cols.div_ceil(UNIT) {
                let first = unit * UNIT;
                let depth = UNIT.min(cols - first);
                let groups = depth / format.group;
                let bytes = first / quant.block_elements * quant.block_bytes
                    ..(first + depth) / quant.block_elements * quant.block_bytes;
                for row in 0..strip.rows {
                    let row_bytes = weights.row_range(strip.first + row, 1);
                    let at = row * UNIT_GROUPS;
                    ready.unpack(
                        quant,
                        &row_bytes[bytes.clone()],
                        &mut codes[row * UNIT..][..depth],
                        &mut scales[at..][..groups],
                        &mut mins[at..][..groups],
                    );
                }
                let group = format.group;
                let from = SlabRows {
                    quant,
                    codes,
                    scales,
                    mins,
                    group,
                    groups,
                };
                tile.pack(&from, &mut slab);
                for block in 0..many.blocks() {
                    let columns = many.columns(block);
                    let sums = &mut sums[columns.start * rows..columns.end * rows];
                    tile.run(&slab, &many.piece(block, unit), sums);
                }
            }
            for (column, sums) in sums.chunks_exact(rows).enumerate() {
                let rows = strip.rows;
                strip.column(column).copy_from_slice(&sums[..rows]);
            }
        });
    }

    fn floats(&self, grids: &mut [Grid<'_>]) {
        let floats = self.hands.floats;
        if self.n <= FEW_COLUMNS {
            self.strips_of_bytes(grids);
        } else {
            for grid in &mut *grids {
                grid.strip_rows = float::STRIP_ROWS;
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
    let quant = weights.quant;
    let (group, has_mins) = quant
        .codes
        .as_ref()
        .map_or((32, false), |c| (c.group, c.has_mins));
    let groups = units * UNIT / group;
    let codes = codes.of(units * UNIT);
    let scales = scales.of(groups);
    let mins = mins.of(groups);
    codes[weights.cols..].fill(0);
    scales[weights.cols / group..].fill(0.0);
    mins[weights.cols / group..].fill(0.0);
    let unit_bytes = UNIT / quant.block_elements * quant.block_bytes;
    let units_of_row = codes[..weights.cols]
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
