//! Keys and values of past tokens. One [`Cache`] for each attention layer, laid out `[head][slot][dimension]` so that a
//! head's past is one run of memory. A layer that sees everything has a slot for every position; a layer with a sliding
//! window has a ring of slots that holds the window and one batch.
//! Flows in: the keys and values of a batch. Flows out: views for the attention kernel.

mod store;

use gristmill_kernels::attention::CacheRows;

pub use store::CacheType;
use store::Store;

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
    /// Positions that are ever looked back at, if not all.
    pub window: Option<usize>,
}

impl CacheShape {
    /// Slots for a context of `positions` that is fed in batches of up to `batch`.
    fn slots(&self, positions: usize, batch: usize) -> usize {
        // While a batch of b tokens is evaluated, its first one still looks back over window - 1 older positions.
        self.window.map_or(positions, |w| {
            positions.min(w.saturating_add(batch).saturating_sub(1))
        })
    }

    /// Bytes that a cache of this shape takes.
    pub fn bytes(&self, positions: usize, batch: usize, keys: CacheType, values: CacheType) -> u64 {
        let rows = (self.slots(positions, batch) as u64).saturating_mul(self.heads as u64);
        rows.saturating_mul(
            (keys.row_bytes(self.key_length) + values.row_bytes(self.value_length)) as u64,
        )
    }

    /// Whether both types can hold rows of this width.
    pub fn supports(&self, keys: CacheType, values: CacheType) -> bool {
        keys.supports(self.key_length) && values.supports(self.value_length)
    }
}

/// The past of one layer.
#[derive(Debug)]
pub struct Cache {
    shape: CacheShape,
    capacity: usize,
    keys: Store,
    values: Store,
    /// Positions from here on are held, as far as they were written.
    oldest: usize,
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
            values: store(values, shape.value_length),
            oldest: 0,
            shape,
        }
    }

    /// Writes `n` positions from `first` on; rows are position-major.
    pub fn write(&mut self, first: usize, n: usize, keys: &[f32], values: &[f32]) {
        self.keys.write(first, n, keys);
        self.values.write(first, n, values);
        self.oldest = self.oldest.max((first + n).saturating_sub(self.capacity));
    }

    /// Views for the attention kernel.
    pub fn view(&self) -> CacheView<'_> {
        CacheView {
            capacity: self.capacity,
            keys: self.keys.rows(),
            values: self.values.rows(),
        }
    }

    /// The oldest position from which the sequence could go on: everything that a token there looks at is held.
    pub fn oldest_restart(&self) -> usize {
        match (self.oldest, self.shape.window) {
            (0, _) | (_, None) => 0,
            (oldest, Some(window)) => oldest + window - 1,
        }
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.oldest = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape {
        heads: 2,
        key_length: 32,
        value_length: 64,
        window: Some(8),
    };

    #[test]
    fn rings_hold_a_window_and_a_batch() {
        assert_eq!(SHAPE.slots(100, 5), 12);
        assert_eq!(SHAPE.slots(10, 5), 10);
        assert_eq!(
            CacheShape {
                window: None,
                ..SHAPE
            }
            .slots(100, 5),
            100
        );
        let f16 = CacheType::F16;
        assert_eq!(SHAPE.bytes(100, 5, f16, f16), 12 * 2 * (32 + 64) * 2);
    }

    #[test]
    fn a_ring_knows_how_far_back_it_can_go() {
        let mut cache = Cache::new(SHAPE, 100, 5, CacheType::F32, CacheType::Q8_0);
        let row = |n: usize| (vec![0.5; n * 2 * 32], vec![0.5; n * 2 * 64]);
        let write = |cache: &mut Cache, first, n| {
            let (k, v) = row(n);
            cache.write(first, n, &k, &v);
        };
        write(&mut cache, 0, 5);
        assert_eq!(cache.oldest_restart(), 0);
        write(&mut cache, 5, 5);
        write(&mut cache, 10, 5);
        // Positions 3 to 14 are held; a token at 10 looks at 3 to 9.
        assert_eq!(cache.oldest_restart(), 10);
        write(&mut cache, 10, 2);
        assert_eq!(cache.oldest_restart(), 10);
        cache.reset();
        assert_eq!(cache.oldest_restart(), 0);
    }
}
