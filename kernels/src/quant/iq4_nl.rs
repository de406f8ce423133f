//! IQ4_NL: 32 four-bit indices into a table of 16 unevenly spaced codes, and one half-precision scale.
//! Layout: as Q4_0.

use super::search::{self, Codebook};
use super::{Format, QuantType, inverse, read_f16, write_f16};

/// IQ4_NL, 4.5 bits a weight.
pub static IQ4_NL: QuantType = QuantType::of::<Block>();

/// The codes, close together around 0 where most weights are. Data of the format (ggml, MIT licence).
pub(crate) const CODES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

struct Block;

impl Format for Block {
    const ID: u32 = 20;
    const NAME: &'static str = "IQ4_NL";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-127, 113);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        unpack_nibbles(&block[2..18], &CODES, codes);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::scale::<Uneven>(values, weights));
        let nibble = |i: usize| index(&CODES, Uneven::nearest(values[i] * inverse(scale)));
        pack_nibbles(nibble, &mut block[2..18]);
    }
}

/// The codes as a book to search in.
pub(super) struct Uneven;

impl Codebook for Uneven {
    const RANGE: (i8, i8) = (-127, 113);
    const CODES_A_SIDE: f32 = 8.0;

    fn nearest(x: f32) -> f32 {
        let mut code = f32::from(CODES[0]);
        for pair in CODES.windows(2) {
            let (below, above) = (f32::from(pair[0]), f32::from(pair[1]));
            code = if x > (below + above) * 0.5 {
                above
            } else {
                code
            };
        }
        code
    }
}

/// The place of a code in its table.
pub(super) fn index(table: &[i8; 16], code: f32) -> u8 {
    table
        .iter()
        .position(|&c| f32::from(c) == code)
        .unwrap_or(0) as u8
}

/// Low nibbles of all bytes, then the high ones, looked up in a table.
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8], table: &[i8; 16], codes: &mut [i8]) {
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((&byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = table[usize::from(byte & 15)];
        *high = table[usize::from(byte >> 4)];
    }
}

/// The inverse of [`unpack_nibbles`], with the nibbles given by a function of the element's number.
pub(super) fn pack_nibbles(nibble: impl Fn(usize) -> u8, bytes: &mut [u8]) {
    let half = bytes.len();
    for (i, byte) in bytes.iter_mut().enumerate() {
        *byte = nibble(i) | nibble(i + half) << 4;
    }
}
