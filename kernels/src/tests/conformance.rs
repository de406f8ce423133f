//! The suite over `QUANTS` × `ISAS`: whatever is registered is tested, on whatever this CPU has.
//!
//! Unpacking equals the type's own, bit for bit. Products are compared with sums in f64 over the same 8-bit activations,
//! where only the rounding of f32 sums is allowed for, and bit for bit with their set's own order of sums ([`order`]).

mod order;
mod reference;

use crate::compute::{Compute, ComputeOptions, FEW_COLUMNS, Matrix, Product};
use crate::cpu;
use crate::isa::{ACTIVATION_GROUP, DOT_ACTIVATION_GROUP, Ready, Rounded, UNIT};
use crate::quant::QuantType;
use crate::registry::QUANTS;
use reference::Reference;

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
    (quant.dequantize)(block, &mut values);
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

#[test]
fn every_set_unpacks_every_type_as_the_type_does() {
    let mut random = Random(1);
    for ready in sets() {
        for quant in coded() {
            let codes = quant.codes.as_ref().unwrap();
            let most = 256 / quant.block_elements;
            for count in [1, 2, 3, 5, 7, 8].into_iter().filter(|&c| c <= most) {
                for fill in [None, Some(0), Some(0xff), Some(0x80), Some(0x77)] {
                    let bytes = blocks(quant, count, &mut random, fill);
                    let elements = count * quant.block_elements;
                    let groups = elements / codes.group;
                    let (mut a, mut b) = (vec![0i8; elements], vec![0i8; elements]);
                    let mut numbers = vec![vec![0f32; groups]; 4];
                    let [s, m, t, n] = &mut numbers[..] else {
                        unreachable!()
                    };
                    ready.unpack(quant, &bytes, &mut a, s, m);
                    (codes.unpack)(&bytes, &mut b, t, n);
                    assert_eq!(a, b, "{} {} codes", ready.isa().name, quant.name);
                    assert_eq!(s, t, "{} {} scales", ready.isa().name, quant.name);
                    assert_eq!(m, n, "{} {} mins", ready.isa().name, quant.name);
                    assert!(b.iter().all(|&c| c >= codes.range.0 && c <= codes.range.1));
                }
            }
        }
    }
}

