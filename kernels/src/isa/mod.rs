//! Instruction sets.

pub mod float;
