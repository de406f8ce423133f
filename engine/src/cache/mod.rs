//! What a sequence's past leaves behind: pages of keys and values ([`States`]), and states of recurrent layers. A layer that
//! sees everything holds a page for every 256 positions; one with a sliding window gives pages up that no token will look
//! at again. Flows in: the keys and values of a pass. Flows out: views for the attention kernel.

mod fixed;
mod pages;
mod states;
mod store;

pub use fixed::{FixedId, FixedShape, FixedState, FixedStates, Moment};
pub use states::{CacheView, Room, States};
pub use store::CacheType;

/// Names one of a decoder's caches. Layers that share keys and values share the id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheId(pub(crate) usize);

/// What a layer keeps for each position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheShape {
    /// Key and value heads.
    pub heads: usize,
    /// Width of a key.
    pub key_length: usize,
    /// Width of a value.
    pub value_length: usize,
    /// Values are the beginnings of keys, and are not kept a second time (latent attention, arXiv:2405.04434).
    pub latent: bool,
    /// Positions that are ever looked back at, if not all.
    pub window: Option<usize>,
}

impl CacheShape {
    /// Whether both types can hold rows of this width.
    pub fn supports(&self, keys: CacheType, values: CacheType) -> bool {
        // Where values are the beginnings of keys, these must be whole blocks, too.
        let values = if self.latent { keys } else { values };
        keys.supports(self.key_length) && values.supports(self.value_length)
    }
}
