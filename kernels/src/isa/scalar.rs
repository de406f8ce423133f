//! Plain Rust: what every CPU runs, and what the other instruction sets are compared with.

use super::{Columns, Isa, Kernels, Multiplies, Peak, Rounded, UNIT, Unpacked};
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
    kernels: Kernels {
        round: round_plain,
        dot: |_| None,
        dot_unpacked: dot_plain,
        unpack: |_| None,
        tile: None,
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

unsafe fn round_plain(x: &[f32], group: usize, to: &mut Rounded) {
    round(x, group, to);
}

unsafe fn dot_plain(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    dot_unpacked(row, x, out);
}

/// See [`super::Ready::round`].
#[inline(always)]
pub fn round(x: &[f32], group: usize, to: &mut Rounded) {
    // Groups of a known length make loops without ends to tidy up.
    if group == 32 {
        round_groups::<32>(x, to);
    } else {
        round_groups::<64>(x, to);
    }
}

#[inline(always)]
fn round_groups<const G: usize>(x: &[f32], to: &mut Rounded) {
    let (whole, rest) = x.as_chunks::<G>();
    let (groups, _) = to.codes.as_chunks_mut::<G>();
    for ((x, codes), scale) in whole.iter().zip(&mut *groups).zip(&mut to.scales) {
        *scale = quantize(x, codes);
    }
    if x.len() < UNIT {
        to.scales[whole.len()..].fill(0.0);
        to.codes[whole.len() * G..].fill(0);
        if !rest.is_empty() {
            let codes = &mut to.codes[whole.len() * G..][..rest.len()];
            to.scales[whole.len()] = quantize(rest, codes);
        }
    }
    for (sum, codes) in to.sums.iter_mut().zip(to.codes.as_chunks::<16>().0) {
        *sum = codes.iter().map(|&code| i32::from(code)).sum();
    }
}

/// Rounds a group to -127 ..= 127 times the returned scale. NaN or infinity anywhere makes the scale NaN or infinite.
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

/// One row times every column, groups in order.
#[inline(always)]
pub fn dot_unpacked(row: &Unpacked<'_>, x: &Columns<'_>, out: &mut [f32]) {
    let groups = UNIT / row.group * x.units;
    for (column, out) in out.iter_mut().enumerate() {
        let codes = &x.codes[column * x.units * UNIT..][..x.units * UNIT];
        let scales = &x.scales[column * x.units * 8..][..x.units * 8];
        let sums = if row.group == 32 { x.sums } else { x.half_sums };
        let sums = &sums[column * groups..][..groups];
        let mut total = 0.0;
        for (group, x_sum) in sums.iter().enumerate() {
            let at = group * row.group;
            let sum: i32 = row.codes[at..][..row.group]
                .iter()
                .zip(&codes[at..][..row.group])
                .map(|(&w, &x)| i32::from(w) * i32::from(x))
                .sum();
            total += row.scales[group] * scales[at / 32] * sum as f32;
            if let Some(min) = row.mins.get(group) {
                total -= min * x_sum;
            }
        }
        *out = total;
    }
}
