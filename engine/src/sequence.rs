//! What names a sequence of an engine, and what is fed to it.

use crate::layers::Input;
use crate::options::Logits;

/// Names a sequence of an engine, until it is released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceId {
    pub(crate) slot: usize,
    /// How many sequences were opened before it.
    pub(crate) serial: u64,
}

/// Stands among the tokens that a sequence holds for a row that was fed in place of one. No token has this id.
pub const ROW: u32 = u32::MAX;

/// Tokens, or rows in place of tokens, that are fed to a sequence in a pass.
#[derive(Debug, Clone, Copy)]
pub struct Feed<'a> {
    /// Which sequence; none twice in a pass.
    pub sequence: SequenceId,
    /// What follows the tokens that it holds.
    pub input: Input<'a>,
    /// For which of the tokens or rows logits are wanted.
    pub want: Logits,
}
