//! IQ1_S: 32 ternary vectors of 8 from a grid of 2048, in 8 groups with a 3-bit scale and a shift of an eighth.
//! Layout: scale (f16), low bytes of the indices (32), then a u16 a group: the high three bits of its four indices, the
//! group's scale (3 bits), and a bit that turns the shift downwards. Codes are eighths.

use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ1_S, 1.5625 bits a weight.
pub static IQ1_S: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 19;
    const NAME: &'static str = "IQ1_S";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 50;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-9, 9);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let scale = read_f16(block, 0);
        for (group, &bytes) in block[34..50].as_chunks::<2>().0.iter().enumerate() {
            let word = u16::from_le_bytes(bytes);
            scales[group] = scale * f32::from(2 * (word >> 12 & 7) + 1) * 0.125;
            for (i, codes) in codes[group * 32..][..32]
                .as_chunks_mut::<8>()
                .0
                .iter_mut()
                .enumerate()
            {
                let high = word >> (3 * i) & 7;
                unpack_vector(
                    u16::from(block[2 + 4 * group + i]) | high << 8,
                    word >> 15 == 1,
                    codes,
                );
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        write_f16(block, 0, scale);
        for (i, group) in groups[..8].iter().enumerate() {
            let mut word = u16::from(group.multiple) << 12 | u16::from(group.signs[0]) << 15;
            for (vector, &point) in group.points[..4].iter().enumerate() {
                block[2 + 4 * i + vector] = point as u8;
                word |= (point >> 8) << (3 * vector);
            }
            block[34 + 2 * i..][..2].copy_from_slice(&word.to_le_bytes());
        }
    }
}

impl Vectors for Block {
    const GROUP: usize = 32;
    const MULTIPLES: u8 = 8;
    const LARGEST: f32 = 9.0;
    const STORED: f32 = 8.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_shifted(&grid::IQ1, 32, values, weights, scale, group)
    }
}

/// A grid point in eighths, shifted by one up or down. IQ1_M has the same.
#[inline(always)]
pub(super) fn unpack_vector(index: u16, down: bool, codes: &mut [i8; 8]) {
    for (code, element) in codes.iter_mut().zip(grid::IQ1.points[usize::from(index)]) {
        *code = if down { element - 1 } else { element + 1 };
    }
}
