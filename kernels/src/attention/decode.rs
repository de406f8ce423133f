//! Few queries: the cache is cut into chunks of positions; a task scores one chunk of one key/value head for all
//! queries and leaves (maximum, sum, weighted values) behind; at the end the chunks of a row are joined in ascending
//! order. Chunks begin at multiples of their length, so what a row adds up, and in which order, is a matter of its own
//! position.

use super::cache::Direct;
use super::{Attention, AttentionScratch, Buffer, Parallel, WORTH_PARALLEL};
use crate::isa::float::{
    F16Rows, F32Rows, Floats, Kernel, Simd, dot_keys, shared_rows, weighted_rows,
};
use crate::isa::parts::Parts;
use crate::ops::elementwise::{map, soft_cap, zip};
use crate::ops::exp;
use std::ops::Range;

/// Rows widened at a time: small enough to stay in the first-level cache.
const ROWS: usize = 32;
/// Floats of partial results that one pass may hold (4 MB), unless a single query needs more.
const PARTIALS: usize = 1 << 20;

/// Positions per chunk, by how many a row sees: more threads at work early, fewer partial results late.
fn chunk_length(visible: usize) -> usize {
    if visible <= 2048 { 64 } else { 256 }
}

/// Queries that are worked on together: one chunk length, partial results that fit.
struct Pass<'a> {
    attention: &'a Attention<'a>,
    q: &'a [f32],
    /// Of the whole call: the position after the last query.
    end: usize,
    first_position: usize,
    queries: usize,
    chunk: usize,
    /// The chunks, as multiples of `chunk`.
    chunks: Range<usize>,
    /// Floats of a partial result: maximum, sum, padding to a cache line, values.
    partial: usize,
}

/// Where the values begin in a partial result.
const VALUES: usize = 16;

pub(super) fn run(
    a: &Attention<'_>,
    floats: Floats,
    scratch: &mut AttentionScratch,
    parallel: Parallel<'_>,
    q: &[f32],
    n: usize,
    out: &mut [f32],
) {
    let end = a.first_position + n;
    let partial = VALUES + a.value_rows(0).width;
    let length = |query: usize| chunk_length(a.visible(a.first_position + query, end).len());
    let mut first = 0;
    while first < n {
        let chunk = length(first);
        let start = a.visible(a.first_position + first, end).start / chunk;
        let mut queries = 0;
        let mut stop = start;
        while first + queries < n && length(first + queries) == chunk {
            let reach = a
                .visible(a.first_position + first + queries, end)
                .end
                .div_ceil(chunk);
            let size = (queries + 1) * a.heads * partial * (reach.max(stop) - start);
            if queries > 0 && size > PARTIALS {
                break;
            }
            stop = stop.max(reach);
            queries += 1;
        }
        let pass = Pass {
            attention: a,
            q: &q[first * a.heads * a.key_dim..][..queries * a.heads * a.key_dim],
            end,
            first_position: a.first_position + first,
            queries,
            chunk,
            chunks: start..stop,
            partial,
        };
        let out = &mut out[first * a.heads * a.value_dim..][..queries * a.heads * a.value_dim];
        pass.run(floats, &mut scratch.partials, parallel, out);
        first += queries;
    }
}

impl Pass<'_> {
    fn run(
        &self,
        floats: Floats,
        partials: &mut Vec<f32>,
        parallel: Parallel<'_>,
        out: &mut [f32],
    ) {
        let a = self.attention;
        let rows = self.queries * a.group();
        let part = rows * self.partial;
        let tasks = self.chunks.len() * a.kv_heads;
        if partials.len() < tasks * part {
            partials.resize(tasks * part, 0.0);
        }
        let partials = &mut partials[..tasks * part];
        let positions = (self.chunks.len() * self.chunk).min(self.end);
        let work = self.queries * a.heads * positions * (a.key_dim + a.value_dim);
        let parts = Parts::new(partials, part);
        let task = |_| {
            if let Some((index, partials)) = parts.take() {
                let (chunk, kv_head) = (index / a.kv_heads, index % a.kv_heads);
                floats.run(Chunk {
                    pass: self,
                    chunk: self.chunks.start + chunk,
                    kv_head,
                    partials,
                });
            }
        };
        if work < WORTH_PARALLEL || tasks == 1 {
            (0..tasks).for_each(task);
        } else {
            parallel(tasks, &task);
        }
        let partials = &*partials;
        let joins = Parts::new(out, a.value_dim);
        let join = |_| {
            if let Some((row, out)) = joins.take() {
                floats.run(Join {
                    pass: self,
                    row,
                    partials,
                    out,
                });
            }
        };
        let rows = self.queries * a.heads;
        if rows * self.chunks.len() * a.value_dim < WORTH_PARALLEL {
            (0..rows).for_each(join);
        } else {
            parallel(rows, &join);
        }
    }

    fn visible(&self, query: usize) -> Range<usize> {
        self.attention
            .visible(self.first_position + query, self.end)
    }
}

