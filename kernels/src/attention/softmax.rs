//! The arithmetic that both ways through have in common, and with it the one order of its sums:
//!
//! Positions are taken in chunks of [`CHUNK`] that begin at its multiples. For each row (a query's head) and chunk: the
//! scores are [`dots`]; the weights are e^(score - maximum of the chunk), zero for what the row doesn't see; position `p`
//! adds its weight to running sum `p % 16`; the values are added up in ascending order of position, from zero. The chunks
//! of a [`span`] are [`joined`](join) in ascending order, then the spans in the same way, and [`close`] takes in the sink
//! and makes a mean of the sum.
//!
//! A chunk of which a row sees nothing leaves it as it is, and the first chunk of a row becomes what it has: so neither
//! matters which of the rows that are computed together sees how much, nor whether a span of one chunk is joined to the
//! others as a chunk or as a span.

#![allow(clippy::too_many_arguments)] // kernels: operands and their shapes

use super::Attention;
use super::cache::Tile;
use crate::isa::float::{Element, Onto, Rows, Simd, dots, finite, weighted_rows};
use crate::ops::elementwise::{soft_cap, zip};
use crate::ops::exp;
use std::ops::Range;

/// Positions of a chunk.
pub(super) const CHUNK: usize = 64;
/// The maximum where nothing is seen: finite, so that differences are never NaN.
pub(super) const LOWEST: f32 = f32::MIN;
/// Spans before this position are single chunks, so that a short context keeps many threads busy; those after it are
/// longer, so that they leave less to join.
const EARLY: usize = 2048;
/// Positions of the later spans.
const SPAN: usize = 4 * CHUNK;
/// Running sums of the weights.
const SUMS: usize = 16;
/// The numbers of the lanes.
const NUMBERS: [f32; SUMS] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
];

/// The spans that hold some of `positions`.
pub(super) fn spans(positions: &Range<usize>) -> Range<usize> {
    let of = |position: usize| {
        let late = position.saturating_sub(EARLY);
        (position - late) / CHUNK + late / SPAN
    };
    match positions.is_empty() {
        true => 0..0,
        false => of(positions.start)..of(positions.end - 1) + 1,
    }
}

/// The positions of a span.
pub(super) fn span(index: usize) -> Range<usize> {
    let late = index.saturating_sub(EARLY / CHUNK);
    let start = (index - late) * CHUNK + late * SPAN;
    start..start + if start < EARLY { CHUNK } else { SPAN }
}

/// What some rows have seen so far; the slices are whole vectors long.
pub(super) struct Seen<'b> {
    /// The maximum of the scores.
    pub tops: &'b mut [f32],
    /// The sum of the weights, relative to that maximum.
    pub totals: &'b mut [f32],
}

impl Seen<'_> {
    /// Nothing yet.
    pub fn clear(&mut self) {
        self.tops.fill(LOWEST);
        self.totals.fill(0.0);
    }

    /// Those of the rows from `row` on.
    pub fn skip(&mut self, row: usize) -> Seen<'_> {
        Seen {
            tops: &mut self.tops[row..],
            totals: &mut self.totals[row..],
        }
    }

    /// As [`Seen::join`] after [`Seen::clear`].
    #[inline(always)]
    pub fn begin<S: Simd>(&mut self, s: S, rows: usize, next: &mut Seen<'_>) {
        for at in (0..rows).step_by(S::LANES) {
            s.store(s.load(&next.tops[at..]), &mut self.tops[at..]);
            s.store(s.load(&next.totals[at..]), &mut self.totals[at..]);
            s.store(s.splat(0.0), &mut next.tops[at..]);
            s.store(s.splat(1.0), &mut next.totals[at..]);
        }
    }

    /// Joins what the first `rows` rows have seen next; what is left in `next` are the factors on the values before and on
    /// the next ones.
    #[inline(always)]
    pub fn join<S: Simd>(&mut self, s: S, rows: usize, next: &mut Seen<'_>) {
        for at in (0..rows).step_by(S::LANES) {
            let (top, total) = (s.load(&self.tops[at..]), s.load(&self.totals[at..]));
            let (m, sum) = (s.load(&next.tops[at..]), s.load(&next.totals[at..]));
            let joined = join(s, top, total, m, sum);
            s.store(joined.top, &mut self.tops[at..]);
            s.store(joined.total, &mut self.totals[at..]);
            s.store(joined.shrink, &mut next.tops[at..]);
            s.store(joined.grow, &mut next.totals[at..]);
        }
    }

    /// What [`Seen::join`] left, as factors.
    pub fn factors(&self) -> Onto<'_> {
        Onto {
            shrink: &*self.tops,
            grow: &*self.totals,
        }
    }
}

