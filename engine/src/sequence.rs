//! What names a sequence of an engine, and what is fed to it.

use crate::options::Logits;

/// Names a sequence of an engine, until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceId {
    pub(crate) slot: usize,
    /// How many sequences were opened before it.
    pub(crate) serial: u64,
}

/// Tokens that are fed to a sequence in a pass.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// Which sequence; none twice in a pass.
    pub sequence: SequenceId,
    /// What follows the tokens that it holds.
    pub ids: &'a [u32],
    /// For which of the ids logits are wanted.
    pub want: Logits,
}
