//! Inputs shared by the criterion benchmarks under `benches/`, and the [`record`]s of what they measured.
//!
//! The benchmarks walk the registries, so a new type or instruction set is measured without a line here. Names are
//! `what/type/instruction set`, in lower case: `cargo bench -- gemv/q4_k` measures one type. Rates are multiply-adds
//! and bytes of weights a second, see [`rates`].

pub mod rates;
pub mod record;

use criterion::{BenchmarkGroup, Throughput, measurement::Measurement};
use gristmill_kernels::{Compute, ComputeOptions, Matrix, Product, QuantType, cpu};

/// Whether the benchmarks are only to be run once each (`cargo bench -- --test`): inputs are small then.
pub fn only_tested() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// A type's name as benchmarks have it.
pub fn name(quant: &QuantType) -> String {
    quant.name().to_lowercase()
}

/// Measures a matrix of a type times `columns` vectors, as `type/instruction set`, in multiply-adds and bytes of weights.
/// Types that can't be multiplied or made are left out.
pub fn product<M: Measurement>(
    group: &mut BenchmarkGroup<'_, M>,
    quant: &'static QuantType,
    computes: &mut [(&'static str, Compute)],
    (rows, cols, columns): (usize, usize, usize),
) {
    // Made when the first set asks: a filter may leave all of them out.
    let mut bytes: Option<Option<Vec<u8>>> = None;
    let Some(row_bytes) = quant.row_bytes(cols).filter(|_| quant.can_quantize()) else {
        return;
    };
    group.throughput(Throughput::ElementsAndBytes {
        elements: (rows * cols * columns) as u64,
        bytes: (rows * row_bytes) as u64,
    });
    for (isa, compute) in computes {
        group.bench_function(format!("{}/{isa}", name(quant)), |b| {
            let bytes = bytes.get_or_insert_with(|| weights(quant, rows, cols));
            let made = bytes.as_deref();
            let Some(Ok(weights)) = made.map(|bytes| Matrix::new(quant, rows, cols, bytes)) else {
                return;
            };
            let (x, mut out) = (values(cols * columns), vec![0.0; rows * columns]);
            b.iter(|| {
                let out = &mut out;
                compute.matmul(&x, columns, &mut [Product { weights, out }]);
            });
        });
    }
}

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
    quant.quantize()?(&values(DISTINCT * cols), None, &mut distinct);
    Some(
        distinct
            .iter()
            .copied()
            .cycle()
            .take(rows * row_bytes)
            .collect(),
    )
}

/// One single-threaded handle for each instruction set of this machine, with its name. One that can't be made is left out,
/// and standard error says why.
pub fn computes() -> Vec<(&'static str, Compute)> {
    let make = |isa: &'static gristmill_kernels::isa::Isa| {
        let options = ComputeOptions {
            threads: Some(1),
            threads_prompt: Some(1),
            isa: Some(isa.name().to_owned()),
        };
        match Compute::new(&options) {
            Ok(compute) => Some((isa.name(), compute)),
            Err(error) => {
                eprintln!("not measured: {error}");
                None
            }
        }
    };
    cpu::available().filter_map(make).collect()
}
