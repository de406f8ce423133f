//! Hierarchical reasoning models (HRM-Text): two stacks of layers that run by turns, several times over.

use gristmill_kernels::ops::{Activation, RopePairing};

use super::{Architecture, Builder, FeedForwards, Layer, Norms};
use crate::error::Error;
use crate::layers::{Attention, FeedForward, Level, RopeSpec};

pub static HRM_TEXT: Architecture = Architecture::new("hrm_text", "HRM-Text, DFM Mimir 1B", hrm);

/// Norms without weights; gated attention. The low stack's layers come first in the file. Blocks are counted as often as they
/// run, and have keys and values of their own each time.
fn hrm(b: &mut Builder<'_>) -> Result<(), Error> {
    if b.keys.opt_bool("hrm.prefix_lm")? == Some(true) {
        let problem = "is true: the prompt's tokens should see each other both ways, and see only what is before them here";
        return Err(b.keys.wrong("hrm.prefix_lm", problem.into()));
    }
    let stack = b.keys.count("hrm.layers_per_stack")?;
    let high_cycles = b.keys.count("hrm.h_cycles")?;
    let low_cycles = b.keys.count("hrm.l_cycles")?;
    let runs = high_cycles.saturating_mul(low_cycles + 1);
    let all = b.layers().len();
    if runs.saturating_mul(stack) != all {
        let problem = format!("is {all}, and must be {runs} runs of {stack} layers");
        return Err(b.keys.wrong("block_count", problem));
    }
    if let Some(scale) = b.keys.opt_f32("embedding_scale")?.filter(|&x| x != 0.0) {
        b.scale_embeddings(scale);
    }
    let attention = Attention {
        gate: Some(Activation::Sigmoid),
        ..Attention::rotated(b.rope(RopeSpec::new(RopePairing::Halves))?)
    };
    let silu = FeedForwards::dense(FeedForward::gated(Activation::Silu));
    let layer = Layer {
        attention_norms: Norms::Plain,
        feed_forward_norms: Norms::Plain,
        ..Layer::new(attention, silu)
    };
    b.first_states()?;
    for run in 0..runs {
        let is_high = run % (low_cycles + 1) == low_cycles;
        let first = if is_high { stack } else { 0 };
        for number in first..first + stack {
            layer.add(b, number)?;
        }
        b.norm_stream()?;
        if run + 1 < runs {
            b.next_state(if is_high { Level::High } else { Level::Low });
        }
    }
    // What the last stack gives is normalised already.
    b.head_norm(None);
    Ok(())
}
