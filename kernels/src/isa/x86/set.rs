//! The functions of one instruction set, compiled with its features.

/// Fills the module that calls it with the entry points of an instruction set.
macro_rules! entry_points {
    ($features:literal, $dot4:ty) => {
        use crate::isa::x86::layouts::{self, Layout};
        use crate::isa::x86::{dot, pack};
        use crate::isa::{Columns, DotRows, Slab, SlabRows, TileColumns, UnpackUnit, Unpacked};
        use crate::quant::QuantType;

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
            unsafe { dot::rows::<$dot4, L>(weights, row_bytes, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn dot_unpacked(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
            // SAFETY: as above.
            unsafe { dot::unpacked::<$dot4>(row, x, out) }
        }

        #[target_feature(enable = $features)]
        unsafe fn unpack<L: Layout>(
            blocks: &[u8],
            codes: &mut [i8],
            scales: &mut [f32],
            mins: &mut [f32],
        ) {
            // SAFETY: as above.
            unsafe { pack::unpack::<L>(blocks, codes, scales, mins) }
        }

        fn dot_of(quant: &QuantType) -> Option<DotRows> {
            crate::isa::x86::set::by_layout!(quant, rows)
        }

        fn unpack_of(quant: &QuantType) -> Option<UnpackUnit> {
            crate::isa::x86::set::by_layout!(quant, unpack)
        }
    };
}

/// The instance of a function for a type's layout: the one list of types with fast paths.
macro_rules! by_layout {
    ($quant:expr, $function:ident) => {
        crate::isa::x86::set::by_layout!($quant, $function;
            Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS)
    };
    ($quant:expr, $function:ident; $($name:ident)*) => {
        match $quant.id {
            $(id if id == <layouts::$name as layouts::Blocks>::ID => Some($function::<layouts::$name>),)*
            _ => None,
        }
    };
}

/// CPU features, each by its name and by the compiler's name for it.
macro_rules! features {
    ($($name:literal $feature:tt),*) => {
        &[$(crate::isa::Feature { name: $name, detect: || is_x86_feature_detected!($feature) }),*]
    };
}

pub(super) use {by_layout, entry_points, features};
