//! Self-attention with grouped heads (arXiv:2305.13245), causal, over all of the past or a sliding window of it.

use gristmill_kernels::attention::Attention as Scores;

use super::{Cost, Layer, Linear, Norm, Pass, RopeId, cut};
use crate::cache::CacheId;

/// Queries, keys and values from one input; scores over the cache; one product back to the residual stream.
#[derive(Debug)]
pub struct Attention {
    pub(crate) query: Linear,
    pub(crate) key: Linear,
    pub(crate) value: Linear,
    pub(crate) output: Linear,
    pub(crate) heads: usize,
    pub(crate) key_value_heads: usize,
    pub(crate) key_length: usize,
    pub(crate) value_length: usize,
    /// Norms of each query and key head, before the rotation.
    pub(crate) norms: Option<(Norm, Norm)>,
    pub(crate) rope: Option<RopeId>,
    /// Factor on the scores.
    pub(crate) scale: f32,
    /// Position p sees p - window + 1 to p.
    pub(crate) window: Option<usize>,
    pub(crate) cache: CacheId,
}

impl Layer for Attention {
    fn scratch(&self) -> usize {
        let normed = if self.norms.is_some() {
            self.key_length
        } else {
            0
        };
        (self.heads + self.key_value_heads) * (self.key_length + self.value_length + normed)
    }

    fn cost(&self) -> Cost {
        let all = [&self.query, &self.key, &self.value, &self.output];
        all.into_iter().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let n = pass.n;
        let mut queries = cut(&mut scratch, n * self.heads * self.key_length);
        let mut keys = cut(&mut scratch, n * self.key_value_heads * self.key_length);
        let values = cut(&mut scratch, n * self.key_value_heads * self.value_length);
        let mixed = cut(&mut scratch, n * self.heads * self.value_length);
        let normed_queries = cut(
            &mut scratch,
            if self.norms.is_some() {
                queries.len()
            } else {
                0
            },
        );
        let normed_keys = cut(
            &mut scratch,
            if self.norms.is_some() { keys.len() } else { 0 },
        );

        pass.linears(
            x,
            [
                (&self.query, &mut *queries),
                (&self.key, &mut *keys),
                (&self.value, &mut *values),
            ],
        );
        if let Some((query_norm, key_norm)) = &self.norms {
            query_norm.forward(pass, queries, normed_queries);
            key_norm.forward(pass, keys, normed_keys);
            (queries, keys) = (normed_queries, normed_keys);
        }
        if let Some(rope) = self.rope {
            pass.rotate(rope, queries, self.heads, self.key_length);
            pass.rotate(rope, keys, self.key_value_heads, self.key_length);
        }

        let cache = &mut pass.caches[self.cache.0];
        cache.write(pass.first, n, keys, values);
        let view = cache.view();
        let attention = Scores {
            heads: self.heads,
            kv_heads: self.key_value_heads,
            key_dim: self.key_length,
            value_dim: self.value_length,
            scale: self.scale,
            softcap: None,
            sinks: None,
            slopes: None,
            window: self.window,
            causal: true,
            first_position: pass.first,
            capacity: view.capacity,
            keys: view.keys,
            values: view.values,
        };
        pass.compute.attention(&attention, queries, n, mixed);
        pass.linear(&self.output, mixed, out);
    }
}
