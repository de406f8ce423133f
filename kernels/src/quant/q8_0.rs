//! Q8_0: 32 codes of 8 bits and one half-precision scale.
//! Layout: scale (f16), 32 bytes (i8).

use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q8_0, 8.5 bits a weight.
pub static Q8_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 8;
    const NAME: &'static str = "Q8_0";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 34;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-128, 127);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        codes.copy_from_slice(bytemuck::cast_slice(&block[2..34]));
    }

    /// At 8 bits a search gains nothing: the largest value becomes ±127.
    fn quantize(values: &[f32], _weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::largest(values) / 127.0);
        for (byte, &value) in block[2..34].iter_mut().zip(values) {
            *byte = search::round(value * inverse(scale), (-127, 127)) as u8;
        }
    }
}
