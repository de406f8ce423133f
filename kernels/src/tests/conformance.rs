//! The suite over `QUANTS` × `ISAS`: whatever is registered is tested, on whatever this CPU has.
//!
//! Each type on each set is a test of its own ([`types`]). Unpacking equals the type's own, bit for bit. Products are
//! compared with sums in f64 over the same 8-bit activations, where only the rounding of f32 sums is allowed for, and bit
//! for bit with the one order of sums ([`order`]).

mod order;
mod reference;
mod types;

use crate::compute::{Compute, ComputeOptions};
use crate::cpu;
use crate::isa::{Ready, Rounded, UNIT};
use crate::matrix::Matrix;
use crate::product::Product;
use crate::quant::QuantType;
use crate::registry::QUANTS;

/// A small random number generator (xorshift64*).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// About normal, deviation 1.
    fn normal(&mut self) -> f32 {
        (0..6)
            .map(|_| (self.bits() >> 40) as f32 / (1 << 24) as f32 - 0.5)
            .sum::<f32>()
            * 1.4
    }
}

fn sets() -> Vec<Ready> {
    let ready: Vec<Ready> = cpu::available().filter_map(|isa| isa.ready()).collect();
    println!(
        "instruction sets: {:?}",
        ready.iter().map(|r| r.isa().name).collect::<Vec<_>>()
    );
    ready
}

fn coded() -> impl Iterator<Item = &'static QuantType> {
    QUANTS.iter().copied().filter(|quant| quant.codes.is_some())
}

fn finite(quant: &QuantType, block: &[u8]) -> bool {
    let mut values = vec![0.0; quant.block_elements];
    quant.dequantize(block, &mut values);
    // Far from the ends of f32, so that sums stay finite too.
    values.iter().all(|v| v.abs() < 1e6)
}

/// Random bytes that are finite numbers, then as many of them as can be become `fill`: the codes' extremes.
fn blocks(quant: &QuantType, count: usize, random: &mut Random, fill: Option<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..count {
        let mut block = vec![0u8; quant.block_bytes];
        for _ in 0..200 {
            block.fill_with(|| random.bits() as u8);
            if finite(quant, &block) {
                break;
            }
        }
        if !finite(quant, &block) {
            // Scales that are never finite at random: numbers quantized.
            let values: Vec<f32> = (0..quant.block_elements).map(|_| random.normal()).collect();
            if let Some(quantize) = quant.quantize {
                quantize(&values, None, &mut block);
            }
        }
        if let Some(fill) = fill {
            for at in 0..block.len() {
                let old = std::mem::replace(&mut block[at], fill);
                if !finite(quant, &block) {
                    block[at] = old;
                }
            }
        }
        bytes.extend(block);
    }
    bytes
}

fn nmse(got: &[f32], want: &[f64]) -> f64 {
    let error: f64 = got
        .iter()
        .zip(want)
        .map(|(&g, w)| (f64::from(g) - w).powi(2))
        .sum();
    let size: f64 = want.iter().map(|w| w * w).sum();
    // Of what is smaller, an f32 holds but a few bits.
    error / size.max(1e-70)
}

fn compute(ready: Ready, threads: usize) -> Compute {
    let isa = Some(ready.isa().name.to_string());
    Compute::new(&ComputeOptions {
        threads: Some(threads),
        threads_prompt: None,
        isa,
    })
    .unwrap()
}

fn product(compute: &mut Compute, matrix: Matrix<'_>, x: &[f32], n: usize) -> Vec<f32> {
    let mut out = vec![f32::NAN; n * matrix.rows()];
    compute.matmul(
        x,
        n,
        &mut [Product {
            weights: matrix,
            out: &mut out,
        }],
    );
    out
}

/// Numbers of rows and of columns that leave odd remainders everywhere.
const ODD: [usize; 6] = [1, 2, 3, 7, 31, 33];

/// All of what a test walks over or, where every instruction takes a hundred of an emulator's, every other: see `.ci/neon`.
fn some<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let step = 1 + usize::from(std::env::var_os("GRISTMILL_TESTS_EMULATED").is_some());
    all.iter().rev().step_by(step)
}

#[test]
fn every_set_rounds_alike() {
    let mut random = Random(2);
    let x: Vec<f32> = (0..UNIT).map(|_| random.normal()).collect();
    let mut want = Rounded::ZERO;
    crate::isa::scalar::round(&x, &mut want);
    for ready in sets() {
        for length in [UNIT, 255, 224, 33, 32, 31, 1, 0] {
            let mut padded = x.clone();
            padded[length..].fill(0.0);
            crate::isa::scalar::round(&padded, &mut want);
            let mut got = Rounded::ZERO;
            ready.round(&x[..length], &mut got);
            assert_eq!(got.codes, want.codes, "{} {length}", ready.isa().name);
            assert_eq!(got.sums, want.sums, "{} {length}", ready.isa().name);
            assert_eq!(got.scales, want.scales, "{} {length}", ready.isa().name);
        }
    }
}

