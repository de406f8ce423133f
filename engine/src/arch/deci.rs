//! DeciLM (Nemotron): layers of which some lack attention or more.

use super::llama::{layer, spec};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Matrix, Step};

pub static DECI: Architecture =
    Architecture::new("deci", "DeciLM, Llama Nemotron Super and Ultra", deci);

/// Some layers have no attention or no feed-forward, others a single matrix in place of attention.
fn deci(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(b, spec())?;
    for number in b.layers() {
        if b.has(number, "attn_q.weight") {
            let attention = b.between(number, layer.attention_norms, layer.attention)?;
            b.step(Step::new([attention]));
        } else if b.has(number, "attn_output.weight") {
            let matrix = b.between(number, layer.attention_norms, Matrix("attn_output"))?;
            b.step(Step::new([matrix]));
        }
        if b.has(number, "ffn_down.weight") {
            let dense = layer.feed_forward.dense;
            let feed_forward = b.between(number, layer.feed_forward_norms, dense)?;
            b.step(Step::new([feed_forward]));
        }
    }
    Ok(())
}
