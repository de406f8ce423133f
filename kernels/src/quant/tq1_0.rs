//! TQ1_0: 256 ternary codes, five to a byte, and one half-precision scale.
//! Layout: 32 bytes for elements 0..160, 16 for 160..240, 4 for 240..256 (four each), scale (f16). Of a run of `n`
//! bytes, byte `i` holds elements `i`, `i + n`, `i + 2n` and so on, the first as the most significant base-3 digit.
//! The number is stored as a fraction of 3⁵ scaled to 256 and rounded up: multiplying by 3 carries a digit out.

use super::search::{self, Whole};
use super::{Format, QuantType, inverse, read_f16, write_f16};

/// TQ1_0, 1.6875 bits a weight.
pub static TQ1_0: QuantType = QuantType::of::<Block>();

/// The runs: first byte, bytes, digits in each byte.
const RUNS: [(usize, usize, usize); 3] = [(0, 32, 5), (32, 16, 5), (48, 4, 4)];

struct Block;

impl Format for Block {
    const ID: u32 = 34;
    const NAME: &'static str = "TQ1_0";
    const ELEMENTS: usize = 256;
    const BYTES: usize = 54;
    const GROUP: usize = 32;
    const RANGE: (i8, i8) = (-1, 1);
    const HAS_MINS: bool = false;

    #[inline(always)]
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], _mins: &mut [f32]) {
        scales.fill(read_f16(block, 52));
        for (start, bytes, digits) in RUNS {
            for (i, &byte) in block[start..start + bytes].iter().enumerate() {
                let mut rest = byte;
                for digit in 0..digits {
                    codes[start * 5 + digit * bytes + i] = ((u16::from(rest) * 3) >> 8) as i8 - 1;
                    rest = rest.wrapping_mul(3);
                }
            }
        }
    }

    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]) {
        let scale = write_f16(block, 52, search::scale::<Whole<-1, 1>>(values, weights));
        let digit = |i: usize| (search::round(values[i] * inverse(scale), (-1, 1)) + 1) as u32;
        for (start, bytes, digits) in RUNS {
            for i in 0..bytes {
                // Four digits are the upper ones of five.
                let number = (0..5).fold(0, |number, place| {
                    number * 3
                        + if place < digits {
                            digit(start * 5 + place * bytes + i)
                        } else {
                            0
                        }
                });
                block[start + i] = (number * 256).div_ceil(243) as u8;
            }
        }
    }
}
