//! Snowflake Arctic: experts beside a feed-forward.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{Attention, RopeSpec, Step};

pub static ARCTIC: Architecture = Architecture::new("arctic", "Snowflake Arctic", arctic);

/// A feed-forward, and beside it experts that see what attention saw.
fn arctic(b: &mut Builder<'_>) -> Result<(), Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Interleaved))?;
    let feed_forward = FeedForwards::gated(&b.keys, Activation::Silu, normalised)?;
    for layer in b.layers() {
        let norm = Norms::Before("attn_norm");
        let attention = b.between(layer, norm, Attention::rotated(rope))?;
        b.step(Step {
            keeps: true,
            ..Step::new([attention])
        });
        let mut branches = feed_forward.branches(b, layer, Norms::Before("ffn_norm_exps"))?;
        for branch in &mut branches {
            branch.sees_kept = true;
        }
        let norm = Norms::Before("ffn_norm");
        branches.push(b.between(layer, norm, feed_forward.dense)?);
        b.step(Step::new(branches));
    }
    Ok(())
}
