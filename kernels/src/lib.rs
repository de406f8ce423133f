//! The arithmetic: quantized blocks, dot products, matrix products and the threads that run them.

pub mod attention;
pub mod ceilings;
pub mod compute;
pub mod cpu;
mod error;
mod gemm;
pub mod isa;
mod matrix;
pub mod ops;
pub mod pool;
mod product;
pub mod quant;
pub mod registry;

pub use attention::{Attention, CacheRows};
pub use ceilings::Ceilings;
pub use compute::{Compute, ComputeOptions};
pub use error::Error;
pub use gemm::select::{Path, path};
pub use matrix::Matrix;
pub use product::{FEW_COLUMNS, Product};
pub use quant::{Codes, QuantType};
pub use registry::{ISAS, QUANTS, quant};

#[cfg(test)]
mod tests {
    mod conformance;
    mod small;
}
