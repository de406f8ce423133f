//! NEON alone: `smull`, `smlal` and `sadalp` widen products of bytes to 16 and sums to 32 bits.

use super::{multiply, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies, Peak, TileOrder};

/// The instruction set.
pub static NEON: Isa = Isa {
    name: "neon",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "SMULL and SADALP",
        tiles: "SMULL and SADALP",
    },
    special: None,
    floats: || Some(Floats::PORTABLE),
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    arm ["NEON" "neon"],
    multiply: dot::Widening,
    tiles: [pairs {
        takes: |_| true,
        rows: tile::ROWS,
        columns: 2,
        order: TileOrder::Columns,
        pack: tile::pack::<dot::Widening>,
        run: tile::run::<dot::Widening, 1>,
    }],
    peak: Peak {
        multiply_adds: multiply::peak_products::<dot::Widening>(),
        run: peak,
    },
}

#[target_feature(enable = "neon")]
unsafe fn peak(rounds: usize) {
    // SAFETY: the caller's promise: the CPU has these features, which are all that it asks for.
    unsafe { multiply::peak::<dot::Widening>(rounds) }
}
