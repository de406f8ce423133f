//! Self-attention with grouped heads (arXiv:2305.13245): causal, over all of the past or a sliding window of it, or in both
//! directions within a text ([`bidirectional`](super::bidirectional)).

use gristmill_kernels::attention::{Attention as Scores, CacheRows, Chosen};
use gristmill_kernels::ops::{self, Activation};

use super::indexer::{BlockIndex, Choice, Indexer};
use super::{
    Cost, Linear, Mixer, Norm, Pass, RopeId, Run, Temperature, bidirectional, copy, cut,
    output_gate,
};
use crate::cache::{CacheId, CacheShape};
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// Attention with the tensors `attn_q`, `attn_k`, `attn_v` (or all three in one, `attn_qkv`) and `attn_output`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attention {
    /// Rotation of queries and keys.
    pub rope: Option<RopeId>,
    /// Sliding window: position p sees p - window + 1 to p; in both directions p - window / 2 to p + window / 2.
    pub window: Option<usize>,
    /// Position p sees nothing before the last multiple of this.
    pub chunk: Option<usize>,
    /// Norms of queries and keys (`attn_q_norm`, `attn_k_norm`).
    pub norms: HeadNorms,
    /// These norms come after the rotation, not before it.
    pub norms_after_rope: bool,
    /// Factor on the scores, if not one by the root of a key's length.
    pub scale: Option<f32>,
    /// Bound of the scores, which tanh keeps them in.
    pub softcap: Option<f32>,
    /// Queries, keys and values are kept in ± this.
    pub clamp: Option<f32>,
    /// Scores fall with the distance (ALiBi, arXiv:2108.12409); the steepest head's slope is 2 to the power of minus this,
    /// divided by the number of heads.
    pub alibi: Option<f32>,
    /// Queries grow with their position.
    pub temperature: Option<Temperature>,
    /// A logit for each head that takes part in the softmax without a value (`attn_sinks`; arXiv:2309.17453).
    pub sinks: Sinks,
    /// What attention gives is multiplied by this function of `attn_gate`, which has a row for each value or each head.
    pub gate: Option<Activation>,
    /// The gate is not a matrix of its own: the rows of each head's queries in `attn_q` are followed by those of its gate.
    pub gate_in_queries: bool,
    /// A bias of `attn_output` has no effect, as in the models' own code.
    pub ignores_output_bias: bool,
    /// Nor have biases of `attn_q`, `attn_k` and `attn_v`.
    pub ignores_input_biases: bool,
    /// Keys of the lengths of a head's keys and values, where the file has them, before the usual ones.
    pub lengths: Option<[&'static str; 2]>,
    /// The values of each head are normalised without weights.
    pub value_norm: bool,
    /// Where the file has no `attn_v`, values are what the keys are before their norm.
    pub values_may_be_keys: bool,
    /// Keys and values are those of this earlier layer: this one has none of its own.
    pub shares: Option<usize>,
    /// Queries see only some blocks of positions, which an index chooses.
    pub indexer: Option<Indexer>,
}

/// Whether there are attention sinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sinks {
    /// None.
    #[default]
    None,
    /// In layers for which the file has them.
    IfPresent,
    /// In all layers.
    All,
}

/// Norms of queries and keys. The shape of their weights says what is normalised: each head, each with weights of its own,
/// or all heads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HeadNorms {
    /// None.
    #[default]
    None,
    /// Where the file has weights for them.
    IfPresent,
    /// Always.
    Weighted,
    /// Of each head, without weights.
    Plain,
    /// Of each head, with weights for queries alone.
    WeightedQueries,
}

/// How many heads there are, and how wide.
#[derive(Debug, Clone, Copy)]
struct Heads {
    queries: usize,
    keys: usize,
    key_length: usize,
    value_length: usize,
}