/// Consecutive rows (query × head of the group) of one key/value head. Later queries see no less at the end and no more
/// at the beginning.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub attention: &'a Attention<'a>,
    pub kv_head: usize,
    /// Position of the query of row 0.
    pub position: usize,
    /// The first row of this block, and how many they are.
    pub first: usize,
    pub rows: usize,
    /// Of the whole call: the position after the last query.
    pub end: usize,
}

impl Block<'_> {
    /// Position of the block's row `row`.
    fn position(&self, row: usize) -> usize {
        self.position + (self.first + row) / self.attention.group()
    }

    /// Which positions of the chunk from `start` a row of `position` sees, counted from `start`.
    fn seen_from(&self, position: usize, start: usize) -> Range<usize> {
        let seen = self.attention.visible(position, self.end);
        let inside = |position: usize| position.saturating_sub(start).min(CHUNK);
        inside(seen.start)..inside(seen.end)
    }

    /// Which positions of the chunk from `start` that row sees, counted from `start`.
    fn seen(&self, row: usize, start: usize) -> Range<usize> {
        self.seen_from(self.position(row), start)
    }

    /// What some of the rows see of the chunk.
    pub fn seen_by_some(&self, start: usize) -> Range<usize> {
        self.seen(0, start).start..self.seen(self.rows - 1, start).end
    }

    /// The number of a row of [`Attention::chosen`].
    fn chosen_row(&self, position: usize) -> usize {
        let a = self.attention;
        (position - a.first_position) * a.kv_heads + self.kv_head
    }

    /// Whether no row sees any block of the chunk from `start`.
    pub fn is_hidden(&self, start: usize) -> bool {
        let Some(chosen) = self.attention.chosen else {
            return false;
        };
        let mut positions = self.position(0)..self.position(self.rows - 1) + 1;
        !positions.any(|position| chosen.sees(self.chosen_row(position), start..start + CHUNK))
    }

    /// What each of the rows sees.
    fn seen_by_all(&self, start: usize) -> Range<usize> {
        self.seen(self.rows - 1, start).start..self.seen(0, start).end
    }

    /// Whether all rows see the same.
    pub fn seen_equally(&self, start: usize) -> bool {
        self.seen(0, start) == self.seen(self.rows - 1, start)
    }

    /// Blocks of at most `rows` rows.
    pub fn parts(&self, rows: usize) -> impl Iterator<Item = Self> {
        (0..self.rows).step_by(rows).map(move |first| Block {
            first: self.first + first,
            rows: rows.min(self.rows - first),
            ..*self
        })
    }

    /// The scaled queries as rows that are padded with zeros to `width`. `q` begins with the query of row 0.
    pub fn pack(&self, q: &[f32], width: usize, out: &mut [f32]) {
        let a = self.attention;
        let group = a.group();
        for (row, out) in out.chunks_exact_mut(width).take(self.rows).enumerate() {
            let row = self.first + row;
            let head = row / group * a.heads + self.kv_head * group + row % group;
            let (out, padding) = out.split_at_mut(a.key_dim);
            for (out, q) in out.iter_mut().zip(&q[head * a.key_dim..]) {
                *out = q * a.scale;
            }
            if !padding.is_empty() {
                padding.fill(0.0);
            }
        }
    }

    /// The scores of what some rows see of the chunk from `start`, into rows of [`CHUNK`]. `keys` begin at `from` in it.
    #[inline(always)]
    pub fn scores<S: Simd>(
        &self,
        s: S,
        start: usize,
        queries: &[f32],
        keys: Tile<'_>,
        from: usize,
        scores: &mut [f32],
    ) {
        let seen = self.seen_by_some(start);
        if seen.is_empty() {
            return;
        }
        let (rows, skip, count) = (self.rows, seen.start - from, seen.len());
        let scores = &mut scores[seen.start..];
        let width = self.attention.key_rows(self.kv_head).width;
        let queries = Rows {
            data: queries,
            width,
        };
        match keys {
            Tile::F32(keys) => dots(
                s,
                queries,
                rows,
                keys.skip(skip),
                count,
                width,
                scores,
                CHUNK,
            ),
            Tile::F16(keys) => dots(
                s,
                queries,
                rows,
                keys.skip(skip),
                count,
                width,
                scores,
                CHUNK,
            ),
        }
    }

    /// Turns the scores of the chunk from `start` into weights; `seen` becomes what each row sees of it.
    #[inline(always)]
    pub fn weigh<S: Simd>(&self, s: S, start: usize, scores: &mut [f32], seen: &mut Seen<'_>) {
        let a = self.attention;
        let group = a.group();
        let results = seen.tops.iter_mut().zip(&mut *seen.totals).take(self.rows);
        for ((row, scores), (top, sum)) in scores.chunks_exact_mut(CHUNK).enumerate().zip(results) {
            let (query, member) = ((self.first + row) / group, (self.first + row) % group);
            let slope = a.slopes.map(|slopes| slopes[self.kv_head * group + member]);
            let position = self.position + query;
            let seen = self.seen_from(position, start);
            let hide = |scores: &mut [f32]| {
                if let Some(chosen) = a.chosen {
                    let row = self.chosen_row(position);
                    chosen.hide(row, start + seen.start, &mut scores[seen.clone()]);
                }
            };
            let distance = position as f32 - start as f32;
            (*top, *sum) = weigh(s, scores, seen.clone(), a.softcap, slope, distance, hide);
        }
    }

    /// The weighted sums of `values`, which begin at `from` in the chunk from `start`, added to rows of `out`, `step`
    /// apart. What a row doesn't see has no part in its sum.
    #[inline(always)]
    pub fn weighted<S: Simd>(
        &self,
        s: S,
        start: usize,
        weights: &[f32],
        values: Tile<'_>,
        from: usize,
        out: &mut [f32],
        step: usize,
        onto: Onto<'_>,
    ) {
        match values {
            Tile::F32(values) => self.weighted_of(s, start, weights, values, from, out, step, onto),
            Tile::F16(values) => self.weighted_of(s, start, weights, values, from, out, step, onto),
        }
    }

    #[inline(always)]
    fn weighted_of<S: Simd, T: Element>(
        &self,
        s: S,
        start: usize,
        weights: &[f32],
        values: Rows<'_, T>,
        from: usize,
        out: &mut [f32],
        step: usize,
        onto: Onto<'_>,
    ) {
        let width = self.attention.value_rows(self.kv_head).width;
        let (some, all) = (self.seen_by_some(start), self.seen_by_all(start));
        if some.is_empty() {
            return;
        }
        // A weight of zero hides numbers, but zero times infinity is not zero.
        let before = some.start..all.start.clamp(some.start, some.end);
        let after = all.end.clamp(before.end, some.end)..some.end;
        let together = finite(s, values.skip(before.start - from), before.len(), width)
            && finite(s, values.skip(after.start - from), after.len(), width);
        let (blocks, rows) = if together {
            (1, self.rows)
        } else {
            (self.rows, 1)
        };
        for row in 0..blocks {
            let seen = if together {
                some.clone()
            } else {
                self.seen(row, start)
            };
            let onto = onto.skip(row);
            let weights = &weights[row * CHUNK + seen.start..];
            let (values, out) = (values.skip(seen.start - from), &mut out[row * step..]);
            weighted_rows(
                s,
                weights,
                CHUNK,
                rows,
                values,
                seen.len(),
                width,
                out,
                step,
                onto,
            );
        }
    }
}

