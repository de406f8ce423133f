//! Q8_1: Q8_0 with the sum of the block's values beside the scale: a format of activations in some engines.
//! Layout: scale (f16), scale times sum of codes (f16, not needed to decode), 32 bytes (i8).

use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q8_1, 9 bits a weight.
pub static Q8_1: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 9;
    const NAME: &'static str = "Q8_1";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 36;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-128, 127);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        codes.copy_from_slice(bytemuck::cast_slice(&block[4..36]));
    }

    fn quantize(values: &[f32], _weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::largest(values) / 127.0);
        let mut sum = 0.0;
        for (byte, &value) in block[4..36].iter_mut().zip(values) {
            let code = search::round(value * inverse(scale), (-127, 127));
            *byte = code as u8;
            sum += f32::from(code);
        }
        write_f16(block, 2, scale * sum);
    }
}
