//! Instruction sets: each is an [`Isa`], a table of micro-kernels; [`Ready`] proves that this CPU has it.
//!
//! The arithmetic is one, on every set and for any number of columns, down to the last bit. A row and a column are
//! multiplied in units of 256, each eight runs of 32. A run's products of 8-bit codes are summed exactly in integers, a
//! group (16 or 32 codes, which share a scale) at a time. In floats then, `fma` being one rounding:
//!
//! ```text
//! t      = sum[0] · scale[0]                       of the run's first group
//! t      = fma(sum[1], scale[1], t)                where it has a second
//! t      = fma(-min[g], Σ activation codes of g, t)   for each group, where the type has mins
//! acc[r] = fma(t, scale of the run's activations, acc[r])
//! ```
//!
//! where `r` is the run's number in its unit and units follow in order; the product is
//! `((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]))`. A kernel for few columns
//! (`DotRows`) has the eight sums in the lanes of a vector; the kernel for many (`Tile`) has rows in the lanes and makes
//! the eight sums one after the other. What no fast function exists for goes through the type's own `unpack`, so a new type
//! or a new instruction set works at once.

pub mod aligned;
#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod blocks;
pub mod float;
pub mod parts;
mod ready;
pub mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod set;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "aarch64")]
pub use arm::{dotprod, i8mm, neon};
#[cfg(target_arch = "x86_64")]
pub use x86::{avx_vnni, avx2, avx512, avx512vbmi, avx512vl};

use crate::quant::{Codes, QuantType};
use float::Floats;
pub(crate) use ready::ReadyTile;

/// Weights in a unit: the largest block there is.
pub const UNIT: usize = 256;
/// Weights in a run: activations are rounded to 8 bits with a scale for each.
pub const RUN: usize = 32;
/// Runs in a unit.
pub const RUNS: usize = UNIT / RUN;
/// The most groups (codes that share a scale) in a unit.
pub const UNIT_GROUPS: usize = 16;

/// An instruction set: how to know whether the CPU has it, and its micro-kernels.
///
/// Nobody else can make one, or say that a CPU has it:
///
/// ```compile_fail
/// use gristmill_kernels::isa::Isa;
/// let all: &[&'static Isa] = gristmill_kernels::ISAS;
/// let forged = Isa { needs: &[], ..*all[all.len() - 1] };
/// ```
#[derive(Debug)]
pub struct Isa {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Feature],
    pub(crate) multiplies: Multiplies,
    pub(crate) special: Option<Special>,
    /// The float instructions that go with it, if the CPU has them.
    pub(crate) floats: fn() -> Option<Floats>,
    /// May be called where the CPU has all that is needed.
    pub(crate) kernels: Kernels,
}

/// The instructions that multiply bytes, in words.
#[derive(Debug)]
pub struct Multiplies {
    /// For few columns.
    pub dots: &'static str,
    /// For many.
    pub tiles: &'static str,
}

/// Types that an instruction set unpacks otherwise than its plainer kin.
#[derive(Debug)]
pub struct Special {
    /// Whether a type is one of them.
    pub takes: fn(&QuantType) -> bool,
    /// How, and why that is better, in words.
    pub how: &'static str,
}

/// A property of a CPU.
#[derive(Debug)]
pub(crate) struct Feature {
    /// As its maker calls it.
    pub name: &'static str,
    /// Whether this CPU has it.
    pub detect: fn() -> bool,
}

/// The micro-kernels of an instruction set.
#[derive(Debug)]
pub(crate) struct Kernels {
    /// Rounds up to a unit of activations to 8 bits, see [`Ready::round`].
    pub round: Round,
    /// The fused product for a type, if there is one.
    pub dot: fn(&QuantType) -> Option<DotRows>,
    /// The product with a row that is unpacked already.
    pub dot_unpacked: unsafe fn(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]),
    /// The fast way to unpack a type, if there is one.
    pub unpack: fn(&QuantType) -> Option<UnpackUnit>,
    /// The kernel for many columns; without it they go through the dots.
    pub tile: fn(&Codes) -> Option<Tile>,
    /// The most that its multipliers can do.
    pub peak: Peak,
}