/// Turns one row's scores of a chunk into weights; gives back the maximum and the sum of the weights. `position` is the
/// row's, counted from the chunk; `hide` makes minus infinity of scores of what the row doesn't see.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    scores: &mut [f32],
    seen: Range<usize>,
    cap: Option<f32>,
    slope: Option<f32>,
    position: f32,
    hide: impl Fn(&mut [f32]),
) -> (f32, f32) {
    if seen.is_empty() {
        scores.fill(0.0);
        return (LOWEST, 0.0);
    }
    // Whole runs of sums.
    let (low, high) = (seen.start / SUMS * SUMS, seen.end.next_multiple_of(SUMS));
    let zero = s.splat(0.0);
    if cap.is_some() || slope.is_some() {
        for at in (low..high).step_by(S::LANES) {
            let scores = &mut scores[at..];
            let mut v = s.load(scores);
            if let Some(cap) = cap {
                v = soft_cap(s, v, cap);
            }
            if let Some(slope) = slope {
                let distance = s.sub(s.splat(position - at as f32), s.load(&NUMBERS));
                let distance = s.max(distance, s.sub(zero, distance));
                v = s.sub(v, s.mul(s.splat(slope), distance));
            }
            s.store(v, scores);
        }
    }
    // (Fills are calls even where they fill nothing.)
    if seen.len() < CHUNK {
        scores[low..seen.start].fill(f32::NEG_INFINITY);
        scores[seen.end..high].fill(f32::NEG_INFINITY);
    }
    hide(scores);
    let mut top = s.splat(LOWEST);
    for at in (low..high).step_by(S::LANES) {
        top = s.max(top, s.load(&scores[at..]));
    }
    let top = s.largest(top);
    let (shift, mut sums) = (s.splat(top), [zero; 2]);
    for at in (low..high).step_by(SUMS) {
        for (half, sum) in sums.iter_mut().enumerate().take(SUMS / S::LANES) {
            let scores = &mut scores[at + half * S::LANES..];
            let weight = exp(s, s.sub(s.load(scores), shift));
            s.store(weight, scores);
            *sum = s.add(*sum, weight);
        }
    }
    for at in (0..low).chain(high..scores.len()).step_by(S::LANES) {
        s.store(zero, &mut scores[at..]);
    }
    // The upper eight sums to the lower ones first, as `sum` does where they are in one vector.
    let sum = if S::LANES == SUMS {
        s.sum(sums[0])
    } else {
        s.sum(s.add(sums[0], sums[1]))
    };
    (top, sum)
}

