//! Multi-head latent attention (DeepSeek V2, arXiv:2405.04434): keys and values of all heads come out of one short latent
//! row for each position, beside a rotated part that all heads share.
//!
//! Where a file has the matrices from and to the latent head by head (`attn_k_b`, `attn_v_b`), they are applied to queries
//! and results: only latent rows are kept, and all heads read the same ones. Where it has them as one (`attn_kv_b`), keys and
//! values of each head are kept.

use gristmill_kernels::Product;
use gristmill_kernels::attention::Attention as Scores;
use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Norm, Pass, RopeId, Temperature, Tensor, copy, cut, output_gate};
use crate::cache::{CacheId, CacheShape};
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// Latent attention with the tensors `attn_q` (or `attn_q_a`, `attn_q_a_norm`, `attn_q_b`), `attn_kv_a_mqa`,
/// `attn_kv_a_norm`, the two forms of the matrices from the latent, and `attn_output`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LatentAttention {
    /// Rotation of the shared part of keys, and of its counterpart in queries.
    pub rope: Option<RopeId>,
    /// Queries grow with their position.
    pub temperature: Option<Temperature>,
    /// Factor on the scores, beside one by the root of a key's length.
    pub scale: f32,
    /// What attention gives is multiplied by this function of `attn_gate`, which has a row for each value or each head.
    pub gate: Option<Activation>,
}

/// How wide its rows are.
#[derive(Debug, Clone, Copy)]
struct Widths {
    heads: usize,
    /// The latent row.
    latent: usize,
    /// The part of a key that comes out of the latent.
    plain: usize,
    /// The part that is rotated.
    rotated: usize,
    value: usize,
}

impl Widths {
    fn read(at: &LayerTensors<'_, '_>) -> Result<Self, Error> {
        let keys = at.keys();
        let length = |own: &str, usual: &str| match keys.opt_count(own)? {
            Some(length) => Ok(length),
            None => keys.count(usual),
        };
        let key = length("attention.key_length_mla", "attention.key_length")?;
        let rotated = keys.count("rope.dimension_count")?;
        if rotated > key {
            return Err(keys.wrong(
                "rope.dimension_count",
                format!("is {rotated}, and must be at most the length of a key, {key}"),
            ));
        }
        Ok(Self {
            heads: at.count("attention.head_count")?,
            latent: keys.count("attention.kv_lora_rank")?,
            plain: key - rotated,
            rotated,
            value: length("attention.value_length_mla", "attention.value_length")?,
        })
    }
}

/// The matrices from the latent row.
enum FromLatent {
    /// For each head: to the latent from a query's plain part, and from the latent to a value.
    Absorbed { key: Tensor, value: Tensor },
    /// To the plain part of a key and the value of each head, one after the other.
    Expanded(Linear),
}

/// Queries by one matrix, or by two with a norm between them.
enum Queries {
    One(Linear),
    Two(Linear, Norm, Linear),
}

struct Latent {
    spec: LatentAttention,
    widths: Widths,
    queries: Queries,
    /// To the latent row and the rotated part of keys.
    compress: Linear,
    norm: Norm,
    from_latent: FromLatent,
    /// With its activation.
    gate: Option<(Linear, Activation)>,
    output: Linear,
    scale: f32,
    cache: CacheId,
}

impl Part for LatentAttention {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let widths = Widths::read(at)?;
        let Widths {
            heads,
            latent,
            plain,
            rotated,
            value,
        } = widths;
        let (width, rows) = (at.width(), heads * (plain + rotated));
        let queries = match at.keys().opt_number("attention.q_lora_rank")? {
            Some(rank) if rank > 0 && at.has("attn_q_a.weight") => Queries::Two(
                at.linear("attn_q_a", width, rank)?,
                at.norm("attn_q_a_norm", rank)?,
                at.linear("attn_q_b", rank, rows)?,
            ),
            _ => Queries::One(at.linear("attn_q", width, rows)?),
        };
        let (from_latent, shape) = if at.has("attn_k_b.weight") {
            let matrices = FromLatent::Absorbed {
                key: at.tensor("attn_k_b.weight", &[plain, latent, heads])?,
                value: at.tensor("attn_v_b.weight", &[latent, value, heads])?,
            };
            let shape = CacheShape {
                heads: 1,
                key_length: latent + rotated,
                value_length: latent,
                latent: true,
                window: None,
            };
            (matrices, shape)
        } else {
            let all = at.linear("attn_kv_b", latent, heads * (plain + value))?;
            let shape = CacheShape {
                heads,
                key_length: plain + rotated,
                value_length: value,
                latent: false,
                window: None,
            };
            (FromLatent::Expanded(all), shape)
        };
        Ok(Box::new(Latent {
            queries,
            compress: at.linear("attn_kv_a_mqa", width, latent + rotated)?,
            norm: at.norm("attn_kv_a_norm", latent)?,
            from_latent,
            gate: match self.gate {
                Some(activation) => {
                    Some((output_gate::load(at, heads, heads * value)?, activation))
                }
                None => None,
            },
            output: at.linear("attn_output", heads * value, width)?,
            scale: self.scale / ((plain + rotated) as f32).sqrt(),
            cache: at.cache(shape),
            widths,
            spec: self,
        }))
    }
}

