//! The rows of a key/value cache, f32, f16 or q8_0, and their way to f32.

use crate::isa::float::Simd;
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Elements and bytes of a q8_0 block: an f16 scale and 32 signed codes.
const Q8_0: (usize, usize) = (32, 34);

/// Rows of keys or values, laid out `[kv_head][slot][dim]`.
#[derive(Clone, Copy, Debug)]
pub enum CacheRows<'a> {
    /// Plain floats.
    F32(&'a [f32]),
    /// Half floats.
    F16(&'a [f16]),
    /// Blocks of 32 elements as in the tensor type Q8_0; `dim` is a multiple of 32.
    Q8_0(&'a [u8]),
}

/// Which rows of a cache, and how wide they become.
#[derive(Clone, Copy)]
pub(super) struct HeadRows {
    /// The key/value head.
    pub head: usize,
    /// Slots per head.
    pub capacity: usize,
    /// Elements of a row.
    pub dim: usize,
    /// Floats of a widened row, a multiple of 16.
    pub width: usize,
}

impl CacheRows<'_> {
    /// Panics unless there are `rows` rows of `dim`.
    pub(super) fn check(&self, rows: usize, dim: usize) {
        let (have, want) = match self {
            CacheRows::F32(x) => (x.len(), rows * dim),
            CacheRows::F16(x) => (x.len(), rows * dim),
            CacheRows::Q8_0(x) => {
                assert!(
                    dim.is_multiple_of(Q8_0.0),
                    "a q8_0 cache needs rows of a multiple of 32"
                );
                (x.len(), rows * dim / Q8_0.0 * Q8_0.1)
            }
        };
        assert!(
            have >= want,
            "a cache of {rows} rows of {dim} needs {want} elements, not {have}"
        );
    }

    /// Widens the rows of `positions` of one head into `out`, rows of `width` whose end is zero.
    #[inline(always)]
    pub(super) fn widen<S: Simd>(
        &self,
        s: S,
        head: HeadRows,
        positions: Range<usize>,
        out: &mut [f32],
    ) {
        let HeadRows {
            head,
            capacity,
            dim,
            width,
        } = head;
        for (position, out) in positions.zip(out.chunks_exact_mut(width)) {
            let row = head * capacity + position % capacity;
            let (out, padding) = out.split_at_mut(dim);
            padding.fill(0.0);
            match self {
                CacheRows::F32(x) => out.copy_from_slice(&x[row * dim..(row + 1) * dim]),
                CacheRows::F16(x) => {
                    let x: &[u16] = x[row * dim..(row + 1) * dim].reinterpret_cast();
                    let whole = dim - dim % S::LANES;
                    for (x, out) in x.chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
                        s.store(s.load_f16(x), out);
                    }
                    for (x, out) in x[whole..].iter().zip(&mut out[whole..]) {
                        *out = f16::from_bits(*x).to_f32();
                    }
                }
                CacheRows::Q8_0(x) => {
                    let bytes = dim / Q8_0.0 * Q8_0.1;
                    let blocks = x[row * bytes..(row + 1) * bytes].chunks_exact(Q8_0.1);
                    for (block, out) in blocks.zip(out.chunks_exact_mut(Q8_0.0)) {
                        let scale = s.splat(scale(u16::from_le_bytes([block[0], block[1]])));
                        let codes: &[i8] = bytemuck::cast_slice(&block[2..]);
                        for (codes, out) in codes
                            .chunks_exact(S::LANES)
                            .zip(out.chunks_exact_mut(S::LANES))
                        {
                            s.store(s.mul(s.load_i8(codes), scale), out);
                        }
                    }
                }
            }
        }
    }
}

/// Runs of rows as they lie in the cache, without a copy: for f32 and f16, where the width is the row itself.
#[derive(Clone, Copy)]
pub(super) enum Direct<'a> {
    F32(&'a [f32]),
    F16(&'a [u16]),
}

impl<'a> CacheRows<'a> {
    /// The rows of `positions` and of whatever follows, if they can be read in place.
    pub(super) fn direct(&self, head: HeadRows, positions: Range<usize>) -> Option<Direct<'a>> {
        let slot = positions.start % head.capacity;
        let whole = head.dim == head.width && slot + positions.len() <= head.capacity;
        let start = (head.head * head.capacity + slot) * head.dim;
        match *self {
            CacheRows::F32(x) if whole => Some(Direct::F32(&x[start..])),
            CacheRows::F16(x) if whole => Some(Direct::F16(x[start..].reinterpret_cast())),
            _ => None,
        }
    }
}

/// A half float that is finite, widened exactly: its exponent and fraction moved into place as those of a float, whose
/// exponent then lacks 127 - 15 = 112. Others become NaN.
fn scale(bits: u16) -> f32 {
    if bits & 0x7c00 == 0x7c00 {
        return f32::NAN;
    }
    let size = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits((127 + 112) << 23);
    if bits & 0x8000 == 0 { size } else { -size }
}

#[cfg(test)]
mod tests {
    #[test]
    fn scales_are_exact() {
        for bits in 0..=u16::MAX {
            let want = half::f16::from_bits(bits).to_f32();
            let got = super::scale(bits);
            assert!(
                got.to_bits() == want.to_bits() || (!want.is_finite() && got.is_nan()),
                "{bits:x}"
            );
        }
    }
}
