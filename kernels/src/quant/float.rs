//! The plain numbers: floats and integers. One element is a block; bytes are little-endian.
//! Integers (position tables and the like) are converted, not scaled, and nothing is ever quantized to them.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::{QuantType, Quantize};

/// IEEE single precision.
pub static F32: QuantType = plain(0, "F32", 4, Some(quantize_f32), |_, b, out| {
    convert(b, out, f32::from_le_bytes)
});

/// IEEE half precision.
pub static F16: QuantType = plain(1, "F16", 2, Some(quantize_f16), |_, b, out| {
    // By runs, which the CPU's own conversion takes eight at a time.
    let mut halves = [f16::ZERO; 64];
    for (bytes, out) in b.chunks(128).zip(out.chunks_mut(64)) {
        let halves = &mut halves[..out.len().min(bytes.len() / 2)];
        for (half, &bytes) in halves.iter_mut().zip(bytes.as_chunks().0) {
            *half = f16::from_le_bytes(bytes);
        }
        halves.convert_to_f32_slice(&mut out[..halves.len()]);
    }
});

/// 8-bit integers.
pub static I8: QuantType = plain(24, "I8", 1, None, |_, b, out| {
    convert(b, out, |b| i8::from_le_bytes(b) as f32)
});

/// 16-bit integers.
pub static I16: QuantType = plain(25, "I16", 2, None, |_, b, out| {
    convert(b, out, |b| i16::from_le_bytes(b) as f32)
});

/// 32-bit integers, to the nearest float.
pub static I32: QuantType = plain(26, "I32", 4, None, |_, b, out| {
    convert(b, out, |b| i32::from_le_bytes(b) as f32)
});

/// 64-bit integers, to the nearest float.
pub static I64: QuantType = plain(27, "I64", 8, None, |_, b, out| {
    convert(b, out, |b| i64::from_le_bytes(b) as f32)
});

/// IEEE double precision, to the nearest single.
pub static F64: QuantType = plain(28, "F64", 8, Some(quantize_f64), |_, b, out| {
    convert(b, out, |b| f64::from_le_bytes(b) as f32)
});

/// The upper half of single precision.
pub static BF16: QuantType = plain(30, "BF16", 2, Some(quantize_bf16), |_, b, out| {
    convert(b, out, |b| bf16::from_le_bytes(b).to_f32())
});

const fn plain(
    id: u32,
    name: &'static str,
    block_bytes: usize,
    quantize: Option<Quantize>,
    dequantize: fn(&QuantType, &[u8], &mut [f32]),
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
    for (out, &number) in out.iter_mut().zip(bytes.as_chunks::<BYTES>().0) {
        *out = read(number);
    }
}

fn store<const BYTES: usize>(values: &[f32], bytes: &mut [u8], write: impl Fn(f32) -> [u8; BYTES]) {
    for (bytes, &value) in bytes.as_chunks_mut::<BYTES>().0.iter_mut().zip(values) {
        *bytes = write(value);
    }
}

fn quantize_f32(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    store(values, bytes, f32::to_le_bytes);
}

fn quantize_f16(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    store(values, bytes, |value| f16::from_f32(value).to_le_bytes());
}

fn quantize_f64(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    store(values, bytes, |value| f64::from(value).to_le_bytes());
}

fn quantize_bf16(values: &[f32], _importance: Option<&[f32]>, bytes: &mut [u8]) {
    store(values, bytes, |value| bf16::from_f32(value).to_le_bytes());
}
