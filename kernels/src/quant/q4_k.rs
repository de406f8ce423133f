//! Q4_K: 256 codes of 4 bits in 8 groups, each with a 6-bit scale and a 6-bit minimum.
//! Layout: scale of scales (f16), scale of mins (f16), 12 bytes of scales and mins (see `unpack_scales`), 128 bytes:
//! each run of 32 holds one group in the low nibbles and the next in the high ones.

use super::{Format, QuantType, read_f16, superblock, write_f16};

/// Q4_K, 4.5 bits a weight.
pub static Q4_K: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 12;
    const NAME: &'static str = "Q4_K";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 144;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (0, 15);
    const HAS_MINS: bool = true;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        unpack_scales(block, scales, mins);
        unpack_nibbles(&block[16..144], codes);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let found = superblock::with_mins(values, weights, 32, 15, 63);
        pack_scales(&found, block);
        pack_nibbles(|i| found.codes[i], &mut block[16..144]);
    }
}

/// The first 16 bytes of a Q4_K or Q5_K block to eight scales and mins. Of the 12 bytes after the two halves, bytes 0..4
/// hold scales 0..4 and bytes 4..8 mins 0..4, six bits each; bytes 8..12 the low nibbles of scales and mins 4..8, whose
/// high two bits fill up the first eight bytes.
#[inline(always)]
pub(super) fn unpack_scales(block: &[u8], scales: &mut [f32], mins: &mut [f32]) {
    let (scale, min) = (read_f16(block, 0), read_f16(block, 2));
    let packed = &block[4..16];
    for i in 0..4 {
        scales[i] = scale * f32::from(packed[i] & 63);
        mins[i] = min * f32::from(packed[i + 4] & 63);
        scales[i + 4] = scale * f32::from(packed[i + 8] & 15 | packed[i] >> 6 << 4);
        mins[i + 4] = min * f32::from(packed[i + 8] >> 4 | packed[i + 4] >> 6 << 4);
    }
}

/// The inverse of [`unpack_scales`].
pub(super) fn pack_scales(found: &superblock::WithMins, block: &mut [u8]) {
    write_f16(block, 0, found.scale);
    write_f16(block, 2, found.min);
    let packed = &mut block[4..16];
    for i in 0..4 {
        packed[i] = found.scales[i] | found.scales[i + 4] >> 4 << 6;
        packed[i + 4] = found.mins[i] | found.mins[i + 4] >> 4 << 6;
        packed[i + 8] = found.scales[i + 4] & 15 | (found.mins[i + 4] & 15) << 4;
    }
}

/// 128 bytes to 256 codes in 0..16: each run of 32 bytes has 32 codes in its low nibbles, the next 32 in its high ones.
#[inline(always)]
pub(super) fn unpack_nibbles(bytes: &[u8], codes: &mut [i8]) {
    for (codes, bytes) in codes.chunks_exact_mut(64).zip(bytes.chunks_exact(32)) {
        for (l, &byte) in bytes.iter().enumerate() {
            codes[l] = (byte & 15) as i8;
            codes[l + 32] = (byte >> 4) as i8;
        }
    }
}

/// The inverse of [`unpack_nibbles`]; bits above the fourth are left out.
pub(super) fn pack_nibbles(code: impl Fn(usize) -> u8, bytes: &mut [u8]) {
    for (run, bytes) in bytes.chunks_exact_mut(32).enumerate() {
        for (l, byte) in bytes.iter_mut().enumerate() {
            *byte = code(run * 64 + l) & 15 | code(run * 64 + 32 + l) << 4;
        }
    }
}
