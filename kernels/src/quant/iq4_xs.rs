//! IQ4_XS: IQ4_NL's codes in a block of 256: 8 groups with a signed 6-bit scale each.
//! Layout: scale of scales (f16), high two bits of the group scales (u16), their low nibbles (4 bytes), then 16 bytes a
//! group as in IQ4_NL.

use super::iq4_nl::{CODES, Uneven, index, pack_nibbles, unpack_nibbles};
use super::search::Codebook;
use super::{Format, QuantType, inverse, read_f16, superblock, write_f16};

/// IQ4_XS, 4.25 bits a weight.
pub static IQ4_XS: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 23;
    const NAME: &'static str = "IQ4_XS";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 136;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-127, 113);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 0);
        let high = u16::from_le_bytes([block[2], block[3]]);
        for (group, out) in scales.iter_mut().enumerate() {
            let low = block[4 + group / 2] >> (4 * (group % 2)) & 15;
            let multiple = (low | ((high >> (2 * group) & 3) << 4) as u8) as i8 - 32;
            *out = scale * f32::from(multiple);
        }
        for (codes, bytes) in codes
            .chunks_exact_mut(32)
            .zip(block[8..136].chunks_exact(16))
        {
            unpack_nibbles(bytes, &CODES, codes);
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::signed::<Uneven>(values, weights, 32, (-32, 31));
        write_f16(block, 0, found.scale);
        let scale = |group: usize| (found.scales[group] + 32) as u8;
        let high = (0..8).fold(0_u16, |high, group| {
            high | u16::from(scale(group) >> 4) << (2 * group)
        });
        block[2..4].copy_from_slice(&high.to_le_bytes());
        for i in 0..4 {
            block[4 + i] = scale(2 * i) & 15 | (scale(2 * i + 1) & 15) << 4;
        }
        for (group, bytes) in block[8..136].chunks_exact_mut(16).enumerate() {
            let inverse = inverse(found.scale * f32::from(found.scales[group]));
            let nibble =
                |i: usize| index(&CODES, Uneven::nearest(values[group * 32 + i] * inverse));
            pack_nibbles(nibble, bytes);
        }
    }
}
