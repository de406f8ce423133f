//! IQ2_S: 32 vectors of 8 from a grid of 1024, in 16 groups with a 4-bit scale; a byte of signs for each vector.
//! Layout: scale (f16), low bytes of the indices (32), signs (32), the indices' high two bits (8 bytes, four each),
//! group scales (8 bytes, the low nibble first).

use super::iq2_xs::{pack_nibble_scales, unpack_nibble_scales};
use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ2_S, 2.5625 bits a weight.
pub static IQ2_S: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 22;
    const NAME: &'static str = "IQ2_S";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 82;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-43, 43);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        unpack_nibble_scales(read_f16(block, 0), &block[74..82], scales);
        for (i, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let high = u16::from(block[66 + i / 4] >> (2 * (i % 4)) & 3);
            let point = grid::IQ2_S.points[usize::from(u16::from(block[2 + i]) | high << 8)];
            *codes = grid::apply_signs(point, block[34 + i]);
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        block.fill(0);
        write_f16(block, 0, scale);
        for i in 0..32 {
            let (point, signs) = (groups[i / 2].points[i % 2], groups[i / 2].signs[i % 2]);
            block[2 + i] = point as u8;
            block[34 + i] = signs;
            block[66 + i / 4] |= ((point >> 8) << (2 * (i % 4))) as u8;
        }
        pack_nibble_scales(&groups, &mut block[74..82]);
    }
}

impl Vectors for Block {
    const GROUP: usize = 16;
    const MULTIPLES: u8 = 16;
    const LARGEST: f32 = 43.0;
    const STORED: f32 = 8.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_magnitudes(&grid::IQ2_S, false, values, weights, scale, group)
    }
}
