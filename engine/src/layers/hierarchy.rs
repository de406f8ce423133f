//! Hierarchical reasoning (HRM, arXiv:2506.21734): a low and a high stack of layers run by turns, several times over. Each
//! has a state for every token, a row beside the residual stream; what a stack is given is the sum of both, and what it gives
//! is its next state.

use gristmill_kernels::ops;

use super::{Pass, StreamStep};
use crate::error::Error;
use crate::load::Loader;

/// Whose state it is: also the number of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The stack that runs several times in a cycle.
    Low = 0,
    /// The one that ends a cycle.
    High = 1,
}

/// States of a token.
pub const LEVELS: usize = 2;

/// Makes states of the first ones: the embedding is the high one, and the low one is the same everywhere (`hrm.z_l_init`).
pub struct FirstStates {
    low: Vec<f32>,
}

impl FirstStates {
    pub(crate) fn load(from: &mut Loader<'_>) -> Result<Self, Error> {
        let width = from.hparams.embedding_length;
        Ok(Self {
            low: from.vector("hrm.z_l_init", width)?,
        })
    }
}

impl StreamStep for FirstStates {
    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        _scratch: &mut [f32],
    ) {
        let width = self.low.len();
        pass.each_row(LEVELS * width, streams, |_, states| {
            states[..width].copy_from_slice(&self.low);
        });
        NextState { of: Level::High }.forward(pass, x, streams, &mut []);
    }
}

/// Makes what a stack gave its state, and the sum of both states what the next one is given.
pub struct NextState {
    /// The stack.
    pub(crate) of: Level,
}

impl StreamStep for NextState {
    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        _scratch: &mut [f32],
    ) {
        let (width, number) = (x.len() / pass.n, self.of as usize);
        let (with, given) = (pass.compute.floats(), &*x);
        pass.each_row(LEVELS * width, streams, |row, states| {
            states[number * width..][..width].copy_from_slice(&given[row * width..][..width]);
        });
        let streams = &*streams;
        pass.each_row(width, x, |row, x| {
            let other = row * LEVELS + (1 - number);
            ops::add(with, x, &streams[other * width..][..width]);
        });
    }
}