#[test]
fn float_weights_are_not_rounded() {
    let mut computes: Vec<Compute> = sets().into_iter().map(|set| compute(set, 2)).collect();
    let odd = ODD.map(|rows| [1, 2, 3, 33].map(|cols| (rows, cols, &ODD[..])));
    let long: [(usize, usize, &[usize]); 3] = [
        (33, 300, &[16, 4]),
        (31, 257, &[31, 17]),
        (65, 520, &[33, 49]),
    ];
    for quant in QUANTS.iter().filter(|quant| quant.codes.is_none()) {
        let mut random = Random(13);
        for &(rows, cols, counts) in some(odd.as_flattened()).chain(&long) {
            let bytes = blocks(quant, rows * cols, &mut random, None);
            let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
            let x: Vec<f32> = (0..49 * cols).map(|_| random.normal()).collect();
            let mut weights = vec![0f32; rows * cols];
            quant.dequantize(&bytes, &mut weights);
            let dot = |w: &[f32], x: &[f32]| {
                let terms = w.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x));
                terms.sum::<f64>()
            };
            let of_column = |x| weights.chunks(cols).map(move |w| dot(w, x));
            let want: Vec<f64> = x.chunks(cols).flat_map(of_column).collect();
            for compute in &mut computes {
                for &n in counts {
                    let got = product(compute, matrix, &x[..n * cols], n);
                    assert!(
                        nmse(&got, &want[..n * rows]) < 1e-12,
                        "{} {} {rows}x{cols} n={n}",
                        compute.isa().name,
                        quant.name
                    );
                }
            }
        }
    }
}

/// The number of columns and of threads doesn't change a bit of products with float weights, nor does it matter whether
/// AVX2 or AVX-512 computes them.
#[test]
fn float_products_do_not_depend_on_the_number_of_columns() {
    use crate::isa::float::Floats;
    let bits = |out: &[f32]| out.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
    for quant in QUANTS.iter().filter(|quant| quant.codes.is_none()) {
        let mut random = Random(37);
        // Whole vectors and not, one depth and more; also a matrix that isn't aligned as its elements are.
        for (rows, cols, shift) in [(70, 640, 0), (37, 1100, 0), (9, 2049, 0), (33, 77, 1)] {
            let mut bytes = vec![0; shift];
            bytes.extend(blocks(quant, rows * cols, &mut random, None));
            let matrix = Matrix::new(quant, rows, cols, &bytes[shift..]).unwrap();
            let x: Vec<f32> = (0..64 * cols).map(|_| random.normal()).collect();
            let mut fused: Option<Vec<u32>> = None;
            for ready in sets() {
                let mut computes = [1, 2].map(|threads| compute(ready, threads));
                let single: Vec<u32> = x
                    .chunks(cols)
                    .flat_map(|x| bits(&product(&mut computes[0], matrix, x, 1)))
                    .collect();
                for compute in &mut computes {
                    for n in [1, 2, 5, 16, 17, 33, 64] {
                        let got = bits(&product(compute, matrix, &x[..n * cols], n));
                        assert!(
                            got == single[..n * rows],
                            "{} {} {rows}x{cols} n={n}",
                            ready.isa().name,
                            quant.name
                        );
                    }
                }
                if ready.floats() != Floats::PORTABLE {
                    let first = fused.get_or_insert_with(|| single.clone());
                    assert!(*first == single, "{} {}", ready.isa().name, quant.name);
                }
            }
        }
    }
}

#[test]
fn several_products_share_an_input_and_gates_multiply() {
    let x: Vec<f32> = (0..20 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let mut random = Random(17);
    let types = ["Q4_0", "F32", "Q8_0", "F16", "Q4_1"];
    let types = types.map(|name| *QUANTS.iter().find(|q| q.name == name).unwrap());
    let bytes = types.map(|quant| blocks(quant, 40 * 64 / quant.block_elements, &mut random, None));
    let matrices: Vec<Matrix<'_>> = types
        .iter()
        .zip(&bytes)
        .map(|(q, b)| Matrix::new(q, 40, 64, b).unwrap())
        .collect();
    for ready in sets() {
        let mut compute = compute(ready, 2);
        for n in [1, 20] {
            let x = &x[..n * 64];
            let mut outs: Vec<Vec<f32>> = matrices.iter().map(|_| vec![0.0; n * 40]).collect();
            let mut products: Vec<Product<'_>> = matrices
                .iter()
                .zip(&mut outs)
                .map(|(&weights, out)| Product { weights, out })
                .collect();
            compute.matmul(x, n, &mut products);
            for (matrix, out) in matrices.iter().zip(&outs) {
                assert!(*out == product(&mut compute, *matrix, x, n));
            }
            let mut gated = vec![0.0; n * 40];
            let silu = crate::ops::Activation::Silu;
            compute.gated_matmul(x, n, matrices[0], matrices[2], silu, &mut gated);
            let mut want = outs[0].clone();
            crate::ops::gated(compute.floats(), silu, &mut want, &outs[2]);
            assert!(gated == want);
        }
    }
}

#[test]
fn a_matrix_of_the_wrong_size_is_refused() {
    let quant = QUANTS.iter().find(|q| q.name == "Q4_0").unwrap();
    assert!(Matrix::new(quant, 2, 64, &[0; 72]).is_ok());
    for (rows, cols, len) in [
        (2, 64, 71),
        (2, 65, 72),
        (usize::MAX, 64, 72),
        (2, usize::MAX, 72),
    ] {
        assert!(Matrix::new(quant, rows, cols, &vec![0; len]).is_err());
    }
}

#[test]
fn floats_go_with_their_set() {
    for ready in sets() {
        let name = ready.isa().name;
        let want = if name.starts_with("avx512") {
            "avx512"
        } else if name.starts_with("avx") {
            "avx2"
        } else {
            "portable"
        };
        assert_eq!(ready.floats().name(), want, "{name}");
        assert_eq!(compute(ready, 1).floats(), ready.floats());
    }
}
