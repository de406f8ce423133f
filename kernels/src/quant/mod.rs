//! Quantized blocks: one file a type, each a `Format`: its layout, how a block unpacks, how floats become a block.
//!
//! A type's one essential fact is how a block unpacks into 8-bit codes with a scale (and perhaps a minimum) for every
//! 16 or 32 of them: `value = scale[group] * code - min[group]`. Everything else is derived from that: the reference
//! dequantization here, the tiles of the matrix product in `gemm`.
//! In: the file's own bytes. Out: floats, or codes with scales. Quantizers go the other way.

pub mod float;
pub(crate) mod grid;
mod grid_tables;
pub mod iq1_m;
pub mod iq1_s;
pub mod iq2_s;
pub mod iq2_xs;
pub mod iq2_xxs;
pub mod iq3_s;
pub mod iq3_xxs;
pub mod iq4_nl;
pub mod iq4_xs;
pub mod mxfp4;
pub mod nvfp4;
pub mod q1_0;
pub mod q2_0;
pub mod q2_k;
pub mod q3_k;
pub mod q4_0;
pub mod q4_1;
pub mod q4_k;
pub mod q5_0;
pub mod q5_1;
pub mod q5_k;
pub mod q6_k;
pub mod q8_0;
pub mod q8_1;
pub mod q8_k;
pub(crate) mod search;
pub(crate) mod superblock;
pub mod tq1_0;
pub mod tq2_0;
pub(crate) mod vectors;

use half::f16;

use crate::cpu;
use crate::isa::float::{Kernel, Simd};
use crate::isa::{Ready, UNIT, UNIT_GROUPS};

/// The most elements a block of any type has.
pub const MAX_BLOCK_ELEMENTS: usize = 256;

/// The most bytes a block of any type has.
pub const MAX_BLOCK_BYTES: usize = 292;

/// The least number of codes that share a scale in any type.
pub const MIN_GROUP: usize = 16;

/// The most groups a block of any type has.
pub const MAX_BLOCK_GROUPS: usize = MAX_BLOCK_ELEMENTS / MIN_GROUP;

/// A tensor type: how many elements a block holds in how many bytes, and how they become floats. The types of the format
/// are the only values there are ([`crate::QUANTS`]).
///
/// ```compile_fail
/// // Sizes that don't belong to the blocks that an id stands for would let a kernel read past its weights.
/// let forged = gristmill_kernels::QuantType { id: 12, block_bytes: 1, ..*gristmill_kernels::quant(12).unwrap() };
/// ```
#[derive(Debug)]
pub struct QuantType {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) block_elements: usize,
    pub(crate) block_bytes: usize,
    pub(crate) dequantize: fn(quant: &QuantType, blocks: &[u8], out: &mut [f32]),
    pub(crate) quantize: Option<Quantize>,
    pub(crate) codes: Option<Codes>,
}

/// How the blocks of a type unpack: `value = scale[group] * code - min[group]`.
#[derive(Debug)]
pub struct Codes {
    pub(crate) group: usize,
    pub(crate) range: (i8, i8),
    pub(crate) has_mins: bool,
    pub(crate) unpack: Unpack,
}

impl Codes {
    /// Codes that share a scale: 16 or 32.
    pub fn group(&self) -> usize {
        self.group
    }

    /// The smallest and the largest code that any block can hold.
    pub fn range(&self) -> (i8, i8) {
        self.range
    }

    /// Whether groups have a minimum; if not, `unpack` leaves `mins` alone and it may be empty.
    pub fn has_mins(&self) -> bool {
        self.has_mins
    }

    /// Unpacks whole blocks: `codes` has a place for each element, `scales` (and `mins`) one for each group.
    /// Scales of scales are multiplied in already.
    ///
    /// # Panics
    /// If a place is missing.
    pub fn unpack(&self, blocks: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
        (self.unpack)(blocks, codes, scales, mins);
    }
}

/// Turns floats into blocks, see [`QuantType::quantize`].
pub type Quantize = fn(values: &[f32], importance: Option<&[f32]>, blocks: &mut [u8]);

/// Unpacks whole blocks into codes, scales and mins, see [`Codes::unpack`].
pub type Unpack = fn(blocks: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]);

