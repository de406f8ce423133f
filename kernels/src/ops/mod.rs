//! The small operations between the matrix products: norms, softmax, rope, activations, sums.
//!
//! Plain functions over slices of f32. Inside, each is generic over [`crate::isa::float::Simd`] and runs with the best
//! vectors that the CPU has. None allocates, none depends on threads: the same input gives the same bits.

mod activation;
pub(crate) mod elementwise;
mod exp;
mod norm;
pub mod recurrent;
mod rope;
mod softmax;

pub use activation::{Activation, gated};
pub use elementwise::{
    add, add_scaled, clamp, largest, mul, narrow_f16, scale, scale_add, softcap, widen_f16,
};
pub use exp::{erf, exp, tanh};
pub use norm::{deviations, l2_norm, layer_norm, rms_norm, squares};
pub use rope::{RopeOptions, RopePairing, RopeSections, RopeTable, Yarn};
pub use softmax::{log_softmax_at, softmax};
