//! Attention to chosen blocks of positions alone, and the scores by which blocks are chosen: the best product of a query with
//! any key of the block.

use std::ops::Range;

use super::cache::{CacheRows, HeadRows, PAGE, Tile};
use super::softmax::CHUNK;
use super::{Buffer, Parallel};
use crate::isa::float::{Floats, Kernel, Rows, Simd, dots, most_rows};
use crate::isa::parts::Parts;

/// Which blocks each query sees, beside what it sees anyway.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Positions of a block; the first block begins at position 0.
    pub size: usize,
    /// Blocks of a row below.
    pub count: usize,
    /// `[query][kv_head][block]`. Values that are hidden must be finite nevertheless.
    pub blocks: &'a [bool],
}

impl Chosen<'_> {
    /// The blocks of a row, whose number is query × key/value heads + head.
    fn row(&self, number: usize) -> &[bool] {
        &self.blocks[number * self.count..][..self.count]
    }

    /// Whether that row sees some of `positions`.
    pub(super) fn sees(&self, row: usize, positions: Range<usize>) -> bool {
        let blocks = positions.start / self.size..positions.end.div_ceil(self.size);
        let row = self.row(row);
        blocks
            .into_iter()
            .any(|block| row.get(block) == Some(&true))
    }

    /// Makes the scores of what that row does not see minus infinity; the first is that of position `start`.
    pub(super) fn hide(&self, row: usize, start: usize, scores: &mut [f32]) {
        let (row, mut at) = (self.row(row), 0);
        while at < scores.len() {
            let block = (start + at) / self.size;
            let end = scores.len().min((block + 1) * self.size - start);
            if row.get(block) != Some(&true) {
                scores[at..end].fill(f32::NEG_INFINITY);
            }
            at = end;
        }
    }
}

/// The shape of a call for block scores, and the cache it reads. All query heads meet the same keys.
#[derive(Clone, Copy, Debug)]
pub struct BlockScores<'a> {
    /// Query heads.
    pub heads: usize,
    /// Elements of a query and a key row.
    pub dim: usize,
    /// Positions of a block.
    pub size: usize,
    /// Position of the first query; each sees the keys up to its own position.
    pub first_position: usize,
    /// By position / [`PAGE`]: the page of the cache that holds it.
    pub pages: &'a [u32],
    /// Keys, `[page][slot][dim]`.
    pub keys: CacheRows<'a>,
}

/// Rows (query × head) that meet some keys together.
const PANEL: usize = 48;

impl BlockScores<'_> {
    /// Blocks that `n` queries see some of.
    pub fn count(&self, n: usize) -> usize {
        (self.first_position + n).div_ceil(self.size)
    }

    /// `out[block][query][head]` = the largest product of `n` queries at consecutive positions with the keys of the block
    /// that each sees; minus infinity where it sees none. `q` is n × heads × dim.
    ///
    /// # Panics
    /// If a slice doesn't have the length its shape asks for, or a key is not in the cache.
    pub fn run(
        &self,
        floats: Floats,
        parallel: Parallel<'_>,
        q: &[f32],
        n: usize,
        out: &mut [f32],
    ) {
        let rows = n * self.heads;
        assert!(self.size > 0 && self.dim > 0 && rows > 0);
        assert_eq!(q.len(), rows * self.dim, "queries");
        assert_eq!(out.len(), self.count(n) * rows, "scores");
        let pages = (self.first_position + n).div_ceil(PAGE);
        assert!(self.pages.len() >= pages, "a page for every position");
        self.keys.check(&self.pages[..pages], 1, self.dim);
        // Blocks of a task: about a page of keys.
        let blocks = (PAGE / self.size).max(1);
        let parts = Parts::new(out, blocks * rows);
        parallel(parts.left(), &|_| {
            if let Some((part, out)) = parts.take() {
                floats.run(Task {
                    of: self,
                    q,
                    n,
                    first: part * blocks,
                    out,
                });
            }
        });
    }

    fn rows(&self) -> HeadRows<'_> {
        HeadRows {
            head: 0,
            heads: 1,
            pages: self.pages,
            dim: self.dim,
            stride: self.dim,
            width: self.dim.next_multiple_of(16),
        }
    }
}

/// Some blocks, all queries.
struct Task<'a> {
    of: &'a BlockScores<'a>,
    q: &'a [f32],
    n: usize,
    /// The first block.
    first: usize,
    out: &'a mut [f32],
}

impl Kernel for Task<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let of = self.of;
        let (rows, head) = (self.n * of.heads, of.rows());
        let width = head.width;
        let mut buffer = Buffer::take();
        let sizes = [rows * width, CHUNK * head.step(), PANEL * CHUNK];
        let [queries, tile, scores] = buffer.slices(sizes);
        let pairs = queries
            .chunks_exact_mut(width)
            .zip(self.q.chunks_exact(of.dim));
        for (to, q) in pairs {
            to[..of.dim].copy_from_slice(q);
            to[of.dim..].fill(0.0);
        }
        let in_place = rows <= 2 * most_rows::<S>();
        let end = of.first_position + self.n;
        for (block, out) in (self.first..).zip(self.out.chunks_exact_mut(rows)) {
            out.fill(f32::NEG_INFINITY);
            let block = block * of.size..end.min((block + 1) * of.size);
            let mut at = block.start;
            while at < block.end {
                // No longer than a chunk, and in one page.
                let to = block.end.min(at + CHUNK).min((at / PAGE + 1) * PAGE);
                let keys = of.keys.tile(s, head, at..to, in_place, tile);
                for first in (0..rows).step_by(PANEL) {
                    let count = PANEL.min(rows - first);
                    let queries = Rows {
                        data: &queries[first * width..],
                        width,
                    };
                    match keys {
                        Tile::F32(keys) => {
                            dots(s, queries, count, keys, to - at, width, scores, CHUNK);
                        }
                        Tile::F16(keys) => {
                            dots(s, queries, count, keys, to - at, width, scores, CHUNK);
                        }
                    }
                    let out = out[first..].iter_mut().zip(scores.chunks_exact(CHUNK));
                    for (row, (best, scores)) in (first..first + count).zip(out) {
                        let position = of.first_position + row / of.heads;
                        let seen = (position + 1).saturating_sub(at).min(to - at);
                        *best = scores[..seen].iter().copied().fold(*best, f32::max);
                    }
                }
                at = to;
            }
        }
    }
}
