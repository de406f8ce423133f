//! Qwen with experts and a shared one, and mixtures that are built like it.

use super::qwen::layer;
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Chunks, HeadNorms};

pub static QWEN2MOE: Architecture =
    Architecture::new("qwen2moe", "Qwen 1.5-MoE, Qwen 2-57B-A14B", qwen2moe);
pub static GROVEMOE: Architecture = Architecture::new("grovemoe", "GroveMoE", grovemoe);
pub static OLMOE: Architecture = Architecture::new("olmoe", "OLMoE", olmoe);

/// A shared expert with a weight of its own.
fn qwen2moe(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, false)?;
    layer.feed_forward.shared_weight = Some("ffn_gate_inp_shexp");
    b.repeat(|_| layer)
}

/// GroveMoE (arXiv:2508.07785): Qwen 3's experts, and smaller ones that groups of them share.
fn grovemoe(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, true)?;
    layer.attention.norms = HeadNorms::Weighted;
    if let Some(experts) = &mut layer.feed_forward.experts {
        experts.chunks = Some(Chunks::read(&b.keys, experts.router.count)?);
    }
    b.repeat(|_| layer)
}

/// OLMoE (arXiv:2409.02060): norms over all query and all key heads.
fn olmoe(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, false)?;
    layer.attention.norms = HeadNorms::Weighted;
    b.repeat(|_| layer)
}
