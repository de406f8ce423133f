//! Many columns, as in a prompt: `gemm/<type>/<instruction set>`, one thread. The multiply-adds a second are to be held
//! against the set's ceiling (`gristmill bench --roofline`).

use criterion::{Criterion, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::{computes, only_tested, product};
use gristmill_kernels::QUANTS;

fn gemm(c: &mut Criterion<Rates>) {
    let (rows, cols, columns) = if only_tested() {
        (32, 256, 33)
    } else {
        (1024, 1024, 128)
    };
    let mut computes = computes();
    let mut group = c.benchmark_group("gemm");
    for quant in QUANTS {
        product(&mut group, quant, &mut computes, (rows, cols, columns));
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = gemm
}
criterion_main!(benches);
