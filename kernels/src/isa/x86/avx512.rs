//! AVX-512 VNNI with 512-bit tiles: servers, Zen 4 and later, some laptops.

use super::tile;
use crate::isa::{Isa, Kernels, Tile};

/// The instruction set.
pub static AVX512: Isa = Isa {
    name: "avx512",
    needs: "AVX-512 F, BW, DQ, VL and VNNI, AVX2, FMA, F16C",
    detect: || {
        is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
    },
    kernels: Kernels {
        quantize,
        dot: dot_of,
        dot_unpacked,
        unpack: unpack_of,
        tile: Some(Tile {
            rows: tile::slab_rows::<tile::Zmm>(),
            unsigned_activations: true,
            pack: pack_slab,
            run: run_slab,
        }),
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
    unsafe { tile::run::<tile::Zmm, 6>(slab, x, sums) }
}
