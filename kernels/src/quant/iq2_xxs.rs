//! IQ2_XXS: 32 vectors of 8 from a grid of 256, in 8 groups with a 4-bit scale; signs in 7 bits for each 8.
//! Layout: scale (f16), then 8 bytes a group: four indices, and a u32 of four times 7 sign bits and the group's scale.

use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ2_XXS, 2.0625 bits a weight.
pub static IQ2_XXS: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 16;
    const NAME: &'static str = "IQ2_XXS";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 66;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-43, 43);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 0);
        for (group, bytes) in block[2..66].as_chunks::<8>().0.iter().enumerate() {
            let signs = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
            scales[group] = scale * (0.5 + (signs >> 28) as f32) * 0.25;
            for (i, codes) in codes[group * 32..][..32]
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .enumerate()
            {
                let point = grid::IQ2_XXS.points[usize::from(bytes[i])];
                *codes = grid::apply_signs(point, seven_signs(signs, i));
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        write_f16(block, 0, scale);
        for (bytes, group) in block[2..66].as_chunks_mut::<8>().0.iter_mut().zip(&groups) {
            for (byte, &point) in bytes[..4].iter_mut().zip(&group.points) {
                *byte = point as u8;
            }
            bytes[4..].copy_from_slice(&pack_signs(group).to_le_bytes());
        }
    }
}

impl Vectors for Block {
    const GROUP: usize = 32;
    const MULTIPLES: u8 = 16;
    const LARGEST: f32 = 43.0;
    const STORED: f32 = 8.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_magnitudes(&grid::IQ2_XXS, true, values, weights, scale, group)
    }
}

/// The signs of a group's eight values number `i`, of four times 7 bits. IQ3_XXS has the same.
#[inline(always)]
pub(super) fn seven_signs(signs: u32, i: usize) -> u8 {
    grid::even_signs((signs >> (7 * i) & 127) as u8)
}

/// Four times 7 sign bits and the group's multiple.
pub(super) fn pack_signs(group: &Group) -> u32 {
    let signs = group
        .signs
        .iter()
        .rev()
        .fold(0, |all, &signs| all << 7 | u32::from(signs & 127));
    signs | u32::from(group.multiple) << 28
}
