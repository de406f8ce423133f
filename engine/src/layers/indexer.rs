//! Sparse attention by blocks (MiniMax M3): beside its keys and values, a layer keeps short index keys. Of the blocks of
//! positions before it, a query sees those near it, and of the others those with the key that meets its index query best.

use gristmill_kernels::attention::{BlockScores, Chosen};

use super::{Linear, Norm, Pass, RopeId, Run, cut};
use crate::cache::{CacheId, CacheShape};
use crate::error::Error;
use crate::hparams::Keys;
use crate::load::LayerTensors;

/// An index with the tensors `indexer.q_proj`, `indexer.k_proj`, and a norm of each. Its query heads are as many as there are
/// key/value heads, each of which has a choice of its own, or fewer that several of these share.
#[derive(Debug, Clone, Copy)]
pub struct Indexer {
    /// Query heads (`attention.indexer.head_count`); there is one key.
    heads: usize,
    /// Values of a query and of a key (`attention.indexer.key_length`).
    length: usize,
    /// Blocks that are seen (`attention.indexer.top_k`).
    most: usize,
    /// Positions of a block (`attention.indexer.block_size`).
    size: usize,
    /// Of these, the last ones, which are always seen (`attention.indexer.local_blocks`).
    local: usize,
}

/// Queries whose blocks are chosen together, so that memory does not grow with the batch.
const QUERIES: usize = 64;

impl Indexer {
    /// The keys, if the file has an index.
    pub fn read(keys: &Keys<'_>) -> Result<Option<Self>, Error> {
        let Some(heads) = keys.opt_count("attention.indexer.head_count")? else {
            return Ok(None);
        };
        let most = keys.count("attention.indexer.top_k")?;
        let local = keys.opt_number("attention.indexer.local_blocks")?;
        let local = local.unwrap_or(0);
        if local > most {
            let problem = format!("is {local}, more than the {most} blocks of top_k");
            return Err(keys.wrong("attention.indexer.local_blocks", problem));
        }
        Ok(Some(Self {
            heads,
            length: keys.count("attention.indexer.key_length")?,
            most,
            size: keys.count("attention.indexer.block_size")?,
            local,
        }))
    }

    /// Positions from the beginning whose queries see everything before them.
    fn whole(&self) -> usize {
        self.most.saturating_mul(self.size)
    }

    /// Which blocks a query of block `own` sees, by their scores. Of equal ones the first is taken.
    fn choose(&self, own: usize, score: impl Fn(usize) -> f32, seen: &mut [bool]) {
        let near = (own + 1).saturating_sub(self.local)..own + 1;
        let mut others: Vec<usize> = (0..near.start).collect();
        let rest = self.most.saturating_sub(near.len()).min(others.len());
        others.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
        seen.fill(false);
        seen[near].fill(true);
        for &block in &others[..rest] {
            seen[block] = true;
        }
    }
}

/// An index of one layer.
pub(super) struct BlockIndex {
    spec: Indexer,
    query: Linear,
    key: Linear,
    query_norm: Norm,
    key_norm: Norm,
    rope: Option<RopeId>,
    cache: CacheId,
}

/// What one piece of a run sees: `[query][kv_head][block]`.
pub(super) struct Choice {
    size: usize,
    count: usize,
    blocks: Vec<bool>,
}

impl Choice {
    /// For the kernel.
    pub(super) fn chosen(&self) -> Chosen<'_> {
        Chosen {
            size: self.size,
            count: self.count,
            blocks: &self.blocks,
        }
    }
}

impl BlockIndex {
    pub(super) fn load(
        spec: Indexer,
        at: &mut LayerTensors<'_, '_>,
        rope: Option<RopeId>,
        kv_heads: usize,
    ) -> Result<Self, Error> {
        let Indexer { heads, length, .. } = spec;
        if !kv_heads.is_multiple_of(heads) {
            let problem = format!("is {heads}, and must divide the {kv_heads} key/value heads");
            let key = "attention.indexer.head_count";
            return Err(at.keys().wrong(key, problem));
        }
        let rotated = rope.map_or(0, |RopeId(id)| at.loader.ropes[id].dimensions);
        if rotated > length {
            let problem = format!("is {length}, less than the {rotated} values that are rotated");
            let key = "attention.indexer.key_length";
            return Err(at.keys().wrong(key, problem));
        }
        let width = at.width();
        Ok(Self {
            query: at.linear("indexer.q_proj", width, heads * length)?,
            key: at.linear("indexer.k_proj", width, length)?,
            query_norm: at.norm("indexer.q_norm", length)?,
            key_norm: at.norm("indexer.k_norm", length)?,
            // There are no values: they are said to be in the keys.
            cache: at.cache(CacheShape {
                heads: 1,
                key_length: length,
                value_length: length,
                latent: true,
                window: None,
            }),
            rope,
            spec,
        })
    }

    pub(super) fn linears(&self) -> [&Linear; 2] {
        [&self.query, &self.key]
    }

