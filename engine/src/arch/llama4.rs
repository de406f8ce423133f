//! Llama 4: attention in chunks, and every fourth layer without positions.

use super::llama::{layer, spec};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Gating, HeadNorms, Temperature};

pub static LLAMA4: Architecture = Architecture::new("llama4", "Llama 4 Scout and Maverick", llama4);

/// Three of four layers have rotary positions and see the chunk they are in; in the others queries grow with their position
/// instead. The experts' weights are for what they are given.
fn llama4(b: &mut Builder<'_>) -> Result<(), Error> {
    const MAVERICK: usize = 128;
    let experts = b.keys.opt_number("expert_count")?;
    let mut layer = layer(b, spec())?;
    if let Some(experts) = &mut layer.feed_forward.experts {
        experts.weigh_inputs = true;
        experts.router.gating = Gating::Sigmoid;
        experts.router.normalise = false;
    }
    let mut without = layer;
    layer.attention.chunk = Some(8192);
    if experts != Some(MAVERICK) {
        layer.attention.norms = HeadNorms::Plain;
        layer.attention.norms_after_rope = true;
    }
    without.attention.rope = None;
    without.attention.temperature = Some(Temperature {
        scale: 0.1,
        length: 8192,
        offset: 1,
    });
    b.repeat(|number| if number % 4 == 3 { without } else { layer })
}
