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
