//! MXFP4: 32 four-bit floats (E2M1) and a power of two for scale: the OCP Microscaling Formats specification, v1.0.
//! Layout: exponent (E8M0, biased by 127), then nibbles as in Q4_0. Codes are twice the E2M1 numbers, so that they are
//! whole, and scales half the specification's.

use super::iq4_nl::{index, pack_nibbles};
use super::search::{self, Codebook};
use super::{Format, QuantType, inverse};

/// MXFP4, 4.25 bits a weight.
pub static MXFP4: QuantType = QuantType::of::<Block>();

/// Twice the E2M1 numbers by their bits: sign, two bits of exponent, one of mantissa.
pub(crate) const CODES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

struct Block;

impl Format for Block {
    const ID: u32 = 39;
    const NAME: &'static str = "MXFP4";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 17;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-12, 12);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = half_power_of_two(block[0]);
        unpack_e2m1(&block[1..17], codes);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        // The exponent that brings the largest value to 8..16 (biased by 128 for the halved scales), or one beside it.
        let largest = search::largest(values);
        let near = (largest.log2().floor() - 3.0 + 128.0).clamp(1.0, 253.0) as u8;
        let mut best = (f32::INFINITY, 0);
        for exponent in near - 1..=near + 1 {
            let error = search::error::<E2M1>(values, weights, half_power_of_two(exponent));
            if error < best.0 {
                best = (error, exponent);
            }
        }
        block[0] = if largest > 0.0 { best.1 } else { 0 };
        let inverse = inverse(half_power_of_two(block[0]));
        pack_nibbles(
            |i| index(&CODES, E2M1::nearest(values[i] * inverse)),
            &mut block[1..17],
        );
    }
}

/// Low nibbles of all bytes, then the high ones, as [`CODES`] has them: in arithmetic, which unlike a table becomes
/// vectors by itself.
#[inline(always)]
pub(super) fn unpack_e2m1(bytes: &[u8], codes: &mut [i8]) {
    let code = |nibble: u8| {
        // 0 to 4 stand for themselves, 5 to 7 for 6, 8 and 12.
        let low = nibble & 7;
        let magnitude = low + low.saturating_sub(4) + if low == 7 { 2 } else { 0 };
        if nibble & 8 == 0 {
            magnitude as i8
        } else {
            -(magnitude as i8)
        }
    };
    let (low, high) = codes.split_at_mut(bytes.len());
    for ((&byte, low), high) in bytes.iter().zip(low).zip(high) {
        *low = code(byte & 15);
        *high = code(byte >> 4);
    }
}

/// 2 to the power of `exponent − 128`. The two smallest are subnormal: a bit of the mantissa.
#[inline(always)]
pub(crate) fn half_power_of_two(exponent: u8) -> f32 {
    let exponent = u32::from(exponent);
    f32::from_bits(if exponent < 2 {
        0x0020_0000 << exponent
    } else {
        (exponent - 1) << 23
    })
}

/// The codes as a book to search in.
pub(super) struct E2M1;

impl Codebook for E2M1 {
    const RANGE: (i8, i8) = (-12, 12);
    const CODES_A_SIDE: f32 = 7.0;

    fn nearest(x: f32) -> f32 {
        let mut code = 0.0_f32;
        for pair in CODES[..8].windows(2) {
            let (below, above) = (f32::from(pair[0]), f32::from(pair[1]));
            code = if x.abs() > (below + above) * 0.5 {
                above
            } else {
                code
            };
        }
        if x < 0.0 { -code } else { code }
    }
}
