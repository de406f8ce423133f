//! Many queries: a task takes a few queries with all heads. For each key/value head the rows (query × head of the
//! group) lie in vector lanes, transposed once; then scores, weights and sums of a tile of keys are lane-wise, and both
//! products are [`tile_product`] over panels of lanes. Tiles of keys begin at multiples of [`KEYS`], so a row's result
//! doesn't depend on which rows share its task.

use super::{Attention, Buffer, Parallel};
use crate::isa::float::{Floats, Kernel, LANE_PANEL_VECTORS, Simd, tile_product};
use crate::isa::parts::Parts;
use crate::ops::elementwise::soft_cap;
use crate::ops::exp;
use std::ops::Range;

/// Keys per tile.
const KEYS: usize = 64;
/// Lanes (query × head of the group) per task.
const LANES: usize = 64;
/// Stands for "nothing seen yet" as a maximum: finite, so that differences are never NaN.
const LOWEST: f32 = -1e30;

pub(super) fn run(
    a: &Attention<'_>,
    floats: Floats,
    parallel: Parallel<'_>,
    q: &[f32],
    n: usize,
    out: &mut [f32],
) {
    let group = a.group();
    // Small prompts get smaller tasks, so that every thread has some.
    let lanes = if n * group >= 16 * LANES {
        LANES
    } else {
        LANES / 2
    };
    let queries = (lanes / group).max(1);
    let parts = Parts::new(out, queries * a.heads * a.value_dim);
    let tasks = parts.left();
    // Parts come last one first: with a causal mask the long ones.
    parallel(tasks, &|_| {
        if let Some((tile, out)) = parts.take() {
            let first = tile * queries;
            let count = queries.min(n - first);
            let end = a.first_position + n;
            floats.run(Tile {
                a,
                q: &q[first * a.heads * a.key_dim..],
                first: a.first_position + first,
                count,
                end,
                out,
            });
        }
    });
}

/// Some queries, all heads.
struct Tile<'a> {
    a: &'a Attention<'a>,
    /// Query rows, from the first of this tile.
    q: &'a [f32],
    /// Position of the first.
    first: usize,
    count: usize,
    /// Position after the whole call's last query.
    end: usize,
    out: &'a mut [f32],
}

/// What the lanes of one panel know about their rows; each slice is one panel wide.
struct Rows<'b> {
    /// First position seen.
    start: &'b mut [f32],
    /// The position after the last one seen.
    stop: &'b mut [f32],
    /// Own position.
    position: &'b mut [f32],
    /// ALiBi slope.
    slope: &'b mut [f32],
    /// Running maximum of the scores.
    top: &'b mut [f32],
    /// Running sum of the weights.
    total: &'b mut [f32],
}

/// Floats per lane in [`Rows`].
const ROW_FLOATS: usize = 6;

impl<'b> Rows<'b> {
    fn new(floats: &'b mut [f32], panel: usize) -> Rows<'b> {
        let mut parts = floats.chunks_exact_mut(panel);
        let [start, stop, position, slope, top, total] =
            std::array::from_fn(|_| parts.next().unwrap_or_default());
        Rows {
            start,
            stop,
            position,
            slope,
            top,
            total,
        }
    }

    /// Whether all values are numbers that some row of this panel does not see: their weight is 0 there, and 0 times
    /// infinity would not be.
    #[inline(always)]
    fn masks_only_finite(&self, keys: Range<usize>, values: &[f32], width: usize) -> bool {
        let all_from = self.start.iter().fold(0f32, |a, b| a.max(*b)) as usize;
        let all_to = self.stop.iter().fold(f32::MAX, |a, b| a.min(*b)) as usize;
        let before = keys.start..all_from.clamp(keys.start, keys.end);
        let after = all_to.clamp(before.end, keys.end)..keys.end;
        [before, after].into_iter().all(|part| {
            let part = &values[(part.start - keys.start) * width..(part.end - keys.start) * width];
            // Magnitudes compare like their bits; infinity is above all numbers, NaN above infinity.
            let largest = part.iter().fold(0, |most, v| most.max(v.to_bits() << 1));
            largest < f32::INFINITY.to_bits() << 1
        })
    }
}

impl Kernel for Tile<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let a = self.a;
        let panel = LANE_PANEL_VECTORS * S::LANES;
        let panels = (self.count * a.group()).div_ceil(panel);
        let key_width = a.key_rows(0).width;
        let value_width = a.value_rows(0).width;
        let sizes = [
            panels * panel * a.key_dim,
            panels * panel * a.value_dim,
            panels * panel * ROW_FLOATS,
            panel * KEYS,
            KEYS * key_width,
            KEYS * value_width,
        ];
        let mut buffer = Buffer::take();
        let [queries, sums, rows, scores, keys, values] = buffer.slices(sizes);

