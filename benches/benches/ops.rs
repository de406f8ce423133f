//! The operations between matrix products, `ops/<name>/<float instructions>`, on a vector of 4,096; rates are bytes of it.
//! Walks the float instructions that this CPU has.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::values;
use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation, RopeOptions, RopePairing, RopeTable};

const WIDTH: usize = 4096;
const HEAD: usize = 64;

/// A vector to be changed in place, and a second one.
type Operation<'a> = &'a mut dyn FnMut(Floats, &mut [f32], &[f32]);

fn operations(c: &mut Criterion<Rates>) {
    let options = |pairing| RopeOptions::new(HEAD, 10_000.0, pairing);
    let mut interleaved = RopeTable::new(&options(RopePairing::Interleaved));
    let mut halves = RopeTable::new(&options(RopePairing::Halves));
    interleaved.prepare(0, 16);
    halves.prepare(0, 16);
    let mut normed = vec![0.0; WIDTH];
    let mut normed_too = vec![0.0; WIDTH];
    let all: [(&str, Operation<'_>); 9] = [
        ("add", &mut |f, x, y| ops::add(f, x, y)),
        ("mul", &mut |f, x, y| ops::mul(f, x, y)),
        ("rms_norm", &mut |f, x, y| {
            ops::rms_norm(f, x, Some(y), 1e-5, &mut normed)
        }),
        ("layer_norm", &mut |f, x, y| {
            ops::layer_norm(f, x, Some(y), Some(y), 1e-5, &mut normed_too)
        }),
        ("softmax", &mut |f, x, _| ops::softmax(f, x)),
        ("silu_gated", &mut |f, x, y| {
            ops::gated(f, Activation::Silu, x, y)
        }),
        ("gelu_gated", &mut |f, x, y| {
            ops::gated(f, Activation::Gelu, x, y)
        }),
        ("rope_interleaved", &mut |_, x, _| {
            interleaved.apply(7, x, HEAD)
        }),
        ("rope_halves", &mut |_, x, _| halves.apply(7, x, HEAD)),
    ];
    let input = values(WIDTH);
    for (name, operation) in all {
        let mut group = c.benchmark_group("ops");
        group.throughput(Throughput::Bytes(4 * WIDTH as u64));
        for floats in Floats::all() {
            group.bench_function(format!("{name}/{}", floats.name()), |b| {
                let mut x = input.clone();
                // A copy each time keeps repeated operations from running into zeros or infinities.
                b.iter(|| {
                    x.copy_from_slice(&input);
                    operation(floats, black_box(&mut x), black_box(&input));
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = operations
}
criterion_main!(benches);
