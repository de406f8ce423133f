//! NEON with `smmla`: 2 x 8 times 8 x 2 products of bytes (ARMv8.6; Apple M2, Neoverse V1 on). Dots use `sdot`.

use crate::isa::{Feature, Isa};
use std::arch::is_aarch64_feature_detected;

/// The instruction set.
pub static I8MM: Isa = Isa {
    name: "i8mm",
    needs: &[
        Feature {
            name: "FEAT_DotProd",
            detect: || is_aarch64_feature_detected!("dotprod"),
        },
        Feature {
            name: "FEAT_I8MM",
            detect: || is_aarch64_feature_detected!("i8mm"),
        },
    ],
    kernels: KERNELS,
};

super::set::kernels!("neon,dotprod,i8mm", multiply::Smmla, 3);
