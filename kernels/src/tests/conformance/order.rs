//! Products to the last bit: each instruction set's order of float operations, written once more in plain Rust.
//!
//! Integer sums are exact on every set, so results can differ only by the order in which scaled sums are added. That order
//! is fixed, and few: the tiles of all sets share one, the dots of all x86 sets another, those of NEON a third (its
//! vectors have four lanes), and the scalar set goes group by group. Here each is followed over the type's own plain
//! `unpack`, and the kernels must give the same bits; a single wrong integer, lane or rounding would show. The x86 sets
//! are thereby equal to each other, and so are the tiles of all sets.
//!
//! The scalar set does not itself follow the vectors' order: that would take a fused multiply-add for every lane, which
//! the CPUs that run it have to emulate.

use super::*;

/// A row as its type unpacks it.
struct Row {
    codes: Vec<i8>,
    scales: Vec<f32>,
    mins: Vec<f32>,
    group: usize,
    has_mins: bool,
    /// What the fused dots add to codes so that they are unsigned, and take off by the sums of the activations.
    bias: i32,
}

impl Row {
    fn new(quant: &QuantType, bytes: &[u8], fused: bool) -> Row {
        let format = quant.codes.as_ref().unwrap();
        let length = bytes.len() / quant.block_bytes * quant.block_elements;
        let groups = length / format.group;
        let (mut codes, mut scales) = (vec![0; length], vec![0.0; groups]);
        let mut mins = vec![0.0; groups];
        (format.unpack)(bytes, &mut codes, &mut scales, &mut mins);
        // Types of few bits with codes around 0; wider ones, and those with signs of their own, are multiplied as signed
        // numbers.
        let biased = [
            "Q4_0", "Q5_0", "Q3_K", "Q6_K", "IQ1_S", "IQ1_M", "TQ1_0", "TQ2_0", "Q1_0", "Q2_0",
        ];
        let biased = biased.contains(&quant.name);
        Row {
            codes,
            scales,
            mins,
            group: format.group,
            has_mins: format.has_mins,
            bias: if fused && biased {
                -i32::from(format.range.0)
            } else {
                0
            },
        }
    }

    /// The integer sum of some of a group's products.
    fn products(&self, x: &[i8], indices: impl Iterator<Item = usize>) -> f32 {
        let product = |i: usize| (i32::from(self.codes[i]) + self.bias) * i32::from(x[i]);
        indices.map(product).sum::<i32>() as f32
    }

    /// What a group takes off for each of its activations' sum: the minimum, or what the bias has added.
    fn lowered(&self, group: usize) -> f32 {
        if self.bias != 0 {
            self.scales[group] * self.bias as f32
        } else {
            self.mins[group]
        }
    }
}

