//! Q1_0: 128 signs and one half-precision scale.
//! Layout: scale (f16), 16 bytes: bit `i % 8` of byte `i / 8` is set where element `i` is positive.

use super::{Format, QuantType, read_f16, spread_bits, write_f16};

/// Q1_0, 1.125 bits a weight.
pub static Q1_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 41;
    const NAME: &'static str = "Q1_0";
    const ELEMENTS: usize = 128;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-1, 1);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales.fill(read_f16(block, 0));
        for (codes, &byte) in codes.as_chunks_mut::<8>().0.iter_mut().zip(&block[2..18]) {
            *codes = spread_bits(byte).to_le_bytes().map(|bit| 2 * bit as i8 - 1);
        }
    }

    /// With one scale and signs, least squares is the mean magnitude.
    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let sum: f32 = values
            .iter()
            .zip(weights)
            .map(|(value, weight)| weight * value.abs())
            .sum();
        write_f16(block, 0, sum / weights.iter().sum::<f32>());
        for (byte, values) in block[2..18].iter_mut().zip(values.chunks_exact(8)) {
            *byte = values
                .iter()
                .rev()
                .fold(0, |byte, &value| byte << 1 | u8::from(value >= 0.0));
        }
    }
}
