//! AVX2 with FMA and F16C: every x86 laptop since 2013 or so.

use super::maddubs;
use crate::isa::{Isa, Kernels, Tile};

/// The instruction set.
pub static AVX2: Isa = Isa {
    name: "avx2",
    needs: "AVX2, FMA, F16C",
    detect: || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
    },
    kernels: Kernels {
        quantize,
        dot: dot_of,
        dot_unpacked,
        unpack: unpack_of,
        tile: Some(Tile {
            rows: maddubs::ROWS,
            unsigned_activations: false,
            pack: pack_slab,
            run: run_slab,
        }),
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