impl Latent {
    /// Values of the gate of a row.
    fn gate_rows(&self) -> usize {
        self.gate.as_ref().map_or(0, |(gate, _)| gate.weight.rows)
    }

    /// The queries of all rows, the rotated part of each head last.
    fn queries(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        match &self.queries {
            Queries::One(matrix) => pass.linear(matrix, x, out),
            Queries::Two(down, norm, up) => {
                let low = cut(&mut scratch, pass.n * down.weight.rows);
                let normed = cut(&mut scratch, pass.n * down.weight.rows);
                pass.linear(down, x, low);
                norm.forward(pass, low, normed);
                pass.linear(up, normed, out);
            }
        }
        if let Some(temperature) = self.spec.temperature {
            let (with, rows) = (pass.compute.floats(), pass.rows);
            pass.each_row(out.len() / pass.n, out, |row, query| {
                ops::scale(with, query, temperature.at(rows[row].position));
            });
        }
    }

    /// Rotates the last `rotated` values of `heads` pieces of `size` in each row, by way of `scratch`.
    fn rotate_ends(
        &self,
        pass: &Pass<'_>,
        x: &mut [f32],
        heads: usize,
        size: usize,
        scratch: &mut [f32],
    ) {
        let Some(rope) = self.spec.rope else { return };
        let rotated = self.widths.rotated;
        let count = pass.n * heads;
        let ends = &mut scratch[..count * rotated];
        copy(
            count,
            rotated,
            (&x[size - rotated..], size),
            (&mut *ends, rotated),
        );
        pass.rotate(rope, ends, heads, rotated);
        copy(
            count,
            rotated,
            (ends, rotated),
            (&mut x[size - rotated..], size),
        );
    }

    /// For each head, its matrix times its values of all rows: `x` is rows of heads of `from` values, `out` of `to`.
    fn by_head(
        &self,
        pass: &mut Pass<'_>,
        matrices: &Tensor,
        (x, x_step): (&[f32], usize),
        (out, out_step): (&mut [f32], usize),
        mut scratch: &mut [f32],
    ) {
        let (n, heads, from, to) = (pass.n, self.widths.heads, matrices.cols, matrices.rows);
        let inputs = cut(&mut scratch, n * heads * from);
        let outputs = cut(&mut scratch, n * heads * to);
        // By head, then row: the columns of a head's product follow each other.
        for (head, input) in inputs.chunks_exact_mut(n * from).enumerate() {
            copy(
                n,
                from,
                (&x[head * x_step..], heads * x_step),
                (input, from),
            );
        }
        let mut products: Vec<Product<'_>> = outputs
            .chunks_exact_mut(n * to)
            .enumerate()
            .map(|(head, out)| Product {
                weights: matrices.slice(pass.gguf, head),
                out,
            })
            .collect();
        pass.compute.matmul_each(inputs, n, &mut products);
        let pairs = inputs.chunks_exact(n * from);
        for (head, (x, out)) in pairs.zip(outputs.chunks_exact_mut(n * to)).enumerate() {
            pass.adapt(x, [(matrices, head, out)]);
        }
        for (head, output) in outputs.chunks_exact(n * to).enumerate() {
            copy(
                n,
                to,
                (output, to),
                (&mut out[head * out_step..], heads * out_step),
            );
        }
    }

    /// Attention over what the cache holds.
    fn attend(
        &self,
        pass: &mut Pass<'_>,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        out: &mut [f32],
    ) {
        let (heads, shape) = (self.widths.heads, pass.states.shape(self.cache));
        let (key, value) = (shape.key_length, shape.value_length);
        for run in pass.runs {
            let keys = run.of(keys, shape.heads * key);
            // Where the cache keeps none of its own there are none.
            let values = match values {
                [] => values,
                _ => run.of(values, shape.heads * value),
            };
            let positions = (run.first, run.n);
            pass.states
                .write(self.cache, run.sequence, positions, keys, values);
            let view = pass.states.view(self.cache, run.sequence);
            let attention = Scores {
                heads,
                kv_heads: shape.heads,
                key_dim: key,
                value_dim: value,
                value_stride: view.value_stride,
                scale: self.scale,
                softcap: None,
                sinks: None,
                slopes: None,
                chosen: None,
                window: None,
                chunk: None,
                causal: true,
                first_position: run.first,
                pages: view.pages,
                keys: view.keys,
                values: view.values,
            };
            let (queries, out) = (run.of(queries, heads * key), run.of_mut(out, heads * value));
            pass.compute.attention(&attention, queries, run.n, out);
        }
    }
}

