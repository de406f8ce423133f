//! Every type with codes on every instruction set, a test each: `types::q4_k::avx2`.

use super::reference::Reference;
use super::*;
use crate::registry::ISAS;

/// Declares the tests: types, then sets.
macro_rules! tests {
    ($($name:ident)*; $sets:tt) => {
        /// The types that are tested, by their names in lower case.
        const TESTED: &[&str] = &[$(stringify!($name)),*];
        $(tests!(type $name $sets);)*
    };
    (type $name:ident [$($set:ident)*]) => {
        mod $name {
            $(
                #[test]
                fn $set() {
                    super::suite(stringify!($name), stringify!($set));
                }
            )*
        }
    };
}

#[cfg(target_arch = "x86_64")]
macro_rules! on_sets {
    ($($name:ident)*) => {
        tests! { $($name)*; [scalar avx2 avxvnni avx512vl avx512 avx512vbmi] }
        const SETS: &[&str] = &["scalar", "avx2", "avxvnni", "avx512vl", "avx512", "avx512vbmi"];
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! on_sets {
    ($($name:ident)*) => {
        tests! { $($name)*; [scalar neon dotprod i8mm] }
        const SETS: &[&str] = &["scalar", "neon", "dotprod", "i8mm"];
    };
}
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
macro_rules! on_sets {
    ($($name:ident)*) => {
        tests! { $($name)*; [scalar] }
        const SETS: &[&str] = &["scalar"];
    };
}

on_sets! {
    q4_0 q4_1 q5_0 q5_1 q8_0 q8_1 q2_k q3_k q4_k q5_k q6_k q8_k iq2_xxs iq2_xs iq3_xxs iq1_s iq4_nl iq3_s iq2_s iq4_xs
    iq1_m tq1_0 tq2_0 mxfp4 nvfp4 q1_0 q2_0
}

#[test]
fn whatever_is_registered_is_tested() {
    let names: Vec<String> = coded().map(|quant| quant.name.to_lowercase()).collect();
    assert_eq!(names, TESTED);
    let sets: Vec<&str> = ISAS.iter().map(|isa| isa.name).collect();
    assert_eq!(sets, SETS);
}

/// All that is to be shown of a type on a set.
fn suite(name: &str, set: &str) {
    let quant = coded()
        .find(|quant| quant.name.eq_ignore_ascii_case(name))
        .unwrap();
    let isa = ISAS.iter().find(|isa| isa.name == set).unwrap();
    let Some(ready) = isa.ready() else {
        println!(
            "skipped: this CPU lacks {}",
            isa.missing().collect::<Vec<_>>().join(", ")
        );
        return;
    };
    unpacks_as_the_type_does(ready, quant);
    let mut compute = compute(ready, 2);
    small_shapes(ready, &mut compute, quant);
    many_units_and_parts_of_one(ready, &mut compute, quant);
    a_row_does_not_see_the_next_one(ready, &mut compute, quant);
    nothing_saturates(ready, &mut compute, quant);
    rows_of_a_large_matrix_are_the_same_rows_alone(ready, &mut compute, quant);
    neither_threads_nor_columns_change_bits(ready, quant);
}

fn unpacks_as_the_type_does(ready: Ready, quant: &QuantType) {
    let mut random = Random(1);
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
            assert_eq!(a, b, "codes");
            assert_eq!(s, t, "scales");
            assert_eq!(m, n, "mins");
            assert!(b.iter().all(|&c| c >= codes.range.0 && c <= codes.range.1));
        }
    }
}

/// Compares products of a random matrix with their references: of the first columns of one input, for each of `counts`.
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
    let reference = Reference::new(ready, quant, &bytes, cols, &x);
    for &n in counts {
        let got = product(compute, matrix, &x[..n * cols], n);
        reference.check(&got, 1e-5);
        assert!(reference.nmse(&got) < 1e-6, "n={n}");
    }
}

fn small_shapes(ready: Ready, compute: &mut Compute, quant: &'static QuantType) {
    let mut random = Random(7);
    for &rows in some(&ODD) {
        for blocks in [1, 2, 3] {
            let shape = (rows, blocks * quant.block_elements);
            walk((ready, compute), &mut random, quant, shape, &ODD);
        }
    }
    // More columns than a block of activations has.
    let shape = (3, 2 * quant.block_elements);
    let counts = [4, 5, 6, 16, 17, 18, 19, 49];
    walk((ready, compute), &mut random, quant, shape, &counts);
}

