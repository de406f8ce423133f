//! The 256-bit VNNI code in its AVX-512 encoding: for CPUs that slow down in 512 bits, and to run that code where
//! AVX-VNNI is missing.

use super::{peak, tile};
use crate::isa::float::Floats;
use crate::isa::{Isa, Multiplies};

/// The instruction set in 256 bits.
pub static AVX512VL: Isa = Isa {
    name: "avx512vl",
    needs: NEEDS,
    multiplies: Multiplies {
        dots: "VPDPBUSD, 256 bits",
        tiles: "VPDPBUSD, 256 bits",
    },
    special: None,
    floats: Floats::avx512,
    kernels: KERNELS,
};

crate::isa::set::kernels! {
    x86 [
        "AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-512 F" "avx512f",
        "AVX-512 BW" "avx512bw", "AVX-512 DQ" "avx512dq", "AVX-512 VL" "avx512vl", "AVX-512 VNNI" "avx512vnni"
    ],
    multiply: dot::VnniVl,
    tiles: [vnni {
        takes: |_| true,
        rows: tile::slab_rows::<tile::YmmVl>(),
        columns: 4,
        order: tile::ORDER,
        pack: tile::pack::<tile::YmmVl>,
        run: tile::run::<tile::YmmVl, 4>,
    }],
    peak: peak::VNNI_VL,
}
