//! Activations rounded to 8 bits, in the two orders that the kernels read: whole columns for the dots, and unit by unit
//! with all columns together for the tiles.

use crate::isa::aligned::Aligned;
use crate::isa::{
    ACTIVATION_GROUP, Columns, DOT_ACTIVATION_GROUP, Ready, TileColumns, UNIT, UNIT_GROUPS,
    UNIT_SCALES,
};
use crate::pool::Team;
use std::sync::Mutex;

/// Columns in the order of the dots.
#[derive(Debug, Default)]
pub struct FewColumns {
    codes: Aligned<i8>,
    scales: Aligned<f32>,
    sums: Aligned<f32>,
    half_sums: Aligned<f32>,
}

impl FewColumns {
    /// Rounds `count` columns of `length`.
    pub fn fill(&mut self, ready: Ready, x: &[f32], count: usize, length: usize) -> Columns<'_> {
        let units = length.div_ceil(UNIT);
        let codes = self.codes.of(count * units * UNIT);
        let scales = self.scales.of(count * units * 8);
        let sums = self.sums.of(count * units * 8);
        let half_sums = self.half_sums.of(count * units * 16);
        for column in 0..count {
            let at = column * units * UNIT;
            let codes = &mut codes[at..][..units * UNIT];
            let scales = &mut scales[at / 32..][..units * 8];
            let half_sums = &mut half_sums[at / 16..][..units * 16];
            codes[length..].fill(0);
            scales[length / 32..].fill(0.0);
            let groups = codes.chunks_mut(DOT_ACTIVATION_GROUP);
            let x = x[column * length..][..length].chunks(DOT_ACTIVATION_GROUP);
            for (group, (x, codes)) in x.zip(groups).enumerate() {
                scales[group] = ready.quantize(x, &mut codes[..x.len()]);
            }
            for (sum, (group, codes)) in
                half_sums.iter_mut().zip(codes.chunks_exact(16).enumerate())
            {
                let total: i32 = codes.iter().map(|&code| i32::from(code)).sum();
                *sum = total as f32 * scales[group / 2];
            }
            let pairs = half_sums.chunks_exact(2);
            for (sum, pair) in sums[at / 32..][..units * 8].iter_mut().zip(pairs) {
                *sum = pair[0] + pair[1];
            }
        }
        Columns {
            count,
            length,
            units,
            codes,
            scales,
            sums,
            half_sums,
        }
    }
}

/// Columns in the order of the tiles: one [`Unit`] for each 256 activations of depth.
#[derive(Debug, Default)]
pub struct ManyColumns {
    units: Vec<Mutex<Unit>>,
    ready: Vec<Unit>,
}

/// One unit of all columns, see [`TileColumns`].
#[derive(Debug, Default)]
struct Unit {
    codes: Aligned<u8>,
    scales: Aligned<f32>,
    sums: Aligned<f32>,
    pair_sums: Aligned<f32>,
}

impl ManyColumns {
    /// Rounds `count` columns of `length`, on at most `limit` threads.
    #[allow(clippy::too_many_arguments)] // the operands of a parallel pass
    pub fn fill(
        &mut self,
        ready: Ready,
        team: &Team,
        limit: usize,
        x: &[f32],
        count: usize,
        length: usize,
        unsigned: bool,
    ) {
        let units = length.div_ceil(UNIT);
        self.units.clear();
        self.ready
            .resize_with(self.ready.len().max(units), Unit::default);
        self.units.extend(self.ready.drain(..).map(Mutex::new));
        let all = &self.units;
        team.for_each(limit, units, |_, index| {
            // One task a unit: the lock is never contended, and a panic elsewhere has no part in this memory.
            let mut unit = match all[index].lock() {
                Ok(unit) => unit,
                Err(poisoned) => poisoned.into_inner(),
            };
            let depth = UNIT.min(length - index * UNIT);
            unit.fill(ready, &x[index * UNIT..], count, length, depth, unsigned);
        });
        let back = self.units.drain(..).map(|unit| match unit.into_inner() {
            Ok(unit) => unit,
            Err(poisoned) => poisoned.into_inner(),
        });
        self.ready.extend(back);
    }

    /// Unit number `index` of the columns that were filled in last.
    pub fn unit(&self, index: usize, count: usize) -> TileColumns<'_> {
        let unit = &self.ready[index];
        TileColumns {
            count,
            codes: unit.codes.get(count * UNIT),
            scales: unit.scales.get(count * UNIT_SCALES),
            sums: unit.sums.get(count * UNIT_GROUPS),
            pair_sums: unit.pair_sums.get(count * UNIT_GROUPS / 2),
        }
    }
}

impl Unit {
    /// `x` begins at the unit's first activation of the first column; columns are `stride` apart.
    fn fill(
        &mut self,
        ready: Ready,
        x: &[f32],
        count: usize,
        stride: usize,
        depth: usize,
        unsigned: bool,
    ) {
        let all = self.codes.of(count * UNIT);
        let scales = self.scales.of(count * UNIT_SCALES);
        let sums = self.sums.of(count * UNIT_GROUPS);
        let pair_sums = self.pair_sums.of(count * UNIT_GROUPS / 2);
        let mut codes = [0i8; UNIT];
        for column in 0..count {
            let x = &x[column * stride..][..depth];
            codes[depth..].fill(0);
            for part in 0..UNIT_SCALES {
                scales[part * count + column] = 0.0;
            }
            for (part, x) in x.chunks(ACTIVATION_GROUP).enumerate() {
                let codes = &mut codes[part * ACTIVATION_GROUP..][..x.len()];
                scales[part * count + column] = ready.quantize(x, codes);
            }
            for (group, codes) in codes.chunks_exact(32).enumerate() {
                let sum = |codes: &[i8]| codes.iter().map(|&c| i32::from(c)).sum::<i32>() as f32;
                let (first, second) = (sum(&codes[..16]), sum(&codes[16..]));
                sums[2 * group * count + column] = first;
                sums[(2 * group + 1) * count + column] = second;
                pair_sums[group * count + column] = first + second;
            }
            let bias = if unsigned { 0x80 } else { 0 };
            for (out, &code) in all[column * UNIT..][..UNIT].iter_mut().zip(&codes) {
                *out = code as u8 ^ bias;
            }
        }
    }
}
