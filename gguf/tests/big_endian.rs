//! A big-endian file holds the same metadata and, once loaded, the same tensor bytes as its little-endian twin.

use gristmill_gguf::{Endianness, Gguf, TensorType, Value, Writer};

/// Writes a header and data in one byte order; test-only, so that the reader is checked against something else than
/// its own writer.
struct Encoder {
    out: Vec<u8>,
    big: bool,
}

impl Encoder {
    fn put(&mut self, number: &[u8]) {
        if self.big {
            self.out.extend(number.iter().rev());
        } else {
            self.out.extend(number);
        }
    }

    fn u32(&mut self, v: u32) {
        self.put(&v.to_le_bytes());
    }

    fn u64(&mut self, v: u64) {
        self.put(&v.to_le_bytes());
    }

    fn string(&mut self, s: &str) {
        self.u64(s.len() as u64);
        self.out.extend(s.as_bytes());
    }
}

/// Widths of a block's fields in order, from the structs in ggml's `ggml-common.h`.
fn fields(tensor_type: TensorType) -> Vec<usize> {
    let bytes = |n: usize| vec![1; n];
    match tensor_type.name() {
        "F32" | "I32" => vec![4],
        "F64" | "I64" => vec![8],
        "F16" | "BF16" | "I16" => vec![2],
        "Q4_0" => [vec![2], bytes(16)].concat(),
        "Q4_1" => [vec![2, 2], bytes(16)].concat(),
        "Q5_0" => [vec![2], bytes(4 + 16)].concat(),
        "Q5_1" => [vec![2, 2], bytes(4 + 16)].concat(),
        "Q8_0" => [vec![2], bytes(32)].concat(),
        "Q2_K" => [bytes(16 + 64), vec![2, 2]].concat(),
        "Q3_K" => [bytes(32 + 64 + 12), vec![2]].concat(),
        "Q4_K" => [vec![2, 2], bytes(12 + 128)].concat(),
        "Q5_K" => [vec![2, 2], bytes(12 + 32 + 128)].concat(),
        "Q6_K" => [bytes(128 + 64 + 16), vec![2]].concat(),
        "IQ4_XS" => [vec![2, 2], bytes(4 + 128)].concat(),
        "TQ1_0" => [bytes(48 + 4), vec![2]].concat(),
        "MXFP4" => bytes(1 + 16),
        other => panic!("no fields of {other}"),
    }
}

const TYPES: [TensorType; 20] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::F64,
    TensorType::I16,
    TensorType::I32,
    TensorType::I64,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::IQ4_XS,
    TensorType::TQ1_0,
    TensorType::MXFP4,
];

fn little_data(tensor_type: TensorType) -> Vec<u8> {
    (0..tensor_type.block_bytes() * 2)
        .map(|i| (i * 7 + tensor_type.id() as usize) as u8)
        .collect()
}

fn encode(big: bool) -> Vec<u8> {
    let mut e = Encoder {
        out: b"GGUF".to_vec(),
        big,
    };
    e.u32(3);
    e.u64(TYPES.len() as u64);
    e.u64(6);
    e.string("u16");
    e.u32(2);
    e.put(&513u16.to_le_bytes());
    e.string("i64");
    e.u32(11);
    e.put(&(-5i64).to_le_bytes());
    e.string("f64");
    e.u32(12);
    e.put(&1.25f64.to_le_bytes());
    e.string("f32s");
    e.u32(9);
    e.u32(6);
    e.u64(2);
    e.put(&0.5f32.to_le_bytes());
    e.put(&(-3.0f32).to_le_bytes());
    e.string("strings");
    e.u32(9);
    e.u32(8);
    e.u64(2);
    e.string("höhe");
    e.string("");
    e.string("bool");
    e.u32(7);
    e.out.push(1);
    let mut data = Vec::new();
    for t in TYPES {
        e.string(t.name());
        e.u32(1);
        e.u64(t.block_elements() as u64 * 2);
        e.u32(t.id());
        e.u64(data.len() as u64);
        let mut rest = &little_data(t)[..];
        while !rest.is_empty() {
            for width in fields(t) {
                let (field, after) = rest.split_at(width);
                rest = after;
                if big {
                    data.extend(field.iter().rev());
                } else {
                    data.extend(field);
                }
            }
        }
        data.resize(data.len().next_multiple_of(32), 0);
    }
    e.out.resize(e.out.len().next_multiple_of(32), 0);
    e.out.extend(data);
    e.out
}

#[test]
fn both_byte_orders_hold_the_same() {
    let little = Gguf::from_bytes(encode(false)).unwrap();
    let big = Gguf::from_bytes(encode(true)).unwrap();
    assert_eq!(little.endianness(), Endianness::Little);
    assert_eq!(big.endianness(), Endianness::Big);
    assert_eq!(little.metadata(), big.metadata());
    assert_eq!(big.metadata().get("i64"), Some(&Value::I64(-5)));
    assert_eq!(big.metadata().u32("u16"), Ok(513));
    assert_eq!(little.tensors(), big.tensors());
    for tensor in big.tensors() {
        let expected = little_data(tensor.tensor_type());
        assert!(little.data(tensor) == expected, "{}", tensor.name());
        assert!(big.data(tensor) == expected, "{}", tensor.name());
    }
}

#[test]
fn a_mapped_big_endian_file_is_turned_round_in_memory_not_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.gguf");
    let bytes = encode(true);
    std::fs::write(&path, &bytes).unwrap();
    let gguf = Gguf::open(&path, gristmill_gguf::Access::Map).unwrap();
    assert!(!gguf.is_mapped());
    assert_eq!(
        gguf.data(gguf.tensor("F32").unwrap()),
        little_data(TensorType::F32)
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn the_writer_agrees_with_the_test_encoder() {
    let gguf = Gguf::from_bytes(encode(true)).unwrap();
    let mut writer = Writer::new();
    writer.set_all(gguf.metadata());
    for t in gguf.tensors() {
        writer.tensor(t.name(), t.tensor_type(), t.dims()).unwrap();
    }
    let mut out = writer.start(Vec::new()).unwrap();
    for t in gguf.tensors() {
        out.write(gguf.data(t)).unwrap();
    }
    assert!(out.finish().unwrap() == encode(false));
}
