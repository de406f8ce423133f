//! Products and attention on two threads, as small as they can be while every buffer and every cut through the memory they
//! share takes part: for Miri, under which the other suites take hours. See `.ci/miri`.
//!
//! Products are compared with those of one column on one thread, bit for bit; attention over equal values is that value.
//! Miri has no vector instructions, so it is the scalar set that runs, here as well as there.

use crate::attention::{Attention, CacheRows, PAGE};
use crate::compute::{Compute, ComputeOptions};
use crate::matrix::Matrix;
use crate::product::Product;
use crate::registry::QUANTS;

/// Bytes that look random, from a generator as simple as can be (Miri runs it step by step).
fn bytes(count: usize) -> Vec<u8> {
    let mut state = 1u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Small whole numbers and halves.
fn values(count: usize) -> Vec<f32> {
    let value = |byte: u8| f32::from(byte as i8) / 64.0;
    bytes(count).into_iter().map(value).collect()
}

fn compute(threads: usize) -> Compute {
    Compute::new(&ComputeOptions {
        threads: Some(threads),
        threads_prompt: None,
        isa: Some("scalar".to_string()),
    })
    .unwrap()
}

/// Equal, where a NaN equals any: blocks of random bytes hold some, and which one comes out is not defined.
fn equal(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}

fn products(compute: &mut Compute, matrices: &[Matrix<'_>], x: &[f32], n: usize) -> Vec<Vec<f32>> {
    let mut outs: Vec<Vec<f32>> = matrices
        .iter()
        .map(|matrix| vec![f32::INFINITY; n * matrix.rows()])
        .collect();
    let mut products: Vec<Product<'_>> = matrices
        .iter()
        .zip(&mut outs)
        .map(|(&weights, out)| Product { weights, out })
        .collect();
    compute.matmul(x, n, &mut products);
    outs
}

#[test]
fn products_of_every_type_on_two_threads() {
    let (mut one, mut two) = (compute(1), compute(2));
    for quant in QUANTS {
        let (rows, cols) = (2, quant.block_elements.max(32));
        let bytes = bytes(rows * cols / quant.block_elements * quant.block_bytes);
        let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
        let x = values(cols);
        let want = products(&mut one, &[matrix], &x, 1);
        let got = products(&mut two, &[matrix], &x, 1);
        assert!(equal(&got[0], &want[0]), "{}", quant.name);
    }
}

#[test]
fn two_products_of_two_columns_on_two_threads() {
    let (mut one, mut two) = (compute(1), compute(2));
    for name in ["F16", "Q4_1"] {
        let quant = QUANTS.iter().find(|quant| quant.name == name).unwrap();
        let (rows, cols) = (2, 64);
        let bytes = bytes(rows * cols / quant.block_elements * quant.block_bytes);
        let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
        let x = values(2 * cols);
        let want = products(&mut one, &[matrix], &x[cols..], 1);
        let got = products(&mut two, &[matrix, matrix], &x, 2);
        assert!(equal(&got[0], &got[1]), "{name}: two outputs");
        assert!(equal(&got[0][rows..], &want[0]), "{name}");
    }
}

#[test]
fn products_with_inputs_of_their_own() {
    let (mut one, mut two) = (compute(1), compute(2));
    // More than a job takes, of two types, and with an input of another length.
    let shapes = [("Q4_0", 32); 10]
        .into_iter()
        .chain([("F32", 32), ("Q8_0", 32), ("Q8_0", 64)]);
    let shapes: Vec<_> = shapes.collect();
    let quant = |name: &str| QUANTS.iter().find(|quant| quant.name == name).unwrap();
    let rows = 2;
    let size = |(name, cols): (&str, usize)| {
        let quant = quant(name);
        rows * cols / quant.block_elements * quant.block_bytes
    };
    let stored: Vec<Vec<u8>> = shapes.iter().map(|&shape| bytes(size(shape))).collect();
    let matrices = shapes.iter().zip(&stored);
    let matrices: Vec<Matrix<'_>> = matrices
        .map(|(&(name, cols), bytes)| Matrix::new(quant(name), rows, cols, bytes).unwrap())
        .collect();
    for n in [1, 2, 17] {
        let x = values(n * shapes.iter().map(|(_, cols)| cols).sum::<usize>());
        let mut outs = vec![vec![0.0; n * rows]; matrices.len()];
        let mut all: Vec<Product<'_>> = matrices
            .iter()
            .zip(&mut outs)
            .map(|(&weights, out)| Product { weights, out })
            .collect();
        two.matmul_each(&x, n, &mut all);
        let mut at = 0;
        for (matrix, out) in matrices.iter().zip(&outs) {
            let input = &x[at..][..n * matrix.cols()];
            at += input.len();
            let want = products(&mut one, &[*matrix], input, n);
            assert!(equal(out, &want[0]), "{} columns of {}", n, matrix.cols());
        }
    }
}

#[test]
fn many_columns_of_floats_and_of_codes_on_two_threads() {
    let (mut one, mut two) = (compute(1), compute(2));
    for name in ["F32", "F16", "Q4_0"] {
        let quant = QUANTS.iter().find(|quant| quant.name == name).unwrap();
        let (rows, cols, n) = (9, 32, 17);
        let bytes = bytes(rows * cols / quant.block_elements * quant.block_bytes);
        let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
        let x = values(n * cols);
        let want = products(&mut one, &[matrix], &x, n);
        let got = products(&mut two, &[matrix], &x, n);
        assert!(equal(&got[0], &want[0]), "{name}");
    }
}

#[test]
fn pieces_of_an_output_on_two_threads() {
    let mut two = compute(2);
    let weights = [0u8; 4];
    let matrix = Matrix::new(QUANTS[0], 1, 1, &weights).unwrap();
    // So that two threads are what the last product used.
    products(&mut two, &[matrix], &[1.0], 1);
    let mut out = vec![0.0; 23];
    two.pieces(4, &mut out, |first, piece| {
        for (at, value) in piece.iter_mut().enumerate() {
            *value += (first + at) as f32;
        }
    });
    assert!(out.iter().enumerate().all(|(i, &value)| value == i as f32));
}

#[test]
fn attention_of_few_and_of_many_queries_on_two_threads() {
    let mut two = compute(2);
    // Odd widths, so that rows have ends to fill up.
    let (heads, dim) = (2, 24);
    // Few queries see enough keys to be worth sharing.
    for (n, keys) in [(2, 700), (17, 33)] {
        let rows = 3 * PAGE;
        let k = values(rows * dim);
        let value = values(dim);
        let v = value.repeat(rows);
        let attention = Attention {
            heads,
            kv_heads: 1,
            key_dim: dim,
            value_dim: dim,
            value_stride: dim,
            scale: 0.2,
            softcap: None,
            chunk: None,
            window: None,
            causal: true,
            first_position: keys - n,
            pages: &[0, 1, 2],
            keys: CacheRows::F32(&k),
            values: CacheRows::F32(&v),
            sinks: None,
            slopes: None,
            chosen: None,
        };
        let mut out = vec![f32::NAN; n * heads * dim];
        two.attention(&attention, &values(n * heads * dim), n, &mut out);
        for (got, want) in out.iter().zip(value.iter().cycle()) {
            assert!((got - want).abs() < 1e-5, "{n} queries: {got} for {want}");
        }
    }
}
