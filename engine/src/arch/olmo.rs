//! OLMo (arXiv:2402.00838, 2501.00656): the first has layer norms without weights and bounds on queries, keys and values;
//! OLMo 2 and 3 normalise what attention and the feed-forward give, and all query and all key heads together.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, HeadNorms, NormKind, RopeSpec};

pub static OLMO: Architecture = Architecture::new("olmo", "OLMo 1", olmo);
pub static OLMO2: Architecture = Architecture::new("olmo2", "OLMo 2 and 3", olmo2);

fn silu() -> FeedForwards {
    FeedForwards::dense(FeedForward::gated(Activation::Silu))
}

fn olmo(b: &mut Builder<'_>) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    let rope = b.rope(RopeSpec::new(RopePairing::Interleaved))?;
    let attention = Attention {
        clamp: b.clamp()?,
        ..Attention::rotated(rope)
    };
    let norm = b.plain_norm()?;
    b.head_norm(Some(norm));
    let layer = Layer {
        attention_norms: Norms::Plain,
        feed_forward_norms: Norms::Plain,
        ..Layer::new(attention, silu())
    };
    b.repeat(|_| layer)
}

fn olmo2(b: &mut Builder<'_>) -> Result<(), Error> {
    let attention = |rope| Attention {
        norms: HeadNorms::Weighted,
        ..Attention::rotated(rope)
    };
    let global = attention(b.rope(RopeSpec::new(RopePairing::Halves))?);
    let local = attention(b.rope(RopeSpec {
        unscaled: true,
        ..RopeSpec::new(RopePairing::Halves)
    })?);
    let (pattern, window) = b.windows(4)?;
    let global = Layer::new(global, silu()).norms_behind();
    let local = Layer::new(Attention { window, ..local }, silu()).norms_behind();
    b.repeat(|number| {
        if window.is_some() && pattern.contains(number) {
            local
        } else {
            global
        }
    })
}
