//! The 256-bit VNNI code in its AVX-512 encoding: for CPUs that slow down in 512 bits, and to run that code where
//! AVX-VNNI is missing.

use super::{peak, tile};
use crate::isa::{Isa, Kernels, Tile};

/// Columns of the tile.
const COLUMNS: usize = 6;

/// The instruction set in 256 bits.
pub static AVX512VL: Isa = Isa {
    name: "avx512vl",
    needs: super::set::features!(
        "AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-512 F" "avx512f", "AVX-512 BW" "avx512bw",
        "AVX-512 DQ" "avx512dq", "AVX-512 VL" "avx512vl", "AVX-512 VNNI" "avx512vnni"
    ),
    kernels: Kernels {
        quantize,
        dot: dot_of,
        dot_unpacked,
        unpack: unpack_of,
        tile: Some(Tile {
            rows: tile::slab_rows::<tile::YmmVl>(),
            columns: COLUMNS,
            unsigned_activations: true,
            pack: pack_slab,
            run: run_slab,
        }),
        peak: peak::VNNI_VL,
    },
};

super::set::entry_points!(
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    dot::VnniVl
);

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn pack_slab(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    // SAFETY: these features are what it asks for; lengths are the caller's.
    unsafe { tile::pack::<tile::YmmVl>(from, slab) }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn run_slab(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: as above.
    unsafe { tile::run::<tile::YmmVl, COLUMNS>(slab, x, sums) }
}