/// Products of activations with codes of four bits or more, exact, with nothing to load or to store: the ceiling that the
/// kernels are measured against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peak {
    /// Multiply-adds in a round.
    pub multiply_adds: usize,
    /// Does this many rounds.
    pub run: unsafe fn(rounds: usize),
}

/// Rounds up to a unit of activations to 8 bits with a scale for each run, see [`Ready::round`].
pub(crate) type Round = unsafe fn(x: &[f32], to: &mut Rounded);

/// A unit of activations in 8 bits, filled up with zeros.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Rounded {
    /// Codes, -127 ..= 127.
    pub codes: [i8; UNIT],
    /// Σ codes of each 16.
    pub sums: [i32; UNIT / 16],
    /// The scale of each run.
    pub scales: [f32; RUNS],
}

impl Rounded {
    /// Nothing yet.
    pub const ZERO: Rounded = Rounded {
        codes: [0; UNIT],
        sums: [0; UNIT / 16],
        scales: [0.0; RUNS],
    };
}

/// Rows times columns: `weights` are whole rows of `row_bytes`, `out` gets `x.count` results for each row.
pub(crate) type DotRows =
    unsafe fn(weights: &[u8], row_bytes: usize, x: &Columns<'_>, out: &mut [f32]);

/// Unpacks `codes.len()` (at most [`UNIT`], whole blocks) weights: as [`crate::quant::Codes::unpack`].
pub(crate) type UnpackUnit =
    unsafe fn(blocks: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]);

/// A row as codes: `value = scale[group] * code - min[group]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unpacked<'a> {
    /// Codes, whole units; 0 beyond the end of the row.
    pub codes: &'a [i8],
    /// A scale for each group.
    pub scales: &'a [f32],
    /// A minimum for each group; empty if the type has none.
    pub mins: &'a [f32],
    /// Codes that share a scale, 16 or 32.
    pub group: usize,
}

/// Activations as the dots read them: column after column, each filled up with zeros to whole units.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    /// Number of columns.
    pub count: usize,
    /// Activations in a column.
    pub length: usize,
    /// Units in a column.
    pub units: usize,
    /// 8-bit activations, [`UNIT`] a unit, in -127 ..= 127.
    pub codes: &'a [i8],
    /// The scale of each run, [`RUNS`] a unit.
    pub scales: &'a [f32],
    /// Σ codes of each run, [`RUNS`] a unit.
    pub sums: &'a [f32],
    /// Σ codes of each half of a run: of a unit first those of all first halves, then those of all second halves.
    pub half_sums: &'a [f32],
}

impl<'a> Columns<'a> {
    /// Some of the columns.
    pub(crate) fn range(&self, first: usize, count: usize) -> Columns<'a> {
        let units = first * self.units..(first + count) * self.units;
        let of_unit = |size: usize| units.start * size..units.end * size;
        Columns {
            count,
            codes: &self.codes[of_unit(UNIT)],
            scales: &self.scales[of_unit(RUNS)],
            sums: &self.sums[of_unit(RUNS)],
            half_sums: &self.half_sums[of_unit(2 * RUNS)],
            ..*self
        }
    }

    /// Panics unless lengths agree: kernels rely on it.
    fn check(&self) {
        // No slice is as long as what these come to when they are too large.
        let units = self.count.saturating_mul(self.units);
        let codes = units.saturating_mul(UNIT);
        assert!(
            self.length.div_ceil(UNIT) == self.units && self.length.is_multiple_of(RUN),
            "columns of {} in {} units",
            self.length,
            self.units
        );
        assert!(
            self.codes.len() >= codes
                && self.scales.len() >= units * RUNS
                && self.sums.len() >= units * RUNS
                && self.half_sums.len() >= units * 2 * RUNS,
            "columns are shorter than their shape"
        );
    }
}

