//! Q5_0: 32 codes of 5 bits in −16..16 and one half-precision scale.
//! Layout: scale (f16), 32 high bits (bit `i` of a little-endian u32 is element `i`'s), then low nibbles as in Q4_0.

use super::search::Whole;
use super::{Format, QuantType, inverse, read_f16, search, write_f16};

/// Q5_0, 5.5 bits a weight.
pub static Q5_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 6;
    const NAME: &'static str = "Q5_0";
    const ELEMENTS: usize = 32;
    const BYTES: usize = 22;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-16, 15);
    const HAS_MINS: bool = false;

    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales[0] = read_f16(block, 0);
        unpack_5_bits(&block[2..22], codes);
        codes[..32].iter_mut().for_each(|code| *code -= 16);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::scale::<Whole<-16, 15>>(values, weights));
        let code = |i: usize| (search::round(values[i] * inverse(scale), Self::RANGE) + 16) as u8;
        pack_5_bits(code, &mut block[2..22]);
    }
}

/// Four bytes of high bits and 16 bytes of low nibbles to 32 codes in 0..32. Q5_1 has them too.
pub(super) fn unpack_5_bits(bytes: &[u8], codes: &mut [i8]) {
    let high = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let high_bit = |i: usize| ((high >> i & 1) << 4) as i8;
    for (i, &byte) in bytes[4..20].iter().enumerate() {
        codes[i] = (byte & 15) as i8 | high_bit(i);
        codes[i + 16] = (byte >> 4) as i8 | high_bit(i + 16);
    }
}

/// The inverse of [`unpack_5_bits`], with the codes given by a function of the element's number.
pub(super) fn pack_5_bits(code: impl Fn(usize) -> u8, bytes: &mut [u8]) {
    let mut high = 0_u32;
    for i in 0..16 {
        let (low_half, high_half) = (code(i), code(i + 16));
        bytes[4 + i] = low_half & 15 | high_half << 4;
        high |= u32::from(low_half >> 4) << i | u32::from(high_half >> 4) << (i + 16);
    }
    bytes[..4].copy_from_slice(&high.to_le_bytes());
}
