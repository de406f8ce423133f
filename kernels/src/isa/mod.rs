//! Instruction sets: each is an [`Isa`], a table of micro-kernels; [`Ready`] proves that this CPU has it.
//!
//! The arithmetic is in units of 256 weights of a row. For few columns a kernel unpacks blocks of the file and multiplies
//! them at once ([`DotRows`]). For many, rows are unpacked to 8-bit codes ([`UnpackUnit`]), interleaved ([`Tile::pack`])
//! and multiplied with all columns ([`Tile::run`]). What no fast function exists for goes through the type's own
//! `unpack`, so a new type or a new instruction set works at once.

pub mod aligned;
#[cfg(target_arch = "aarch64")]
mod arm;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod blocks;
pub mod float;
pub mod parts;
pub mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod set;
#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "aarch64")]
pub use arm::{dotprod, i8mm, neon};
#[cfg(target_arch = "x86_64")]
pub use x86::{avx_vnni, avx2, avx512, avx512vbmi, avx512vl};

use crate::quant::QuantType;

/// Weights in a unit: the largest block there is.
pub const UNIT: usize = 256;
/// The most groups (codes that share a scale) in a unit.
pub const UNIT_GROUPS: usize = 16;
/// Activations that share a scale when they are rounded to 8 bits for the tiles. At 64 the perplexities of both reference
/// models are 0.25% from the reference's; a scale for 128 was 0.4% off, one for 32 costs time and gains nothing there.
pub const ACTIVATION_GROUP: usize = 64;
/// The same for the dots, where a finer scale costs nothing.
pub const DOT_ACTIVATION_GROUP: usize = 32;
/// Activation scales in a unit.
pub const UNIT_SCALES: usize = UNIT / ACTIVATION_GROUP;

/// An instruction set: how to know whether the CPU has it, and its micro-kernels.
#[derive(Debug)]
pub struct Isa {
    /// Its name, as `GRISTMILL_ISA` and `--isa` take it.
    pub name: &'static str,
    /// What it needs of the CPU.
    pub needs: &'static [Feature],
    /// What does the multiplying, for `gristmill --version --verbose`.
    pub multiplies: Multiplies,
    /// Types that it unpacks in a way of its own.
    pub special: Option<Special>,
    /// Its functions; they may be called where the CPU has all that is needed.
    pub kernels: Kernels,
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
pub struct Feature {
    /// As its maker calls it.
    pub name: &'static str,
    /// Whether this CPU has it.
    pub detect: fn() -> bool,
}

/// The micro-kernels of an instruction set.
#[derive(Debug)]
pub struct Kernels {
    /// Rounds up to a unit of activations to 8 bits, see [`Ready::round`].
    pub round: Round,
    /// The fused product for a type, if there is one.
    pub dot: fn(&QuantType) -> Option<DotRows>,
    /// The product with a row that is unpacked already.
    pub dot_unpacked: unsafe fn(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]),
    /// The fast way to unpack a type, if there is one.
    pub unpack: fn(&QuantType) -> Option<UnpackUnit>,
    /// The kernel for many columns; without it they go through the dots.
    pub tile: Option<Tile>,
    /// The most that its multipliers can do.
    pub peak: Peak,
}

/// Products of activations with codes of four bits or more, exact, with nothing to load or to store: the ceiling that the
/// kernels are measured against.
#[derive(Debug, Clone, Copy)]
pub struct Peak {
    /// Multiply-adds in a round.
    pub multiply_adds: usize,
    /// Does so many rounds.
    pub run: unsafe fn(rounds: usize),
}

/// Rounds `x` to 8 bits with a scale for each `group` (32 or 64) of them.
pub type Round = unsafe fn(x: &[f32], group: usize, to: &mut Rounded);

/// A unit of activations in 8 bits, filled up with zeros.
#[derive(Debug)]
#[repr(align(64))]
pub struct Rounded {
    /// Codes, -127 ..= 127.
    pub codes: [i8; UNIT],
    /// Σ codes of each 16.
    pub sums: [i32; UNIT / 16],
    /// A scale for each group, as many as the groups need.
    pub scales: [f32; UNIT / DOT_ACTIVATION_GROUP],
}

impl Rounded {
    /// Nothing yet.
    pub const ZERO: Rounded = Rounded {
        codes: [0; UNIT],
        sums: [0; UNIT / 16],
        scales: [0.0; UNIT / DOT_ACTIVATION_GROUP],
    };
}

/// Rows times columns: `weights` are whole rows of `row_bytes`, `out` gets a run of `x.count` results for each row.
pub type DotRows = unsafe fn(weights: &[u8], row_bytes: usize, x: &Columns<'_>, out: &mut [f32]);

/// Unpacks `codes.len()` (at most [`UNIT`], whole blocks) weights: as [`crate::quant::Codes::unpack`].
pub type UnpackUnit =
    unsafe fn(blocks: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]);