/// What rows have seen so far and next, joined.
pub(super) struct Joined<V> {
    pub top: V,
    pub total: V,
    /// Factor on what was there: `total * shrink + sum * grow`, and the same for the values.
    pub shrink: V,
    /// Factor on what is joined.
    pub grow: V,
}

/// Joins a maximum `m` and a sum of weights `sum` to `top` and `total`.
#[inline(always)]
pub(super) fn join<S: Simd>(s: S, top: S::V, total: S::V, m: S::V, sum: S::V) -> Joined<S::V> {
    let new = s.max(top, m);
    let (shrink, grow) = (exp(s, s.sub(top, new)), exp(s, s.sub(m, new)));
    Joined {
        top: new,
        total: s.fma(sum, grow, s.mul(total, shrink)),
        shrink,
        grow,
    }
}

/// Adds the values of the next chunk or span to those so far.
#[inline(always)]
pub(super) fn join_values<S: Simd>(s: S, sums: &mut [f32], next: &[f32], shrink: S::V, grow: S::V) {
    zip!(s, sums, next, |sum, v| s.fma(v, grow, s.mul(sum, shrink)));
}

/// The output of a row whose chunks are all joined; all lanes of `top` and `total` are the same.
#[inline(always)]
pub(super) fn close<S: Simd>(
    s: S,
    (top, total): (S::V, S::V),
    sink: Option<f32>,
    values: &[f32],
    out: &mut [f32],
) {
    let zero = s.splat(0.0);
    // The sink is a score without a value: a chunk of its own.
    let sink = s.splat(sink.unwrap_or(f32::NEG_INFINITY));
    let joined = join(s, top, total, sink, s.splat(1.0));
    let factor = s.div(joined.shrink, joined.total);
    // Where nothing is seen, values are zero and stay so. (The sum of both is NaN where one is.)
    let otherwise = s.add(joined.shrink, joined.total);
    let factor = s.select_less(zero, joined.total, factor, otherwise);
    // Adding zero makes zeros positive: which zero the values are depends on what else was in their chunks.
    zip!(s, out, values, |_out, v| s.fma(v, factor, zero));
}