impl Mixer for Latent {
    fn scratch(&self, rows: usize) -> usize {
        let Widths {
            heads,
            latent,
            plain,
            rotated,
            value,
        } = self.widths;
        let low = match &self.queries {
            Queries::One(_) => 0,
            Queries::Two(down, ..) => 2 * down.weight.rows,
        };
        let row = heads * (plain + rotated) + 3 * (latent + rotated) + heads * value;
        let of_form = match self.from_latent {
            FromLatent::Absorbed { .. } => {
                heads * (2 * latent + rotated) + heads * (latent + plain.max(value))
            }
            FromLatent::Expanded(_) => heads * (2 * plain + rotated + 2 * value),
        };
        let gate = self.gate_rows();
        rows.saturating_mul(row + gate + low.max(of_form + heads * rotated))
    }

    fn cost(&self) -> Cost {
        let queries = match &self.queries {
            Queries::One(matrix) => matrix.cost(),
            Queries::Two(down, _, up) => down.cost() + up.cost(),
        };
        let from_latent = match &self.from_latent {
            FromLatent::Absorbed { key, value } => {
                (key.cost() + value.cost()) * self.widths.heads as u64
            }
            FromLatent::Expanded(matrix) => matrix.cost(),
        };
        let gate = self.gate.as_ref().map(|(gate, _)| gate.cost());
        queries + self.compress.cost() + from_latent + gate.unwrap_or_default() + self.output.cost()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let Widths {
            heads,
            latent,
            plain,
            rotated,
            value,
        } = self.widths;
        let (n, key) = (pass.n, plain + rotated);
        let queries = cut(&mut scratch, n * heads * key);
        let compressed = cut(&mut scratch, n * (latent + rotated));
        let shared = cut(&mut scratch, n * (latent + rotated));
        let normed = cut(&mut scratch, n * latent);
        let mixed = cut(&mut scratch, n * heads * value);
        let gates = cut(&mut scratch, n * self.gate_rows());

        self.queries(pass, x, queries, scratch);
        self.rotate_ends(pass, queries, heads, key, scratch);
        pass.linear(&self.compress, x, compressed);
        self.rotate_ends(pass, compressed, 1, latent + rotated, scratch);
        copy(
            n,
            latent,
            (compressed, latent + rotated),
            (&mut *shared, latent),
        );
        self.norm.forward(pass, &shared[..n * latent], normed);
        match &self.from_latent {
            FromLatent::Absorbed {
                key: to_latent,
                value: to_value,
            } => {
                let row = latent + rotated;
                copy(n, latent, (normed, latent), (&mut *shared, row));
                copy(
                    n,
                    rotated,
                    (&compressed[latent..], row),
                    (&mut shared[latent..], row),
                );
                let absorbed = cut(&mut scratch, n * heads * row);
                let of_latent = cut(&mut scratch, n * heads * latent);
                self.by_head(pass, to_latent, (queries, key), (absorbed, row), scratch);
                let ends = (&queries[plain..], key);
                copy(n * heads, rotated, ends, (&mut absorbed[latent..], row));
                self.attend(pass, absorbed, shared, &[], of_latent);
                self.by_head(pass, to_value, (of_latent, latent), (mixed, value), scratch);
            }
            FromLatent::Expanded(matrix) => {
                let both = cut(&mut scratch, n * heads * (plain + value));
                let keys = cut(&mut scratch, n * heads * key);
                let values = cut(&mut scratch, n * heads * value);
                pass.linear(matrix, normed, both);
                let (step, all) = (plain + value, n * heads);
                copy(all, plain, (both, step), (&mut *keys, key));
                copy(all, value, (&both[plain..], step), (&mut *values, value));
                for head in 0..heads {
                    let from = (&compressed[latent..], latent + rotated);
                    let to = &mut keys[head * key + plain..];
                    copy(n, rotated, from, (to, heads * key));
                }
                self.attend(pass, queries, keys, values, mixed);
            }
        }
        if let Some((gate, activation)) = &self.gate {
            pass.linear(gate, x, gates);
            output_gate::apply(pass.compute.floats(), *activation, gates, mixed);
        }
        pass.linear(&self.output, mixed, out);
    }
}