impl Heads {
    fn read(at: &LayerTensors<'_, '_>, lengths: Option<[&str; 2]>) -> Result<Self, Error> {
        let (keys, width) = (at.keys(), at.width());
        let queries = at.count("attention.head_count")?;
        let shared = at.number("attention.head_count_kv")?.unwrap_or(queries);
        if shared == 0 || !queries.is_multiple_of(shared) {
            let problem = format!(
                "has {queries} heads in layer {}, not a multiple of the {shared} of attention.head_count_kv",
                at.layer
            );
            return Err(keys.wrong("attention.head_count", problem));
        }
        let own = |which: usize| match lengths {
            Some(names) => keys.opt_count(names[which]),
            None => Ok(None),
        };
        let key_length = match own(0)? {
            Some(length) => length,
            None => at.loader.head_length()?,
        };
        let value_length = match own(1)? {
            None => keys.opt_count("attention.value_length")?,
            length => length,
        };
        // Without a key, a value is as long as a key would be without one.
        let value_length = value_length.unwrap_or(width / queries);
        Ok(Self {
            queries,
            keys: shared,
            key_length,
            value_length,
        })
    }

    /// Values of a row of queries, keys, values, and of what attention gives.
    fn sizes(&self) -> [usize; 4] {
        [
            self.queries * self.key_length,
            self.keys * self.key_length,
            self.keys * self.value_length,
            self.queries * self.value_length,
        ]
    }
}

impl Part for Attention {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let heads = Heads::read(at, self.lengths)?;
        let width = at.width();
        let [queries, keys, values, mixed] = heads.sizes();
        if let Some(RopeId(id)) = self.rope {
            let dimensions = at.loader.ropes[id].dimensions;
            if dimensions > heads.key_length {
                let problem = format!(
                    "is {dimensions}, and must be even and at most the length of a head, {}",
                    heads.key_length
                );
                return Err(at.keys().wrong("rope.dimension_count", problem));
            }
        }
        let rows = queries * if self.gate_in_queries { 2 } else { 1 };
        let (mut query, mut key, mut value) = if self.shares.is_some() {
            // Some files have the unused tensors nevertheless.
            for name in ["attn_k.", "attn_k_norm.", "attn_v."] {
                at.ignore(name);
            }
            (at.linear("attn_q", width, rows)?, None, None)
        } else if at.has("attn_qkv.weight") {
            let all = at.linear("attn_qkv", width, rows + keys + values)?;
            let [query, key, value] = all.parts([rows, keys, values]);
            (query, Some(key), Some(value))
        } else {
            let is_key = self.values_may_be_keys && keys == values && !at.has("attn_v.weight");
            let query = at.linear("attn_q", width, rows)?;
            let key = at.linear("attn_k", width, keys)?;
            let value = match is_key {
                true => None,
                false => Some(at.linear("attn_v", width, values)?),
            };
            (query, Some(key), value)
        };
        if self.ignores_input_biases {
            let inputs = key.iter_mut().chain(&mut value);
            for linear in inputs.chain([&mut query]) {
                linear.bias = None;
            }
        }
        let query_norm = self.norm(at, "attn_q_norm", heads.queries, heads.key_length)?;
        let has_keys = self.shares.is_none();
        let key_norm = if has_keys {
            self.norm(at, "attn_k_norm", heads.keys, heads.key_length)?
        } else {
            None
        };
        let value_norm = if has_keys && self.value_norm {
            let kind = at.loader.norms;
            Some(at.loader.plain_norm(kind, heads.value_length)?)
        } else {
            None
        };
        let gate = if self.gate.is_some() && !self.gate_in_queries {
            Some(output_gate::load(at, heads.queries, mixed)?)
        } else {
            None
        };
        let sinks = match self.sinks {
            Sinks::None => None,
            Sinks::IfPresent => at.opt_vector("attn_sinks.weight", heads.queries)?,
            Sinks::All => Some(at.vector("attn_sinks.weight", heads.queries)?),
        };
        let mut output = at.linear("attn_output", mixed, width)?;
        output.bias = output.bias.filter(|_| !self.ignores_output_bias);
        let scale = 1.0 / (heads.key_length as f32).sqrt();
        let shape = CacheShape {
            heads: heads.keys,
            key_length: heads.key_length,
            value_length: heads.value_length,
            latent: false,
            window: self.window.or(self.chunk),
        };
        let cache = match self.shares {
            _ if !at.loader.causal => None,
            None => Some(at.cache(shape)),
            Some(layer) => Some(at.cache_of(layer, shape)?),
        };
        if cache.is_none() && self.shares.is_some() {
            let problem = "is false, and layers that share keys and values are causal here";
            return Err(at.keys().wrong("attention.causal", problem.into()));
        }
        let index = match self.indexer {
            Some(spec) => Some(BlockIndex::load(spec, at, self.rope, heads.keys)?),
            None => None,
        };
        let window = match cache {
            Some(_) => self.window,
            // The kernel looks as far ahead as back, the position itself counted in both.
            None => self.window.map(|window| window / 2 + 1),
        };
        Ok(Box::new(SelfAttention {
            query,
            key,
            value,
            output,
            gate,
            query_norm,
            key_norm,
            value_norm,
            sinks,
            slopes: self.alibi.map(|most| slopes(most, heads.queries)),
            scale: self.scale.unwrap_or(scale),
            cache,
            index,
            heads,
            spec: Attention { window, ..self },
        }))
    }
}

