//! Inputs shared by the criterion benchmarks under `benches/`.
//!
//! The benchmarks walk the registries, so a new type or instruction set is measured without a line here. Names are
//! `what/type/instruction set`, in lower case: `cargo bench -p gristmill-benches -- gemv/q4_k` measures one type.

use gristmill_kernels::{Compute, ComputeOptions, QuantType, cpu};

/// Numbers between -1 and 1 that are the same at every run.
pub fn values(count: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..count)
        .map(|_| {
            // Knuth's linear congruential generator; the high bits are random enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// A matrix of a type: a few quantized rows, over and over (some quantizers search long). `None` if the type can't be
/// made or multiplied.
pub fn weights(quant: &QuantType, rows: usize, cols: usize) -> Option<Vec<u8>> {
    const DISTINCT: usize = 8;
    let row_bytes = quant.row_bytes(cols)?;
    let mut distinct = vec![0; DISTINCT * row_bytes];
    (quant.quantize?)(&values(DISTINCT * cols), None, &mut distinct);
    Some(
        distinct
            .iter()
            .copied()
            .cycle()
            .take(rows * row_bytes)
            .collect(),
    )
}

/// One single-threaded handle for each instruction set of this machine, with its name.
///
/// # Panics
/// If one can't be made.
pub fn computes() -> Vec<(&'static str, Compute)> {
    let make = |isa: &'static gristmill_kernels::isa::Isa| {
        let options = ComputeOptions {
            threads: Some(1),
            threads_prompt: Some(1),
            isa: Some(isa.name.to_owned()),
        };
        (
            isa.name,
            Compute::new(&options).expect("this machine has it"),
        )
    };
    cpu::available().map(make).collect()
}
