//! Q3_K: 256 codes of 3 bits in −4..4, in 16 groups with a signed 6-bit scale each.
//! Layout: 32 bytes of high bits (bit `e / 32` of byte `e % 32` is element `e`'s), 64 bytes of the low two bits (as in
//! Q2_K), 12 bytes of scales, scale of scales (f16).

use super::q2_k::{pack_2_bits, unpack_2_bits};
use super::search::Whole;
use super::{Format, QuantType, read_f16, superblock, write_f16};

/// Q3_K, 3.4375 bits a weight.
pub static Q3_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 11;
    const NAME: &'static str = "Q3_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 110;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-4, 3);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 108);
        for (group, out) in scales.iter_mut().enumerate() {
            *out = scale * f32::from(group_scale(&block[96..108], group));
        }
        unpack_2_bits(&block[32..96], codes);
        for (plane, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, &byte) in codes.iter_mut().zip(&block[..32]) {
                *code += ((byte >> plane & 1) << 2) as i8 - 4;
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::signed::<Whole<-4, 3>>(values, weights, 16, (-32, 31));
        let code = |i: usize| (found.codes[i] + 4) as u8;
        for (l, byte) in block[..32].iter_mut().enumerate() {
            *byte = (0..8).map(|plane| code(plane * 32 + l) >> 2 << plane).sum();
        }
        pack_2_bits(|i| code(i) & 3, &mut block[32..96]);
        let scale = |group: usize| (found.scales[group] + 32) as u8;
        for i in 0..8 {
            block[96 + i] = scale(i) & 15 | (scale(i + 8) & 15) << 4;
        }
        for i in 0..4 {
            block[104 + i] = (0..4).map(|n| scale(4 * n + i) >> 4 << (2 * n)).sum();
        }
        write_f16(block, 108, found.scale);
    }
}

/// The 6-bit scale of a group: its low four bits in a nibble of the first eight bytes, the high two in the last four.
#[inline(always)]
fn group_scale(bytes: &[u8], group: usize) -> i8 {
    let low = bytes[group % 8] >> (4 * (group / 8)) & 15;
    let high = bytes[8 + group % 4] >> (2 * (group / 4)) & 3;
    (low | high << 4) as i8 - 32
}
