//! IQ2_XS: 32 vectors of 8 from a grid of 512, in 16 groups with a 4-bit scale; signs in 7 bits for each 8.
//! Layout: scale (f16), 32 × u16 (index in 9 bits, signs in 7), 8 bytes of group scales, the low nibble first.

use super::vectors::{self, Group, Vectors};
use super::{Format, QuantType, grid, read_f16, write_f16};

/// IQ2_XS, 2.3125 bits a weight.
pub static IQ2_XS: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 17;
    const NAME: &'static str = "IQ2_XS";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 74;
    const GROUP: usize = 16;
    const RANGE: (i8, i8) = (-43, 43);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        unpack_nibble_scales(read_f16(block, 0), &block[66..74], scales);
        for (&bytes, codes) in block[2..66]
            .as_chunks::<2>()
            .0
            .iter()
            .zip(codes.as_chunks_mut::<8>().0.iter_mut())
        {
            let word = u16::from_le_bytes(bytes);
            let point = grid::IQ2_XS.points[usize::from(word & 511)];
            *codes = grid::apply_signs(point, grid::even_signs((word >> 9) as u8));
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let (scale, groups) = vectors::quantize::<Self>(values, weights);
        write_f16(block, 0, scale);
        for (i, bytes) in block[2..66].as_chunks_mut::<2>().0.iter_mut().enumerate() {
            let group = &groups[i / 2];
            *bytes = (group.points[i % 2] | u16::from(group.signs[i % 2]) << 9).to_le_bytes();
        }
        pack_nibble_scales(&groups, &mut block[66..74]);
    }
}

impl Vectors for Block {
    const GROUP: usize = 16;
    const MULTIPLES: u8 = 16;
    const LARGEST: f32 = 43.0;
    const STORED: f32 = 8.0;

    fn encode(values: &[f32], weights: &[f32], scale: f32, group: &mut Group) -> (f32, f32) {
        vectors::encode_magnitudes(&grid::IQ2_XS, true, values, weights, scale, group)
    }
}

/// A nibble a group: its scale in halves of a quarter. IQ2_S has the same.
#[inline(always)]
pub(super) fn unpack_nibble_scales(scale: f32, nibbles: &[u8], scales: &mut [f32]) {
    for (group, out) in scales.iter_mut().enumerate() {
        let nibble = nibbles[group / 2] >> (4 * (group % 2)) & 15;
        *out = scale * (0.5 + f32::from(nibble)) * 0.25;
    }
}

/// The groups' multiples, two to a byte.
pub(super) fn pack_nibble_scales(groups: &[Group], bytes: &mut [u8]) {
    for (byte, pair) in bytes.iter_mut().zip(groups.chunks_exact(2)) {
        *byte = pair[0].multiple | pair[1].multiple << 4;
    }
}
