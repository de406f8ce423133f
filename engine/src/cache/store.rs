//! Rows of a cache in one of the storage types.

use gristmill_kernels::attention::{CacheRows, PAGE};
use gristmill_kernels::quant::q8_0::Q8_0;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use crate::error::Error;

/// How keys or values of past tokens are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheType {
    /// Single precision.
    F32,
    /// Half precision, the default.
    #[default]
    F16,
    /// 8 bits in blocks of 32 with one scale.
    Q8_0,
}

impl CacheType {
    /// All of them, for help texts.
    pub const ALL: [CacheType; 3] = [Self::F32, Self::F16, Self::Q8_0];

    /// The name in options: `f32`, `f16` or `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
        }
    }

    /// Whether rows of `width` values can be stored.
    pub(crate) fn supports(self, width: usize) -> bool {
        self != Self::Q8_0 || width.is_multiple_of(Q8_0.block_elements())
    }

    /// Bytes of a row of `width` values.
    pub(crate) fn row_bytes(self, width: usize) -> usize {
        match self {
            Self::F32 => 4 * width,
            Self::F16 => 2 * width,
            Self::Q8_0 => width.div_ceil(Q8_0.block_elements()) * Q8_0.block_bytes(),
        }
    }
}

impl std::fmt::Display for CacheType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for CacheType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL
            .into_iter()
            .find(|t| t.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| Error::Option(format!("'{name}' is no cache type: f32, f16 or q8_0")))
    }
}

/// Rows of one width, `[page][head][slot]`.
#[derive(Debug)]
pub(super) struct Store {
    heads: usize,
    width: usize,
    values: Values,
}

/// Halves are kept as their bits: a vector of integer zeros costs nothing until it is written to.
#[derive(Debug)]
enum Values {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Q8_0(Vec<u8>),
}

impl Store {
    pub(super) fn new(kind: CacheType, heads: usize, pages: usize, width: usize) -> Self {
        let rows = pages * heads * PAGE;
        let values = match kind {
            CacheType::F32 => Values::F32(vec![0.0; rows * width]),
            CacheType::F16 => Values::F16(vec![0; rows * width]),
            CacheType::Q8_0 => Values::Q8_0(vec![0; rows * kind.row_bytes(width)]),
        };
        Self {
            heads,
            width,
            values,
        }
    }

    pub(super) fn rows(&self) -> CacheRows<'_> {
        match &self.values {
            Values::F32(v) => CacheRows::F32(v),
            Values::F16(v) => CacheRows::F16(v.reinterpret_cast()),
            Values::Q8_0(v) => CacheRows::Q8_0(v),
        }
    }

    /// Writes `n` positions from `first` on to their pages: `rows` is `[position][head][dimension]`.
    pub(super) fn write(&mut self, pages: &[u32], first: usize, n: usize, rows: &[f32]) {
        let Self { heads, width, .. } = *self;
        let row_bytes = CacheType::Q8_0.row_bytes(width);
        let positions = rows.chunks_exact(heads * width).zip(first..first + n);
        for (heads_rows, position) in positions {
            let page = pages[position / PAGE] as usize * heads;
            for (head, row) in heads_rows.chunks_exact(width).enumerate() {
                let slot = (page + head) * PAGE + position % PAGE;
                match &mut self.values {
                    Values::F32(v) => v[slot * width..][..width].copy_from_slice(row),
                    Values::F16(v) => {
                        let halves: &mut [half::f16] =
                            v[slot * width..][..width].reinterpret_cast_mut();
                        halves.convert_from_f32_slice(row);
                    }
                    Values::Q8_0(v) => {
                        if let Some(quantize) = Q8_0.quantize() {
                            quantize(row, None, &mut v[slot * row_bytes..][..row_bytes])
                        }
                    }
                }
            }
        }
    }

    /// The bytes of all rows of a position, little-endian, to the end of `out`.
    pub(super) fn read_bytes(&self, pages: &[u32], position: usize, out: &mut Vec<u8>) {
        for head in 0..self.heads {
            let slot = self.slot(pages, position, head);
            match &self.values {
                Values::F32(v) => {
                    let row = &v[slot * self.width..][..self.width];
                    out.extend(row.iter().flat_map(|value| value.to_le_bytes()));
                }
                Values::F16(v) => {
                    let row = &v[slot * self.width..][..self.width];
                    out.extend(row.iter().flat_map(|bits| bits.to_le_bytes()));
                }
                Values::Q8_0(v) => {
                    let bytes = CacheType::Q8_0.row_bytes(self.width);
                    out.extend_from_slice(&v[slot * bytes..][..bytes]);
                }
            }
        }
    }

    /// Bytes of all rows of a position.
    pub(super) fn position_bytes(&self) -> usize {
        let kind = match &self.values {
            Values::F32(_) => CacheType::F32,
            Values::F16(_) => CacheType::F16,
            Values::Q8_0(_) => CacheType::Q8_0,
        };
        self.heads * kind.row_bytes(self.width)
    }

    /// Takes over what [`read_bytes`](Self::read_bytes) gave.
    pub(super) fn write_bytes(&mut self, pages: &[u32], position: usize, bytes: &[u8]) {
        let rows = bytes.chunks_exact(bytes.len() / self.heads);
        for (head, bytes) in rows.enumerate() {
            let slot = self.slot(pages, position, head);
            match &mut self.values {
                Values::F32(v) => {
                    let (numbers, _) = bytes.as_chunks();
                    let row = v[slot * self.width..].iter_mut();
                    row.zip(numbers)
                        .for_each(|(value, &number)| *value = f32::from_le_bytes(number));
                }
                Values::F16(v) => {
                    let (numbers, _) = bytes.as_chunks();
                    let row = v[slot * self.width..].iter_mut();
                    row.zip(numbers)
                        .for_each(|(bits, &number)| *bits = u16::from_le_bytes(number));
                }
                Values::Q8_0(v) => v[slot * bytes.len()..][..bytes.len()].copy_from_slice(bytes),
            }
        }
    }

    /// The number of a row.
    fn slot(&self, pages: &[u32], position: usize, head: usize) -> usize {
        (pages[position / PAGE] as usize * self.heads + head) * PAGE + position % PAGE
    }

    /// Copies all rows of a page to another one.
    pub(super) fn copy_page(&mut self, from: u32, to: u32) {
        fn copy<T: Copy>(values: &mut [T], page: usize, from: u32, to: u32) {
            let start = from as usize * page;
            values.copy_within(start..start + page, to as usize * page);
        }
        let rows = self.heads * PAGE;
        let row_bytes = CacheType::Q8_0.row_bytes(self.width);
        match &mut self.values {
            Values::F32(v) => copy(v, rows * self.width, from, to),
            Values::F16(v) => copy(v, rows * self.width, from, to),
            Values::Q8_0(v) => copy(v, rows * row_bytes, from, to),
        }
    }
}
