//! IQ1_M: 32 ternary vectors of 8 from IQ1_S's grid, each with its own shift, in 16 groups with a 3-bit scale.
//! Layout: low bytes of the indices (32), a nibble a vector (high three bits of the index, and a bit that turns the
//! shift downwards; 16 bytes), 4 × u16: four group scales of 3 bits each, and in the top nibbles the scale (f16).

use half::f16;

use super::iq1_s::unpack_vector;
use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, half_to_f32};

/// IQ1_M, 1.75 bits a weight.
pub static IQ1_M: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 29;
    const NAME: &'static str = "IQ1_M";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 56;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-9, 9);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        let word = |i: usize| u16::from_le_bytes([block[48 + 2 * i], block[49 + 2 * i]]);
        let bits = (0..4).fold(0, |bits, i| bits | word(i) >> 12 << (4 * i));
        let scale = half_to_f32(bits);
        for (group, out) in scales.iter_mut().enumerate() {
            let multiple = word(group / 4) >> (3 * (group % 4)) & 7;
            *out = scale * f32::from(2 * multiple + 1) * 0.125;
        }
        for (i, codes) in codes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let nibble = block[32 + i / 2] >> (4 * (i % 2));
            unpack_vector(
                u16::from(block[i]) | u16::from(nibble & 7) << 8,
                nibble & 8 != 0,
                codes,
            );
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        let mut words = [0_u16; 4];
        for (i, word) in words.iter_mut().enumerate() {
            *word = (f16::from_f32(scale).to_bits() >> (4 * i)) << 12;
        }
        block.fill(0);
        for (i, group) in groups.iter().enumerate() {
            words[i / 4] |= u16::from(group.multiple) << (3 * (i % 4));
            for vector in 0..2 {
                let nibble = (group.points[vector] >> 8) as u8 | group.signs[vector] << 3;
                block[2 * i + vector] = group.points[vector] as u8;
                block[32 + i] |= nibble << (4 * vector);
            }
        }
        block[48..56].copy_from_slice(bytemuck::cast_slice(&words.map(u16::to_le_bytes)));
    }
}

impl Vectors for Block {
    const GROUP: usize = 16;
    const MULTIPLES: u8 = 8;
    const LARGEST: f32 = 9.0;
    const STORED: f32 = 8.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_shifted(&grid::IQ1, 8, values, weights, scale, group)
    }
}
