//! Q8_K: 256 codes of 8 bits and one single-precision scale: a format of activations, not found in files.
//! Layout: scale (f32), 256 bytes (i8), the sums of each 16 codes (16 × i16, not needed to decode).

use super::{Format, QuantType, inverse, search};

/// Q8_K, 9.125 bits a weight.
pub static Q8_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 15;
    const NAME: &'static str = "Q8_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 292;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-128, 127);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales.fill(f32::from_le_bytes([block[0], block[1], block[2], block[3]]));
        codes.copy_from_slice(bytemuck::cast_slice(&block[4..260]));
    }

    fn quantize(values: &[f32], _weights: &[f32], block: &mut [u8]) {
        let scale = search::largest(values) / 127.0;
        block[..4].copy_from_slice(&scale.to_le_bytes());
        for (group, values) in values.chunks_exact(16).enumerate() {
            let mut sum = 0;
            for (i, &value) in values.iter().enumerate() {
                let code = search::round(value * inverse(scale), (-127, 127));
                block[4 + group * 16 + i] = code as u8;
                sum += i16::from(code);
            }
            block[260 + 2 * group..][..2].copy_from_slice(&sum.to_le_bytes());
        }
    }
}
