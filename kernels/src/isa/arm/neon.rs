//! NEON alone: `smull`, `smlal` and `sadalp` widen products of bytes to 16 and sums to 32 bits.

use crate::isa::{Feature, Isa};

/// The instruction set.
pub static NEON: Isa = Isa {
    name: "neon",
    needs: &[Feature {
        name: "NEON",
        detect: || true,
    }],
    kernels: KERNELS,
};

super::set::kernels!("neon", multiply::Widening, 1);
