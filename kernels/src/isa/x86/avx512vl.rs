//! The 256-bit VNNI code in its AVX-512 encoding: for CPUs that slow down in 512 bits, and to run that code where
//! AVX-VNNI is missing.

use super::tile;
use crate::isa::{Isa, Kernels, Tile};

/// The instruction set in 256 bits.
pub static AVX512VL: Isa = Isa {
    name: "avx512vl",
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
            rows: tile::slab_rows::<tile::YmmVl>(),
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
    unsafe { tile::pack::<tile::YmmVl>(from, slab) }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn run_slab(slab: &Slab<'_>, x: &TileColumns<'_>, sums: &mut [f32]) {
    // SAFETY: as above.
    unsafe { tile::run::<tile::YmmVl, 6>(slab, x, sums) }
}
