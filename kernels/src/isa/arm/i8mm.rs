//! NEON with `smmla`: 2 x 8 times 8 x 2 products of bytes (ARMv8.6; Apple M2, Neoverse V1 on). Dots use `sdot`.

use super::{dot, multiply, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies, Peak, TileOrder};

/// The instruction set.
pub static I8MM: Isa = Isa {
    name: "i8mm",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "SDOT",
        tiles: "SMMLA",
    },
    special: None,
    floats: || Some(Floats::PORTABLE),
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    arm ["NEON" "neon", "FEAT_DotProd" "dotprod", "FEAT_I8MM" "i8mm"],
    dots_of: dotprod,
    tiles: [pairs {
        takes: |_| true,
        rows: tile::ROWS,
        columns: 2 * 3,
        order: TileOrder::Columns,
        pack: tile::pack::<dot::Smmla>,
        run: tile::run::<dot::Smmla, 3>,
    }],
    peak: Peak {
        multiply_adds: multiply::peak_products::<dot::Smmla>(),
        run: peak,
    },
}

#[target_feature(enable = "neon,dotprod,i8mm")]
unsafe fn peak(rounds: usize) {
    // SAFETY: the caller's promise: the CPU has these features, which are all that it asks for.
    unsafe { multiply::peak::<dot::Smmla>(rounds) }
}
