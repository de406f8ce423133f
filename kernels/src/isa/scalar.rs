//! Plain Rust: what every CPU runs, and what the other instruction sets are compared with.

use super::float::Floats;
use super::{Columns, Isa, Kernels, Multiplies, Peak, RUN, RUNS, Rounded, UNIT, Unpacked};
use std::hint::black_box;

/// The scalar instruction set.
pub static SCALAR: Isa = Isa {
    name: "scalar",
    needs: &[],
    multiplies: Multiplies {
        dots: "plain Rust",
        tiles: "plain Rust",
    },
    special: None,
    floats: || Some(Floats::PORTABLE),
    kernels: Kernels {
        round: round_plain,
        dot: |_| None,
        dot_unpacked: dot_plain,
        unpack: |_| None,
        tile: |_| None,
        peak: Peak {
            multiply_adds: UNIT,
            run: peak,
        },
    },
};

/// Codes come from the first-level cache: plain Rust has no say over registers.
unsafe fn peak(rounds: usize) {
    let (a, b) = ([3i8; UNIT], [5i8; UNIT]);
    let mut sum = 0i32;
    for _ in 0..rounds {
        let (a, b) = (black_box(&a), black_box(&b));
        let products = a.iter().zip(b).map(|(&a, &b)| i32::from(a) * i32::from(b));
        sum = sum.wrapping_add(products.sum());
    }
    black_box(sum);
}

unsafe fn round_plain(x: &[f32], to: &mut Rounded) {
    round(x, to);
}

unsafe fn dot_plain(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    dot_unpacked(row, x, out);
}

/// See [`super::Ready::round`].
#[inline(always)]
pub(crate) fn round(x: &[f32], to: &mut Rounded) {
    // Runs of a known length make loops without ends to tidy up.
    let (whole, rest) = x.as_chunks::<RUN>();
    let (runs, _) = to.codes.as_chunks_mut::<RUN>();
    for ((x, codes), scale) in whole.iter().zip(&mut *runs).zip(&mut to.scales) {
        *scale = quantize(x, codes);
    }
    if x.len() < UNIT {
        to.scales[whole.len()..].fill(0.0);
        to.codes[whole.len() * RUN..].fill(0);
        if !rest.is_empty() {
            let codes = &mut to.codes[whole.len() * RUN..][..rest.len()];
            to.scales[whole.len()] = quantize(rest, codes);
        }
    }
    for (sum, codes) in to.sums.iter_mut().zip(to.codes.as_chunks::<16>().0) {
        *sum = codes.iter().map(|&code| i32::from(code)).sum();
    }
}

/// Rounds a run to -127 ..= 127 times the returned scale. NaN or infinity anywhere makes the scale NaN or infinite.
#[inline(always)]
fn quantize(x: &[f32], codes: &mut [i8]) -> f32 {
    // Magnitudes compare like their bits, and NaN above all: it can't be lost.
    let largest = x
        .iter()
        .fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff));
    let scale = f32::from_bits(largest) / 127.0;
    let inverse = 1.0 / scale;
    let inverse = if inverse.is_finite() { inverse } else { 0.0 };
    for (code, &x) in codes.iter_mut().zip(x) {
        // Adding 1.5 · 2^23 rounds to an integer (ties to even) that stands in the low bits.
        *code = (x * inverse + 12_582_912.0).to_bits() as i8;
    }
    scale
}

/// One row times every column, in the order that [`super`] lays down.
#[inline(always)]
pub(crate) fn dot_unpacked(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    let groups = RUN / row.group;
    for (column, out) in out.iter_mut().enumerate() {
        let codes = &x.codes[column * x.units * UNIT..][..x.units * UNIT];
        let scales = &x.scales[column * x.units * RUNS..][..x.units * RUNS];
        let mut acc = [0f32; RUNS];
        for (run, (x, scale)) in codes.chunks_exact(RUN).zip(scales).enumerate() {
            let mut t = 0.0;
            for group in 0..groups {
                let at = group * row.group;
                let sum: i32 = row.codes[run * RUN + at..][..row.group]
                    .iter()
                    .zip(&x[at..][..row.group])
                    .map(|(&w, &x)| i32::from(w) * i32::from(x))
                    .sum();
                t = (sum as f32).mul_add(row.scales[run * groups + group], t);
            }
            for group in 0..groups {
                if let Some(min) = row.mins.get(run * groups + group) {
                    let x = &x[group * row.group..][..row.group];
                    let sum: i32 = x.iter().map(|&code| i32::from(code)).sum();
                    t = (-min).mul_add(sum as f32, t);
                }
            }
            acc[run % RUNS] = t.mul_add(*scale, acc[run % RUNS]);
        }
        *out = total(acc);
    }
}

/// The sum of the eight running sums.
#[inline(always)]
pub(crate) fn total(acc: [f32; RUNS]) -> f32 {
    ((acc[0] + acc[4]) + (acc[2] + acc[6])) + ((acc[1] + acc[5]) + (acc[3] + acc[7]))
}
