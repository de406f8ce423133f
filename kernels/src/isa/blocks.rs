//! The types that have layouts, as types of Rust, and what every layout takes from the type itself: sizes, groups,
//! whether there are mins. How their codes unpack is each architecture's own affair.

#![allow(non_camel_case_types)] // the format's own names

use super::UNIT;
use crate::quant::{self, QuantType};

/// A type's blocks in units of 256 codes.
pub trait Blocks {
    /// The type.
    const QUANT: &'static QuantType;
    /// Its id in GGUF files.
    const ID: u32 = Self::QUANT.id;
    /// Bytes of a block.
    const BYTES: usize = Self::QUANT.block_bytes;
    /// Bytes of 256 weights.
    const UNIT_BYTES: usize = UNIT / Self::QUANT.block_elements * Self::BYTES;
    /// Whether a row may end with a part of a unit.
    const PARTS: bool = Self::QUANT.block_elements < UNIT;
    /// Sixteen groups of 16, not eight of 32.
    const HALVES: bool = match &Self::QUANT.codes {
        Some(codes) => codes.group == 16,
        None => false,
    };
    /// The smallest and the largest code.
    const RANGE: (i8, i8) = match &Self::QUANT.codes {
        Some(codes) => codes.range,
        None => (0, 0),
    };
    /// Whether the type has mins.
    const MINS: bool = match &Self::QUANT.codes {
        Some(codes) => codes.has_mins,
        None => false,
    };
}

macro_rules! blocks {
    ($($module:ident::$name:ident),*) => {
        $(
            #[doc = concat!("Blocks of ", stringify!($name), ".")]
            pub struct $name;
            impl Blocks for $name {
                const QUANT: &'static QuantType = &quant::$module::$name;
            }
        )*
    };
}

blocks!(
    q4_0::Q4_0,
    q4_1::Q4_1,
    q5_0::Q5_0,
    q5_1::Q5_1,
    q8_0::Q8_0,
    q2_k::Q2_K,
    q3_k::Q3_K,
    q4_k::Q4_K,
    q5_k::Q5_K,
    q6_k::Q6_K,
    iq4_nl::IQ4_NL,
    iq4_xs::IQ4_XS,
    mxfp4::MXFP4,
    iq2_xxs::IQ2_XXS,
    iq2_xs::IQ2_XS,
    iq2_s::IQ2_S,
    iq3_xxs::IQ3_XXS,
    iq3_s::IQ3_S,
    iq1_s::IQ1_S,
    iq1_m::IQ1_M,
    tq1_0::TQ1_0,
    tq2_0::TQ2_0,
    q1_0::Q1_0,
    q2_0::Q2_0,
    nvfp4::NVFP4,
    q8_1::Q8_1,
    q8_k::Q8_K
);

/// The byte `index` bytes on, as an index.
/// # Safety
/// It must be there to read.
#[inline(always)]
pub unsafe fn byte(at: *const u8, index: usize) -> usize {
    // SAFETY: the caller's.
    unsafe { usize::from(*at.add(index)) }
}

/// Two bytes, the lower one first, as an index.
/// # Safety
/// They must be there to read.
#[inline(always)]
pub unsafe fn short(at: *const u8) -> usize {
    // SAFETY: the caller's.
    unsafe { usize::from(at.cast::<u16>().read_unaligned()) }
}