/// The kernel for many columns: a slab of `rows` rows times blocks of at most `columns` columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile {
    /// Rows of a slab.
    pub rows: usize,
    /// The most columns of a block.
    pub columns: usize,
    /// How activations lie.
    pub order: TileOrder,
    /// From codes row by row to the order of `run`, one unit.
    pub pack: unsafe fn(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>),
    /// Multiplies: `out` gets `rows` results for each column.
    pub run: unsafe fn(slab: &Slab<'_>, x: &TileColumns<'_>, out: TileOut),
}

/// Where a tile's results go: those of a column in a run, columns `stride` apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileOut {
    /// The first result of the first column.
    pub at: *mut f32,
    /// From a column to the next.
    pub stride: usize,
}

impl TileOut {
    /// From this column on.
    ///
    /// # Safety
    /// There must be such a column.
    #[inline(always)]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    pub unsafe fn from(self, column: usize) -> TileOut {
        TileOut {
            // SAFETY: the caller's promise.
            at: unsafe { self.at.add(column * self.stride) },
            ..self
        }
    }
}

/// How a tile reads the 8-bit activations of a run of 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileOrder {
    /// Column after column.
    #[cfg(target_arch = "aarch64")]
    Columns,
    /// Four of every column, then the next four.
    #[cfg(target_arch = "x86_64")]
    Words {
        /// What is added to each, modulo 256.
        bias: u8,
    },
    /// Two of every column in 16 bits, then the next two.
    #[cfg(target_arch = "x86_64")]
    Wide,
}

impl TileOrder {
    /// Bytes of a code, of activations and of weights.
    pub fn code_bytes(self) -> usize {
        match self {
            #[cfg(target_arch = "aarch64")]
            TileOrder::Columns => 1,
            #[cfg(target_arch = "x86_64")]
            TileOrder::Words { .. } => 1,
            #[cfg(target_arch = "x86_64")]
            TileOrder::Wide => 2,
        }
    }

    /// Words of one run of one column in [`TileColumns`]: codes, scale, sum, sums of halves.
    pub fn words(self) -> usize {
        RUN / 4 * self.code_bytes() + 4
    }
}

/// One unit of a slab as it is unpacked, row by row.
#[derive(Debug)]
pub(crate) struct SlabRows<'a> {
    /// How the type unpacks.
    pub format: &'static Codes,
    /// [`UNIT`] codes a row.
    pub codes: &'a [i8],
    /// [`UNIT_GROUPS`] scales a row.
    pub scales: &'a [f32],
    /// [`UNIT_GROUPS`] mins a row; not read where the type has none.
    pub mins: &'a [f32],
    /// Runs that are there, at most [`RUNS`].
    pub runs: usize,
}

/// Where [`Tile::pack`] puts a slab: see [`Slab`].
#[derive(Debug)]
pub(crate) struct SlabBuffers<'a> {
    /// Weights of a row.
    pub length: usize,
    /// Codes.
    pub codes: &'a mut [i8],
    /// What integer sums start at.
    pub start: &'a mut [i32],
    /// Scales.
    pub scales: &'a mut [f32],
    /// Mins.
    pub mins: &'a mut [f32],
}

/// Some rows as deep as the matrix, run by run in the order of the kernel (see [`places`]); for every group of codes all
/// rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slab<'a> {
    /// How the type unpacks.
    pub format: &'static Codes,
    /// Weights of a row.
    pub length: usize,
    /// Codes, `[run][RUN / 4][rows][4]`, or words of another length that a tile prefers.
    pub codes: &'a [i8],
    /// What a group's integer sum starts at, `[run][group][rows]`: undoes the activations' bias.
    pub start: &'a [i32],
    /// Scales, `[run][group][rows]`.
    pub scales: &'a [f32],
    /// Mins, `[run][group][rows]`.
    pub mins: &'a [f32],
}

/// Columns as a tile reads them, block by block: as many columns as the tile has, in the last block fewer. A block has, run by
/// run in the order of the kernel (see [`places`]), its 8-bit activations as [`TileOrder`] says; then the scale of each run for
/// each column; then the sums of each run's codes, as floats; then those of each half of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileColumns<'a> {
    /// Number of columns.
    pub count: usize,
    /// How codes lie.
    pub order: TileOrder,
    /// [`TileOrder::words`] for each run of each column.
    pub words: &'a [u32],
}