/// A row as codes: `value = scale[group] * code - min[group]`.
#[derive(Debug, Clone, Copy)]
pub struct Unpacked<'a> {
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
pub struct Columns<'a> {
    /// Number of columns.
    pub count: usize,
    /// Activations in a column.
    pub length: usize,
    /// Units in a column.
    pub units: usize,
    /// 8-bit activations, [`UNIT`] a unit, in -127 ..= 127.
    pub codes: &'a [i8],
    /// The scale of each 32, 8 a unit.
    pub scales: &'a [f32],
    /// scale · Σ codes of each 32, 8 a unit.
    pub sums: &'a [f32],
    /// scale · Σ codes of each 16, 16 a unit.
    pub half_sums: &'a [f32],
}

impl Columns<'_> {
    /// Panics unless lengths agree: kernels rely on it.
    fn check(&self) {
        let units = self.count * self.units;
        assert!(self.length <= self.units * UNIT && self.length.is_multiple_of(16));
        assert!(self.codes.len() >= units * UNIT && self.scales.len() >= units * 8);
        assert!(self.sums.len() >= units * 8 && self.half_sums.len() >= units * 16);
    }
}

/// The kernel for many columns: a slab of `rows` rows, one unit deep, times all columns.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    /// Rows of a slab.
    pub rows: usize,
    /// Columns whose sums are in registers together.
    pub columns: usize,
    /// Activations are unsigned, biased by 128 (or signed).
    pub unsigned_activations: bool,
    /// From codes row by row to the order of `run`.
    pub pack: unsafe fn(from: &SlabRows<'_>, slab: &mut Slab<'_>),
    /// Adds a slab's products to the sums.
    pub run: unsafe fn(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]),
}

/// A slab as it is unpacked, row by row.
#[derive(Debug)]
pub struct SlabRows<'a> {
    /// The type.
    pub quant: &'static QuantType,
    /// [`UNIT`] codes a row.
    pub codes: &'a [i8],
    /// [`UNIT_GROUPS`] scales a row.
    pub scales: &'a [f32],
    /// [`UNIT_GROUPS`] mins a row, 0 where the type has none.
    pub mins: &'a [f32],
    /// Codes that share a scale.
    pub group: usize,
    /// Groups that are there.
    pub groups: usize,
}

/// A slab in the order of the kernel: for every four codes all rows, for every group all rows.
#[derive(Debug)]
pub struct Slab<'a> {
    /// Codes, `[UNIT / 4][rows][4]`.
    pub codes: &'a mut [i8],
    /// What a group's integer sum starts at, `[group][rows]`: undoes the activations' bias.
    pub start: &'a mut [i32],
    /// Scales, `[group][rows]`.
    pub scales: &'a mut [f32],
    /// Mins, `[group][rows]`.
    pub mins: &'a mut [f32],
    /// Codes that share a scale.
    pub group: usize,
    /// Groups that are there.
    pub groups: usize,
    /// Whether any minimum counts.
    pub has_mins: bool,
    /// What the kernel has added to codes to make them unsigned, where it takes that off again column by column.
    pub bias: i8,
    /// The largest code, for kernels that must know how many products fit in 16 bits; `None`: codes are signed.
    pub largest: Option<u8>,
}

/// One unit of all columns.
#[derive(Debug, Clone, Copy)]
pub struct TileColumns<'a> {
    /// Number of columns.
    pub count: usize,
    /// 8-bit activations, `[column][UNIT]`.
    pub codes: &'a [u8],
    /// Scales, `[ACTIVATION_GROUP of the unit][column]`.
    pub scales: &'a [f32],
    /// Σ codes, `[16 of the unit][column]`.
    pub sums: &'a [f32],
    /// Σ codes, `[32 of the unit][column]`.
    pub pair_sums: &'a [f32],
}

/// An instruction set that this CPU has: its functions are safe to call.
#[derive(Debug, Clone, Copy)]
pub struct Ready(&'static Isa, float::Floats);

impl Isa {
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
        self.detect()
            .then(|| Ready(self, float::Floats::for_isa(self.name)))
    }
}

