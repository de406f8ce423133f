//! Many columns, as in a prompt: `gemm/<type>/<instruction set>`, one thread; throughput in multiply-adds.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::{computes, values, weights};
use gristmill_kernels::{Matrix, Product, QUANTS};

const ROWS: usize = 1024;
const COLS: usize = 1024;
const COLUMNS: usize = 128;

fn gemm(c: &mut Criterion) {
    let mut computes = computes();
    for quant in QUANTS {
        for (isa, compute) in &mut computes {
            let mut group = c.benchmark_group("gemm");
            group.throughput(Throughput::Elements((ROWS * COLS * COLUMNS) as u64));
            group.bench_function(format!("{}/{isa}", quant.name.to_lowercase()), |b| {
                let Some(bytes) = weights(quant, ROWS, COLS) else {
                    return b.iter(|| ());
                };
                let weights = Matrix::new(quant, ROWS, COLS, &bytes).expect("sizes agree");
                let (x, mut out) = (values(COLS * COLUMNS), vec![0.0; ROWS * COLUMNS]);
                b.iter(|| {
                    let out = &mut out;
                    compute.matmul(&x, COLUMNS, &mut [Product { weights, out }]);
                });
            });
        }
    }
}

criterion_group!(benches, gemm);
criterion_main!(benches);
