//! The operations between matrix products, `ops/<name>/<float instructions>`, on a vector of 4,096; rates are bytes of it.
//! Recurrences, `recurrent/<name>/<tokens>/<float instructions>`, on one head; rates are bytes of its state and token.
//! Walks the float instructions that this CPU has.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::values;
use gristmill_kernels::isa::float::{Floats, Rows};
use gristmill_kernels::ops::recurrent::{
    Decay, Delta, Head, RowsMut, StateSpace, gated_delta, state_space,
};
use gristmill_kernels::ops::{self, Activation, RopeOptions, RopePairing, RopeTable};

const WIDTH: usize = 4096;
const HEAD: usize = 64;

/// A vector to be changed in place, and a second one.
type Operation<'a> = &'a mut dyn FnMut(Floats, &mut [f32], &[f32]);

fn operations(c: &mut Criterion<Rates>) {
    let options = |pairing| RopeOptions::new(HEAD, 10_000.0, pairing);
    let mut interleaved = RopeTable::new(&options(RopePairing::Interleaved));
    let mut halves = RopeTable::new(&options(RopePairing::Halves));
    interleaved.prepare(0..16);
    halves.prepare(0..16);
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

/// Keys and values of a head with a state.
const STATE: (usize, usize) = (128, 128);

fn recurrences(c: &mut Criterion<Rates>) {
    let (keys, values_of) = STATE;
    let mut group = c.benchmark_group("recurrent");
    for tokens in [1, 64] {
        // Small keys and decays below one: the state stays finite however often the tokens come.
        let small: Vec<f32> = values(tokens * keys).iter().map(|x| x * 0.05).collect();
        let fading = vec![0.97; tokens];
        let (x, one) = (
            Rows {
                data: &small,
                width: keys,
            },
            Rows {
                data: &fading,
                width: 1,
            },
        );
        let head = Head {
            tokens,
            keys,
            values: values_of,
        };
        let delta = Delta {
            q: x,
            k: x,
            v: x,
            decay: Decay::PerToken(one),
            beta: one,
            scale: 0.1,
        };
        let space = StateSpace {
            x,
            dt: one,
            b: x,
            c: x,
            a: -0.1,
            d: 1.0,
        };
        let mut state = vec![0.0; keys * values_of];
        let mut out = vec![0.0; tokens * values_of];
        group.throughput(Throughput::Bytes(4 * (tokens * keys * values_of) as u64));
        for floats in Floats::all() {
            let name = floats.name();
            let mut run = |kind: &str, work: &dyn Fn(&mut [f32], &mut RowsMut<'_>)| {
                group.bench_function(format!("{kind}/{tokens}/{name}"), |b| {
                    b.iter(|| {
                        let mut out = RowsMut {
                            data: black_box(&mut out),
                            width: values_of,
                        };
                        work(black_box(&mut state), &mut out);
                    });
                });
            };
            run("gated_delta", &|state, out| {
                gated_delta(floats, head, delta, state, out);
            });
            run("state_space", &|state, out| {
                state_space(floats, head, space, state, out);
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = operations, recurrences
}
criterion_main!(benches);
