//! The plain numbers: F32, F16, BF16. One element is a block; bytes are little-endian.

use half::{bf16, f16};

use super::{QuantType, Quantize};

/// IEEE single precision.
pub static F32: QuantType = plain(0, "F32", 4, Some(quantize_f32), |bytes, out| {
    convert(bytes, out, f32::from_le_bytes)
});

/// IEEE half precision.
pub static F16: QuantType = plain(1, "F16", 2, Some(quantize_f16), |bytes, out| {
    convert(bytes, out, |b| f16::from_le_bytes(b).to_f32())
});

/// The upper half of single precision.
pub static BF16: QuantType = plain(30, "BF16", 2, Some(quantize_bf16), |bytes, out| {
    convert(bytes, out, |b| bf16::from_le_bytes(b).to_f32())
});

const fn plain(
    id: u32,
    name: &'static str,
    block_bytes: usize,
    quantize: Option<Quantize>,
    dequantize: fn(&[u8], &mut [f32]),
) -> QuantType {
    QuantType {
        id,
        name,
        block_elements: 1,
        block_bytes,
        dequantize,
        quantize,
        codes: None,
    }
}

fn convert<const BYTES: usize>(bytes: &[u8], out: &mut [f32], read: impl Fn([u8; BYTES]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<BYTES>();
    for (out, &number) in out.iter_mut().zip(numbers) {
        *out = read(number);
    }
}

fn quantize_f32(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    for (bytes, value) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}

fn quantize_f16(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    for (bytes, &value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *bytes = f16::from_f32(value).to_le_bytes();
    }
}

fn quantize_bf16(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    for (bytes, &value) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *bytes = bf16::from_f32(value).to_le_bytes();
    }
}
