//! NEON with `sdot`: sixteen products of bytes, added up by fours (ARMv8.2; Apple M1, Cortex-A55 and A75 on).

use super::{multiply, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies, Peak, TileOrder};

/// The instruction set.
pub static DOTPROD: Isa = Isa {
    name: "dotprod",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "SDOT",
        tiles: "SDOT",
    },
    special: None,
    floats: || Some(Floats::PORTABLE),
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    arm ["NEON" "neon", "FEAT_DotProd" "dotprod"],
    multiply: dot::Sdot,
    unpack_of: neon,
    tiles: [pairs {
        takes: |_| true,
        rows: tile::ROWS,
        columns: 2 * 3,
        order: TileOrder::Columns,
        pack: tile::pack::<dot::Sdot>,
        run: tile::run::<dot::Sdot, 3>,
    }],
    peak: Peak {
        multiply_adds: multiply::peak_products::<dot::Sdot>(),
        run: peak,
    },
}

#[target_feature(enable = "neon,dotprod")]
unsafe fn peak(rounds: usize) {
    // SAFETY: the caller's promise: the CPU has these features, which are all that it asks for.
    unsafe { multiply::peak::<dot::Sdot>(rounds) }
}
