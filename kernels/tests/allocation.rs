//! Products and attention allocate nothing once their buffers have grown: counted by the program's allocator, so this is a
//! test binary of its own, with one test.

mod counting;

use counting::COUNT;
use std::sync::atomic::Ordering;

use gristmill_kernels::attention::PAGE;
use gristmill_kernels::{
    Attention, CacheRows, Compute, ComputeOptions, Matrix, Product, QUANTS, QuantType, cpu, ops,
};

const ROWS: usize = 96;
const COLS: usize = 512;
const MANY: usize = 50;
const CAPACITY: usize = 64;

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * 0.37).sin()).collect()
}

/// Everything that a layer does, with one column, a few and many.
fn layer(compute: &mut Compute, weights: &[Matrix<'_>], cache: &[f32], x: &[f32], out: &mut [f32]) {
    for n in [1, 5, MANY] {
        let x = &x[..n * COLS];
        for &weights in weights {
            let out = &mut out[..n * ROWS];
            compute.matmul(x, n, &mut [Product { weights, out }]);
        }
        let silu = ops::Activation::Silu;
        let [gate, up, ..] = weights else {
            unreachable!("there are many types")
        };
        compute.gated_matmul(x, n, *gate, *up, silu, &mut out[..n * ROWS]);
        let attention = Attention {
            heads: 4,
            kv_heads: 2,
            key_dim: 64,
            value_dim: 64,
            value_stride: 64,
            scale: 0.125,
            softcap: None,
            chunk: None,
            window: None,
            causal: true,
            first_position: CAPACITY - n,
            pages: &[0],
            keys: CacheRows::F32(cache),
            values: CacheRows::F32(cache),
            sinks: None,
            slopes: None,
            chosen: None,
        };
        compute.attention(&attention, &x[..n * 256], n, &mut out[..n * 256]);
    }
}

#[test]
fn nothing_is_allocated_once_buffers_have_grown() {
    let types: Vec<(&QuantType, Vec<u8>)> = QUANTS
        .iter()
        .map(|quant| (*quant, vec![0; ROWS * quant.row_bytes(COLS).unwrap()]))
        .collect();
    let weights: Vec<Matrix<'_>> = types
        .iter()
        .map(|(quant, bytes)| Matrix::new(quant, ROWS, COLS, bytes).unwrap())
        .collect();
    let (x, cache) = (values(MANY * COLS), values(2 * PAGE * 64));
    let mut out = vec![0.0; MANY * COLS];
    for isa in cpu::available() {
        for threads in [1, 2] {
            let options = ComputeOptions {
                threads: Some(threads),
                threads_prompt: None,
                isa: Some(isa.name().to_owned()),
            };
            let mut compute = Compute::new(&options).unwrap();
            let mut count = |rounds: usize| {
                let before = COUNT.load(Ordering::Relaxed);
                for _ in 0..rounds {
                    layer(&mut compute, &weights, &cache, &x, &mut out);
                }
                COUNT.load(Ordering::Relaxed) - before
            };
            let first = count(2);
            assert!(
                first > 0,
                "{}: buffers have to come from somewhere",
                isa.name()
            );
            let rounds = 10;
            let later = count(rounds);
            // A second thread may come late to its first task, and its buffers grow then: once, not at every call.
            let most = if threads == 1 { 0 } else { rounds * 2 };
            let calls = rounds * 3 * (weights.len() + 2);
            assert!(
                later <= most,
                "{} with {threads} threads: {later} allocations in {calls} calls",
                isa.name()
            );
        }
    }
}
