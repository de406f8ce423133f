//! AVX-512 VNNI with 512-bit tiles: servers, Zen 4 and later, some laptops.

use super::{peak, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies};

/// The dots wait for memory: 256 bits are enough for them.
pub(super) const MULTIPLIES: Multiplies = Multiplies {
    dots: "VPDPBUSD, 256 bits",
    tiles: "VPDPBUSD, 512 bits",
};

/// The instruction set.
pub static AVX512: Isa = Isa {
    name: "avx512",
    needs: NEEDS,
    multiplies: MULTIPLIES,
    special: None,
    floats: Floats::avx512,
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    x86 [
        "AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-512 F" "avx512f",
        "AVX-512 BW" "avx512bw", "AVX-512 DQ" "avx512dq", "AVX-512 VL" "avx512vl", "AVX-512 VNNI" "avx512vnni"
    ],
    dots_of: avx512vl,
    tiles: [vnni {
        takes: |_| true,
        rows: tile::slab_rows::<tile::Zmm>(),
        columns: 6,
        order: tile::ORDER,
        pack: tile::pack::<tile::Zmm>,
        run: tile::run::<tile::Zmm, 6>,
    }],
    peak: peak::VNNI_512,
}
