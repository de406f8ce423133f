//! Q4_1: 32 codes of 4 bits in 0..16, a half-precision scale and a half-precision minimum.
//! Layout: scale (f16), minimum (f16, added), then nibbles as in Q4_0.

use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q4_1, 5 bits a weight.
pub static Q4_1: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 3;
    const NAME: &'static str = "Q4_1";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 20;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (0, 15);
    const HAS_MINS: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        mins[0] = -read_f16(block, 2);
        for (i, &byte) in block[4..20].iter().enumerate() {
            codes[i] = (byte & 15) as i8;
            codes[i + 16] = (byte >> 4) as i8;
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, min) = search::scale_and_min(values, weights, 15, search::Min::Any);
        let scale = write_f16(block, 0, scale);
        let min = -write_f16(block, 2, -min);
        let code = |value: f32| search::round((value + min) * inverse(scale), Self::RANGE) as u8;
        for i in 0..16 {
            block[4 + i] = code(values[i]) | code(values[i + 16]) << 4;
        }
    }
}
