//! Gates on what attention gives, before its output matrix: a factor for each value or for each head.

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation};

use super::Linear;
use crate::error::Error;
use crate::load::LayerTensors;

/// `attn_gate`, whose number of rows says if there is a factor for each of `heads` or for each of their `values` together.
pub(super) fn load(
    at: &mut LayerTensors<'_, '_>,
    heads: usize,
    values: usize,
) -> Result<Linear, Error> {
    // A file leaves the dimension out where there is one row.
    let dims = at.dims("attn_gate.weight").unwrap_or_default();
    let per_head = dims.get(1).map_or(1, |&rows| rows) == heads as u64;
    let rows = if per_head { heads } else { values };
    at.linear("attn_gate", at.width(), rows)
}

/// `mixed` = `activation(gates) · mixed`; `gates` is as long, or has one value for each head.
pub(super) fn apply(with: Floats, activation: Activation, gates: &mut [f32], mixed: &mut [f32]) {
    if gates.len() == mixed.len() {
        ops::gated(with, activation, gates, mixed);
        mixed.copy_from_slice(gates);
        return;
    }
    let length = mixed.len() / gates.len();
    activation.apply(with, gates);
    for (head, &gate) in mixed.chunks_exact_mut(length).zip(&*gates) {
        ops::scale(with, head, gate);
    }
}