/// One chunk of one key/value head.
struct Chunk<'a> {
    pass: &'a Pass<'a>,
    chunk: usize,
    kv_head: usize,
    /// `[query][head of the group][partial]`.
    partials: &'a mut [f32],
}

impl Kernel for Chunk<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (pass, a) = (self.pass, self.pass.attention);
        let (group, partial) = (a.group(), pass.partial);
        let rows = pass.queries * group;
        let start = self.chunk * pass.chunk;
        // What a query sees of this chunk, and all of them together.
        let seen = |query: usize| {
            let visible = pass.visible(query);
            visible.start.clamp(start, start + pass.chunk)
                ..visible.end.clamp(start, start + pass.chunk)
        };
        let all = (0..pass.queries)
            .map(seen)
            .filter(|r| !r.is_empty())
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(start..start);
        let key_width = a.key_rows(0).width;
        let value_width = a.value_rows(0).width;
        let step = pass.chunk;
        let sizes = [
            rows * key_width,
            ROWS * key_width.max(value_width),
            rows * step,
        ];
        let mut buffer = Buffer::take();
        let [queries, tile, scores] = buffer.slices(sizes);

        for (row, to) in queries.chunks_exact_mut(key_width).enumerate() {
            let head = row / group * a.heads + self.kv_head * group + row % group;
            let (to, padding) = to.split_at_mut(a.key_dim);
            for (to, from) in to.iter_mut().zip(&pass.q[head * a.key_dim..]) {
                *to = from * a.scale;
            }
            padding.fill(0.0);
        }
        // Rows that are used once are read in place, others are widened first.
        let once = rows <= shared_rows::<S>();
        for from in all.clone().step_by(ROWS) {
            let to = all.end.min(from + ROWS);
            let (head, width, count) = (a.key_rows(self.kv_head), key_width, to - from);
            let scores = &mut scores[from - start..];
            match a.keys.direct(head, from..to).filter(|_| once) {
                Some(Direct::F32(data)) => {
                    let keys = F32Rows { data, width };
                    dot_keys(s, queries, rows, keys, count, width, scores, step);
                }
                Some(Direct::F16(data)) => {
                    let keys = F16Rows { data, width };
                    dot_keys(s, queries, rows, keys, count, width, scores, step);
                }
                None => {
                    a.keys.widen(s, head, from..to, tile);
                    let keys = F32Rows { data: tile, width };
                    dot_keys(s, queries, rows, keys, count, width, scores, step);
                }
            }
        }
        for (row, scores) in scores.chunks_exact_mut(step).enumerate() {
            let seen = seen(row / group);
            let head = self.kv_head * group + row % group;
            let position = pass.first_position + row / group;
            let seen = seen.start - start..seen.end - start;
            let slope = a.slopes.map(|s| s[head]);
            let (top, sum) = weigh(
                s,
                scores,
                seen,
                a.softcap,
                slope,
                position as f32 - start as f32,
            );
            let partial = &mut self.partials[row * partial..][..VALUES + value_width];
            (partial[0], partial[1]) = (top, sum);
            partial[VALUES..].fill(0.0);
        }
        for from in all.clone().step_by(ROWS) {
            let to = all.end.min(from + ROWS);
            let (head, width) = (a.value_rows(self.kv_head), value_width);
            let direct = a.values.direct(head, from..to).filter(|_| once);
            if direct.is_none() {
                a.values.widen(s, head, from..to, tile);
            }
            for query in 0..pass.queries {
                let seen = seen(query);
                let (low, high) = (seen.start.max(from), seen.end.min(to));
                if low >= high {
                    continue;
                }
                let skip = (low - from) * width;
                let (count, weights) = (high - low, &scores[query * group * step + low - start..]);
                let out = &mut self.partials[query * group * partial + VALUES..];
                match direct {
                    Some(Direct::F32(data)) => {
                        let values = F32Rows {
                            data: &data[skip..],
                            width,
                        };
                        weighted_rows(s, weights, step, group, values, count, width, out, partial);
                    }
                    Some(Direct::F16(data)) => {
                        let values = F16Rows {
                            data: &data[skip..],
                            width,
                        };
                        weighted_rows(s, weights, step, group, values, count, width, out, partial);
                    }
                    None => {
                        let values = F32Rows {
                            data: &tile[skip..],
                            width,
                        };
                        weighted_rows(s, weights, step, group, values, count, width, out, partial);
                    }
                }
            }
        }
    }
}

