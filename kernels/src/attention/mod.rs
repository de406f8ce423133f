//! Attention of a run of queries over a cache of keys and values.
//!
//! Rows (query × head) meet the cache in chunks of positions, with the same arithmetic (`softmax`) in two ways through
//! that differ in what a task is: one chunk for all queries where they are few (`decode`), some queries for all chunks
//! where they are many (`prefill`). A key or value row is read once for all query heads that share it, and widened to f32
//! on the way; the arithmetic knows f32 only.
//!
//! Where chunks begin depends on positions alone, and each row's sums have one order: results are the same bits for any
//! number of threads and for any split of the queries into calls. (AVX2 and AVX-512 agree, too. The portable set may not:
//! it has no fused multiply-add on x86.)

mod blocks;
mod cache;
mod decode;
mod prefill;
mod softmax;
#[cfg(test)]
mod tests;

use crate::isa::float::Floats;
use std::cell::RefCell;
use std::ops::Range;

pub use blocks::{BlockScores, Chosen};
use cache::HeadRows;
pub use cache::{CacheRows, PAGE};

/// Up to this many queries are shared out to threads by chunks of the cache, more by queries. Only speed depends on it.
pub const FEW_QUERIES: usize = 16;

/// Fewer multiply-adds than this are not worth waking other threads for.
const WORTH_PARALLEL: usize = 64 * 1024;

/// The shape of one attention call and the cache it reads. The rows of the queries themselves are in the cache already.
#[derive(Clone, Copy)]
pub struct Attention<'a> {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; `heads` is a multiple (grouped queries, arXiv:2305.13245).
    pub kv_heads: usize,
    /// Elements of a query and a key row.
    pub key_dim: usize,
    /// Elements of a value row that are of use.
    pub value_dim: usize,
    /// Elements from the beginning of a value row to that of the next: more than `value_dim` where values are the beginnings
    /// of keys (latent attention, arXiv:2405.04434).
    pub value_stride: usize,
    /// Factor on the dot products, usually 1 / √key_dim.
    pub scale: f32,
    /// `cap * tanh(score / cap)` before the softmax.
    pub softcap: Option<f32>,
    /// Position p sees p - window + 1 ..= p; without `causal` also as far ahead.
    pub window: Option<usize>,
    /// Position p sees nothing before the last multiple of this (Llama 4's chunks).
    pub chunk: Option<usize>,
    /// Whether a position is blind for what follows it.
    pub causal: bool,
    /// Position of the first query.
    pub first_position: usize,
    /// By position / [`PAGE`]: the page of the cache that holds it.
    pub pages: &'a [u32],
    /// Keys, `[page][kv_head][slot][key_dim]`.
    pub keys: CacheRows<'a>,
    /// Values, `[page][kv_head][slot][value_stride]`.
    pub values: CacheRows<'a>,
    /// One logit a head that takes part in the softmax without a value (attention sinks, arXiv:2309.17453; gpt-oss).
    pub sinks: Option<&'a [f32]>,
    /// One slope a head: `slope * -|distance|` is added to the score (ALiBi, arXiv:2108.12409).
    pub slopes: Option<&'a [f32]>,
    /// Queries see only some blocks of positions.
    pub chosen: Option<Chosen<'a>>,
}

/// Buffers that live as long as the compute handle, so that no call allocates once they have grown.
#[derive(Default, Debug)]
pub struct AttentionScratch {
    partials: Vec<f32>,
}

/// How [`Attention::run`] gets its tasks done: calls the function with 0 .. tasks, on any threads, and returns when all
/// are finished.
pub type Parallel<'p> = &'p dyn Fn(usize, &(dyn Fn(usize) + Sync));

