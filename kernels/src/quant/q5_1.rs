//! Q5_1: 32 codes of 5 bits in 0..32, a half-precision scale and a half-precision minimum.
//! Layout: scale (f16), minimum (f16, added), then high bits and low nibbles as in Q5_0.

use super::q5_0::{pack_5_bits, unpack_5_bits};
use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q5_1, 6 bits a weight.
pub static Q5_1: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 7;
    const NAME: &'static str = "Q5_1";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 24;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (0, 31);
    const HAS_MINS: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        mins[0] = -read_f16(block, 2);
        unpack_5_bits(&block[4..24], codes);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, min) = search::scale_and_min(values, weights, 31, search::Min::Any);
        let scale = write_f16(block, 0, scale);
        let min = -write_f16(block, 2, -min);
        let code = |i: usize| search::round((values[i] + min) * inverse(scale), Self::RANGE) as u8;
        pack_5_bits(code, &mut block[4..24]);
    }
}
