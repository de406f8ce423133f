//! The list of all tensor types a GGUF file can hold: id, name, elements and bytes of a block.
//!
//! Also where the multi-byte fields of a block lie, which is what turning a big-endian file round needs; they follow
//! the block structs as ggml declares them (a byte array stays as it is, whatever it is later read as).
//! Adding a type is one line in `tensor_types!`.

use std::fmt;

/// A tensor type of GGUF: how elements are packed into blocks.
///
/// Sizes are those of one block; a row of a tensor is a whole number of blocks.
#[derive(Clone, Copy)]
pub struct TensorType {
    id: u32,
    name: &'static str,
    block_elements: usize,
    block_bytes: usize,
    fields: &'static [Field],
}

/// `count` adjacent numbers of `width` bytes, from byte `offset` of a block.
#[derive(Clone, Copy)]
struct Field {
    offset: usize,
    width: usize,
    count: usize,
}

macro_rules! tensor_types {
    ($($name:ident = $id:literal, $elements:literal, $bytes:literal, [$(($offset:literal, $width:literal, $count:literal)),*], $doc:literal;)*) => {
        impl TensorType {
            $(
                #[doc = $doc]
                pub const $name: TensorType = TensorType {
                    id: $id,
                    name: stringify!($name),
                    block_elements: $elements,
                    block_bytes: $bytes,
                    fields: &[$(Field { offset: $offset, width: $width, count: $count }),*],
                };
            )*
        }

        /// Every tensor type of the format, by rising id.
        pub static TENSOR_TYPES: &[TensorType] = &[$(TensorType::$name),*];
    };
}

// name = id, elements and bytes of a block, its multi-byte fields (offset, width, count)
tensor_types! {
    F32 = 0, 1, 4, [(0, 4, 1)], "32-bit float.";
    F16 = 1, 1, 2, [(0, 2, 1)], "16-bit float (IEEE 754 half).";
    Q4_0 = 2, 32, 18, [(0, 2, 1)], "4 bits, one scale for 32.";
    Q4_1 = 3, 32, 20, [(0, 2, 2)], "4 bits, scale and minimum for 32.";
    Q5_0 = 6, 32, 22, [(0, 2, 1)], "5 bits, one scale for 32.";
    Q5_1 = 7, 32, 24, [(0, 2, 2)], "5 bits, scale and minimum for 32.";
    Q8_0 = 8, 32, 34, [(0, 2, 1)], "8 bits, one scale for 32.";
    Q8_1 = 9, 32, 36, [(0, 2, 2)], "8 bits, scale and sum for 32: an activation format.";
    Q2_K = 10, 256, 84, [(80, 2, 2)], "2 bits, 4-bit scales and minimums for 16, super-blocks of 256.";
    Q3_K = 11, 256, 110, [(108, 2, 1)], "3 bits, 6-bit scales for 16, super-blocks of 256.";
    Q4_K = 12, 256, 144, [(0, 2, 2)], "4 bits, 6-bit scales and minimums for 32, super-blocks of 256.";
    Q5_K = 13, 256, 176, [(0, 2, 2)], "5 bits, 6-bit scales and minimums for 32, super-blocks of 256.";
    Q6_K = 14, 256, 210, [(208, 2, 1)], "6 bits, 8-bit scales for 16, super-blocks of 256.";
    Q8_K = 15, 256, 292, [(0, 4, 1), (260, 2, 16)], "8 bits, one float scale for 256: an activation format.";
    IQ2_XXS = 16, 256, 66, [(0, 2, 33)], "2.06 bits, codebook of 256 groups of eight.";
    IQ2_XS = 17, 256, 74, [(0, 2, 33)], "2.31 bits, codebook of 512 groups of eight.";
    IQ3_XXS = 18, 256, 98, [(0, 2, 1)], "3.06 bits, codebook of 256 groups of four.";
    IQ1_S = 19, 256, 50, [(0, 2, 1), (34, 2, 8)], "1.56 bits, codebook of 2048 ternary groups of eight.";
    IQ4_NL = 20, 32, 18, [(0, 2, 1)], "4 bits into a table of 16 values, one scale for 32.";
    IQ3_S = 21, 256, 110, [(0, 2, 1)], "3.44 bits, codebook of 512 groups of four.";
    IQ2_S = 22, 256, 82, [(0, 2, 1)], "2.56 bits, codebook of 1024 groups of eight.";
    IQ4_XS = 23, 256, 136, [(0, 2, 2)], "4 bits into a table of 16 values, 6-bit scales for 32, super-blocks of 256.";
    I8 = 24, 1, 1, [], "8-bit integer.";
    I16 = 25, 1, 2, [(0, 2, 1)], "16-bit integer.";
    I32 = 26, 1, 4, [(0, 4, 1)], "32-bit integer.";
    I64 = 27, 1, 8, [(0, 8, 1)], "64-bit integer.";
    F64 = 28, 1, 8, [(0, 8, 1)], "64-bit float.";
    IQ1_M = 29, 256, 56, [], "1.75 bits, codebook of 2048 ternary groups of eight, scales for 16.";
    BF16 = 30, 1, 2, [(0, 2, 1)], "16-bit float with the exponent of a 32-bit one.";
    TQ1_0 = 34, 256, 54, [(52, 2, 1)], "Ternary, five to a byte.";
    TQ2_0 = 35, 256, 66, [(64, 2, 1)], "Ternary, four to a byte.";
    MXFP4 = 39, 32, 17, [], "4-bit floats (E2M1), a power-of-two scale for 32 (OCP microscaling).";
    NVFP4 = 40, 64, 36, [], "4-bit floats (E2M1), an 8-bit float scale for 16.";
    Q1_0 = 41, 128, 18, [(0, 2, 1)], "Signs, one scale for 128.";
    Q2_0 = 42, 64, 18, [(0, 2, 1)], "2 bits, one scale for 64.";
}

