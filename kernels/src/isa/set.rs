//! The functions of one instruction set, compiled with its features: the same list on every architecture, whose own
//! modules say what is behind each.

/// Fills the module that calls it with `NEEDS` and `KERNELS` of an instruction set: the features of the CPU (each by its
/// maker's name and by the compiler's), what multiplies in the dots, the tiles for many columns (for a type the first that takes
/// it), and the ceiling. A set that would have the same code as another takes that one's functions, which are compiled once:
/// those that unpack (`unpack_of`), or all but tiles and ceiling (`dots_of`).
macro_rules! kernels {
    ($arch:ident $features:tt, multiply: $multiply:ty, tiles: $tiles:tt, peak: $peak:expr,) => {
        crate::isa::set::kernels! {
            @own $arch $features, $multiply,
            unpack: |quant| crate::isa::set::by_layout!(quant, unpack as crate::isa::UnpackUnit),
            tiles: $tiles, peak: $peak,
        }
        crate::isa::set::unpack! { $arch $features }
    };
    (
        $arch:ident $features:tt, multiply: $multiply:ty, unpack_of: $like:ident, tiles: $tiles:tt, peak: $peak:expr,
    ) => {
        crate::isa::set::kernels! {
            @own $arch $features, $multiply, unpack: super::$like::KERNELS.unpack, tiles: $tiles, peak: $peak,
        }
    };
    ($arch:ident $features:tt, dots_of: $like:ident, tiles: $tiles:tt, peak: $peak:expr,) => {
        crate::isa::set::needs! { $arch $features }
        crate::isa::set::tiles! { $features $tiles }

        pub(super) const KERNELS: crate::isa::Kernels = crate::isa::Kernels {
            tile,
            peak: $peak,
            ..super::$like::KERNELS
        };
    };
    (
        @own $arch:ident [$($name:literal $feature:tt),+], $multiply:ty,
        unpack: $unpack:expr, tiles: $tiles:tt, peak: $peak:expr,
    ) => {
        use crate::isa::$arch::layouts::{self, Layout};
        use crate::isa::$arch::dot;

        crate::isa::set::needs! { $arch [$($name $feature),+] }
        crate::isa::set::rows! { $arch [$($name $feature),+], $multiply }
        crate::isa::set::tiles! { [$($name $feature),+] $tiles }

        pub(super) const KERNELS: crate::isa::Kernels = crate::isa::Kernels {
            round,
            dot: |quant| crate::isa::set::by_layout!(quant, rows as crate::isa::DotRows),
            dot_unpacked,
            unpack: $unpack,
            tile,
            peak: $peak,
        };

        $(#[target_feature(enable = $feature)])+
        unsafe fn round(x: &[f32], to: &mut crate::isa::Rounded) {
            crate::isa::scalar::round(x, to);
        }

        $(#[target_feature(enable = $feature)])+
        unsafe fn dot_unpacked(
            row: &crate::isa::Unpacked<'_>,
            x: &crate::isa::Columns<'_>,
            out: &mut [f32],
        ) {
            crate::isa::scalar::dot_unpacked(row, x, out)
        }
    };
}

/// `tile`, see [`crate::isa::Kernels::tile`], and a module for each tile of a set, with its `TILE`.
macro_rules! tiles {
    ($features:tt [$($tile:ident {
        takes: $takes:expr,
        rows: $rows:expr,
        columns: $columns:expr,
        order: $order:expr,
        pack: $pack:expr,
        run: $run:expr,
    }),+]) => {
        fn tile(format: &crate::quant::Codes) -> Option<crate::isa::Tile> {
            match format {
                $(format if ($takes)(format) => Some($tile::TILE),)+
                _ => None,
            }
        }

        crate::isa::set::tiles! { @each $features $($tile $rows, $columns, $order, $pack, $run;)+ }
    };
    (@each $features:tt $tile:ident $rows:expr, $columns:expr, $order:expr, $pack:expr, $run:expr; $($rest:tt)*) => {
        crate::isa::set::tile! { $features, $tile $rows, $columns, $order, $pack, $run }
        crate::isa::set::tiles! { @each $features $($rest)* }
    };
    (@each $features:tt) => {};
}

macro_rules! tile {
    ([$($name:literal $feature:tt),+], $tile:ident $rows:expr, $columns:expr, $order:expr, $pack:expr, $run:expr) => {
        mod $tile {
            use super::*;
            use crate::isa::{Slab, SlabBuffers, SlabRows, Tile, TileColumns, TileOut};

            pub const TILE: Tile = Tile {
                rows: $rows,
                columns: $columns,
                order: $order,
                pack,
                run,
            };

            $(#[target_feature(enable = $feature)])+
            unsafe fn pack(from: &SlabRows<'_>, unit: usize, to: &mut SlabBuffers<'_>) {
                // SAFETY: these features are what it asks for; lengths are the caller's.
                unsafe { $pack(from, unit, to) }
            }

            $(#[target_feature(enable = $feature)])+
            unsafe fn run(slab: &Slab<'_>, x: &TileColumns<'_>, out: TileOut) {
                // SAFETY: these features are what it asks for; lengths are the caller's.
                unsafe { $run(slab, x, out) }
            }
        }
    };
}

/// `NEEDS`: the features of the CPU.
macro_rules! needs {
    ($arch:ident [$($name:literal $feature:tt),+]) => {
        const NEEDS: &[crate::isa::Feature] = &[$(crate::isa::Feature {
            name: $name,
            detect: || crate::isa::$arch::has!($feature),
        }),+];
    };
}

/// `rows`, a [`crate::isa::DotRows`] for each type's layout (`Layout` of the module that calls it).
macro_rules! rows {
    ($arch:ident [$($name:literal $feature:tt),+], $multiply:ty) => {
        $(#[target_feature(enable = $feature)])+
        unsafe fn rows<L: Layout>(
            weights: &[u8],
            row_bytes: usize,
            x: &crate::isa::Columns<'_>,
            out: &mut [f32],
        ) {
            // SAFETY: these features are what it asks for; lengths are the caller's.
            unsafe { crate::isa::$arch::dot::rows::<$multiply, L>(weights, row_bytes, x, out) }
        }
    };
}

/// `unpack`, a [`crate::isa::UnpackUnit`] for each type's layout.
macro_rules! unpack {
    ($arch:ident [$($name:literal $feature:tt),+]) => {
        $(#[target_feature(enable = $feature)])+
        unsafe fn unpack<L: Layout>(
            blocks: &[u8],
            codes: &mut [i8],
            scales: &mut [f32],
            mins: &mut [f32],
        ) {
            // SAFETY: these features are what it asks for; lengths are the caller's.
            unsafe { crate::isa::$arch::unpack::<L>(blocks, codes, scales, mins) }
        }
    };
}

/// The instance of a function for a type's layout: the one list of types with fast paths.
macro_rules! by_layout {
    ($quant:expr, $function:ident as $type:ty) => {
        crate::isa::set::by_layout!($quant, $function as $type;
            Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4
            IQ2_XXS IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ1_S IQ1_M TQ1_0 TQ2_0 Q1_0 Q2_0 NVFP4 Q8_1 Q8_K)
    };
    ($quant:expr, $function:ident as $type:ty; $($name:ident)*) => {
        match $quant.id {
            $(id if id == <layouts::$name as layouts::Blocks>::ID => {
                Some($function::<layouts::$name> as $type)
            })*
            _ => None,
        }
    };
}

pub(super) use {by_layout, kernels, needs, rows, tile, tiles, unpack};
