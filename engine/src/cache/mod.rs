//! Keys and values of past tokens. One [`Cache`] for each attention layer, laid out `[head][slot][dimension]` so that a
//! head's past is one run of memory. A layer that sees everything has a slot for every position; a layer with a sliding
//! window has a ring of slots that holds the window, one batch, and a few guesses, which can be taken back.
//! Flows in: the keys and values of a batch. Flows out: views for the attention kernel.

mod fixed;
mod store;

use gristmill_kernels::attention::CacheRows;

pub use fixed::{FixedId, FixedShape, FixedState, FixedStates, Moment};
pub use store::CacheType;
use store::Store;

use crate::speculate::MOST_GUESSES;

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
    /// Positions that are remembered in a context of `positions` that is fed in batches of up to `batch`.
    fn remembered(&self, positions: usize, batch: usize) -> usize {
        // While a batch of b tokens is evaluated, its first one still looks back over window - 1 older positions.
        self.window.map_or(positions, |w| {
            positions.min(w.saturating_add(batch).saturating_sub(1))
        })
    }

    /// Slots for them, and for guesses: those that are taken back must not have displaced anything that is remembered.
    fn slots(&self, positions: usize, batch: usize) -> usize {
        positions.min(
            self.remembered(positions, batch)
                .saturating_add(MOST_GUESSES),
        )
    }

    /// Bytes that a cache of this shape takes.
    pub fn bytes(&self, positions: usize, batch: usize, keys: CacheType, values: CacheType) -> u64 {
        let rows = (self.slots(positions, batch) as u64).saturating_mul(self.heads as u64);
        let value_bytes = if self.latent {
            0
        } else {
            values.row_bytes(self.value_length)
        };
        rows.saturating_mul((keys.row_bytes(self.key_length) + value_bytes) as u64)
    }

    /// Whether both types can hold rows of this width.
    pub fn supports(&self, keys: CacheType, values: CacheType) -> bool {
        // Where values are the beginnings of keys, these must be whole blocks, too.
        let values = if self.latent { keys } else { values };
        keys.supports(self.key_length) && values.supports(self.value_length)
    }
}

/// The past of one layer.
#[derive(Debug)]
pub struct Cache {
    shape: CacheShape,
    capacity: usize,
    keys: Store,
    values: Option<Store>,
    /// So many positions before the newest one that was not taken back are held.
    remembered: usize,
}

/// What the attention kernel reads.
#[derive(Clone, Copy)]
pub struct CacheView<'a> {
    /// Slots for each head; position p is in slot p % capacity.
    pub capacity: usize,
    /// Keys.
    pub keys: CacheRows<'a>,
    /// Values.
    pub values: CacheRows<'a>,
    /// Elements from a value row to the next.
    pub value_stride: usize,
}

impl Cache {
    /// An empty cache. Its memory is reserved here, and taken as positions are written.
    pub fn new(
        shape: CacheShape,
        positions: usize,
        batch: usize,
        keys: CacheType,
        values: CacheType,
    ) -> Self {
        let capacity = shape.slots(positions, batch);
        let store = |kind, width| Store::new(kind, shape.heads, capacity, width);
        Self {
            capacity,
            keys: store(keys, shape.key_length),
            values: (!shape.latent).then(|| store(values, shape.value_length)),
            remembered: shape.remembered(positions, batch),
            shape,
        }
    }

    /// What it keeps for each position.
    pub fn shape(&self) -> CacheShape {
        self.shape
    }

    /// Writes `n` positions from `first` on; rows are position-major. Values that are beginnings of keys are left aside.
    pub fn write(&mut self, first: usize, n: usize, keys: &[f32], values: &[f32]) {
        self.keys.write(first, n, keys);
        if let Some(store) = &mut self.values {
            store.write(first, n, values);
        }
    }

    /// Views for the attention kernel.
    pub fn view(&self) -> CacheView<'_> {
        CacheView {
            capacity: self.capacity,
            keys: self.keys.rows(),
            values: self.values.as_ref().unwrap_or(&self.keys).rows(),
            value_stride: match self.values {
                Some(_) => self.shape.value_length,
                None => self.shape.key_length,
            },
        }
    }

    /// The oldest position from which the sequence could go on, if it was `longest` positions long at most: everything
    /// that a token there looks at is held.
    pub fn oldest_restart(&self, longest: usize) -> usize {
        match (longest.saturating_sub(self.remembered), self.shape.window) {
            (0, _) | (_, None) => 0,
            (oldest, Some(window)) => oldest + window - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape {
        heads: 2,
        key_length: 32,
        value_length: 64,
        latent: false,
        window: Some(8),
    };

    #[test]
    fn rings_hold_a_window_a_batch_and_guesses() {
        let slots = 12 + MOST_GUESSES;
        assert_eq!(SHAPE.slots(100, 5), slots);
        assert_eq!(SHAPE.slots(20, 5), 20);
        assert_eq!(SHAPE.slots(10, 5), 10);
        let everything = CacheShape {
            window: None,
            ..SHAPE
        };
        assert_eq!(everything.slots(100, 5), 100);
        let f16 = CacheType::F16;
        let bytes = slots * 2 * (32 + 64) * 2;
        assert_eq!(SHAPE.bytes(100, 5, f16, f16), bytes as u64);
    }

    #[test]
    fn a_ring_knows_how_far_back_it_can_go() {
        let cache = Cache::new(SHAPE, 100, 5, CacheType::F32, CacheType::Q8_0);
        assert_eq!(cache.oldest_restart(5), 0);
        assert_eq!(cache.oldest_restart(12), 0);
        // Positions 3 to 14 are held, and so they are after 15 more were written and taken back; a token at 10 looks at
        // 3 to 9.
        assert_eq!(cache.oldest_restart(15), 10);
        assert!(15 + MOST_GUESSES - cache.capacity <= 3);
        let short = Cache::new(SHAPE, 20, 5, CacheType::F32, CacheType::F32);
        assert_eq!(short.oldest_restart(20), 15);
    }
}