/// Types that files once had and the format no longer has: id and name.
pub static REMOVED_TYPES: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

impl TensorType {
    /// The type with this id, if the format has it.
    pub fn from_id(id: u32) -> Option<TensorType> {
        TENSOR_TYPES.iter().copied().find(|t| t.id == id)
    }

    /// The type with this name in any case: `Q4_K`, `q4_k`.
    pub fn from_name(name: &str) -> Option<TensorType> {
        TENSOR_TYPES
            .iter()
            .copied()
            .find(|t| t.name.eq_ignore_ascii_case(name))
    }

    /// The number that stands for the type in a file.
    pub const fn id(self) -> u32 {
        self.id
    }

    /// The type's name, as ggml spells it in capitals.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Elements in one block.
    pub const fn block_elements(self) -> usize {
        self.block_elements
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        self.block_bytes
    }

    /// Bits an element takes, scales included.
    pub fn bits_per_weight(self) -> f64 {
        self.block_bytes as f64 * 8.0 / self.block_elements as f64
    }

    /// Bytes of `elements` elements; `None` if they are no whole number of blocks or too many for 64 bits.
    pub fn bytes_of(self, elements: u64) -> Option<u64> {
        let block = self.block_elements as u64;
        if !elements.is_multiple_of(block) {
            return None;
        }
        (elements / block).checked_mul(self.block_bytes as u64)
    }

    /// Turns the byte order of whole blocks round, field by field.
    pub(crate) fn swap_bytes(self, blocks: &mut [u8]) {
        if self.fields.is_empty() {
            return;
        }
        for block in blocks.chunks_exact_mut(self.block_bytes) {
            for field in self.fields {
                let end = field.offset + field.width * field.count;
                for number in block[field.offset..end].chunks_exact_mut(field.width) {
                    number.reverse();
                }
            }
        }
    }
}

impl PartialEq for TensorType {
    fn eq(&self, other: &TensorType) -> bool {
        self.id == other.id
    }
}

impl Eq for TensorType {}

impl std::hash::Hash for TensorType {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl fmt::Debug for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_and_are_not_removed_ones() {
        for pair in TENSOR_TYPES.windows(2) {
            assert!(pair[0].id < pair[1].id);
        }
        for (id, name) in REMOVED_TYPES {
            assert!(TensorType::from_id(*id).is_none());
            assert!(TensorType::from_name(name).is_none());
        }
        let known = TENSOR_TYPES.len() + REMOVED_TYPES.len();
        assert_eq!(known, 43, "ids 0 to 42 are all accounted for");
    }

    #[test]
    fn fields_lie_inside_their_block_and_do_not_overlap() {
        for t in TENSOR_TYPES {
            let mut covered = vec![false; t.block_bytes];
            for f in t.fields {
                for byte in &mut covered[f.offset..f.offset + f.width * f.count] {
                    assert!(!std::mem::replace(byte, true), "{t}");
                }
            }
        }
    }

    #[test]
    fn bytes_are_counted_in_whole_blocks() {
        assert_eq!(TensorType::Q4_K.bytes_of(512), Some(288));
        assert_eq!(TensorType::Q4_K.bytes_of(100), None);
        assert_eq!(TensorType::F64.bytes_of(u64::MAX / 4), None);
    }

    #[test]
    fn swapping_twice_changes_nothing() {
        for t in TENSOR_TYPES {
            let original: Vec<u8> = (0..t.block_bytes * 3)
                .map(|i| (i * 37 % 251) as u8)
                .collect();
            let mut bytes = original.clone();
            t.swap_bytes(&mut bytes);
            assert_eq!(bytes == original, t.fields.is_empty(), "{t}");
            t.swap_bytes(&mut bytes);
            assert_eq!(bytes, original, "{t}");
        }
    }
}
