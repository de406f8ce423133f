//! BERT (arXiv:1810.04805) and its heirs, which make embeddings: attention and a feed-forward, each with a layer norm behind
//! the addition, over texts that are seen whole. Positions are learned (BERT, RoBERTa), rotary (Nomic) or a slope on the
//! scores (Jina 2); ModernBERT (arXiv:2412.13663) has its norms in front, and a window in two layers of three.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{
    Attention, Branch, FeedForward, HeadNorms, Identity, NormKind, RopeSpec, Step,
};

pub static BERT: Architecture = Architecture::new(
    "bert",
    "BERT, RoBERTa: bge, gte, e5, all-MiniLM (embeddings)",
    bert,
);
pub static JINA_BERT_V2: Architecture =
    Architecture::new("jina-bert-v2", "jina-embeddings 2 (embeddings)", jina2);

pub(super) fn embeddings(b: &mut Builder<'_>) -> Result<(), Error> {
    b.encoder();
    b.norms(NormKind::Layer);
    b.first_token_type()?;
    b.norm_embeddings()?;
    b.head_norm(None);
    Ok(())
}

/// The layers, with norms behind both additions.
pub(super) fn layers(
    b: &mut Builder<'_>,
    attention: Attention,
    feed_forward: impl Fn(&Builder<'_>, usize) -> FeedForwards,
) -> Result<(), Error> {
    embeddings(b)?;
    for layer in b.layers() {
        let branch = b.bare(layer, attention)?;
        let norm = b.norm(layer, "attn_output_norm")?;
        let again = b.has(layer, "attn_norm_2.weight");
        b.step(Step {
            keeps: again,
            ..Step::new([branch]).after(norm)
        });
        if again {
            // What came into the layer is added a second time.
            let branch = Branch {
                sees_kept: true,
                ..b.bare(layer, Identity)?
            };
            let norm = b.norm(layer, "attn_norm_2")?;
            b.step(Step::new([branch]).after(norm));
        }
        let feed_forward = feed_forward(b, layer);
        let branches = feed_forward.branches(b, layer, Norms::None)?;
        let norm = b.norm(layer, "layer_output_norm")?;
        b.step(Step::new(branches).after(norm));
    }
    Ok(())
}

pub(super) fn gelu() -> FeedForwards {
    FeedForwards::dense(FeedForward::plain(Activation::Gelu))
}

fn bert(b: &mut Builder<'_>) -> Result<(), Error> {
    b.learned_positions()?;
    layers(b, Attention::default(), |_, _| gelu())
}

pub(super) fn rotated(b: &mut Builder<'_>) -> Result<Attention, Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    Ok(Attention::rotated(rope))
}

/// The models for code have norms of all queries and of all keys; others of the family leave the gate out.
fn jina2(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = Attention {
        alibi: Some(8.0),
        norms: HeadNorms::IfPresent,
        ..Attention::default()
    };
    layers(b, attention, |b, layer| match b.has_gate(layer) {
        true => FeedForwards::dense(FeedForward::gated(Activation::Gelu)),
        false => gelu(),
    })
}
