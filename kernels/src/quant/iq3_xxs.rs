//! IQ3_XXS: 64 vectors of 4 from a grid of 256, in 8 groups with a 4-bit scale; signs in 7 bits for each 8.
//! Layout: scale (f16), 64 indices, then a u32 a group: four times 7 sign bits and the group's scale.

use super::iq2_xxs::{pack_signs, seven_signs};
use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ3_XXS, 3.0625 bits a weight.
pub static IQ3_XXS: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 18;
    const NAME: &'static str = "IQ3_XXS";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 98;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-62, 62);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 0);
        for (group, &bytes) in block[66..98].as_chunks::<4>().0.iter().enumerate() {
            let signs = u32::from_le_bytes(bytes);
            scales[group] = scale * (0.5 + (signs >> 28) as f32) * 0.5;
            let indices = &block[2 + group * 8..][..8];
            let (eights, _) = codes[group * 32..][..32].as_chunks_mut::<8>();
            for (i, codes) in eights.iter_mut().enumerate() {
                let point = |vector: usize| grid::IQ3_XXS.points[usize::from(indices[vector])];
                let magnitudes = grid::joined(point(2 * i), point(2 * i + 1));
                *codes = grid::apply_signs(magnitudes, seven_signs(signs, i));
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        write_f16(block, 0, scale);
        for (i, group) in groups[..8].iter().enumerate() {
            for (byte, &point) in block[2 + 8 * i..][..8].iter_mut().zip(&group.points) {
                *byte = point as u8;
            }
            block[66 + 4 * i..][..4].copy_from_slice(&pack_signs(group).to_le_bytes());
        }
    }
}

impl Vectors for Block {
    const GROUP: usize = 32;
    const MULTIPLES: u8 = 16;
    const LARGEST: f32 = 62.0;
    const STORED: f32 = 4.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_magnitudes(&grid::IQ3_XXS, true, values, weights, scale, group)
    }
}
