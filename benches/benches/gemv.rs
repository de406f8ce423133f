//! One column, as in generation: `gemv/<type>/<instruction set>`, one thread. The bytes a second are to be held against
//! the memory's bandwidth: the weights are 64 MB, more than most caches hold.

use criterion::{Criterion, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::{computes, only_tested, product};
use gristmill_kernels::QUANTS;

fn gemv(c: &mut Criterion<Rates>) {
    let (bytes, cols) = if only_tested() {
        (1 << 14, 512)
    } else {
        (64 << 20, 4096)
    };
    let mut computes = computes();
    let mut group = c.benchmark_group("gemv");
    for quant in QUANTS {
        let rows = quant.row_bytes(cols).map_or(1, |row| (bytes / row).max(1));
        product(&mut group, quant, &mut computes, (rows, cols, 1));
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = gemv
}
criterion_main!(benches);
