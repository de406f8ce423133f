//! Instruction sets.

pub mod float;
pub mod parts;
