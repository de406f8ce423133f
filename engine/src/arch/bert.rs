//! BERT (arXiv:1810.04805) and its heirs, which make embeddings: attention and a feed-forward, each with a layer norm behind
//! the addition, over texts that are seen whole. Positions are learned (BERT, RoBERTa), rotary (Nomic) or a slope on the
//! scores (Jina 2); ModernBERT (arXiv:2412.13663) has its norms in front, and a window in two layers of three.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Norms};
use crate::error::Error;
use crate::layers::{
    Attention, Branch, Classifier, FeedForward, HeadNorms, Identity, NormKind, Pooling, RopeSpec,
    Step,
};

pub static BERT: Architecture = Architecture::new(
    "bert",
    "BERT, RoBERTa: bge, gte, e5, all-MiniLM (embeddings)",
    bert,
);
pub static NOMIC_BERT: Architecture = Architecture::new(
    "nomic-bert",
    "nomic-embed-text 1 and 1.5 (embeddings)",
    nomic,
);
pub static NOMIC_BERT_MOE: Architecture = Architecture::new(
    "nomic-bert-moe",
    "nomic-embed-text 2 (embeddings)",
    nomic_moe,
);
pub static JINA_BERT_V2: Architecture =
    Architecture::new("jina-bert-v2", "jina-embeddings 2 (embeddings)", jina2);
pub static MODERN_BERT: Architecture = Architecture::new(
    "modern-bert",
    "ModernBERT, granite-embedding R2 (embeddings)",
    modern,
);

fn embeddings(b: &mut Builder<'_>) -> Result<(), Error> {
    b.encoder();
    b.norms(NormKind::Layer);
    b.first_token_type()?;
    b.norm_embeddings()?;
    b.head_norm(None);
    Ok(())
}

/// The layers, with norms behind both additions.
fn layers(
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

fn gelu() -> FeedForwards {
    FeedForwards::dense(FeedForward::plain(Activation::Gelu))
}

fn bert(b: &mut Builder<'_>) -> Result<(), Error> {
    b.learned_positions()?;
    layers(b, Attention::default(), |_, _| gelu())
}

fn rotated(b: &mut Builder<'_>) -> Result<Attention, Error> {
    let rope = b.rope(RopeSpec::new(RopePairing::Halves))?;
    Ok(Attention::rotated(rope))
}

fn nomic(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    layers(b, attention, |_, _| {
        FeedForwards::dense(FeedForward::gated(Activation::Silu))
    })
}

/// Every second layer has experts (`moe_every_n_layers`): those whose router is in the file.
fn nomic_moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = rotated(b)?;
    let dense = FeedForward::plain(Activation::Gelu);
    let experts = FeedForwards::plain(&b.keys, dense, |router| router)?;
    layers(b, attention, |_, _| experts)
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

fn modern(b: &mut Builder<'_>) -> Result<(), Error> {
    embeddings(b)?;
    b.head_norm_named("output_norm")?;
    b.classifier(Classifier {
        reads: Pooling::Mean,
        activation: Some(Activation::Gelu),
        ..Classifier::default()
    });
    let global = rotated(b)?;
    let mut local = Attention::rotated(b.rope(RopeSpec {
        base: Some(("rope.freq_base_swa", 10_000.0)),
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let (pattern, window) = b.windows_but_first_of(3)?;
    local.window = window;
    let feed_forward = FeedForward::gated(match b.keys.opt_string("hidden_activation")? {
        Some("silu" | "swish" | "swiglu") => Activation::Silu,
        _ => Activation::Gelu,
    });
    for layer in b.layers() {
        let is_local = window.is_some() && pattern.contains(layer);
        let attention = if is_local { local } else { global };
        let norms = match b.has(layer, "attn_norm.weight") {
            true => Norms::Before("attn_norm"),
            // The embeddings' norm is enough for the first layer.
            false => Norms::None,
        };
        let attention = b.between(layer, norms, attention)?;
        b.step(Step::new([attention]));
        let feed_forward = b.between(layer, Norms::Before("ffn_norm"), feed_forward)?;
        b.step(Step::new([feed_forward]));
    }
    Ok(())
}
