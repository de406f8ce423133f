//! Q2_K: 256 codes of 2 bits in 16 groups, each with a 4-bit scale and a 4-bit minimum.
//! Layout: 16 bytes (scale in the low nibble, minimum in the high one), 64 bytes of codes (see `unpack_2_bits`),
//! scale of scales (f16), scale of mins (f16).

use super::{Format, QuantType, read_f16, superblock, write_f16};

/// Q2_K, 2.625 bits a weight.
pub static Q2_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 10;
    const NAME: &'static str = "Q2_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 84;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (0, 3);
    const HAS_MINS: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        let (scale, min) = (read_f16(block, 80), read_f16(block, 82));
        for (group, &byte) in block[..16].iter().enumerate() {
            scales[group] = scale * f32::from(byte & 15);
            mins[group] = min * f32::from(byte >> 4);
        }
        unpack_2_bits(&block[16..80], codes);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::with_mins(values, weights, 16, 3, 15);
        for (group, byte) in block[..16].iter_mut().enumerate() {
            *byte = found.scales[group] | found.mins[group] << 4;
        }
        pack_2_bits(|i| found.codes[i], &mut block[16..80]);
        write_f16(block, 80, found.scale);
        write_f16(block, 82, found.min);
    }
}

/// 64 bytes to 256 codes in 0..4: each run of 32 bytes holds 128 codes, the first 32 in the bytes' lowest two bits, the
/// next 32 in the two above, and so on. Q3_K and TQ2_0 have the same.
#[inline(always)]
pub(super) fn unpack_2_bits(bytes: &[u8], codes: &mut [i8]) {
    for (codes, bytes) in codes.chunks_exact_mut(128).zip(bytes.chunks_exact(32)) {
        for (plane, codes) in codes.chunks_exact_mut(32).enumerate() {
            for (code, &byte) in codes.iter_mut().zip(bytes) {
                *code = (byte >> (2 * plane) & 3) as i8;
            }
        }
    }
}

/// The inverse of [`unpack_2_bits`], with the codes given by a function of the element's number.
pub(super) fn pack_2_bits(code: impl Fn(usize) -> u8, bytes: &mut [u8]) {
    for (run, bytes) in bytes.chunks_exact_mut(32).enumerate() {
        for (l, byte) in bytes.iter_mut().enumerate() {
            *byte = (0..4)
                .map(|plane| code(run * 128 + plane * 32 + l) << (2 * plane))
                .sum();
        }
    }
}
