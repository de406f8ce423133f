//! Talkie: norms without weights, and factors that are tensors of their own.

use gristmill_kernels::ops::Activation;

use super::gated::rotated;
use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{Attention, Factor, FeedForward, HeadNorms, Step};

pub static TALKIE: Architecture = Architecture::new("talkie", "Talkie", talkie);

/// Norms without weights; each layer adds the embeddings once more.
fn talkie(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        norms: HeadNorms::WeightedQueries,
        norms_after_rope: true,
        ..rotated(b)?
    };
    b.norm_embeddings_plainly()?;
    let norm = b.plain_norm()?;
    b.head_norm(Some(norm));
    let logits = b.keys.f32("logit_scale")?;
    b.scale_logits(logits);
    for layer in b.layers() {
        let attention = b.between(layer, Norms::Plain, attention)?;
        b.step(Step {
            keeps: layer == 0,
            ..Step::new([attention])
        });
        let silu = FeedForward::gated(Activation::Silu);
        let feed_forward = b.between(layer, Norms::Plain, silu)?;
        let mut embeddings = b.bare(layer, Factor("layer_output_scale"))?;
        embeddings.sees_kept = true;
        b.step(Step::new([feed_forward, embeddings]));
    }
    Ok(())
}