impl QuantType {
    /// The type's id in GGUF files.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The type's name as the format writes it, such as `Q4_K`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Elements in a block; a row is a whole number of blocks.
    pub fn block_elements(&self) -> usize {
        self.block_elements
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Blocks to floats, exactly as the format defines them: the same bits on every instruction set. `out` has a value for
    /// each element; blocks or values without their counterpart are left alone.
    pub fn dequantize(&self, blocks: &[u8], out: &mut [f32]) {
        (self.dequantize)(self, blocks, out);
    }

    /// Whether there is a [`QuantType::quantize`].
    pub fn can_quantize(&self) -> bool {
        self.quantize.is_some()
    }

    /// Floats to blocks with the least squared error found; `None` for types that nothing is quantized to. `importance` weighs
    /// the error of each column: the values are rows of its length. Non-finite values count as 0, except in the float types
    /// that can hold them.
    pub fn quantize(&self) -> Option<Quantize> {
        self.quantize
    }

    /// How blocks unpack to 8-bit codes; `None` for plain numbers (floats and integers).
    pub fn codes(&self) -> Option<&Codes> {
        self.codes.as_ref()
    }

    /// Bytes of a row of `elements`, or `None` if that is not a whole number of blocks or overflows.
    pub fn row_bytes(&self, elements: usize) -> Option<usize> {
        if elements.is_multiple_of(self.block_elements) {
            (elements / self.block_elements).checked_mul(self.block_bytes)
        } else {
            None
        }
    }

    /// Bits in the file for each element, scales counted.
    pub fn bits_per_weight(&self) -> f64 {
        self.block_bytes as f64 * 8.0 / self.block_elements as f64
    }

    /// The registry entry of a block format: all functions over many blocks, made from those over one.
    const fn of<F: Format>() -> QuantType {
        assert!(F::ELEMENTS <= MAX_BLOCK_ELEMENTS && F::ELEMENTS.is_multiple_of(F::GROUP));
        assert!(F::GROUP == 16 || F::GROUP == 32);
        QuantType {
            id: F::ID,
            name: F::NAME,
            block_elements: F::ELEMENTS,
            block_bytes: F::BYTES,
            dequantize,
            quantize: Some(quantize::<F>),
            codes: Some(Codes {
                group: F::GROUP,
                range: F::RANGE,
                has_mins: F::HAS_MINS,
                unpack: unpack::<F>,
            }),
        }
    }
}

/// A block layout, and the two functions over one block that define it.
pub(crate) trait Format {
    const ID: u32;
    const NAME: &'static str;
    const ELEMENTS: usize;
    const BYTES: usize;
    const GROUP: usize;
    const RANGE: (i8, i8);
    const HAS_MINS: bool;

    /// One block to codes, scales and mins (empty where the type has none).
    fn unpack(block: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]);

    /// One block's values, all finite, to the block's bytes. `weights` are not negative: what an error counts.
    fn quantize(values: &[f32], weights: &[f32], block: &mut [u8]);
}

fn unpack<F: Format>(blocks: &[u8], codes: &mut [i8], scales: &mut [f32], mins: &mut [f32]) {
    let groups = F::ELEMENTS / F::GROUP;
    let mins_of_type = if F::HAS_MINS { groups } else { 0 };
    // Local arrays, which can't overlap: with the caller's slices the compiler would have to assume they might.
    let mut bytes = [0; MAX_BLOCK_BYTES];
    let mut codes_here = [0; MAX_BLOCK_ELEMENTS];
    let mut scales_here = [0.0; MAX_BLOCK_GROUPS];
    let mut mins_here = [0.0; MAX_BLOCK_GROUPS];
    for (index, block) in blocks.chunks_exact(F::BYTES).enumerate() {
        bytes[..F::BYTES].copy_from_slice(block);
        F::unpack(
            &bytes[..F::BYTES],
            &mut codes_here[..F::ELEMENTS],
            &mut scales_here[..groups],
            &mut mins_here[..mins_of_type],
        );
        codes[index * F::ELEMENTS..][..F::ELEMENTS].copy_from_slice(&codes_here[..F::ELEMENTS]);
        scales[index * groups..][..groups].copy_from_slice(&scales_here[..groups]);
        if F::HAS_MINS {
            mins[index * groups..][..groups].copy_from_slice(&mins_here[..groups]);
        }
    }
}

/// Blocks to floats by way of their codes, unpacked by the best instruction set.
fn dequantize(quant: &QuantType, blocks: &[u8], out: &mut [f32]) {
    let Some(codes) = &quant.codes else { return };
    let ready = cpu::best();
    ready.floats().run(Dequantize {
        ready,
        quant,
        group: codes.group,
        blocks,
        out,
    });
}

/// [`dequantize`], to be compiled for each instruction set: once for all types.
struct Dequantize<'a> {
    ready: Ready,
    quant: &'a QuantType,
    group: usize,
    blocks: &'a [u8],
    out: &'a mut [f32],
}

