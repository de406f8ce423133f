//! Q2_0: 64 codes of 2 bits in −1..3 and one half-precision scale.
//! Layout: scale (f16), 16 bytes: element `i` in bits `2·(i % 4)` and up of byte `i / 4`, plus one.

use super::search::{self, Whole};
use super::{Format, QuantType, inverse, read_f16, write_f16};

/// Q2_0, 2.25 bits a weight.
pub static Q2_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 42;
    const NAME: &'static str = "Q2_0";
    const ELEMENTS: usize = 64;
    const BYTES: usize = 18;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-1, 2);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales.fill(read_f16(block, 0));
        for (codes, &byte) in codes.as_chunks_mut::<4>().0.iter_mut().zip(&block[2..18]) {
            *codes = [byte, byte >> 2, byte >> 4, byte >> 6].map(|bits| (bits & 3) as i8 - 1);
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 0, search::scale::<Whole<-1, 2>>(values, weights));
        let code = |value: f32| (search::round(value * inverse(scale), Self::RANGE) + 1) as u8;
        for (byte, values) in block[2..18].iter_mut().zip(values.chunks_exact(4)) {
            *byte = values
                .iter()
                .rev()
                .fold(0, |byte, &value| byte << 2 | code(value));
        }
    }
}