/// Where the parts of a block begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileBlock {
    /// 8-bit activations.
    pub codes: *const u8,
    /// `[run][column]`.
    pub scales: *const f32,
    /// `[run][column]`.
    pub sums: *const f32,
    /// `[run][half][column]`.
    pub half_sums: *const f32,
}

impl TileColumns<'_> {
    /// The blocks of at most `most` columns of `length`: the number of the first column, of columns, and their parts.
    pub fn blocks(
        &self,
        most: usize,
        length: usize,
    ) -> impl Iterator<Item = (usize, usize, TileBlock)> {
        let runs = length / RUN;
        let of_column = runs * self.order.words();
        let blocks = self.words.chunks(most * of_column);
        blocks.enumerate().map(move |(index, words)| {
            let count = words.len() / of_column;
            let parts = TileBlock::parts(self.order, count * runs);
            let at = |part: usize| words[parts[part]..].as_ptr();
            let block = TileBlock {
                codes: at(0).cast(),
                scales: at(1).cast(),
                sums: at(2).cast(),
                half_sums: at(3).cast(),
            };
            (index * most, count, block)
        })
    }
}

impl TileBlock {
    /// Where the four parts of a block of `runs` runs, of all its columns, begin, in words.
    pub fn parts(order: TileOrder, runs: usize) -> [usize; 4] {
        let codes = runs * RUN / 4 * order.code_bytes();
        [0, codes, codes + runs, codes + 2 * runs]
    }
}

/// The numbers of runs in the order in which tiles take them: running sums of neighbours, then of neighbours of those, are
/// added up.
pub(crate) const RUN_ORDER: [usize; RUNS] = [0, 4, 2, 6, 1, 5, 3, 7];

/// Units of a row that have a run of this number.
pub(crate) fn units_with(length: usize, run: usize) -> usize {
    (length + UNIT - RUN * (run + 1)) / UNIT
}

/// The order of runs in slabs and blocks of columns: first all runs of the first number in [`RUN_ORDER`], by unit, then all of
/// the second. This says for each number where they begin.
pub(crate) fn places(length: usize) -> [usize; RUNS] {
    let (mut places, mut next) = ([0; RUNS], 0);
    for run in RUN_ORDER {
        places[run] = next;
        next += units_with(length, run);
    }
    places
}

/// An instruction set that this CPU has: its functions are safe to call. It comes from [`Isa::ready`] alone:
///
/// ```compile_fail
/// use gristmill_kernels::{ISAS, isa::{Ready, float::Floats}};
/// let forged = Ready(ISAS[ISAS.len() - 1], Floats::PORTABLE);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Ready(&'static Isa, Floats);

impl Isa {
    /// Its name, as `GRISTMILL_ISA` and `--isa` take it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What does the multiplying, for `gristmill --version --verbose`.
    pub fn multiplies(&self) -> &Multiplies {
        &self.multiplies
    }

    /// Types that it unpacks in a way of its own.
    pub fn special(&self) -> Option<&Special> {
        self.special.as_ref()
    }

    /// Whether this CPU has it.
    pub fn detect(&self) -> bool {
        self.missing().next().is_none()
    }

    /// What this CPU lacks of what it needs.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let lacking = |feature: &&Feature| !(feature.detect)();
        self.needs.iter().filter(lacking).map(|f| f.name)
    }

    /// What it needs, in words.
    pub fn needs_in_words(&self) -> String {
        if self.needs.is_empty() {
            return "nothing".to_owned();
        }
        let names: Vec<_> = self.needs.iter().map(|feature| feature.name).collect();
        names.join(", ")
    }

    /// Proof that this CPU has it.
    pub fn ready(&'static self) -> Option<Ready> {
        let floats = (self.floats)();
        floats
            .filter(|_| self.detect())
            .map(|floats| Ready(self, floats))
    }
}