impl Kernel for Dequantize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (elements, size) = (self.quant.block_elements, self.quant.block_bytes);
        let together = UNIT / elements;
        let mut codes = [0; UNIT];
        let mut scales = [0.0; UNIT_GROUPS];
        let mut mins = [0.0; UNIT_GROUPS];
        let units = self.blocks.chunks(together * size);
        for (blocks, out) in units.zip(self.out.chunks_mut(together * elements)) {
            let count = (blocks.len() / size).min(out.len() / elements);
            let groups = count * elements / self.group;
            self.ready.unpack(
                self.quant,
                &blocks[..count * size],
                &mut codes[..count * elements],
                &mut scales[..groups],
                &mut mins[..groups],
            );
            let out = out.chunks_exact_mut(self.group).take(groups);
            for (group, out) in out.enumerate() {
                let codes = &codes[group * self.group..];
                let (scale, min) = (s.splat(scales[group]), s.splat(mins[group]));
                for (at, out) in out.chunks_exact_mut(S::LANES).enumerate() {
                    // Two roundings, as the format's arithmetic has them: no fused multiply-add.
                    let product = s.mul(s.load_i8(&codes[at * S::LANES..]), scale);
                    s.store(s.sub(product, min), out);
                }
            }
        }
    }
}

fn quantize<F: Format>(values: &[f32], importance: Option<&[f32]>, blocks: &mut [u8]) {
    let mut finite = [0.0; MAX_BLOCK_ELEMENTS];
    let mut weights = [1.0; MAX_BLOCK_ELEMENTS];
    let blocks = blocks.chunks_exact_mut(F::BYTES);
    for (index, (values, block)) in values.chunks_exact(F::ELEMENTS).zip(blocks).enumerate() {
        for (finite, &value) in finite.iter_mut().zip(values) {
            // Beyond 1e15 squares would overflow; no scale reaches that far.
            *finite = if value.is_finite() {
                value.clamp(-1e15, 1e15)
            } else {
                0.0
            };
        }
        if let Some(importance) = importance.filter(|importance| !importance.is_empty()) {
            let start = index * F::ELEMENTS % importance.len();
            search::weights(&importance[start..], &mut weights[..F::ELEMENTS]);
        }
        F::quantize(&finite[..F::ELEMENTS], &weights[..F::ELEMENTS], block);
    }
}

/// Eight bits to eight bytes of 0 or 1, the lowest bit first. Copies the byte eight times, keeps another bit of each
/// copy, and lets all that is left carry into the copy's highest bit.
#[inline(always)]
pub(crate) fn spread_bits(byte: u8) -> u64 {
    let each = (u64::from(byte) * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    (each + 0x7F7F_7F7F_7F7F_7F7F) >> 7 & 0x0101_0101_0101_0101
}

/// Half precision to single without a branch or a call: the bits moved to their place in an f32 are too small by 2¹¹²
/// (subnormals too), except that infinities and NaNs need all bits of the exponent.
#[inline(always)]
pub(crate) fn half_to_f32(half: u16) -> f32 {
    let bits = u32::from(half);
    let magnitude = f32::from_bits((bits & 0x7FFF) << 13) * f32::from_bits((127 + 112) << 23);
    let endless = if bits & 0x7C00 == 0x7C00 {
        0x7F80_0000
    } else {
        0
    };
    f32::from_bits(magnitude.to_bits() | endless | (bits & 0x8000) << 16)
}

/// The half-precision number at byte `at` of a block, as f32.
#[inline(always)]
pub(crate) fn read_f16(block: &[u8], at: usize) -> f32 {
    half_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// Writes `value` as a half-precision number at byte `at`, and returns what it became. Too large becomes the largest.
pub(crate) fn write_f16(block: &mut [u8], at: usize, value: f32) -> f32 {
    let limit = f16::MAX.to_f32();
    let half = f16::from_f32(value.clamp(-limit, limit));
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// `1 / x`, or 0 where that is not finite: the inverse of a scale that may be 0.
pub(crate) fn inverse(x: f32) -> f32 {
    let inverse = 1.0 / x;
    if inverse.is_finite() { inverse } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_spread_to_bytes() {
        for byte in 0..=u8::MAX {
            for (i, spread) in spread_bits(byte).to_le_bytes().into_iter().enumerate() {
                assert_eq!(spread, byte >> i & 1);
            }
        }
    }

    #[test]
    fn halves_become_what_they_are() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (half_to_f32(bits), f16::from_bits(bits).to_f32());
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{bits:#06x}: {found} {expected}");
        }
    }
}
