//! Q5_K: Q4_K with a fifth bit: 256 codes in 0..32, 8 groups with 6-bit scales and mins.
//! Layout: as Q4_K, with 32 bytes of high bits (bit `g` of byte `l` is that of element `32·g + l`) before the nibbles.

use super::q4_k::{pack_nibbles, pack_scales, unpack_nibbles, unpack_scales};
use super::{Format, QuantType, superblock};

/// Q5_K, 5.5 bits a weight.
pub static Q5_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 13;
    const NAME: &'static str = "Q5_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 176;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (0, 31);
    const HAS_MINS: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        unpack_scales(block, scales, mins);
        unpack_nibbles(&block[48..176], codes);
        for (group, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, &byte) in codes.iter_mut().zip(&block[16..48]) {
                *code |= ((byte >> group & 1) << 4) as i8;
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::with_mins(values, weights, 32, 31, 63);
        pack_scales(&found, block);
        for l in 0..32 {
            block[16 + l] = (0..8)
                .map(|group| found.codes[group * 32 + l] >> 4 << group)
                .sum();
        }
        pack_nibbles(|i| found.codes[i], &mut block[48..176]);
    }
}
