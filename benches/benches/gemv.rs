//! One column, as in generation: `gemv/<type>/<instruction set>`, one thread; throughput in bytes of weights, to be
//! held against the memory's bandwidth.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::{computes, values, weights};
use gristmill_kernels::{Matrix, Product, QUANTS};

const ROWS: usize = 2048;
const COLS: usize = 2048;

fn gemv(c: &mut Criterion) {
    let mut computes = computes();
    for quant in QUANTS {
        for (isa, compute) in &mut computes {
            let mut group = c.benchmark_group("gemv");
            let bytes = ROWS * quant.row_bytes(COLS).unwrap_or(0);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("{}/{isa}", quant.name.to_lowercase()), |b| {
                let Some(bytes) = weights(quant, ROWS, COLS) else {
                    return b.iter(|| ());
                };
                let weights = Matrix::new(quant, ROWS, COLS, &bytes).expect("sizes agree");
                let (x, mut out) = (values(COLS), vec![0.0; ROWS]);
                b.iter(|| {
                    let out = &mut out;
                    compute.matmul(&x, 1, &mut [Product { weights, out }]);
                });
            });
        }
    }
}

criterion_group!(benches, gemv);
criterion_main!(benches);
