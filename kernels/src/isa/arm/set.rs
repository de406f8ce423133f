//! The functions of one instruction set, compiled with its features.

/// Fills the module that calls it with the entry points of an instruction set, as `KERNELS`: its features, its multiply
/// instruction, and how many pairs of columns its tile takes at once.
macro_rules! kernels {
    ($features:literal, $multiply:ty, $pairs:literal) => {
        use crate::isa::arm::layouts::{self, Layout};
        use crate::isa::arm::{dot, multiply, tile};
        use crate::isa::{
            Columns, DotRows, Kernels, Peak, Slab, SlabRows, Tile, TileColumns, UnpackUnit,
            Unpacked,
        };

        const KERNELS: Kernels = Kernels {
            quantize,
            dot: |quant| crate::isa::arm::set::by_layout!(quant, rows as DotRows),
            dot_unpacked,
            unpack: |quant| crate::isa::arm::set::by_layout!(quant, unpack as UnpackUnit),
            tile: Some(Tile {
                rows: tile::ROWS,
                columns: 2 * $pairs,
                unsigned_activations: false,
                pack,
                run,
            }),
            peak: Peak {
                multiply_adds: multiply::PEAK_SUMS * <$multiply as multiply::Multiply>::PEAK,
                run: peak,
            },
        };

        #[target_feature(enable = $features)]
        unsafe fn peak(rounds: usize) {
            // SAFETY: these features are what it asks for.
            unsafe { multiply::peak::<$multiply>(rounds) }
        }

        #[target_feature(enable = $features)]
        unsafe fn quantize(x: &[f32], codes: &mut [i8]) -> f32 {
            crate::isa::scalar::quantize(x, codes)
        }

        #[target_feature(enable = $features)]
        unsafe fn rows<L: Layout>(
            weights: &[u8],
            row_bytes: usize,
            x: &Columns<'_>,
            out: &mut [f32],
        ) {
            // SAFETY: these features are what it asks for; lengths are the caller's.
            unsafe { dot::rows::<$multiply, L>(weights, row_bytes, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn dot_unpacked(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
            // SAFETY: as above.
            unsafe { dot::unpacked::<$multiply>(row, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn unpack<L: Layout>(
            blocks: &[u8],
            codes: &mut [i8],
            scales: &mut [f32],
            mins: &mut [f32],
        ) {
            // SAFETY: as above.
            unsafe { dot::unpack::<L>(blocks, codes, scales, mins) }
        }

        #[target_feature(enable = $features)]
        unsafe fn pack(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
            // SAFETY: as above.
            unsafe { tile::pack::<$multiply>(from, slab) }
        }

        #[target_feature(enable = $features)]
        unsafe fn run(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
            // SAFETY: as above.
            unsafe { tile::run::<$multiply, $pairs>(slab, x, sums) }
        }
    };
}

/// The instance of a function for a type's layout: the one list of types with fast paths.
macro_rules! by_layout {
    ($quant:expr, $function:ident as $type:ty) => {
        crate::isa::arm::set::by_layout!($quant, $function as $type;
            Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS)
    };
    ($quant:expr, $function:ident as $type:ty; $($name:ident)*) => {
        match $quant.id {
            $(id if id == <layouts::$name as layouts::Blocks>::ID => Some($function::<layouts::$name> as $type),)*
            _ => None,
        }
    };
}

pub(super) use {by_layout, kernels};
