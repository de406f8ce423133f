//! Few queries: a task takes one span of one key/value head for all queries and leaves the maximum, the sum of the weights
//! and the weighted values of each row behind; at the end each row's spans are joined. So a single query keeps all threads
//! busy.

use super::softmax::{Block, CHUNK, LOWEST, Seen, close, join, join_values, span, spans};
use super::{Attention, AttentionScratch, Buffer, Parallel, WORTH_PARALLEL};
use crate::isa::float::{Floats, Kernel, Simd, most_rows};
use crate::isa::parts::Parts;
use std::ops::Range;

/// Floats of partial results that one pass may hold (4 MB), unless a single query needs more.
const PARTIALS: usize = 1 << 20;

/// Queries that are worked on together: their partial results fit.
struct Pass<'a> {
    attention: &'a Attention<'a>,
    q: &'a [f32],
    /// Of the whole call: the position after the last query.
    end: usize,
    first_position: usize,
    queries: usize,
    /// What they see.
    spans: Range<usize>,
    /// Floats of a partial result: the values, and the maximum and the sum in a cache line of their own.
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
    let spans = |query: usize| spans(&a.visible(a.first_position + query, end));
    let mut first = 0;
    while first < n {
        let Range {
            start,
            end: mut stop,
        } = spans(first);
        let mut queries = 1;
        while first + queries < n {
            let reach = spans(first + queries).end.max(stop);
            if (queries + 1) * a.heads * partial * (reach - start) > PARTIALS {
                break;
            }
            stop = reach;
            queries += 1;
        }
        let pass = Pass {
            attention: a,
            q: &q[first * a.heads * a.key_dim..][..queries * a.heads * a.key_dim],
            end,
            first_position: a.first_position + first,
            queries,
            spans: start..stop,
            partial,
        };
        let out = &mut out[first * a.heads * a.value_dim..][..queries * a.heads * a.value_dim];
        pass.run(floats, &mut scratch.partials, parallel, out);
        first += queries;
    }
}

impl Pass<'_> {
    /// The key/value head and the span of the task whose partial results are part `index`. The last part is taken first:
    /// it has the first span, so that the cache is read in its order.
    fn task(&self, index: usize) -> (usize, usize) {
        let task = self.spans.len() * self.attention.kv_heads - 1 - index;
        let span = self.spans.start + task % self.spans.len();
        (task / self.spans.len(), span)
    }

    /// Which part has the results of a span.
    fn part(&self, kv_head: usize, span: usize) -> usize {
        let task = kv_head * self.spans.len() + span - self.spans.start;
        self.spans.len() * self.attention.kv_heads - 1 - task
    }

    fn run(
        &self,
        floats: Floats,
        partials: &mut Vec<f32>,
        parallel: Parallel<'_>,
        out: &mut [f32],
    ) {
        let a = self.attention;
        let part = self.queries * a.group() * self.partial;
        let tasks = self.spans.len() * a.kv_heads;
        if partials.len() < tasks * part {
            partials.resize(tasks * part, 0.0);
        }
        let partials = &mut partials[..tasks * part];
        let positions = match self.spans.is_empty() {
            true => 0,
            false => span(self.spans.end - 1).end.min(self.end) - span(self.spans.start).start,
        };
        let work = self.queries * a.heads * positions * (a.key_dim + a.value_dim);
        let parts = Parts::new(partials, part);
        let task = |_| {
            if let Some((index, partials)) = parts.take() {
                floats.run(Span {
                    pass: self,
                    index,
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
        if rows * self.spans.len() * a.value_dim < WORTH_PARALLEL {
            (0..rows).for_each(join);
        } else {
            parallel(rows, &join);
        }
    }
}

/// One span of one key/value head.
struct Span<'a> {
    pass: &'a Pass<'a>,
    index: usize,
    /// `[query][head of the group][partial]`.
    partials: &'a mut [f32],
}

impl Kernel for Span<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Span {
            pass,
            index,
            partials,
        } = self;
        let a = pass.attention;
        let (kv_head, index) = pass.task(index);
        let rows = pass.queries * a.group();
        let block = Block {
            attention: a,
            kv_head,
            position: pass.first_position,
            first: 0,
            rows,
            end: pass.end,
        };
        let (key_rows, value_rows) = (a.key_rows(kv_head), a.value_rows(kv_head));
        let sizes = [
            rows * key_rows.width,
            CHUNK * key_rows.step().max(value_rows.step()),
            rows * CHUNK,
            rows.next_multiple_of(S::LANES),
            rows.next_multiple_of(S::LANES),
            rows.next_multiple_of(S::LANES),
            rows.next_multiple_of(S::LANES),
        ];
        let mut buffer = Buffer::take();
        let [queries, tile, scores, tops, totals, tops_here, totals_here] = buffer.slices(sizes);
        let mut seen = Seen { tops, totals };
        let mut here = Seen {
            tops: tops_here,
            totals: totals_here,
        };
        block.pack(pass.q, key_rows.width, queries);
        partials.fill(0.0);
        let mut begun = false;
        // Halves are widened first only if they would be in registers more than twice.
        let in_place = rows <= 2 * most_rows::<S>();
        for start in span(index).step_by(CHUNK) {
            let some = block.seen_by_some(start);
            if some.is_empty() || block.is_hidden(start) {
                continue;
            }
            let positions = start + some.start..start + some.end;
            let keys = a.keys.tile(s, key_rows, positions.clone(), in_place, tile);
            block.scores(s, start, queries, keys, some.start, scores);
            block.weigh(s, start, scores, &mut here);
            if begun {
                seen.join(s, rows, &mut here);
            } else {
                seen.begin(s, rows, &mut here);
            }
            begun = true;
            let values = a.values.tile(s, value_rows, positions, in_place, tile);
            let (out, onto) = (&mut partials[VALUES..], here.factors());
            block.weighted(
                s,
                start,
                scores,
                values,
                some.start,
                out,
                pass.partial,
                onto,
            );
        }
        if !begun {
            seen.clear();
        }
        let results = seen.tops.iter().zip(&*seen.totals);
        for (partial, (top, total)) in partials.chunks_exact_mut(pass.partial).zip(results) {
            (partial[0], partial[1]) = (*top, *total);
        }
    }
}

/// Joins the spans of one row (a query's head).
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
        let mut buffer = Buffer::take();
        let [sums] = buffer.slices([a.value_rows(kv_head).width]);
        sums.fill(0.0);
        let (mut top, mut total) = (s.splat(LOWEST), s.splat(0.0));
        for span in spans(&a.visible(pass.first_position + query, pass.end)) {
            let row = (pass.part(kv_head, span) * pass.queries + query) * group + member;
            let partial = &self.partials[row * pass.partial..][..pass.partial];
            let (m, sum) = (s.splat(partial[0]), s.splat(partial[1]));
            let joined = join(s, top, total, m, sum);
            join_values(s, sums, &partial[VALUES..], joined.shrink, joined.grow);
            (top, total) = (joined.top, joined.total);
        }
        let sink = a.sinks.map(|s| s[head]);
        close(s, (top, total), sink, &sums[..a.value_dim], self.out);
    }
}
