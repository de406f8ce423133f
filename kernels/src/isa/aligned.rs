//! Buffers that begin on a cache line, so that vector loads don't straddle two.

use bytemuck::Pod;
use std::marker::PhantomData;

/// One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
struct Line([u8; 64]);

// SAFETY: plain bytes, without padding: size and alignment are both 64.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; every bit pattern is valid.
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
    pub fn of(&mut self, count: usize) -> &mut [T] {
        let lines = (count * size_of::<T>()).div_ceil(64);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([0; 64]));
        }
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..count]
    }

    /// The first `count` values, which must have been made before.
    pub fn get(&self, count: usize) -> &[T] {
        &bytemuck::cast_slice(&self.lines)[..count]
    }
}
