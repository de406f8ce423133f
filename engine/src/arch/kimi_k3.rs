//! Kimi K3: Kimi Linear with attention residuals and experts in a latent space.

use gristmill_kernels::ops::Activation;

use super::kimi::{bounded, mixer};
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{DeltaAttention, LatentAttention, LogDecay, Step};

pub static KIMI_K3: Architecture = Architecture::new("kimi-k3", "Kimi K3", kimi_k3);

/// What a layer is given is a mix of checkpoints of the residual stream. Decays with a bound; latent attention without
/// positions, with a gate; experts in a latent space.
fn kimi_k3(b: &mut Builder<'_>) -> Result<(), Error> {
    let delta = match b.keys.contains("kda.gate_lower_bound") {
        true => bounded(b, -1.0)?,
        false => DeltaAttention {
            decay: LogDecay::Unbounded,
        },
    };
    let bound = "activation.situ_beta";
    let activation = Activation::SiluSquashed {
        beta: match b.keys.f32(bound)? {
            beta if beta > 0.0 => beta,
            beta => {
                return Err(b
                    .keys
                    .wrong(bound, format!("is {beta}, and must be positive")));
            }
        },
        linear_beta: b.keys.f32("activation.situ_linear_beta")?,
    };
    let latent = b.keys.opt_number("expert_latent_length")?;
    let mut feed_forward = FeedForwards::gated(&b.keys, activation, |router| router)?;
    if let Some(experts) = &mut feed_forward.experts {
        experts.latent = latent.filter(|&length| length > 0);
    }
    let period = b.keys.opt_number("attn_res.block_size")?.unwrap_or(0);
    let checkpoints = if period > 0 {
        b.layers().len().div_ceil(period)
    } else {
        0
    };
    b.open_checkpoints(checkpoints);
    for layer in b.layers() {
        let gate = Some(Activation::Sigmoid).filter(|_| b.has(layer, "attn_gate.weight"));
        let latent = LatentAttention {
            scale: 1.0,
            gate,
            ..LatentAttention::default()
        };
        let mixer = mixer(b, layer, delta, latent)?;
        let branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm"))?;
        if period == 0 {
            b.step(Step::new([mixer]));
            b.step(Step::new(branches));
            continue;
        }
        let is_kept = layer.is_multiple_of(period);
        b.mixed_step(
            (layer, "attn_res_score"),
            layer.div_ceil(period),
            is_kept,
            vec![mixer],
        )?;
        b.mixed_step(
            (layer, "ffn_res_score"),
            layer / period + 1,
            false,
            branches,
        )?;
    }
    b.mix_last(checkpoints)
}