    /// f32 values of scratch for a row.
    pub(super) fn scratch(&self) -> usize {
        2 * (self.spec.heads + 1) * self.spec.length
    }

    /// Keeps the index keys of all rows, and gives their index queries.
    pub(super) fn queries<'s>(
        &self,
        pass: &mut Pass<'_>,
        x: &[f32],
        scratch: &mut &'s mut [f32],
    ) -> &'s [f32] {
        let (n, Indexer { heads, length, .. }) = (pass.n, self.spec);
        let [queries, normed] = [(); 2].map(|()| cut(scratch, n * heads * length));
        let [keys, normed_keys] = [(); 2].map(|()| cut(scratch, n * length));
        pass.linears(x, [(&self.query, &mut *queries), (&self.key, &mut *keys)]);
        self.query_norm.forward(pass, queries, normed);
        self.key_norm.forward(pass, keys, normed_keys);
        if let Some(rope) = self.rope {
            pass.rotate(rope, normed, heads, length);
            pass.rotate(rope, normed_keys, 1, length);
        }
        for run in pass.runs {
            let (keys, positions) = (run.of(normed_keys, length), (run.first, run.n));
            pass.states
                .write(self.cache, run.sequence, positions, keys, &[]);
        }
        normed
    }

    /// Rows of a run, cut where another choice begins.
    pub(super) fn pieces(&self, run: Run) -> impl Iterator<Item = Run> {
        let whole = self.spec.whole().saturating_sub(run.first).min(run.n);
        let rest = (whole..run.n).step_by(QUERIES);
        let rest = rest.map(move |skipped| (skipped, QUERIES.min(run.n - skipped)));
        let pieces = [(0, whole)].into_iter().filter(|&(_, n)| n > 0).chain(rest);
        pieces.map(move |(skipped, n)| Run {
            row: run.row + skipped,
            first: run.first + skipped,
            n,
            ..run
        })
    }

    /// What the rows of a piece see for each of `kv_heads`; none where that is everything. `queries` are those of all rows.
    pub(super) fn choose(
        &self,
        pass: &Pass<'_>,
        piece: Run,
        queries: &[f32],
        kv_heads: usize,
    ) -> Option<Choice> {
        let spec = &self.spec;
        if piece.first + piece.n <= spec.whole() {
            return None;
        }
        let view = pass.states.view(self.cache, piece.sequence);
        let of = BlockScores {
            heads: spec.heads,
            dim: spec.length,
            size: spec.size,
            first_position: piece.first,
            pages: view.pages,
            keys: view.keys,
        };
        let (count, rows) = (of.count(piece.n), piece.n * spec.heads);
        let mut scores = vec![0.0; count * rows];
        let queries = piece.of(queries, spec.heads * spec.length);
        pass.compute
            .block_scores(&of, queries, piece.n, &mut scores);
        let mut blocks = vec![false; piece.n * kv_heads * count];
        for (number, seen) in blocks.chunks_exact_mut(count).enumerate() {
            let (query, kv_head) = (number / kv_heads, number % kv_heads);
            let row = query * spec.heads + kv_head * spec.heads / kv_heads;
            let own = (piece.first + query) / spec.size;
            spec.choose(own, |block| scores[block * rows + row], seen);
        }
        Some(Choice {
            size: spec.size,
            count,
            blocks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One block after the other: the nearest ones, then whichever is best of those left.
    fn plain(spec: &Indexer, own: usize, scores: &[f32]) -> Vec<bool> {
        let mut seen = vec![false; scores.len()];
        let mut left = spec.most;
        for back in 0..spec.local.min(own + 1) {
            seen[own - back] = true;
            left -= 1;
        }
        while left > 0 {
            let mut best = None;
            for block in 0..=own {
                let is_better = best.is_none_or(|best: usize| scores[block] > scores[best]);
                if !seen[block] && is_better {
                    best = Some(block);
                }
            }
            let Some(best) = best else { break };
            seen[best] = true;
            left -= 1;
        }
        seen
    }

    #[test]
    fn the_nearest_and_the_best_blocks_are_chosen() {
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Few values, so that some are equal.
            (state >> 24) as f32 % 9.0 - 4.0
        };
        for (most, local) in [(1, 0), (1, 1), (3, 1), (4, 2), (5, 5)] {
            let spec = Indexer {
                heads: 1,
                length: 1,
                most,
                size: 4,
                local,
            };
            for own in 0..12 {
                let mut scores: Vec<f32> = (0..12).map(|_| next()).collect();
                scores[own + 1..].fill(f32::NEG_INFINITY);
                let mut seen = vec![true; 12];
                spec.choose(own, |block| scores[block], &mut seen);
                assert_eq!(seen, plain(&spec, own, &scores), "{most} {local} {own}");
                let count = seen.iter().filter(|&&seen| seen).count();
                assert_eq!(count, most.min(own + 1));
            }
        }
    }
}
