//! TQ2_0: 256 ternary codes, four to a byte, and one half-precision scale.
//! Layout: 64 bytes of codes plus one (as in Q2_K), scale (f16). The unused fourth bit pattern decodes to 2.

use super::q2_k::{pack_2_bits, unpack_2_bits};
use super::search::{self, Whole};
use super::{Format, QuantType, inverse, read_f16, write_f16};

/// TQ2_0, 2.0625 bits a weight.
pub static TQ2_0: QuantType = QuantType::of::<Block>();

struct Block;

impl Format for Block {
    const ID: u32 = 35;
    const NAME: &'static str = "TQ2_0";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 66;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-1, 2);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales.fill(read_f16(block, 64));
        unpack_2_bits(&block[..64], codes);
        codes.iter_mut().for_each(|code| *code -= 1);
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 64, search::scale::<Whole<-1, 1>>(values, weights));
        let code = |i: usize| (search::round(values[i] * inverse(scale), (-1, 1)) + 1) as u8;
        pack_2_bits(code, &mut block[..64]);
    }
}