        let from = a.visible(self.first, self.end).start;
        let to = a.visible(self.first + self.count - 1, self.end).end;
        for kv_head in 0..a.kv_heads {
            self.pack(kv_head, panel, queries, rows);
            sums.fill(0.0);
            for tile in (from / KEYS * KEYS..to).step_by(KEYS) {
                let (from, to) = (from.max(tile), to.min(tile + KEYS));
                a.keys.widen(s, a.key_rows(kv_head), from..to, keys);
                a.values.widen(s, a.value_rows(kv_head), from..to, values);
                for index in 0..panels {
                    let mut rows = Rows::new(&mut rows[index * panel * ROW_FLOATS..], panel);
                    // What some row of this panel sees of the tile.
                    let low = rows.start.iter().fold(f32::MAX, |a, b| a.min(*b)) as usize;
                    let high = rows.stop.iter().fold(0f32, |a, b| a.max(*b)) as usize;
                    let (low, high) = (low.max(from), high.min(to));
                    if low >= high {
                        continue;
                    }
                    let count = high - low;
                    let scores = &mut scores[..count * panel];
                    let queries = &queries[index * panel * a.key_dim..];
                    let sums = &mut sums[index * panel * a.value_dim..][..panel * a.value_dim];
                    let keys = &keys[(low - from) * key_width..];
                    tile_product(
                        s,
                        keys,
                        (key_width, 1),
                        count,
                        a.key_dim,
                        queries,
                        scores,
                        false,
                    );
                    weigh(s, a, low, scores, &mut rows, sums);
                    let values = &values[(low - from) * value_width..];
                    if !rows.masks_only_finite(low..high, values, value_width) {
                        seen_product(low, scores, &rows, values, value_width, sums);
                        continue;
                    }
                    tile_product(
                        s,
                        values,
                        (1, value_width),
                        a.value_dim,
                        count,
                        scores,
                        sums,
                        true,
                    );
                }
            }
            self.unpack(kv_head, panel, sums, rows);
        }
    }
}

impl Tile<'_> {
    /// The query and the head of lane `lane`, if there is one.
    fn row(&self, kv_head: usize, lane: usize) -> Option<(usize, usize)> {
        let group = self.a.group();
        (lane < self.count * group).then_some((lane / group, kv_head * group + lane % group))
    }

    /// Transposes the scaled query rows into panels `[panel][element][lane]` and sets what each lane sees.
    fn pack(&self, kv_head: usize, panel: usize, queries: &mut [f32], rows: &mut [f32]) {
        let a = self.a;
        let panels = queries
            .chunks_exact_mut(panel * a.key_dim)
            .zip(rows.chunks_exact_mut(panel * ROW_FLOATS));
        for (index, (queries, rows)) in panels.enumerate() {
            let rows = Rows::new(rows, panel);
            rows.top.fill(LOWEST);
            rows.total.fill(0.0);
            for lane in 0..panel {
                // Lanes past the end repeat the last row's limits with a query of zeros; nobody reads them.
                let row = self.row(kv_head, index * panel + lane);
                let (query, head) = row.unwrap_or((self.count - 1, kv_head * a.group()));
                let visible = a.visible(self.first + query, self.end);
                rows.start[lane] = visible.start as f32;
                rows.stop[lane] = visible.end as f32;
                rows.position[lane] = (self.first + query) as f32;
                rows.slope[lane] = a.slopes.map_or(0.0, |s| s[head]);
                let column = queries[lane..].iter_mut().step_by(panel);
                match row {
                    Some(_) => {
                        let from = &self.q[(query * a.heads + head) * a.key_dim..][..a.key_dim];
                        column.zip(from).for_each(|(to, from)| *to = from * a.scale);
                    }
                    None => column.for_each(|to| *to = 0.0),
                }
            }
        }
    }

    /// Divides by the sums of the weights and writes the output rows.
    fn unpack(&mut self, kv_head: usize, panel: usize, sums: &[f32], rows: &mut [f32]) {
        let a = self.a;
        let panels = sums
            .chunks_exact(panel * a.value_dim)
            .zip(rows.chunks_exact_mut(panel * ROW_FLOATS));
        for (index, (sums, rows)) in panels.enumerate() {
            let rows = Rows::new(rows, panel);
            for lane in 0..panel {
                let Some((query, head)) = self.row(kv_head, index * panel + lane) else {
                    break;
                };
                let (mut total, mut factor) = (rows.total[lane], 1.0);
                if let Some(sinks) = a.sinks {
                    let top = rows.top[lane].max(sinks[head]);
                    factor = (rows.top[lane] - top).exp();
                    total = total * factor + (sinks[head] - top).exp();
                }
                if total != 0.0 {
                    factor /= total;
                }
                let out = &mut self.out[(query * a.heads + head) * a.value_dim..][..a.value_dim];
                let column = sums[lane..].iter().step_by(panel);
                out.iter_mut()
                    .zip(column)
                    .for_each(|(to, from)| *to = from * factor);
            }
        }
    }
}

