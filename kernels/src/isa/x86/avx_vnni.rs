//! AVX-VNNI: 256-bit integer dots on laptops without AVX-512 (Alder Lake and later).

use super::{peak, tile};
use crate::isa::{Isa, Kernels, Tile};

/// Columns of the tile.
const COLUMNS: usize = 4;

/// The instruction set.
pub static AVX_VNNI: Isa = Isa {
    name: "avxvnni",
    needs: super::set::features!("AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-VNNI" "avxvnni"),
    kernels: Kernels {
        quantize,
        dot: dot_of,
        dot_unpacked,
        unpack: unpack_of,
        tile: Some(Tile {
            rows: tile::slab_rows::<tile::Ymm>(),
            columns: COLUMNS,
            unsigned_activations: true,
            pack: pack_slab,
            run: run_slab,
        }),
        peak: peak::VNNI,
    },
};

super::set::entry_points!("avx2,fma,f16c,avxvnni", dot::Vnni);

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn pack_slab(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    // SAFETY: these features are what it asks for; lengths are the caller's.
    unsafe { tile::pack::<tile::Ymm>(from, slab) }
}

#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
unsafe fn run_slab(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: as above.
    unsafe { tile::run::<tile::Ymm, COLUMNS>(slab, x, sums) }
}
