//! What is written reads back identical, and no bytes whatever make the reader panic.

use std::fs;

use gristmill_gguf::{
    Access, Array, Gguf, Strings, TENSOR_TYPES, TensorType, Value, WriteError, Writer,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn strings() -> impl Strategy<Value = Strings> {
    vec(any::<String>(), 0..20).prop_map(|all| all.into_iter().collect())
}

fn array() -> impl Strategy<Value = Array> {
    let leaf = prop_oneof![
        vec(any::<u8>(), 0..20).prop_map(Array::U8),
        vec(any::<i8>(), 0..20).prop_map(Array::I8),
        vec(any::<u16>(), 0..20).prop_map(Array::U16),
        vec(any::<i16>(), 0..20).prop_map(Array::I16),
        vec(any::<u32>(), 0..20).prop_map(Array::U32),
        vec(any::<i32>(), 0..20).prop_map(Array::I32),
        vec(any::<f32>(), 0..20).prop_map(Array::F32),
        vec(any::<bool>(), 0..20).prop_map(Array::Bool),
        strings().prop_map(Array::String),
        vec(any::<u64>(), 0..20).prop_map(Array::U64),
        vec(any::<i64>(), 0..20).prop_map(Array::I64),
        vec(any::<f64>(), 0..20).prop_map(Array::F64),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| vec(inner, 0..4).prop_map(Array::Array))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u8>().prop_map(Value::U8),
        any::<i8>().prop_map(Value::I8),
        any::<u16>().prop_map(Value::U16),
        any::<i16>().prop_map(Value::I16),
        any::<u32>().prop_map(Value::U32),
        any::<i32>().prop_map(Value::I32),
        any::<f32>().prop_map(Value::F32),
        any::<bool>().prop_map(Value::Bool),
        any::<String>().prop_map(Value::String),
        array().prop_map(Value::Array),
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_map(Value::F64),
    ]
}

#[derive(Debug, Clone)]
struct Tensor {
    tensor_type: TensorType,
    dims: Vec<u64>,
    seed: u8,
}

impl Tensor {
    fn data(&self) -> Vec<u8> {
        let bytes = self
            .tensor_type
            .bytes_of(self.dims.iter().product())
            .unwrap();
        (0..bytes)
            .map(|i| (i as u8).wrapping_mul(31).wrapping_add(self.seed))
            .collect()
    }
}

fn tensor() -> impl Strategy<Value = Tensor> {
    (0..TENSOR_TYPES.len(), vec(1u64..4, 0..=4), any::<u8>()).prop_map(|(t, mut dims, seed)| {
        let tensor_type = TENSOR_TYPES[t];
        match dims.first_mut() {
            Some(row) => *row *= tensor_type.block_elements() as u64,
            None if tensor_type.block_elements() > 1 => {
                dims.push(tensor_type.block_elements() as u64)
            }
            None => {}
        }
        Tensor {
            tensor_type,
            dims,
            seed,
        }
    })
}

prop_compose! {
    fn contents()(
        metadata in vec(("[a-z.ü]{1,12}", value()), 0..10),
        tensors in vec(tensor(), 0..6),
        alignment in prop_oneof![Just(None), (0u32..14).prop_map(|bits| Some(1u32 << bits))],
    ) -> (Writer, Vec<Tensor>) {
        let mut writer = Writer::new();
        for (key, value) in metadata {
            writer.set(key, value);
        }
        if let Some(alignment) = alignment {
            writer.set("general.alignment", alignment);
        }
        for (i, t) in tensors.iter().enumerate() {
            writer.tensor(format!("tensor {i}"), t.tensor_type, &t.dims).unwrap();
        }
        (writer, tensors)
    }
}

fn bytes_of(writer: &Writer, tensors: &[Tensor], piece: usize) -> Vec<u8> {
    let mut out = writer.start(Vec::new()).unwrap();
    for tensor in tensors {
        for piece in tensor.data().chunks(piece) {
            out.write(piece).unwrap();
        }
    }
    out.finish().unwrap()
}

