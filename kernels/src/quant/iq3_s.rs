//! IQ3_S: 64 vectors of 4 from a grid of 512, in 8 groups with a 4-bit scale; a byte of signs for each 8.
//! Layout: scale (f16), low bytes of the indices (64), their ninth bits (8 bytes), signs (32), group scales (4 bytes,
//! the low nibble first).

use super::iq2_xs::pack_nibble_scales;
use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ3_S, 3.4375 bits a weight.
pub static IQ3_S: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 21;
    const NAME: &'static str = "IQ3_S";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 110;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-15, 15);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 0);
        for (group, out) in scales.iter_mut().enumerate() {
            let nibble = block[106 + group / 2] >> (4 * (group % 2)) & 15;
            *out = scale * f32::from(1 + 2 * nibble);
        }
        for (i, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let point = |vector: usize| {
                let high = u16::from(block[66 + vector / 8] >> (vector % 8) & 1);
                grid::IQ3_S.points[usize::from(u16::from(block[2 + vector]) | high << 8)]
            };
            let magnitudes = grid::joined(point(2 * i), point(2 * i + 1));
            *codes = grid::apply_signs(magnitudes, block[74 + i]);
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        block.fill(0);
        write_f16(block, 0, scale);
        for (i, group) in groups[..8].iter().enumerate() {
            for (vector, &point) in group.points.iter().enumerate() {
                block[2 + 8 * i + vector] = point as u8;
                block[66 + i] |= ((point >> 8) << vector) as u8;
            }
            block[74 + 4 * i..][..4].copy_from_slice(&group.signs);
        }
        pack_nibble_scales(&groups, &mut block[106..110]);
    }
}

impl Vectors for Block {
    const GROUP: usize = 32;
    const MULTIPLES: u8 = 16;
    const LARGEST: f32 = 15.0;
    const STORED: f32 = 1.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_magnitudes(&grid::IQ3_S, false, values, weights, scale, group)
    }
}
