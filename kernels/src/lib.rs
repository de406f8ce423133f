//! The arithmetic: quantized blocks, dot products, matrix products and the threads that run them.

pub mod attention;
pub mod isa;
pub mod ops;
pub mod quant;
pub mod registry;
