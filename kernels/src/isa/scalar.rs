//! Plain Rust: what every CPU runs, and what the other instruction sets are compared with.

use super::Isa;

/// The scalar instruction set.
pub static SCALAR: Isa = Isa {
    name: "scalar",
    needs: "nothing",
    detect: || true,
};
