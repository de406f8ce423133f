//! Q4_0: 32 codes of 4 bits in −8..8 and one half-precision scale.
//! Layout: scale (f16), then 16 bytes: element `i` in the low nibble of byte `i`, element `i + 16` in the high one.

use super::search::Whole;
use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q4_0, 4.5 bits a weight.
pub static Q4_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 2;
    const NAME: &'static str = "Q4_0";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-8, 7);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        for (i, &byte) in block[2..18].iter().enumerate() {
            codes[i] = (byte & 15) as i8 - 8;
            codes[i + 16] = (byte >> 4) as i8 - 8;
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::scale::<Whole<-8, 7>>(values, weights));
        let code = |value: f32| (search::round(value * inverse(scale), Self::RANGE) + 8) as u8;
        for i in 0..16 {
            block[2 + i] = code(values[i]) | code(values[i + 16]) << 4;
        }
    }
}