impl Attention {
    /// With rotated queries and keys.
    pub fn rotated(rope: RopeId) -> Self {
        Self {
            rope: Some(rope),
            ..Self::default()
        }
    }

    /// The norm of queries or keys, in `heads` rows of `length`.
    fn norm(
        &self,
        at: &mut LayerTensors<'_, '_>,
        name: &str,
        heads: usize,
        length: usize,
    ) -> Result<Option<Norm>, Error> {
        let weight = format!("{name}.weight");
        let kind = at.loader.norms;
        let is_query = name == "attn_q_norm";
        match self.norms {
            HeadNorms::None => return Ok(None),
            HeadNorms::WeightedQueries if is_query => {}
            HeadNorms::Plain | HeadNorms::WeightedQueries => {
                return Ok(Some(at.loader.plain_norm(kind, length)?));
            }
            HeadNorms::IfPresent if !at.has(&weight) => return Ok(None),
            HeadNorms::IfPresent | HeadNorms::Weighted => {}
        }
        let dims = at.dims(&weight).unwrap_or_default();
        if dims == [length as u64, heads as u64] {
            // Weights for each head.
            let values = at.opt_values(&weight, &[length, heads])?;
            let bias = at.opt_values(&format!("{name}.bias"), &[length, heads])?;
            let plain = at.loader.plain_norm(kind, length)?;
            return Ok(Some(Norm {
                weight: values,
                bias,
                ..plain
            }));
        }
        if dims == [1, heads as u64] {
            // One factor for each head.
            let factors = at.opt_values(&weight, &[1, heads])?.unwrap_or_default();
            let weight = factors.iter().flat_map(|&x| std::iter::repeat_n(x, length));
            let plain = at.loader.plain_norm(kind, length)?;
            return Ok(Some(Norm {
                weight: Some(weight.collect()),
                ..plain
            }));
        }
        let whole = dims == [(heads * length) as u64];
        let norm = at.norm(name, if whole { heads * length } else { length })?;
        Ok(Some(norm))
    }
}

/// The slopes of ALiBi for any number of heads: those of the power of two below it, and every second one of the next.
fn slopes(most: f32, heads: usize) -> Vec<f32> {
    let even = 1 << heads.ilog2();
    let power = |exponent: usize, of: usize| (-most * exponent as f32 / of as f32).exp2();
    (0..heads)
        .map(|head| match head.checked_sub(even) {
            None => power(head + 1, even),
            Some(odd) => power(2 * odd + 1, 2 * even),
        })
        .collect()
}

/// Queries, keys and values from one input; scores over the cache; one product back to the residual stream.
struct SelfAttention {
    spec: Attention,
    heads: Heads,
    query: Linear,
    /// None where the keys and values of another layer are read.
    key: Option<Linear>,
    /// None there, too, and where values are keys.
    value: Option<Linear>,
    output: Linear,
    gate: Option<Linear>,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    value_norm: Option<Norm>,
    sinks: Option<Vec<f32>>,
    slopes: Option<Vec<f32>>,
    scale: f32,
    /// None where texts are seen whole: nothing outlives a pass.
    cache: Option<CacheId>,
    index: Option<BlockIndex>,
}

