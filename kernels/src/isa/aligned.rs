//! Buffers that begin on a cache line, so that vector loads don't straddle two.

use bytemuck::Pod;
use std::marker::PhantomData;

/// One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; 64]);

// SAFETY: a line is an array of bytes, for which zero is a value.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: any 64 bytes are a line; it has no padding, its size and its alignment both being 64.
unsafe impl Pod for Line {}

/// A growing buffer of plain values on cache-line boundaries.
#[derive(Debug, Default)]
pub struct Aligned<T> {
    lines: Vec<Line>,
    values: PhantomData<T>,
}

impl<T: Pod> Aligned<T> {
    /// An empty one.
    pub const fn new() -> Aligned<T> {
        Aligned {
            lines: Vec::new(),
            values: PhantomData,
        }
    }

    /// The first `count` values, whatever they were before; new ones are zero. Never shrinks.
    ///
    /// # Panics
    /// If the values are more bytes than a `Vec` may hold, or if values of this type don't fill whole cache lines
    /// (sizes that don't divide 64).
    pub fn of(&mut self, count: usize) -> &mut [T] {
        let most = isize::MAX as usize / size_of::<T>();
        assert!(count <= most, "a buffer of {count} values");
        let lines = (count * size_of::<T>()).div_ceil(64);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..count]
    }

    /// The first `count` values, which [`Aligned::of`] must have made before.
    ///
    /// # Panics
    /// If it has not.
    pub fn get(&self, count: usize) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_on_a_cache_line_and_stay_when_the_buffer_grows() {
        let mut buffer = Aligned::<f32>::new();
        assert!(buffer.of(0).is_empty());
        buffer.of(17).fill(1.0);
        let grown = buffer.of(40);
        assert_eq!(grown.as_ptr().addr() % 64, 0);
        assert_eq!(grown[..17], [1.0; 17]);
        assert_eq!(grown[32..], [0.0; 8]);
        assert_eq!(buffer.of(3).len(), 3);
        assert_eq!(buffer.get(17), [1.0; 17]);
        let mut words = Aligned::<u64>::new();
        words.of(9)[8] = u64::MAX;
        assert_eq!(words.get(9)[8], u64::MAX);
    }

    #[test]
    #[should_panic(expected = "a buffer of")]
    fn sizes_do_not_wrap() {
        // 2^62 + 1 floats are 4 bytes, if the product wraps.
        Aligned::<f32>::new().of(usize::MAX / 4 + 2);
    }

    #[test]
    #[should_panic(expected = "range end index")]
    fn what_was_not_made_is_not_there() {
        let mut buffer = Aligned::<u8>::new();
        buffer.of(64);
        buffer.get(65);
    }
}
