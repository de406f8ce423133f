//! Many queries: a task takes a few of them with all heads and goes through what they see chunk by chunk, each joined to
//! what it has at once. So memory does not grow with the context (arXiv:2205.14135).

use super::softmax::{Block, CHUNK, Seen, close, join_values, span, spans};
use super::{Attention, Buffer, Parallel};
use crate::isa::float::{Floats, Kernel, Simd};
use crate::isa::parts::Parts;

/// Rows (query × head of the group) per task.
const ROWS: usize = 96;
/// Rows that are worked on at a time, so that their scores stay in the first-level cache; a multiple of 16.
const PANEL: usize = 48;

/// Of rows that see unequally much, those that are computed together.
const FEW: usize = 12;

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
    let rows = if n * group >= 16 * ROWS {
        ROWS
    } else {
        ROWS / 2
    };
    let most = (rows / group).max(1);
    let queries = n.div_ceil(n.div_ceil(most));
    let parts = Parts::new(out, queries * a.heads * a.value_dim);
    let tasks = parts.left();
    // Parts come last one first: with a causal mask the long ones.
    parallel(tasks, &|_| {
        if let Some((tile, out)) = parts.take() {
            let first = tile * queries;
            let count = queries.min(n - first);
            let end = a.first_position + n;
            floats.run(Task {
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
struct Task<'a> {
    a: &'a Attention<'a>,
    /// Query rows, from the first of this task.
    q: &'a [f32],
    /// Position of the first.
    first: usize,
    count: usize,
    /// Position after the whole call's last query.
    end: usize,
    out: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let a = self.a;
        let (group, rows) = (a.group(), self.count * a.group());
        let (key_width, value_width) = (a.key_rows(0).width, a.value_rows(0).width);
        let states = rows.next_multiple_of(PANEL);
        let sizes = [
            rows * key_width,
            PANEL * CHUNK,
            CHUNK * a.key_rows(0).step(),
            CHUNK * a.value_rows(0).step(),
            rows * value_width,
            rows * value_width,
            states,
            states,
            states,
            states,
        ];
        let mut buffer = Buffer::take();
        let [queries, scores, keys, values, sums, span_sums, state @ ..] = buffer.slices(sizes);
        // Of all spans so far, of the span, and of a panel and one chunk.
        let [tops, totals, span_tops, span_totals] = state;
        let mut all = Seen { tops, totals };
        let mut of_span = Seen {
            tops: span_tops,
            totals: span_totals,
        };
        let [mut first, mut second] = [[0f32; PANEL]; 2];
        let mut here = Seen {
            tops: &mut first,
            totals: &mut second,
        };
        for kv_head in 0..a.kv_heads {
            let block = Block {
                attention: a,
                kv_head,
                position: self.first,
                first: 0,
                rows,
                end: self.end,
            };
            block.pack(self.q, key_width, queries);
            sums.fill(0.0);
            all.clear();
            let from = a.visible(self.first, self.end).start;
            let to = a.visible(self.first + self.count - 1, self.end).end;
            for span in spans(&(from..to)).map(span) {
                // What a span of one chunk would come to is that chunk.
                let single = span.len() == CHUNK;
                let (seen, sums_here) = if single {
                    (&mut all, &mut *sums)
                } else {
                    of_span.clear();
                    span_sums.fill(0.0);
                    (&mut of_span, &mut *span_sums)
                };
                for start in span.step_by(CHUNK) {
                    let some = block.seen_by_some(start);
                    if some.is_empty() || block.is_hidden(start) {
                        continue;
                    }
                    let from = some.start;
                    let positions = start + some.start..start + some.end;
                    let key_rows = a.key_rows(kv_head);
                    let keys = a.keys.tile(s, key_rows, positions.clone(), false, keys);
                    let value_rows = a.value_rows(kv_head);
                    let values = a.values.tile(s, value_rows, positions, false, values);
                    for row in (0..rows).step_by(PANEL) {
                        let panel = Block {
                            first: row,
                            rows: PANEL.min(rows - row),
                            ..block
                        };
                        if panel.seen_by_some(start).is_empty() {
                            continue;
                        }
                        let few = match panel.seen_equally(start) {
                            true => PANEL,
                            false => FEW,
                        };
                        for part in panel.parts(few) {
                            let queries = &queries[part.first * key_width..];
                            let scores = &mut scores[(part.first - row) * CHUNK..];
                            part.scores(s, start, queries, keys, from, scores);
                        }
                        panel.weigh(s, start, scores, &mut here);
                        seen.skip(row).join(s, panel.rows, &mut here);
                        for part in panel.parts(few) {
                            let weights = &scores[(part.first - row) * CHUNK..];
                            let out = &mut sums_here[part.first * value_width..];
                            let onto = here.factors();
                            let onto = onto.skip(part.first - row);
                            part.weighted(s, start, weights, values, from, out, value_width, onto);
                        }
                    }
                }
                if !single {
                    all.join(s, rows, &mut of_span);
                    let next = sums
                        .chunks_exact_mut(value_width)
                        .zip(span_sums.chunks_exact(value_width));
                    for (row, (sums, next)) in next.enumerate() {
                        let (shrink, grow) =
                            (s.splat(of_span.tops[row]), s.splat(of_span.totals[row]));
                        join_values(s, sums, next, shrink, grow);
                    }
                }
            }
            for (row, sums) in sums.chunks_exact(value_width).enumerate() {
                let head = kv_head * group + row % group;
                let sink = a.sinks.map(|s| s[head]);
                let out = &mut self.out[(row / group * a.heads + head) * a.value_dim..];
                let seen = (s.splat(all.tops[row]), s.splat(all.totals[row]));
                let out = &mut out[..a.value_dim];
                close(s, seen, sink, &sums[..a.value_dim], out);
            }
        }
    }
}