/// Turns the scores of one row into weights e^(score - maximum); gives back the maximum and the sum of the weights.
#[inline(always)]
fn weigh<S: Simd>(
    s: S,
    scores: &mut [f32],
    seen: Range<usize>,
    cap: Option<f32>,
    slope: Option<f32>,
    position: f32,
) -> (f32, f32) {
    if seen.is_empty() {
        return (f32::NEG_INFINITY, 0.0);
    }
    // Whole vectors from the chunk's start, so that a key's lane is always the same; unseen ones weigh nothing.
    let end = seen.end.next_multiple_of(S::LANES);
    scores[..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..end].fill(f32::NEG_INFINITY);
    if let Some(slope) = slope {
        for (key, score) in scores[..end].iter_mut().enumerate() {
            *score -= slope * (position - key as f32).abs();
        }
    }
    let mut top = s.splat(f32::NEG_INFINITY);
    for scores in scores[..end].chunks_exact_mut(S::LANES) {
        let mut v = s.load(scores);
        if let Some(cap) = cap {
            let unseen = s.splat(f32::MIN);
            v = s.select_less(v, unseen, v, soft_cap(s, v, cap));
            s.store(v, scores);
        }
        top = s.max(top, v);
    }
    let top = s.largest(top);
    let (shift, mut sum) = (s.splat(top), s.splat(0.0));
    for scores in scores[..end].chunks_exact_mut(S::LANES) {
        let weight = exp(s, s.sub(s.load(scores), shift));
        s.store(weight, scores);
        sum = s.add(sum, weight);
    }
    (top, s.sum(sum))
}

/// Joins the chunks of one row (a query's head).
struct Join<'a> {
    pass: &'a Pass<'a>,
    row: usize,
    partials: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Join<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (pass, a) = (self.pass, self.pass.attention);
        let group = a.group();
        let (query, head) = (self.row / a.heads, self.row % a.heads);
        let (kv_head, member) = (head / group, head % group);
        let seen = pass.visible(query);
        let chunks = seen.start / pass.chunk..seen.end.div_ceil(pass.chunk);
        let partial = |chunk: usize| {
            let task = (chunk - pass.chunks.start) * a.kv_heads + kv_head;
            &self.partials[((task * pass.queries + query) * group + member) * pass.partial..]
                [..pass.partial]
        };
        let sink = a.sinks.map(|s| s[head]);
        let top = chunks
            .clone()
            .map(|c| partial(c)[0])
            .fold(sink.unwrap_or(f32::NEG_INFINITY), f32::max);
        let mut total = 0f32;
        self.out.fill(0.0);
        for chunk in chunks {
            let partial = partial(chunk);
            if partial[0] == f32::NEG_INFINITY {
                continue;
            }
            let weight = (partial[0] - top).exp();
            total += partial[1] * weight;
            let values = &partial[VALUES..][..a.value_dim];
            zip!(s, self.out, values, |out, v| {
                s.fma(v, s.splat(weight), out)
            });
        }
        if let Some(sink) = sink {
            total += (sink - top).exp();
        }
        if total > 0.0 || total.is_nan() {
            map!(s, self.out, |v| s.div(v, s.splat(total)));
        }
    }
}
