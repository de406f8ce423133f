//! Granite 4 H: Mamba 2 and attention, with the factors of Granite 3.

use super::granite::{layer, scaled};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Mamba2, Step};

pub static GRANITEHYBRID: Architecture =
    Architecture::new("granitehybrid", "Granite 4 H", granite_hybrid);

/// Mamba 2 in place of attention where a layer has its tensors.
fn granite_hybrid(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b)?;
    let layer = scaled(b, layer, 1.0, 1.0, 1.0)?;
    for number in b.layers() {
        let norms = layer.attention_norms;
        let mixer = if b.has(number, "ssm_conv1d.weight") {
            b.between(number, norms, Mamba2)?
        } else {
            b.between(number, norms, layer.attention)?
        };
        b.step(Step::new([mixer]).scaled(layer.residual_scale));
        let norms = layer.feed_forward_norms;
        let branches = layer.feed_forward.branches(b, number, norms)?;
        b.step(Step::new(branches).scaled(layer.residual_scale));
    }
    Ok(())
}