fn many_units_and_parts_of_one(ready: Ready, compute: &mut Compute, quant: &'static QuantType) {
    let mut lengths = vec![4 * UNIT, 9 * UNIT, 33 * UNIT];
    if quant.block_elements < UNIT {
        let parts = (1..UNIT / quant.block_elements).map(|blocks| blocks * quant.block_elements);
        lengths.extend(parts.flat_map(|part| [UNIT + part, 2 * UNIT + part]));
        lengths.push(13 * UNIT - quant.block_elements);
    }
    let mut random = Random(19);
    for &cols in some(&lengths) {
        // The last row has nothing behind it that could be read, the others have. Seven columns are 4, 2 and 1.
        let shape = (3, cols);
        walk(
            (ready, compute),
            &mut random,
            quant,
            shape,
            &[1, 2, 4, 7, 17],
        );
    }
}

fn a_row_does_not_see_the_next_one(ready: Ready, compute: &mut Compute, quant: &'static QuantType) {
    if quant.block_elements == UNIT {
        return;
    }
    // The last part of a unit is read together with blocks of the next row, here infinities and NaN where a type has any.
    let mut random = Random(31);
    for cols in [quant.block_elements, 2 * UNIT + quant.block_elements] {
        let count = cols / quant.block_elements;
        let mut bytes = blocks(quant, count, &mut random, None);
        let x: Vec<f32> = (0..20 * cols).map(|_| random.normal()).collect();
        let reference = Reference::new(ready, quant, &bytes, cols, &x);
        bytes.resize(8 * bytes.len(), 0xff);
        let matrix = Matrix::new(quant, 8, cols, &bytes).unwrap();
        for n in [1, 2, 4, 20] {
            let got = product(compute, matrix, &x[..n * cols], n);
            let first: Vec<f32> = got.iter().copied().step_by(8).collect();
            reference.check(&first, 1e-5);
        }
    }
}

fn rows_of_a_large_matrix_are_the_same_rows_alone(
    ready: Ready,
    compute: &mut Compute,
    quant: &'static QuantType,
) {
    // Seven rows over and over, in a megabyte: threads get strips of several groups of rows that share activations.
    let cols = 5 * UNIT;
    let seven = blocks(
        quant,
        7 * cols / quant.block_elements,
        &mut Random(23),
        None,
    );
    let rows = (1 << 20) / (seven.len() / 7) + 1;
    let bytes: Vec<u8> = seven
        .iter()
        .copied()
        .cycle()
        .take(rows * seven.len() / 7)
        .collect();
    let mut random = Random(29);
    let x: Vec<f32> = (0..3 * cols).map(|_| random.normal()).collect();
    let want = order::model(ready, quant, &seven, cols, &x);
    let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
    for n in [1, 3] {
        let got = product(compute, matrix, &x[..n * cols], n);
        for (column, want) in got.chunks(rows).zip(want.chunks(7)) {
            let same = column.iter().zip(want.iter().cycle()).all(|(a, b)| a == b);
            assert!(same, "n={n}");
        }
    }
}

fn nothing_saturates(ready: Ready, compute: &mut Compute, quant: &'static QuantType) {
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
            let got = product(compute, matrix, &x, n);
            // Columns repeat after two.
            let x = &x[..n.min(2) * 1024];
            // One saturated pair of products would be off by a thousandth of a group, and more.
            Reference::new(ready, quant, &bytes, 1024, x).check(&got, 4e-6);
        }
    }
}

fn neither_threads_nor_columns_change_bits(ready: Ready, quant: &'static QuantType) {
    let mut random = Random(5);
    let (rows, count) = (131, 768usize.div_ceil(quant.block_elements));
    let cols = count * quant.block_elements;
    let bytes = blocks(quant, rows * count, &mut random, None);
    let matrix = Matrix::new(quant, rows, cols, &bytes).unwrap();
    let x: Vec<f32> = (0..64 * cols).map(|_| random.normal()).collect();
    let mut one = compute(ready, 1);
    let single: Vec<f32> = x
        .chunks(cols)
        .flat_map(|x| product(&mut one, matrix, x, 1))
        .collect();
    assert!(single.iter().all(|v| v.is_finite()));
    for &threads in some(&[1, 2, 3]) {
        let mut compute = compute(ready, threads);
        for &n in some(&[2, 5, 16, 17, 33, 64]) {
            let all = product(&mut compute, matrix, &x[..n * cols], n);
            assert!(all == single[..n * rows], "{threads} threads, n={n}");
        }
    }
}
