//! AVX-512 VNNI with VBMI and GFNI (Ice Lake, Zen 4 and later): as [`avx512`], but tables are looked up in registers,
//! which is how the types of grids unpack here (see `vbmi.rs`).

use super::vbmi::{self as layouts, Layout};
use super::{avx512, dot};
use crate::isa::float::Floats;
use crate::isa::set::by_layout;
use crate::isa::{DotRows, Isa, Kernels, Special, UnpackUnit};
use crate::quant::QuantType;

/// The instruction set.
pub static AVX512VBMI: Isa = Isa {
    name: "avx512vbmi",
    needs: NEEDS,
    multiplies: avx512::MULTIPLIES,
    special: Some(Special {
        takes: |quant| own_dot(quant).is_some(),
        how: "looked up in tables that lie in registers (AVX-512 VBMI), where other sets gather from memory",
    }),
    floats: Floats::avx512,
    kernels: Kernels {
        dot: |quant| own_dot(quant).or_else(|| (avx512::KERNELS.dot)(quant)),
        unpack: |quant| {
            let here = by_layout!(quant, unpack as UnpackUnit; IQ2_XXS IQ2_XS IQ3_XXS IQ3_S);
            here.or_else(|| (avx512::KERNELS.unpack)(quant))
        },
        ..avx512::KERNELS
    },
};

fn own_dot(quant: &QuantType) -> Option<DotRows> {
    by_layout!(quant, rows as DotRows; IQ2_XXS IQ2_XS IQ3_XXS IQ3_S)
}

/// The features, and the functions of types that are compiled with them.
macro_rules! with_features {
    ($features:tt) => {
        crate::isa::set::needs! { x86 $features }
        crate::isa::set::rows! { x86 $features, dot::VnniVl }
        crate::isa::set::unpack! { x86 $features }
    };
}
with_features! {
    [
        "AVX2" "avx2", "FMA" "fma", "F16C" "f16c", "AVX-512 F" "avx512f",
        "AVX-512 BW" "avx512bw", "AVX-512 DQ" "avx512dq", "AVX-512 VL" "avx512vl", "AVX-512 VNNI" "avx512vnni",
        "AVX-512 VBMI" "avx512vbmi", "GFNI" "gfni"
    ]
}
