//! SmallThinker: the router sees a layer before attention does.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::layer::normalised;
use super::windows::layer;
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{HeadNorms, RopeSpec};

pub static SMALLTHINKER: Architecture =
    Architecture::new("smallthinker", "SmallThinker 4B and 21B", smallthinker);

/// SmallThinker (arXiv:2507.20984): experts are chosen by what the layer is given, before attention, so that they can be
/// fetched in time. The first of every four layers sees everything and knows no positions.
fn smallthinker(b: &mut Builder<'_>) -> Result<(), Error> {
    let mut layer = layer(b, Activation::Relu, normalised)?;
    layer.attention.norms = HeadNorms::None;
    if let Some(experts) = &mut layer.feed_forward.experts {
        experts.routed_by_kept = true;
    }
    let (_, window) = b.windows(4)?;
    let base = b.keys.opt_f32("rope.freq_base_swa")?;
    let base = base.filter(|_| window.is_some());
    let rope = b.rope(RopeSpec {
        base: base.map(|base| ("rope.freq_base_swa", base)),
        ..RopeSpec::new(RopePairing::Halves)
    })?;
    b.repeat(|number| {
        let mut layer = layer;
        let is_local = number % 4 != 0;
        layer.attention.rope = Some(rope).filter(|_| is_local || window.is_none());
        layer.attention.window = window.filter(|_| is_local);
        layer
    })
}
