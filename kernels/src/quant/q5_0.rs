//! Q5_0: 32 codes of 5 bits in −16..16 and one half-precision scale.
//! Layout: scale (f16), 32 high bits (bit `i` of a little-endian u32 is element `i`'s), then low nibbles as in Q4_0.

use super::search::Whole;
use super::{Format, QuantType, inverse, read_f16, search, spread_bits, write_f16};

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

    #[inline(always)]
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
#[inline(always)]
pub(super) fn unpack_5_bits(bytes: &[u8], codes: &mut [i8]) {
    // Eight codes at a time, as the bytes of a u64.
    const NIBBLES: u64 = 0x0F0F_0F0F_0F0F_0F0F;
    let (packed, _) = bytes[4..20].as_chunks::<8>();
    for (eight, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let nibbles = u64::from_le_bytes(packed[eight % 2]) >> (4 * (eight / 2)) & NIBBLES;
        let five_bits = nibbles | spread_bits(bytes[eight]) << 4;
        *codes = bytemuck::cast(five_bits.to_le());
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