impl SelfAttention {
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        let inputs = [Some(&self.query), self.key.as_ref(), self.value.as_ref()];
        let inputs = inputs.into_iter().flatten();
        let index = self.index.iter().flat_map(BlockIndex::linears);
        inputs.chain([&self.output]).chain(&self.gate).chain(index)
    }

    /// Values of a row of queries, of keys and values of its own, and of what attention gives.
    fn sizes(&self) -> [usize; 4] {
        let [queries, keys, values, mixed] = self.heads.sizes();
        match self.key {
            Some(_) => [queries, keys, values, mixed],
            None => [queries, 0, 0, mixed],
        }
    }

    /// Norm and rotation of queries or keys; `normed` is as long where there is a norm.
    fn placed<'s>(
        &self,
        pass: &Pass<'_>,
        heads: usize,
        norm: &Option<Norm>,
        x: &'s mut [f32],
        normed: &'s mut [f32],
    ) -> &'s mut [f32] {
        let rotate = |x: &mut [f32]| {
            if let Some(rope) = self.spec.rope {
                pass.rotate(rope, x, heads, self.heads.key_length);
            }
        };
        let Some(norm) = norm else {
            rotate(x);
            return x;
        };
        if self.spec.norms_after_rope {
            rotate(x);
        }
        norm.forward(pass, x, normed);
        if !self.spec.norms_after_rope {
            rotate(normed);
        }
        normed
    }
}

impl Mixer for SelfAttention {
    fn scratch(&self, rows: usize) -> usize {
        let [queries, keys, values, mixed] = self.sizes();
        let normed = |norm: &Option<Norm>, size: usize| norm.as_ref().map_or(0, |_| size);
        let gate = match &self.gate {
            Some(gate) => gate.weight.rows,
            None if self.spec.gate_in_queries => 3 * queries,
            None => 0,
        };
        let whole = if self.cache.is_none() {
            bidirectional::values(rows, keys + values)
        } else {
            0
        };
        whole.saturating_add(rows.saturating_mul(
            queries
                + keys
                + values
                + self.index.as_ref().map_or(0, BlockIndex::scratch)
                + mixed
                + gate
                + normed(&self.query_norm, queries)
                + normed(&self.key_norm, keys)
                + normed(&self.value_norm, values),
        ))
    }

    fn is_local(&self) -> bool {
        // What it would leave for later positions, another layer has.
        self.key.is_none()
    }

