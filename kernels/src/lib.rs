//! The arithmetic: quantized blocks, dot products, matrix products and the threads that run them.

pub mod attention;
pub mod ceilings;
pub mod compute;
pub mod cpu;
mod gemm;
pub mod isa;
pub mod ops;
pub mod pool;
pub mod quant;
pub mod registry;

pub use attention::{Attention, CacheRows};
pub use ceilings::Ceilings;
pub use compute::{Compute, ComputeOptions, Error, FEW_COLUMNS, Matrix, Product};
pub use gemm::select::{Path, path};
pub use quant::QuantType;
pub use registry::{ISAS, QUANTS, quant};

#[cfg(test)]
mod tests {
    mod conformance;
    mod small;
}
