//! NEON with `sdot`: sixteen products of bytes, added up by fours (ARMv8.2; Apple M1, Cortex-A55 and A75 on).

use crate::isa::{Feature, Isa};
use std::arch::is_aarch64_feature_detected;

/// The instruction set.
pub static DOTPROD: Isa = Isa {
    name: "dotprod",
    needs: &[Feature {
        name: "FEAT_DotProd",
        detect: || is_aarch64_feature_detected!("dotprod"),
    }],
    kernels: KERNELS,
};

super::set::kernels!("neon,dotprod", multiply::Sdot, 3);
