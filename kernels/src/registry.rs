//! The two lists the rest of the crate walks: the quantization types a file can hold ([`QUANTS`]) and the instruction
//! sets the arithmetic can run on. A new type is one file in `quant/` and one line here; tests, benchmarks, help texts
//! and the table of supported things all come from these slices.

use crate::isa::{self, Isa};
use crate::quant::{self};

pub use crate::quant::{Codes, QuantType};

/// Every tensor type that can be turned into floats, by ascending GGUF type id.
pub static QUANTS: &[&QuantType] = &[
    &quant::float::F32,
    &quant::float::F16,
    &quant::q4_0::Q4_0,
    &quant::q4_1::Q4_1,
    &quant::q5_0::Q5_0,
    &quant::q5_1::Q5_1,
    &quant::q8_0::Q8_0,
    &quant::q8_1::Q8_1,
    &quant::q2_k::Q2_K,
    &quant::q3_k::Q3_K,
    &quant::q4_k::Q4_K,
    &quant::q5_k::Q5_K,
    &quant::q6_k::Q6_K,
    &quant::q8_k::Q8_K,
    &quant::iq2_xxs::IQ2_XXS,
    &quant::iq2_xs::IQ2_XS,
    &quant::iq3_xxs::IQ3_XXS,
    &quant::iq1_s::IQ1_S,
    &quant::iq4_nl::IQ4_NL,
    &quant::iq3_s::IQ3_S,
    &quant::iq2_s::IQ2_S,
    &quant::iq4_xs::IQ4_XS,
    &quant::float::I8,
    &quant::float::I16,
    &quant::float::I32,
    &quant::float::I64,
    &quant::float::F64,
    &quant::iq1_m::IQ1_M,
    &quant::float::BF16,
    &quant::tq1_0::TQ1_0,
    &quant::tq2_0::TQ2_0,
    &quant::mxfp4::MXFP4,
    &quant::nvfp4::NVFP4,
    &quant::q1_0::Q1_0,
    &quant::q2_0::Q2_0,
];

/// The type with this GGUF type id.
pub fn quant(id: u32) -> Option<&'static QuantType> {
    QUANTS.iter().copied().find(|quant| quant.id == id)
}

/// Every instruction set, the plainest first: of those that a CPU has, the last one is used.
pub static ISAS: &[&Isa] = &[
    &isa::scalar::SCALAR,
    #[cfg(target_arch = "x86_64")]
    &isa::avx2::AVX2,
    #[cfg(target_arch = "x86_64")]
    &isa::avx_vnni::AVX_VNNI,
    #[cfg(target_arch = "x86_64")]
    &isa::avx512vl::AVX512VL,
    #[cfg(target_arch = "x86_64")]
    &isa::avx512::AVX512,
    #[cfg(target_arch = "x86_64")]
    &isa::avx512vbmi::AVX512VBMI,
    #[cfg(target_arch = "aarch64")]
    &isa::neon::NEON,
    #[cfg(target_arch = "aarch64")]
    &isa::dotprod::DOTPROD,
    #[cfg(target_arch = "aarch64")]
    &isa::i8mm::I8MM,
];
