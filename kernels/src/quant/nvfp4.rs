//! NVFP4: 64 four-bit floats (E2M1) in groups of 16 with an unsigned eight-bit float (E4M3) for scale.
//! Layout: four scales, then 8 bytes a group: its first 8 elements in the low nibbles, the other 8 in the high ones.
//! Codes are twice the E2M1 numbers and scales half the E4M3 ones, as in MXFP4.

use super::iq4_nl::{index, pack_nibbles};
use super::mxfp4::{CODES, E2M1, unpack_e2m1};
use super::search::{self, Codebook};
use super::{Format, QuantType, inverse};

/// NVFP4, 4.5 bits a weight.
pub static NVFP4: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 40;
    const NAME: &'static str = "NVFP4";
    const ELEMENTS: usize = 64;
    const BYTES: usize = 36;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-12, 12);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        for group in 0..4 {
            scales[group] = half_e4m3(block[group]);
            unpack_e2m1(&block[4 + 8 * group..][..8], &mut codes[16 * group..][..16]);
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        for (group, (values, weights)) in values
            .chunks_exact(16)
            .zip(weights.chunks_exact(16))
            .enumerate()
        {
            let wanted = search::scale::<E2M1>(values, weights);
            // Scales ascend with their bytes up to 0x7E: the first that is not smaller, or one beside it.
            let near = (0..LARGEST)
                .find(|&byte| half_e4m3(byte) >= wanted)
                .unwrap_or(LARGEST);
            let mut best = (f32::INFINITY, 0);
            for byte in near.saturating_sub(2)..=(near + 1).min(LARGEST) {
                let error = search::error::<E2M1>(values, weights, half_e4m3(byte));
                if error < best.0 {
                    best = (error, byte);
                }
            }
            block[group] = best.1;
            let inverse = inverse(half_e4m3(best.1));
            let nibble = |i: usize| index(&CODES, E2M1::nearest(values[i] * inverse));
            pack_nibbles(nibble, &mut block[4 + 8 * group..][..8]);
        }
    }
}

/// The byte of the largest scale, 448 (halved: 224). The next one, 0x7F, is not a number, and decodes to 0.
const LARGEST: u8 = 0x7E;

/// Half of an unsigned E4M3 number: four bits of exponent biased by 7, three of mantissa, subnormals at exponent 0. At their
/// place in an f32, whose exponents are biased by 127, and one more for the half.
#[inline(always)]
pub(crate) fn half_e4m3(byte: u8) -> f32 {
    let magnitude = if byte == 0x7F { 0 } else { byte & 0x7F };
    f32::from_bits(u32::from(magnitude) << 20) * f32::from_bits((127 + 119) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_half_of_what_e4m3_says() {
        for byte in 0..=u8::MAX {
            let (exponent, mantissa) = (i32::from(byte >> 3 & 15), f32::from(byte & 7));
            let number = if exponent == 0 {
                mantissa * 2_f32.powi(-9)
            } else {
                (8.0 + mantissa) * 2_f32.powi(exponent - 10)
            };
            let number = if byte == 0x7F { 0.0 } else { number };
            assert_eq!(half_e4m3(byte), number / 2.0, "{byte:#x}");
        }
    }
}
