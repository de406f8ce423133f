//! AVX-512 VNNI with VBMI and GFNI (Ice Lake, Zen 4 and later): as [`avx512`], but tables are looked up in registers,
//! which is how the types of grids unpack here (see `vbmi.rs`).

use super::vbmi::{self as layouts, Layout};
use super::{avx512, dot, has};
use crate::isa::set::by_layout;
use crate::isa::{Columns, DotRows, Feature, Isa, Kernels, UnpackUnit};

/// The instruction set.
pub static AVX512VBMI: Isa = Isa {
    name: "avx512vbmi",
    needs: NEEDS,
    kernels: Kernels {
        dot: |quant| {
            let here = by_layout!(quant, rows as DotRows; IQ2_XXS IQ2_XS IQ3_XXS IQ3_S);
            here.or_else(|| (avx512::KERNELS.dot)(quant))
        },
        unpack: |quant| {
            let here = by_layout!(quant, unpack as UnpackUnit; IQ2_XXS IQ2_XS IQ3_XXS IQ3_S);
            here.or_else(|| (avx512::KERNELS.unpack)(quant))
        },
        ..avx512::KERNELS
    },
};

macro_rules! needs {
    ($($name:literal $feature:tt),+) => {
        const NEEDS: &[Feature] = &[$(Feature { name: $name, detect: || has!($feature) }),+];

        $(#[target_feature(enable = $feature)])+
        unsafe fn rows<L: Layout>(
            weights: &[u8],
            row_bytes: usize,
            x: &Columns<'_>,
            out: &mut [f32],
        ) {
            // SAFETY: these features are what it asks for; lengths are the caller's.
            unsafe { dot::rows::<dot::VnniVl, L>(weights, row_bytes, x, out) }
        }

        $(#[target_feature(enable = $feature)])+
        unsafe fn unpack<L: Layout>(
            blocks: &[u8],
            codes: &mut [i8],
            scales: &mut [f32],
            mins: &mut [f32],
        ) {
            // SAFETY: as above.
            unsafe { super::unpack::<L>(blocks, codes, scales, mins) }
        }
    };
}

needs!(
    "AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-512 F" "avx512f", "AVX-512 BW" "avx512bw",
    "AVX-512 DQ" "avx512dq", "AVX-512 VL" "avx512vl", "AVX-512 VNNI" "avx512vnni",
    "AVX-512 VBMI" "avx512vbmi", "GFNI" "gfni"
);
