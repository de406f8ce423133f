//! RWKV: layers of a time mix and a channel mix, both of which see the position before, and no attention at all.

use super::{Architecture, Builder, Norms};
use crate::error::Error;
use crate::layers::{ChannelMix, NormKind, Step, TimeMix6, TimeMix7};
use crate::load::Part;

pub static RWKV6: Architecture = Architecture::new("rwkv6", "RWKV 6 Finch", rwkv6);
pub static RWKV7: Architecture = Architecture::new("rwkv7", "RWKV 7 Goose", rwkv7);

/// The stream is halved after every `rescale_every_n_layers`-th layer.
fn mixes(
    b: &mut Builder<'_>,
    time: impl Part + Copy,
    channel: ChannelMix,
    halving: Option<usize>,
) -> Result<(), Error> {
    b.norms(NormKind::Layer);
    b.norm_embeddings()?;
    for layer in b.layers() {
        let time = b.between(layer, Norms::Before("attn_norm"), time)?;
        b.step(Step::new([time]));
        let channel = b.between(layer, Norms::Before("attn_norm_2"), channel)?;
        let step = Step::new([channel]);
        b.step(match halving {
            Some(period) if (layer + 1).is_multiple_of(period) => step.onto(0.5).scaled(0.5),
            _ => step,
        });
    }
    Ok(())
}

fn rwkv6(b: &mut Builder<'_>) -> Result<(), Error> {
    let halving = b.keys.opt_number("rescale_every_n_layers")?;
    let halving = halving.filter(|&layers| layers > 0);
    mixes(b, TimeMix6, ChannelMix { receptance: true }, halving)
}

fn rwkv7(b: &mut Builder<'_>) -> Result<(), Error> {
    mixes(b, TimeMix7, ChannelMix { receptance: false }, None)
}
