//! AVX-512 VNNI with 512-bit tiles: servers, Zen 4 and later, some laptops.

use super::{peak, tile};
use crate::isa::{Isa, Kernels, Tile};

/// Columns of the tile.
const COLUMNS: usize = 6;

/// The instruction set.
pub static AVX512: Isa = Isa {
    name: "avx512",
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
            rows: tile::slab_rows::<tile::Zmm>(),
            columns: COLUMNS,
            unsigned_activations: true,
            pack: pack_slab,
            run: run_slab,
        }),
        peak: peak::VNNI_512,
    },
};

super::set::entry_points!(
    "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    dot::VnniVl
);

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn pack_slab(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    // SAFETY: these features are what it asks for; lengths are the caller's.
    unsafe { tile::pack::<tile::Zmm>(from, slab) }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn run_slab(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: as above.
    unsafe { tile::run::<tile::Zmm, COLUMNS>(slab, x, sums) }
}
