//! The rows of a key/value cache, f32, f16 or q8_0, and their way to f32.

use crate::isa::float::{Rows, Simd};
use half::f16;
use half::slice::HalfFloatSliceExt;
use std::ops::Range;

/// Elements and bytes of a q8_0 block: an f16 scale and 32 signed codes.
const Q8_0: (usize, usize) = (32, 34);

/// Rows of keys or values, laid out `[page][kv_head][slot][dim]`, with [`PAGE`] slots in a page.
#[derive(Clone, Copy, Debug)]
pub enum CacheRows<'a> {
    /// Plain floats.
    F32(&'a [f32]),
    /// Half floats.
    F16(&'a [f16]),
    /// Blocks of 32 elements as in the tensor type Q8_0; `dim` is a multiple of 32.
    Q8_0(&'a [u8]),
}

/// Positions in a page of the cache. A page holds whole chunks of positions, so that no chunk has rows in two pages.
pub const PAGE: usize = 256;

/// Which rows of a cache, and how wide they become.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    /// The key/value head.
    pub head: usize,
    /// All of them.
    pub heads: usize,
    /// By position / [`PAGE`]: the page that holds it.
    pub pages: &'a [u32],
    /// Elements of a row that are of use.
    pub dim: usize,
    /// Elements from the beginning of a row to that of the next.
    pub stride: usize,
    /// Floats of a widened row, a multiple of 16.
    pub width: usize,
}

impl HeadRows<'_> {
    /// The number of a position's row.
    fn row(&self, position: usize) -> usize {
        let page = self.pages[position / PAGE] as usize;
        (page * self.heads + self.head) * PAGE + position % PAGE
    }

    /// Floats from one widened row to the next: not a multiple of 128, so that the same columns of many rows don't meet in
    /// a few sets of the first-level cache.
    pub(super) fn step(&self) -> usize {
        self.width
            + if self.width.is_multiple_of(128) {
                16
            } else {
                0
            }
    }
}

impl CacheRows<'_> {
    /// Panics unless these pages of `heads` heads with rows of `dim` are there.
    pub(super) fn check(&self, pages: &[u32], heads: usize, dim: usize) {
        let have = match self {
            CacheRows::F32(x) => x.len() / dim,
            CacheRows::F16(x) => x.len() / dim,
            CacheRows::Q8_0(x) => {
                assert!(
                    dim.is_multiple_of(Q8_0.0),
                    "a q8_0 cache needs rows of a multiple of 32"
                );
                x.len() / (dim / Q8_0.0 * Q8_0.1)
            }
        } / (heads * PAGE);
        assert!(
            pages.iter().all(|&page| (page as usize) < have),
            "the cache has forgotten a key: it has {have} pages"
        );
    }

    /// Widens the rows of `positions`, all of one page, of one head into `out`, rows of `width` whose end is zero, a step
    /// apart.
    #[inline(always)]
    fn widen<S: Simd>(&self, s: S, head: HeadRows<'_>, positions: Range<usize>, out: &mut [f32]) {
        let step = head.step();
        let HeadRows {
            dim, stride, width, ..
        } = head;
        let first = head.row(positions.start);
        for (row, out) in (first..first + positions.len()).zip(out.chunks_exact_mut(step)) {
            let (out, padding) = out[..width].split_at_mut(dim);
            padding.fill(0.0);
            match self {
                CacheRows::F32(x) => out.copy_from_slice(&x[row * stride..][..dim]),
                CacheRows::F16(x) => {
                    let x: &[u16] = x[row * stride..][..dim].reinterpret_cast();
                    let whole = dim - dim % S::LANES;
                    for (x, out) in x.chunks_exact(S::LANES).zip(out.chunks_exact_mut(S::LANES)) {
                        s.store(s.load_f16(x), out);
                    }
                    for (x, out) in x[whole..].iter().zip(&mut out[whole..]) {
                        *out = f16::from_bits(*x).to_f32();
                    }
                }
                CacheRows::Q8_0(x) => {
                    let bytes = |elements: usize| elements / Q8_0.0 * Q8_0.1;
                    let blocks = x[row * bytes(stride)..][..bytes(dim)].chunks_exact(Q8_0.1);
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

/// Rows of one head, as they lie in the cache or widened.
#[derive(Clone, Copy)]
pub(super) enum Tile<'a> {
    F32(Rows<'a, f32>),
    F16(Rows<'a, f16>),
}

impl<'a> CacheRows<'a> {
    /// The rows of `positions`, all of one page, as they lie in the cache if they need no padding and are f32, or f16 and
    /// may be left `in_place`; otherwise widened into `buffer`.
    #[inline(always)]
    pub(super) fn tile<'b, S: Simd>(
        &self,
        s: S,
        head: HeadRows<'_>,
        positions: Range<usize>,
        in_place: bool,
        buffer: &'b mut [f32],
    ) -> Tile<'b>
    where
        'a: 'b,
    {
        let whole = head.dim == head.width;
        let start = || head.row(positions.start) * head.stride;
        match *self {
            CacheRows::F32(x) if whole => Tile::F32(Rows {
                data: &x[start()..],
                width: head.stride,
            }),
            CacheRows::F16(x) if in_place && whole => Tile::F16(Rows {
                data: &x[start()..],
                width: head.stride,
            }),
            _ => {
                self.widen(s, head, positions, buffer);
                Tile::F32(Rows {
                    data: buffer,
                    width: head.step(),
                })
            }
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