/// Values that are likely to break something, written over a place in a file.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, u64, usize)> {
    let number = prop_oneof![
        any::<u64>(),
        Just(0),
        Just(u64::MAX),
        (0u32..64).prop_map(|bits| 1u64 << bits),
        0u64..64,
    ];
    (
        any::<prop::sample::Index>(),
        number,
        prop_oneof![Just(1usize), Just(4), Just(8)],
    )
}

fn exercise(bytes: Vec<u8>) {
    if let Ok(gguf) = Gguf::from_bytes(bytes) {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        for tensor in gguf.tensors() {
            assert_eq!(gguf.data(tensor).len() as u64, tensor.bytes());
            assert_eq!(gguf.tensor(tensor.name()), Some(tensor));
            assert_eq!(tensor.rows() * tensor.row_length(), tensor.elements());
            writer
                .tensor(tensor.name(), tensor.tensor_type(), tensor.dims())
                .unwrap();
        }
        for (key, value) in gguf.metadata().iter() {
            let _ = (value.to_string(), gguf.metadata().get(key).unwrap());
        }
        assert!(writer.start(std::io::sink()).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn written_reads_back_identical((writer, tensors) in contents(), piece in 1usize..5000) {
        let bytes = bytes_of(&writer, &tensors, piece);
        let gguf = Gguf::from_reader(&bytes[..]).unwrap();
        prop_assert_eq!(gguf.version(), 3);
        prop_assert_eq!(gguf.file_bytes(), bytes.len() as u64);
        let mut again = Writer::new();
        again.set_all(gguf.metadata());
        prop_assert_eq!(gguf.tensors().len(), tensors.len());
        for (info, tensor) in gguf.tensors().iter().zip(&tensors) {
            prop_assert_eq!(info.dims(), &tensor.dims[..]);
            prop_assert_eq!(info.offset() % gguf.alignment(), 0);
            prop_assert_eq!(gguf.data(info), tensor.data());
            again.tensor(info.name(), info.tensor_type(), info.dims()).unwrap();
        }
        prop_assert!(bytes_of(&again, &tensors, usize::MAX) == bytes);
    }

    #[test]
    fn mutated_files_are_read_or_refused(
        (writer, tensors) in contents(),
        mutations in vec(mutation(), 1..6),
        cut in proptest::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut bytes = bytes_of(&writer, &tensors, usize::MAX);
        for (place, number, width) in mutations {
            let place = place.index(bytes.len());
            for (to, from) in bytes[place..].iter_mut().zip(&number.to_le_bytes()[..width]) {
                *to = *from;
            }
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        exercise(bytes);
    }

    #[test]
    fn noise_after_the_magic_is_read_or_refused(
        version in prop_oneof![Just(1u32), Just(2), Just(3), Just(0x0300_0000), Just(0x0100_0000)],
        noise in vec(prop_oneof![3 => Just(0u8), 2 => 0u8..14, 1 => any::<u8>()], 0..200),
    ) {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(noise);
        exercise(bytes);
    }
}

#[test]
fn a_file_appears_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let mut writer = Writer::new();
    writer.set("general.alignment", 256u32);
    writer.tensor("a", TensorType::F32, &[3]).unwrap();
    writer.tensor("b", TensorType::Q8_0, &[32, 2]).unwrap();

    let mut file = writer.create(&path).unwrap();
    assert_eq!(file.current(), Some(("a", 12)));
    file.write(&[1; 12]).unwrap();
    let early = file.finish().unwrap_err();
    assert_eq!(early.to_string(), "tensor `b` takes 68 bytes and got 0");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "nothing is left behind"
    );

    fs::write(&path, "what was there before").unwrap();
    let mut file = writer.create(&path).unwrap();
    file.write(&[1; 5]).unwrap();
    file.write(&[2; 7]).unwrap();
    assert!(matches!(
        file.write(&[3; 69]),
        Err(WriteError::Data { found: 69, .. })
    ));
    file.write(&[3; 68]).unwrap();
    assert!(matches!(
        file.write(&[4]),
        Err(WriteError::TooMuch { found: 1 })
    ));
    assert_eq!(fs::read(&path).unwrap(), b"what was there before");
    file.finish().unwrap();

    for access in [Access::Map, Access::Read] {
        let gguf = Gguf::open(&path, access).unwrap();
        assert_eq!(gguf.is_mapped(), access == Access::Map);
        assert_eq!(gguf.alignment(), 256);
        assert_eq!(
            gguf.data(gguf.tensor("a").unwrap()),
            [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2]
        );
        let b = gguf.data(gguf.tensor("b").unwrap());
        assert_eq!(b, [3; 68]);
        assert_eq!(b.as_ptr().align_offset(64), 0);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn the_writer_refuses_what_no_reader_takes() {
    let say = |e: WriteError| e.to_string();
    let mut writer = Writer::new();
    let block = writer.tensor("t", TensorType::Q4_K, &[100]).unwrap_err();
    assert_eq!(
        say(block),
        "tensor `t`: row length 100 is no multiple of Q4_K's block size 256"
    );
    writer.tensor("t", TensorType::F32, &[1]).unwrap();
    let twice = writer.tensor("t", TensorType::F32, &[1]).unwrap_err();
    assert_eq!(
        say(twice),
        "tensor `t`: duplicate tensor: number 0 has the same name"
    );
    assert!(
        writer
            .tensor("u", TensorType::F32, &[1, 1, 1, 1, 1])
            .is_err()
    );
    assert!(writer.tensor("u", TensorType::F32, &[1 << 62, 4]).is_err());
    assert!(writer.tensor("", TensorType::F32, &[1]).is_err());
    writer.set("general.alignment", 24u32);
    let alignment = writer.start(Vec::new()).unwrap_err();
    assert_eq!(
        say(alignment),
        "key `general.alignment`: alignment 24 is not a power of two"
    );
    let deep = (0..9).fold(Array::U8(vec![]), |inner, _| Array::Array(vec![inner]));
    writer.remove("general.alignment").set("deep", deep);
    assert!(writer.start(Vec::new()).is_err());
}

/// A text that is not UTF-8 is no reason to refuse a file, as long as nobody needs it.
#[test]
fn texts_that_are_not_utf8_are_shown_and_not_used() {
    let mut writer = Writer::new();
    writer.set("general.architecture", "llama");
    writer.set("general.author", "JosX");
    writer.set(
        "general.tags",
        Array::String(["a", "bX"].into_iter().collect()),
    );
    writer.set("general.name", "José");
    let mut bytes = writer.start(Vec::new()).unwrap().finish().unwrap();
    for byte in bytes.iter_mut().filter(|byte| **byte == b'X') {
        // é in Latin-1.
        *byte = 0xE9;
    }
    let gguf = Gguf::from_bytes(bytes).unwrap();
    let metadata = gguf.metadata();
    assert_eq!(metadata.not_utf8(), ["general.author", "general.tags"]);
    assert_eq!(metadata.shown("general.author"), Some("Jos\u{FFFD}"));
    assert_eq!(metadata.shown("general.name"), Some("José"));
    assert_eq!(metadata.string("general.name"), Ok("José"));
    let error = metadata.string("general.author").unwrap_err();
    assert_eq!(error.to_string(), "key `general.author` is not UTF-8");
    assert!(metadata.opt_string("general.author").is_err());
    assert!(metadata.strings("general.tags").is_err());
}

#[test]
fn an_alignment_of_another_width_is_written_as_it_should_be() {
    let mut writer = Writer::new();
    writer.set("general.alignment", 64u32);
    let mut bytes = writer.start(Vec::new()).unwrap().finish().unwrap();
    let key = b"general.alignment";
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    // Its type: i32.
    bytes[at] = 5;
    let gguf = Gguf::from_bytes(bytes).unwrap();
    assert_eq!(
        gguf.metadata().get("general.alignment"),
        Some(&Value::I32(64))
    );
    let mut again = Writer::new();
    again.set_all(gguf.metadata());
    let again = again.start(Vec::new()).unwrap().finish().unwrap();
    let again = Gguf::from_bytes(again).unwrap();
    assert_eq!(
        again.metadata().get("general.alignment"),
        Some(&Value::U32(64))
    );
}
