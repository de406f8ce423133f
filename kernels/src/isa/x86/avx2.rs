//! AVX2 with FMA and F16C: every x86 laptop since 2013 or so.

use super::{maddubs, peak, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies, TileOrder};

/// The instruction set.
pub static AVX2: Isa = Isa {
    name: "avx2",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "VPMADDUBSW, 256 bits",
        tiles: "VPMADDUBSW (8-bit codes: VPMADDWD), 256 bits",
    },
    special: None,
    floats: Floats::avx2,
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    x86 ["AVX2" "avx2", "FMA" "fma", "F16C" "f16c"],
    multiply: dot::Maddubs,
    tiles: [bytes {
        takes: maddubs::takes,
        rows: maddubs::ROWS,
        columns: maddubs::COLUMNS,
        order: maddubs::ORDER,
        pack: maddubs::pack,
        run: maddubs::run,
    }, wide {
        takes: |_| true,
        rows: tile::slab_rows::<tile::Wide>(),
        columns: 4,
        order: TileOrder::Wide,
        pack: tile::pack_wide,
        run: tile::run::<tile::Wide, 4>,
    }],
    peak: peak::MADDUBS,
}
