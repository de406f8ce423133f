//! Instruction sets.

pub mod float;
pub mod parts;
pub mod scalar;

/// An instruction set: how to know whether the CPU has it, and its micro-kernels.
#[derive(Debug)]
pub struct Isa {
    /// Its name, as `GRISTMILL_ISA` and `--isa` take it.
    pub name: &'static str,
    /// What it needs of the CPU, in words.
    pub needs: &'static str,
    /// Whether the CPU has it.
    pub detect: fn() -> bool,
}
