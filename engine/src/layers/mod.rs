//! The parts that architectures are made of: norms, attention, feed-forwards, and how they are joined around the residual
//! stream. Each file has a part as an architecture names it, how it is taken from a file ([`Part`](crate::load::Part)), and
//! how it runs ([`Mixer`]). Flows in: token ids of one or several sequences ([`Pass`]). Flows out: hidden states, and logits
//! for the rows that are wanted. Parts hold handles to tensors, never their bytes; all buffers are given to them.

mod adapted;
mod attention;
mod attention_residuals;
mod batch;
mod bidirectional;
mod conv;
mod decoder;
mod delta_attention;
mod delta_net;
mod experts;
mod feed_forward;
mod hierarchy;
mod indexer;
mod latent;
mod laurel;
mod layer_inputs;
mod lightning_attention;
mod linear;
mod mamba;
mod mamba_plamo;
mod matrix;
mod norm;
mod output_gate;
mod pass;
mod pooling;
mod rope;
mod rope_spec;
mod router;
mod rwkv;
mod rwkv6;
mod rwkv7;
mod stacks;
mod step;
mod streams;
mod temperature;
mod workspace;

pub(crate) use adapted::ADAPTED_ROWS;
pub use attention::{Attention, HeadNorms, Sinks};
pub use attention_residuals::{LastMix, SetAside, TakeBack};
pub use batch::{Batch, Input, Selection};
pub use conv::ShortConv;
pub use decoder::{Buffers, Decoder, Embedding, Head, Output};
pub use delta_attention::{DeltaAttention, LogDecay};
pub use delta_net::DeltaNet;
pub use experts::{Chunks, Experts};
pub use feed_forward::FeedForward;
pub use hierarchy::{FirstStates, LEVELS, Level, NextState};
pub use indexer::Indexer;
pub use latent::LatentAttention;
pub use laurel::Laurel;
pub use layer_inputs::{LayerEmbedding, LayerInput};
pub use lightning_attention::LightningAttention;
pub use linear::{Linear, LowRank, Tensor};
pub(crate) use linear::{LowRankFactor, kernel};
pub use mamba::{Mamba, Mamba2};
pub use mamba_plamo::PlamoMamba;
pub use matrix::{Factor, Identity, Matrix};
pub use norm::{Norm, NormKind};
pub use pass::{Pass, Row, Run};
pub(crate) use pooling::Pool;
pub use pooling::{Classifier, Pooling, PoolingHead};
pub use rope::{LongFactors, Rope, RopeId, Scaling};
pub use rope_spec::{RopeSpec, YarnNumbers};
pub use router::{Gating, Router};
pub use rwkv::ChannelMix;
pub use rwkv6::TimeMix6;
pub use rwkv7::TimeMix7;
pub use step::{Branch, Stage, Step};
pub use streams::{Correct, Merge, Open, Predict, StreamStep};
pub use temperature::Temperature;
pub use workspace::Workspace;

/// A function of the residual stream, position by position or over the past.
pub trait Mixer: Send + Sync {
    /// f32 values of scratch for batches of up to `rows` positions.
    fn scratch(&self, rows: usize) -> usize;

    /// f32 values for each position that it leaves to later layers, see [`Pass::left`].
    fn leaves(&self) -> usize {
        0
    }

    /// Whether nothing that it does for a position is seen at later ones: it need not run for positions that nobody asks
    /// for.
    fn is_local(&self) -> bool {
        false
    }

    /// What it takes to run one token through it.
    fn cost(&self) -> Cost;

    /// `out` = f(`x`), both `pass.n` rows of the embedding width.
    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], scratch: &mut [f32]);

    /// [`Self::forward`] of one that also has a use for the stream as a step kept it: as many rows, or none.
    fn forward_with_kept(
        &self,
        pass: &mut Pass<'_>,
        x: &[f32],
        _kept: &[f32],
        out: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.forward(pass, x, out, scratch);
    }
}

/// What one token costs, alone: weights read, and multiplied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Bytes of weights.
    pub bytes: u64,
    /// Multiply-adds with weights.
    pub multiply_adds: u64,
    /// Those among them whose weights are floats.
    pub float_multiply_adds: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;
    fn add(self, other: Cost) -> Cost {
        Cost {
            bytes: self.bytes + other.bytes,
            multiply_adds: self.multiply_adds + other.multiply_adds,
            float_multiply_adds: self.float_multiply_adds + other.float_multiply_adds,
        }
    }
}

impl std::ops::Mul<u64> for Cost {
    type Output = Cost;
    fn mul(self, times: u64) -> Cost {
        Cost {
            bytes: self.bytes * times,
            multiply_adds: self.multiply_adds * times,
            float_multiply_adds: self.float_multiply_adds * times,
        }
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), |sum, cost| sum + cost)
    }
}

/// Cuts the next `len` values off a scratch buffer.
fn cut<'s>(scratch: &mut &'s mut [f32], len: usize) -> &'s mut [f32] {
    let (head, tail) = std::mem::take(scratch).split_at_mut(len);
    *scratch = tail;
    head
}

/// Copies `count` pieces of `size` values, the steps apart.
fn copy(count: usize, size: usize, from: (&[f32], usize), to: (&mut [f32], usize)) {
    let pieces = from.0.chunks(from.1).zip(to.0.chunks_mut(to.1));
    for (from, to) in pieces.take(count) {
        to[..size].copy_from_slice(&from[..size]);
    }
}
