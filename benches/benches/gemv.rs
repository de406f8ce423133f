//! One column, as in generation: `gemv/<type>/<instruction set>`, one thread. The bytes a second are to be held against
//! the memory's bandwidth: weights are more than most last caches hold of them.

use criterion::{Criterion, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::{computes, only_tested, product};
use gristmill_kernels::QUANTS;

fn gemv(c: &mut Criterion<Rates>) {
    let (rows, cols) = if only_tested() {
        (16, 512)
    } else {
        (4096, 4096)
    };
    let mut computes = computes();
    let mut group = c.benchmark_group("gemv");
    for quant in QUANTS {
        product(&mut group, quant, &mut computes, (rows, cols, 1));
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = gemv
}
criterion_main!(benches);