/// The second product where a value that some row doesn't see is infinite or NaN: lane by lane, of what each sees.
#[cold]
fn seen_product(
    low: usize,
    weights: &[f32],
    rows: &Rows<'_>,
    values: &[f32],
    width: usize,
    sums: &mut [f32],
) {
    let panel = rows.start.len();
    let keys = weights.chunks_exact(panel).zip(values.chunks(width));
    for (key, (weights, values)) in keys.enumerate() {
        let key = (low + key) as f32;
        for (lane, weight) in weights.iter().enumerate() {
            if rows.start[lane] <= key && key < rows.stop[lane] {
                for (sum, value) in sums[lane..].iter_mut().step_by(panel).zip(values) {
                    *sum = weight.mul_add(*value, *sum);
                }
            }
        }
    }
}

/// Turns a tile's scores `[key][lane]` into weights relative to the new running maximum, and brings `sums` and the
/// totals so far to the same. The first key's position is `low`.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    a: &Attention<'_>,
    low: usize,
    scores: &mut [f32],
    rows: &mut Rows<'_>,
    sums: &mut [f32],
) {
    let panel = LANE_PANEL_VECTORS * S::LANES;
    let count = scores.len() / panel;
    let all_seen = rows.start.iter().all(|start| *start <= low as f32)
        && rows.stop.iter().all(|stop| *stop >= (low + count) as f32);
    let zero = s.splat(0.0);
    for vector in 0..LANE_PANEL_VECTORS {
        let at = vector * S::LANES;
        let (start, stop) = (s.load(&rows.start[at..]), s.load(&rows.stop[at..]));
        let (position, slope) = (s.load(&rows.position[at..]), s.load(&rows.slope[at..]));
        let before = s.load(&rows.top[at..]);
        let mut top = before;
        for (key, scores) in scores.chunks_exact_mut(panel).enumerate() {
            let scores = &mut scores[at..];
            let mut v = s.load(scores);
            if all_seen && a.softcap.is_none() && a.slopes.is_none() {
                top = s.max(top, v);
                continue;
            }
            if let Some(cap) = a.softcap {
                v = soft_cap(s, v, cap);
            }
            let key = s.splat((low + key) as f32);
            if a.slopes.is_some() {
                let distance = s.sub(position, key);
                let distance = s.max(distance, s.sub(zero, distance));
                v = s.sub(v, s.mul(slope, distance));
            }
            if !all_seen {
                let unseen = s.splat(f32::NEG_INFINITY);
                v = s.select_less(key, start, unseen, v);
                v = s.select_less(key, stop, v, unseen);
            }
            s.store(v, scores);
            top = s.max(top, v);
        }
        let mut sum = zero;
        for scores in scores.chunks_exact_mut(panel) {
            let scores = &mut scores[at..];
            let weight = exp(s, s.sub(s.load(scores), top));
            s.store(weight, scores);
            sum = s.add(sum, weight);
        }
        let shrink = exp(s, s.sub(before, top));
        let total = s.fma(s.load(&rows.total[at..]), shrink, sum);
        s.store(total, &mut rows.total[at..]);
        s.store(top, &mut rows.top[at..]);
        // Where no maximum moved the factor is 1.
        if s.largest(s.sub(top, before)) > 0.0 {
            for sums in sums.chunks_exact_mut(panel) {
                let sums = &mut sums[at..];
                s.store(s.mul(s.load(sums), shrink), sums);
            }
        }
    }
}
