//! Q6_K: 256 codes of 6 bits in −32..32, in 16 groups with a signed 8-bit scale each.
//! Layout, by halves of 128 elements: 64 bytes of low nibbles (elements 0..64 low, 64..128 high), then 32 bytes of the
//! upper two bits for each half (32 elements to a pair of bits); after both halves' 128 + 64 bytes: 16 scales (i8),
//! scale of scales (f16).

use super::search::Whole;
use super::{Format, QuantType, read_f16, superblock, write_f16};

/// Q6_K, 6.5625 bits a weight.
pub static Q6_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 14;
    const NAME: &'static str = "Q6_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 210;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-32, 31);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 208);
        for (out, &byte) in scales.iter_mut().zip(&block[192..208]) {
            *out = scale * f32::from(byte as i8);
        }
        let halves = block[..128]
            .chunks_exact(64)
            .zip(block[128..192].chunks_exact(32));
        for (codes, (low, high)) in codes.chunks_exact_mut(128).zip(halves) {
            for (quarter, codes) in codes.chunks_exact_mut(32).enumerate() {
                for (l, code) in codes.iter_mut().enumerate() {
                    let nibble = low[quarter % 2 * 32 + l] >> (4 * (quarter / 2)) & 15;
                    *code = (nibble | (high[l] >> (2 * quarter) & 3) << 4) as i8 - 32;
                }
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::signed::<Whole<-32, 31>>(values, weights, 16, (-128, 127));
        for half in 0..2 {
            let code = |i: usize| (found.codes[half * 128 + i] + 32) as u8;
            for l in 0..64 {
                block[half * 64 + l] = code(l) & 15 | (code(l + 64) & 15) << 4;
            }
            for l in 0..32 {
                block[128 + half * 32 + l] = (0..4)
                    .map(|quarter| code(quarter * 32 + l) >> 4 << (2 * quarter))
                    .sum();
            }
        }
        for (byte, &scale) in block[192..208].iter_mut().zip(&found.scales) {
            *byte = scale as u8;
        }
        write_f16(block, 208, found.scale);
    }
}