/// A column of activations, rounded in groups of `step`.
struct Column {
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Column {
    fn new(ready: Ready, x: &[f32], step: usize) -> Column {
        let (mut codes, mut scales) = (Vec::new(), Vec::new());
        let mut rounded = Rounded::ZERO;
        for x in x.chunks(UNIT) {
            ready.round(x, step, &mut rounded);
            codes.extend(&rounded.codes[..x.len()]);
            scales.extend(&rounded.scales[..x.len().div_ceil(step)]);
        }
        Column { codes, scales }
    }

    /// Σ codes of 16 from `at`.
    fn sum16(&self, at: usize) -> f32 {
        self.codes[at..][..16]
            .iter()
            .map(|&c| i32::from(c))
            .sum::<i32>() as f32
    }

    /// scale · Σ codes of a group, as the dots have it.
    fn scaled_sum(&self, group: usize, size: usize) -> f32 {
        let scale = self.scales[group * size / DOT_ACTIVATION_GROUP];
        let half = |at: usize| self.sum16(at) * scale;
        let at = group * size;
        if size == 16 {
            half(at)
        } else {
            half(at) + half(at + 16)
        }
    }
}

/// The dots of the scalar set: group by group.
fn group_by_group(row: &Row, x: &Column) -> f32 {
    let mut total = 0.0;
    for group in 0..row.scales.len() {
        let at = group * row.group;
        let sum = row.products(&x.codes, at..at + row.group);
        total += row.scales[group] * x.scales[at / 32] * sum;
        if row.has_mins {
            total -= row.mins[group] * x.scaled_sum(group, row.group);
        }
    }
    total
}

/// The dots of x86: eight lanes, the products of four codes in each; even and odd runs of 32 apart.
fn eight_lanes(row: &Row, x: &Column, fused: bool) -> f32 {
    let mut products = [[0f32; 8]; 2];
    for run in 0..row.codes.len() / 32 {
        for (lane, product) in products[run % 2].iter_mut().enumerate() {
            let at = run * 32 + lane * 4;
            let scale = row.scales[at / row.group] * x.scales[run];
            *product = row.products(&x.codes, at..at + 4).mul_add(scale, *product);
        }
    }
    let mut lowered = [0f32; 8];
    if row.has_mins || row.bias != 0 {
        for group in 0..row.scales.len() {
            let lane = &mut lowered[group % 8];
            *lane = row
                .lowered(group)
                .mul_add(x.scaled_sum(group, row.group), *lane);
        }
    }
    let total: [f32; 8] = std::array::from_fn(|i| products[0][i] + products[1][i]);
    let sum = |t: [f32; 8]| ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
    if fused {
        sum(std::array::from_fn(|i| total[i] - lowered[i]))
    } else if row.has_mins {
        sum(total) - sum(lowered)
    } else {
        sum(total)
    }
}

/// The dots of NEON: four lanes, even and odd runs of 32 (or groups of 16) apart. `widening`: without `sdot`, whose lanes
/// are runs of four, a lane has two neighbours and the two that lie eight further.
fn four_lanes(row: &Row, x: &Column, fused: bool, widening: bool) -> f32 {
    let mut products = [[0f32; 4]; 2];
    let step = row.group;
    for group in 0..row.scales.len() {
        for (lane, product) in products[group % 2].iter_mut().enumerate() {
            let in_lane = |i: &usize| {
                let i = i % 16;
                lane == if widening { i % 8 / 2 } else { i / 4 }
            };
            let at = group * step;
            let scale = row.scales[group] * x.scales[at / 32];
            let sum = row.products(&x.codes, (at..at + step).filter(in_lane));
            *product = sum.mul_add(scale, *product);
        }
    }
    let mut total: [f32; 4] = std::array::from_fn(|i| products[0][i] + products[1][i]);
    let mut lowered = [[0f32; 4]; 2];
    if row.has_mins || row.bias != 0 {
        for group in 0..row.scales.len() {
            let (min, sum) = (row.lowered(group), x.scaled_sum(group, step));
            if fused {
                let lane = &mut lowered[group / 4 % 2][group % 4];
                *lane = min.mul_add(sum, *lane);
            } else {
                total[group % 4] = (-min).mul_add(sum, total[group % 4]);
            }
        }
    }
    if fused && (row.has_mins || row.bias != 0) {
        total = std::array::from_fn(|i| total[i] - (lowered[0][i] + lowered[1][i]));
    }
    (total[0] + total[1]) + (total[2] + total[3])
}

/// The tiles: a row is one lane, groups in order; sums of what shares an activation scale, then those times the scale.
fn tile(row: &Row, x: &Column) -> f32 {
    let mut total = 0f32;
    for (part, &x_scale) in x.scales.iter().enumerate() {
        let first = part * ACTIVATION_GROUP;
        let end = row.codes.len().min(first + ACTIVATION_GROUP);
        let mut scaled = 0f32;
        for at in (first..end).step_by(row.group) {
            let group = at / row.group;
            let sum = row.products(&x.codes, at..at + row.group);
            scaled = sum.mul_add(row.scales[group], scaled);
            if row.has_mins {
                let sum = (at..at + row.group)
                    .step_by(16)
                    .map(|at| x.sum16(at))
                    .sum::<f32>();
                scaled = (-row.mins[group]).mul_add(sum, scaled);
            }
        }
        total = scaled.mul_add(x_scale, total);
    }
    total
}

/// What this set must make of all columns of `x` where a product has so many that they go through the tiles (`many`), or
/// fewer; how many doesn't matter otherwise.
pub fn model(
    ready: Ready,
    quant: &QuantType,
    bytes: &[u8],
    cols: usize,
    x: &[f32],
    many: bool,
) -> Vec<f32> {
    let row_bytes = cols / quant.block_elements * quant.block_bytes;
    let fused = !many && ready.dot(quant).is_some();
    let rows: Vec<Row> = bytes
        .chunks(row_bytes)
        .map(|bytes| Row::new(quant, bytes, fused))
        .collect();
    let step = if many {
        ACTIVATION_GROUP
    } else {
        DOT_ACTIVATION_GROUP
    };
    let mut out = Vec::new();
    for x in x.chunks(cols) {
        let x = Column::new(ready, x, step);
        out.extend(rows.iter().map(|row| match ready.isa().name {
            _ if many => tile(row, &x),
            "scalar" => group_by_group(row, &x),
            "neon" => four_lanes(row, &x, fused, true),
            "dotprod" | "i8mm" => four_lanes(row, &x, fused, false),
            _ => eight_lanes(row, &x, fused),
        }));
    }
    out
}
