//! Reference dequantization of every type, `dequant/<type>`; throughput in weights.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::weights;
use gristmill_kernels::QUANTS;

const ELEMENTS: usize = 64 * 1024;

fn dequant(c: &mut Criterion) {
    for quant in QUANTS {
        let mut group = c.benchmark_group("dequant");
        group.throughput(Throughput::Elements(ELEMENTS as u64));
        group.bench_function(quant.name.to_lowercase(), |b| {
            let blocks = weights(quant, 16, ELEMENTS / 16)
                .unwrap_or_else(|| vec![0; ELEMENTS / quant.block_elements * quant.block_bytes]);
            let mut out = vec![0.0; ELEMENTS];
            b.iter(|| (quant.dequantize)(black_box(&blocks), black_box(&mut out)));
        });
    }
}

criterion_group!(benches, dequant);
criterion_main!(benches);
