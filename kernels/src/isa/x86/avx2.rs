//! AVX2 with FMA and F16C: every x86 laptop since 2013 or so.

use super::{maddubs, peak};
use crate::isa::{Isa, Kernels, Tile};

/// The instruction set.
pub static AVX2: Isa = Isa {
    name: "avx2",
    needs: super::set::features!("AVX2" "avx2", "FMA" "fma", "F16C" "f16c"),
    kernels: Kernels {
        quantize,
        dot: dot_of,
        dot_unpacked,
        unpack: unpack_of,
        tile: Some(Tile {
            rows: maddubs::ROWS,
            columns: maddubs::COLUMNS,
            unsigned_activations: false,
            pack: pack_slab,
            run: run_slab,
        }),
        peak: peak::MADDUBS,
    },
};

super::set::entry_points!("avx2,fma,f16c", dot::Maddubs);

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn pack_slab(from: &SlabRows<'_>, slab: &mut Slab<'_>) {
    // SAFETY: these features are what it asks for; lengths are the caller's.
    unsafe { maddubs::pack(from, slab) }
}

#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_slab(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: as above.
    unsafe { maddubs::run(slab, x, sums) }
}
