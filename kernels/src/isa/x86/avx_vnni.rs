//! AVX-VNNI: 256-bit integer dots on laptops without AVX-512 (Alder Lake and later).

use super::{peak, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies};

/// The instruction set.
pub static AVX_VNNI: Isa = Isa {
    name: "avxvnni",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "VPDPBUSD, 256 bits",
        tiles: "VPDPBUSD, 256 bits",
    },
    special: None,
    floats: Floats::avx2,
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    x86 ["AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-VNNI" "avxvnni"],
    multiply: dot::Vnni,
    unpack_of: avx2,
    tiles: [vnni {
        takes: |_| true,
        rows: tile::slab_rows::<tile::Ymm>(),
        columns: 4,
        order: tile::ORDER,
        pack: tile::pack::<tile::Ymm>,
        run: tile::run::<tile::Ymm, 4>,
    }],
    peak: peak::VNNI,
}