    fn cost(&self) -> Cost {
        self.linears().map(Linear::cost).sum()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let (n, spec, heads) = (pass.n, &self.spec, self.heads);
        let mut parts = self.sizes().map(|size| cut(&mut scratch, n * size));
        let [queries, keys, values, mixed] = &mut parts;
        let len = |norm: &Option<Norm>, x: &[f32]| norm.as_ref().map_or(0, |_| x.len());
        let normed_queries = cut(&mut scratch, len(&self.query_norm, queries));
        let normed_keys = cut(&mut scratch, len(&self.key_norm, keys));
        let normed_values = cut(&mut scratch, len(&self.value_norm, values));

        // Queries and their gate head by head, where they come together.
        let split = if spec.gate_in_queries {
            queries.len()
        } else {
            0
        };
        let both = cut(&mut scratch, 2 * split);
        let gates = cut(&mut scratch, split);
        let asked = if split > 0 {
            &mut *both
        } else {
            &mut **queries
        };
        let query = (&self.query, asked);
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => {
                pass.linears(x, [query, (key, &mut **keys), (value, &mut **values)])
            }
            (Some(key), None) => {
                pass.linears(x, [query, (key, &mut **keys)]);
                values.copy_from_slice(keys);
            }
            (None, _) => pass.linears(x, [query]),
        }
        if split > 0 {
            let (length, count) = (heads.key_length, n * heads.queries);
            copy(count, length, (both, 2 * length), (&mut **queries, length));
            copy(
                count,
                length,
                (&both[length..], 2 * length),
                (&mut *gates, length),
            );
        }
        let with = pass.compute.floats();
        if let Some(most) = spec.clamp {
            for part in [&mut *queries, keys, values] {
                ops::clamp(with, part, most);
            }
        }
        let queries = self.placed(
            pass,
            heads.queries,
            &self.query_norm,
            queries,
            normed_queries,
        );
        let (keys, values): (&[f32], &[f32]) = if self.key.is_some() {
            let keys = self.placed(pass, heads.keys, &self.key_norm, keys, normed_keys);
            let values = match &self.value_norm {
                Some(norm) => {
                    norm.forward(pass, values, normed_values);
                    &*normed_values
                }
                None => &**values,
            };
            if let Some(cache) = self.cache {
                for run in pass.runs {
                    let keys = run.of(keys, heads.keys * heads.key_length);
                    let values = run.of(values, heads.keys * heads.value_length);
                    let positions = (run.first, run.n);
                    pass.states
                        .write(cache, run.sequence, positions, keys, values);
                }
            }
            (keys, values)
        } else {
            (&[], &[])
        };
        if let Some(temperature) = spec.temperature {
            let rows = pass.rows;
            pass.each_row(heads.queries * heads.key_length, queries, |row, query| {
                ops::scale(with, query, temperature.at(rows[row].position));
            });
        }

        let scores = Scores {
            heads: heads.queries,
            kv_heads: heads.keys,
            key_dim: heads.key_length,
            value_dim: heads.value_length,
            value_stride: heads.value_length,
            scale: self.scale,
            softcap: spec.softcap,
            sinks: self.sinks.as_deref(),
            slopes: self.slopes.as_deref(),
            chosen: None,
            window: spec.window,
            chunk: spec.chunk,
            causal: self.cache.is_some(),
            first_position: 0,
            pages: &[],
            keys: CacheRows::F32(&[]),
            values: CacheRows::F32(&[]),
        };
        if let Some(cache) = self.cache {
            let mut attend = |pass: &mut Pass<'_>, run: Run, chosen: Option<Chosen<'_>>| {
                let view = pass.states.view(cache, run.sequence);
                let scores = Scores {
                    value_stride: view.value_stride,
                    first_position: run.first,
                    pages: view.pages,
                    keys: view.keys,
                    values: view.values,
                    chosen,
                    ..scores
                };
                let queries = run.of(queries, heads.queries * heads.key_length);
                let mixed = run.of_mut(mixed, heads.queries * heads.value_length);
                pass.compute.attention(&scores, queries, run.n, mixed);
            };
            let index = self.index.as_ref();
            let index = index.map(|index| (index, index.queries(pass, x, &mut scratch)));
            for &run in pass.runs {
                let Some((index, queries)) = index else {
                    attend(pass, run, None);
                    continue;
                };
                for piece in index.pieces(run) {
                    let choice = index.choose(pass, piece, queries, heads.keys);
                    attend(pass, piece, choice.as_ref().map(Choice::chosen));
                }
            }
        } else {
            let by_heads = cut(
                &mut scratch,
                bidirectional::values(n, (keys.len() + values.len()) / n),
            );
            bidirectional::attend(pass, &scores, [queries, keys, values], by_heads, mixed);
        }
        if let Some(activation) = spec.gate {
            let gates = match &self.gate {
                Some(gate) => {
                    let gates = cut(&mut scratch, n * gate.weight.rows);
                    pass.linear(gate, x, gates);
                    gates
                }
                None => gates,
            };
            output_gate::apply(with, activation, gates, mixed);
        }
        pass.linear(&self.output, mixed, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_of_the_paper() {
        assert_eq!(slopes(8.0, 4), [0.25, 0.0625, 0.015625, 0.00390625]);
        let six = slopes(8.0, 6);
        assert_eq!(six[..4], slopes(8.0, 4));
        assert_eq!(six[4..], [0.5, 0.125]);
    }
}