impl Attention<'_> {
    /// `out = softmax(q · keys) · values` for `n` queries at consecutive positions.
    ///
    /// `q` is n × heads × key_dim and `out` n × heads × value_dim, position-major.
    ///
    /// # Panics
    /// If a slice doesn't have the length its shape asks for, or a key that a query sees is no longer in the cache.
    pub fn run(
        &self,
        floats: Floats,
        scratch: &mut AttentionScratch,
        parallel: Parallel<'_>,
        q: &[f32],
        n: usize,
        out: &mut [f32],
    ) {
        if n == 0 {
            return;
        }
        self.check(q, n, out);
        if n <= FEW_QUERIES {
            decode::run(self, floats, scratch, parallel, q, n, out);
        } else {
            prefill::run(self, floats, parallel, q, n, out);
        }
    }

    fn check(&self, q: &[f32], n: usize, out: &[f32]) {
        assert!(
            self.kv_heads > 0 && self.heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "query heads per kv head"
        );
        assert!(self.key_dim > 0 && self.value_dim > 0);
        assert_eq!(q.len(), n * self.heads * self.key_dim, "queries");
        assert_eq!(out.len(), n * self.heads * self.value_dim, "output");
        assert!(self.value_stride >= self.value_dim, "values overlap");
        let end = self.first_position + n;
        let seen = self.visible(self.first_position, end).start..end;
        let pages = seen.start / PAGE..end.div_ceil(PAGE);
        assert!(self.pages.len() >= pages.end, "a page for every position");
        let pages = &self.pages[pages];
        self.keys.check(pages, self.kv_heads, self.key_dim);
        self.values.check(pages, self.kv_heads, self.value_stride);
        assert!(
            self.sinks.is_none_or(|s| s.len() == self.heads),
            "a sink for every head"
        );
        assert!(
            self.slopes.is_none_or(|s| s.len() == self.heads),
            "a slope for every head"
        );
        if let Some(chosen) = self.chosen {
            let rows = n * self.kv_heads;
            assert_eq!(chosen.blocks.len(), rows * chosen.count, "chosen blocks");
            assert!(chosen.size > 0, "positions of a block");
        }
    }

    /// Query heads per key/value head.
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    /// The key rows of a head.
    fn key_rows(&self, head: usize) -> HeadRows<'_> {
        let dim = self.key_dim;
        HeadRows {
            head,
            heads: self.kv_heads,
            pages: self.pages,
            dim,
            stride: dim,
            width: dim.next_multiple_of(16),
        }
    }

    /// The value rows of a head.
    fn value_rows(&self, head: usize) -> HeadRows<'_> {
        let dim = self.value_dim;
        HeadRows {
            head,
            heads: self.kv_heads,
            pages: self.pages,
            dim,
            stride: self.value_stride,
            width: dim.next_multiple_of(16),
        }
    }

    /// What `position` sees, where `end` is the position after the last query.
    fn visible(&self, position: usize, end: usize) -> Range<usize> {
        let start = self.window.map_or(0, |w| (position + 1).saturating_sub(w));
        let start = start.max(
            self.chunk
                .map_or(0, |chunk| position - position % chunk.max(1)),
        );
        let stop = match (self.causal, self.window) {
            (true, _) => position + 1,
            (false, None) => end,
            (false, Some(w)) => end.min(position + w.max(1)),
        };
        start.min(stop)..stop
    }
}

/// Floats in a cache line.
const LINE: usize = 16;

thread_local!(static BUFFER: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) });

/// The buffers of a task. Their memory stays with the thread from one task to the next.
struct Buffer(Vec<f32>);

impl Buffer {
    /// The thread's own buffer, on loan until dropped.
    fn take() -> Buffer {
        Buffer(BUFFER.take())
    }

    /// Cuts it into slices of `sizes`, each beginning at a cache line.
    fn slices<const N: usize>(&mut self, sizes: [usize; N]) -> [&mut [f32]; N] {
        let padded = sizes.map(|size| size.next_multiple_of(LINE));
        let total = padded.iter().sum::<usize>() + LINE;
        if self.0.len() < total {
            self.0.resize(total, 0.0);
        }
        let skip = self
            .0
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        let mut rest = &mut self.0[skip..];
        std::array::from_fn(|i| {
            let (part, tail) = std::mem::take(&mut rest).split_at_mut(padded[i]);
            rest = tail;
            &mut part[..sizes[i]]
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        BUFFER.set(std::mem::take(&mut self.0));
    }
}
