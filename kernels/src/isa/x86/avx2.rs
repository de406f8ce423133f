//! AVX2 with FMA and F16C: every x86 laptop since 2013 or so.

use super::{maddubs, peak};
use crate::isa::{Isa, Multiplies};

/// The instruction set.
pub static AVX2: Isa = Isa {
    name: "avx2",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "VPMADDUBSW, 256 bits",
        tiles: "VPMADDUBSW, 256 bits",
    },
    special: None,
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    x86 ["AVX2" "avx2", "FMA" "fma", "F16C" "f16c"],
    multiply: dot::Maddubs,
    tile: {
        rows: maddubs::ROWS,
        columns: maddubs::COLUMNS,
        unsigned_activations: false,
        pack: maddubs::pack,
        run: maddubs::run,
    },
    peak: peak::MADDUBS,
}