/// Whether a product of so many columns goes through the tiles.
fn is_many(ready: Ready, n: usize) -> bool {
    n > FEW_COLUMNS && ready.tile().is_some()
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
    let mut out = vec![f32::NAN; n * matrix.rows];
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

/// Compares products of a random matrix with their references: of the first so many columns of one input, for each of
/// `counts`.
fn walk(
    (ready, compute): (Ready, &mut Compute),
    random: &mut Random,
    quant: &'static QuantType,
    (rows, cols): (usize, usize),
    counts: &[usize],
) {
    let bytes = blocks(quant, rows * cols / quant.block_elements, random, None);
    let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
    let most = *counts.iter().max().unwrap();
    let x: Vec<f32> = (0..most * cols).map(|_| random.normal()).collect();
    for many in [false, true] {
        let counts = counts.iter().filter(|&&n| is_many(ready, n) == many);
        let Some(&most) = counts.clone().max() else {
            continue;
        };
        let reference = Reference::new(ready, quant, &bytes, cols, &x[..most * cols], many);
        for &n in counts {
            let got = product(compute, matrix, &x[..n * cols], n);
            // Codes biased for unsigned instructions make terms up to four times as large (Q4_0: 15 for 7).
            reference.check(&got, 2e-5);
            assert!(reference.nmse(&got) < 1e-6, "{} n={n}", quant.name);
        }
    }
}

/// Numbers of rows and of columns that leave odd remainders everywhere.
const ODD: [usize; 6] = [1, 2, 3, 7, 31, 33];

#[test]
fn products_of_every_type_on_every_set_are_exact_sums_in_its_order() {
    for ready in sets() {
        let mut compute = compute(ready, 2);
        for quant in coded() {
            let mut random = Random(7);
            for rows in ODD {
                for blocks in [1, 2, 3] {
                    let shape = (rows, blocks * quant.block_elements);
                    walk((ready, &mut compute), &mut random, quant, shape, &ODD);
                }
            }
            // More columns than a block of activations has.
            let shape = (3, 2 * quant.block_elements);
            walk((ready, &mut compute), &mut random, quant, shape, &[17, 49]);
        }
    }
}

/// Lengths of rows for the dots: as many units as scales are made ready ahead, as many as there are places for them, more;
/// and, where blocks are smaller than units, whole units and a part of one.
fn long_rows(quant: &QuantType) -> Vec<usize> {
    let mut lengths = vec![4 * UNIT, 5 * UNIT, 8 * UNIT, 9 * UNIT, 12 * UNIT, 33 * UNIT];
    let parts = (1..UNIT / quant.block_elements).map(|blocks| blocks * quant.block_elements);
    for part in parts {
        lengths.extend([UNIT + part, 2 * UNIT + part]);
    }
    if quant.block_elements < UNIT {
        lengths.extend([
            9 * UNIT + quant.block_elements,
            13 * UNIT - quant.block_elements,
        ]);
    }
    lengths
}

#[test]
fn rows_of_many_units_and_of_parts_of_one_are_exact_sums_in_their_order() {
    for ready in sets() {
        let mut compute = compute(ready, 2);
        for quant in coded() {
            let mut random = Random(19);
            for cols in long_rows(quant) {
                // The last row has nothing behind it that could be read, the others have. Seven columns are 4, 2 and 1.
                let (rows, counts): (_, &[usize]) = match cols / UNIT {
                    0..=5 => (3, &[1, 2, 4, 7, 17]),
                    _ => (2, &[1, 2, 4]),
                };
                walk(
                    (ready, &mut compute),
                    &mut random,
                    quant,
                    (rows, cols),
                    counts,
                );
            }
        }
    }
}

#[test]
fn a_row_does_not_see_the_next_one() {
    // The last part of a unit is read together with blocks of the next row, here infinities and NaN where a type has any.
    for ready in sets() {
        let mut compute = compute(ready, 1);
        for quant in coded().filter(|quant| quant.block_elements < UNIT) {
            let mut random = Random(31);
            for cols in [quant.block_elements, 2 * UNIT + quant.block_elements] {
                let count = cols / quant.block_elements;
                let mut bytes = blocks(quant, count, &mut random, None);
                let x: Vec<f32> = (0..4 * cols).map(|_| random.normal()).collect();
                let reference = Reference::new(ready, quant, &bytes, cols, &x, false);
                bytes.resize(8 * bytes.len(), 0xff);
                let matrix = Matrix::new(quant, 8, cols, &bytes).unwrap();
                for n in [1, 2, 4] {
                    let got = product(&mut compute, matrix, &x[..n * cols], n);
                    let first: Vec<f32> = got.iter().copied().step_by(8).collect();
                    reference.check(&first, 2e-5);
                }
            }
        }
    }
}

#[test]
fn rows_of_a_large_matrix_are_the_same_rows_alone() {
    // Seven rows over and over, in megabytes: threads get strips of several groups of rows that share activations.
    for name in ["Q4_0", "Q8_0", "Q6_K", "IQ4_XS"] {
        let quant = QUANTS.iter().find(|q| q.name == name).unwrap();
        let cols = 5 * UNIT;
        let seven = blocks(
            quant,
            7 * cols / quant.block_elements,
            &mut Random(23),
            None,
        );
        let rows = (3 << 20) / (seven.len() / 7) + 1;
        let bytes: Vec<u8> = seven
            .iter()
            .copied()
            .cycle()
            .take(rows * seven.len() / 7)
            .collect();
        let mut random = Random(29);
        let x: Vec<f32> = (0..3 * cols).map(|_| random.normal()).collect();
        for ready in sets() {
            let mut compute = compute(ready, 2);
            let want = order::model(ready, quant, &seven, cols, &x, false);
            let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
            for n in [1, 3] {
                let got = product(&mut compute, matrix, &x[..n * cols], n);
                for (column, want) in got.chunks(rows).zip(want.chunks(7)) {
                    let same = column.iter().zip(want.iter().cycle()).all(|(a, b)| a == b);
                    assert!(same, "{} {name} n={n}", ready.isa().name);
                }
            }
        }
    }
}

#[test]
fn nothing_saturates_at_the_extremes() {
    for ready in sets() {
        let mut compute = compute(ready, 1);
        for quant in coded() {
            let mut random = Random(3);
            let count = 1024 / quant.block_elements;
            for fill in [0, 0xff, 0x80, 0x7f, 0x77, 0xf0, 0x0f] {
                let rows = 33;
                let bytes = blocks(quant, rows * count, &mut random, Some(fill));
                let matrix = Matrix::new(quant, rows, 1024, &bytes).unwrap();
                for (n, pattern) in [(1, 0), (1, 1), (20, 0), (20, 1), (20, 2)] {
                    let x: Vec<f32> = (0..n * 1024)
                        .map(|i| match pattern {
                            0 => 127.0,
                            1 => -127.0,
                            _ => [127.0, -127.0][(i / 2 + i / 1024) % 2],
                        })
                        .collect();
                    let got = product(&mut compute, matrix, &x, n);
                    // Columns repeat after two.
                    let (x, many) = (&x[..n.min(2) * 1024], is_many(ready, n));
                    // One saturated pair of products would be off by a thousandth of a group, and more.
                    Reference::new(ready, quant, &bytes, 1024, x, many).check(&got, 4e-6);
                }
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for ready in sets() {
        let mut computes = [1, 2, 3, 4].map(|threads| compute(ready, threads));
        let [single, several @ ..] = &mut computes;
        for quant in QUANTS {
            let mut random = Random(5);
            let (rows, count) = (131, 768usize.div_ceil(quant.block_elements));
            let cols = count * quant.block_elements;
            let bytes = blocks(quant, rows * count, &mut random, None);
            let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
            let x: Vec<f32> = (0..40 * cols).map(|_| random.normal()).collect();
            for n in [1, 5, 40] {
                let x = &x[..n * cols];
                let one = product(single, matrix, x, n);
                assert!(one.iter().all(|v| v.is_finite()));
                for compute in &mut *several {
                    let more = product(compute, matrix, x, n);
                    assert!(one == more, "{} {} n={n}", ready.isa().name, quant.name);
                }
            }
        }
    }
}

#[test]
fn few_columns_are_single_columns_bit_for_bit() {
    for ready in sets() {
        let mut compute = compute(ready, 2);
        for quant in QUANTS {
            let mut random = Random(11);
            let (rows, count) = (37, 640usize.div_ceil(quant.block_elements));
            let cols = count * quant.block_elements;
            let bytes = blocks(quant, rows * count, &mut random, None);
            let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
            let x: Vec<f32> = (0..FEW_COLUMNS * cols).map(|_| random.normal()).collect();
            let single: Vec<f32> = x
                .chunks(cols)
                .flat_map(|x| product(&mut compute, matrix, x, 1))
                .collect();
            for n in [2, 3, 4, 5, 7, 8, 15, 16] {
                let all = product(&mut compute, matrix, &x[..n * cols], n);
                assert!(
                    all == single[..n * rows],
                    "{} {} n={n}",
                    ready.isa().name,
                    quant.name
                );
            }
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
        for &(rows, cols, counts) in odd.as_flattened().iter().chain(&long) {
            let bytes = blocks(quant, rows * cols, &mut random, None);
            let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
            let x: Vec<f32> = (0..49 * cols).map(|_| random.normal()).collect();
            let mut weights = vec![0f32; rows * cols];
            (quant.dequantize)(&bytes, &mut weights);
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
                if Floats::for_isa(ready.isa().name) != Floats::PORTABLE {
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
            let _entered = compute.enter();
            crate::ops::gated(silu, &mut outs[0].clone(), &outs[2]);
            let mut want = outs[0].clone();
            crate::ops::gated(silu, &mut want, &outs[2]);
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
fn ops_follow_the_set_of_their_compute() {
    use crate::isa::float::Floats;
    let outside = Floats::current().name();
    for ready in sets() {
        let compute = compute(ready, 3);
        let want = Floats::for_isa(ready.isa().name).name();
        compute.parallel(50, |_| assert_eq!(Floats::current().name(), want));
        compute.pieces(2, &mut [0.0; 50], |_, _| {
            assert_eq!(Floats::current().name(), want)
        });
        assert_eq!(Floats::current().name(), outside);
        let entered = compute.enter();
        assert_eq!(Floats::current().name(), want);
        drop(entered);
        assert_eq!(Floats::current().name(), outside);
    }
}