impl Ready {
    /// The instruction set.
    pub fn isa(self) -> &'static Isa {
        self.0
    }

    /// Rounds up to [`UNIT`] activations to 8 bits with a scale for each `group` (32 or 64) of them. NaN or infinity in a
    /// group makes its scale NaN or infinite.
    pub fn round(self, x: &[f32], group: usize, to: &mut Rounded) {
        assert!(x.len() <= UNIT);
        // SAFETY: the CPU has the instructions (`Ready`).
        unsafe { (self.0.kernels.round)(x, group, to) }
    }

    /// The fused product for a type. It panics if lengths don't agree.
    pub fn dot(self, quant: &QuantType) -> Option<impl Fn(&[u8], &Columns<'_>, &mut [f32]) + Copy> {
        let dot = (self.0.kernels.dot)(quant)?;
        let (elements, bytes) = (quant.block_elements, quant.block_bytes);
        Some(move |weights: &[u8], x: &Columns<'_>, out: &mut [f32]| {
            x.check();
            assert!(x.length.is_multiple_of(elements));
            let row_bytes = x.length / elements * bytes;
            assert!(weights.len() * x.count == out.len() * row_bytes);
            if !out.is_empty() && x.length > 0 {
                // SAFETY: the CPU has the instructions; lengths were checked above.
                unsafe { dot(weights, row_bytes, x, out) }
            } else {
                out.fill(0.0);
            }
        })
    }

    /// The product with one unpacked row: `out` gets `x.count` results.
    pub fn dot_unpacked(self, row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
        x.check();
        assert!(out.len() == x.count && row.codes.len() == x.units * UNIT);
        assert!(row.scales.len() * row.group == x.units * UNIT);
        assert!(row.mins.is_empty() || row.mins.len() == row.scales.len());
        // SAFETY: the CPU has the instructions; lengths were checked above.
        unsafe { (self.0.kernels.dot_unpacked)(row, x, out) }
    }

    /// Unpacks up to a unit of whole blocks of a type that has codes.
    pub fn unpack(
        self,
        quant: &QuantType,
        blocks: &[u8],
        codes: &mut [i8],
        scales: &mut [f32],
        mins: &mut [f32],
    ) {
        let Some(plain) = &quant.codes else { return };
        assert!(codes.len() <= UNIT && scales.len() * plain.group >= codes.len());
        assert!(!plain.has_mins || mins.len() >= scales.len());
        assert!(codes.len() / quant.block_elements * quant.block_bytes == blocks.len());
        match (self.0.kernels.unpack)(quant) {
            // SAFETY: the CPU has the instructions; lengths were checked above.
            Some(unpack) => unsafe { unpack(blocks, codes, scales, mins) },
            None => (plain.unpack_with)(self.1, blocks, codes, scales, mins),
        }
    }

    /// Whether there is a fast way to unpack a type.
    pub fn unpacks_fast(self, quant: &QuantType) -> bool {
        (self.0.kernels.unpack)(quant).is_some()
    }

    /// Runs `rounds` rounds of [`Peak`] and says how many multiply-adds that were.
    pub fn peak(self, rounds: usize) -> u64 {
        let peak = self.0.kernels.peak;
        // SAFETY: the CPU has the instructions (`Ready`).
        unsafe { (peak.run)(rounds) };
        peak.multiply_adds as u64 * rounds as u64
    }

    /// The kernel for many columns, if there is one.
    pub fn tile(self) -> Option<ReadyTile> {
        self.0.kernels.tile.map(ReadyTile)
    }
}

/// A [`Tile`] that this CPU can run.
#[derive(Debug, Clone, Copy)]
pub struct ReadyTile(Tile);

impl ReadyTile {
    /// Rows of a slab.
    pub fn rows(self) -> usize {
        self.0.rows
    }

    /// Columns whose sums are in registers together.
    pub fn columns(self) -> usize {
        self.0.columns
    }

    /// Whether activations are biased by 128.
    pub fn unsigned_activations(self) -> bool {
        self.0.unsigned_activations
    }

    /// Codes row by row to the order of [`ReadyTile::run`].
    pub fn pack(self, from: &SlabRows<'_>, slab: &mut Slab<'_>) {
        let rows = self.0.rows;
        assert!(from.codes.len() == rows * UNIT && from.scales.len() == rows * UNIT_GROUPS);
        assert!(from.mins.len() == rows * UNIT_GROUPS);
        self.check(slab);
        // SAFETY: the CPU has the instructions; lengths were checked above.
        unsafe { (self.0.pack)(from, slab) }
    }

    /// Adds a slab's products to `sums`, `rows` values for each column.
    pub fn run(self, slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
        self.check(slab);
        assert!(sums.len() == x.count * self.0.rows && x.codes.len() == x.count * UNIT);
        assert!(x.scales.len() == x.count * UNIT_SCALES && x.sums.len() == x.count * UNIT_GROUPS);
        assert!(x.pair_sums.len() == x.count * UNIT_GROUPS / 2);
        // SAFETY: the CPU has the instructions; lengths were checked above.
        unsafe { (self.0.run)(slab, x, sums) }
    }

    fn check(self, slab: &Slab<'_>) {
        let rows = self.0.rows;
        assert!(slab.codes.len() == rows * UNIT && slab.start.len() == rows * UNIT_GROUPS);
        assert!(slab.scales.len() == rows * UNIT_GROUPS && slab.mins.len() == slab.scales.len());
        assert!(slab.group == 16 || slab.group == 32);
        assert!(slab.groups * slab.group <= UNIT);
    }
}
