//! Any bytes as a GGUF file: read or refused in one line, and what is read is whole and can be written again.

use gristmill_gguf::{Gguf, Writer};

pub fn run(data: &[u8]) {
    let gguf = match Gguf::from_bytes(data.to_vec()) {
        Ok(gguf) => gguf,
        Err(error) => {
            let message = error.to_string();
            assert_eq!(message.lines().count(), 1, "{message}");
            assert!(message.len() < 2000, "{message}");
            return;
        }
    };
    let mut writer = Writer::new();
    writer.set_all(gguf.metadata());
    for tensor in gguf.tensors() {
        assert_eq!(gguf.data(tensor).len() as u64, tensor.bytes());
        assert_eq!(gguf.tensor(tensor.name()), Some(tensor));
        assert_eq!(tensor.rows() * tensor.row_length(), tensor.elements());
        writer
            .tensor(tensor.name(), tensor.tensor_type(), tensor.dims())
            .expect("what was read can be declared");
    }
    for (key, value) in gguf.metadata().iter() {
        assert!(gguf.metadata().get(key).is_some());
        assert!(!value.to_string().is_empty() && !value.kind().to_string().is_empty());
        let _ = (
            gguf.metadata().u32(key),
            gguf.metadata().f32s(key),
            gguf.metadata().i32s(key),
        );
    }
    // Up to 64 kB of padding: a huge alignment makes a huge file of nothing.
    if gguf.alignment() > 1 << 16 {
        return;
    }
    let mut out = writer
        .start(Vec::new())
        .expect("what was read can be written");
    for tensor in gguf.tensors() {
        out.write(gguf.data(tensor)).expect("memory takes all");
    }
    let written = out.finish().expect("all tensors are written");
    let again = Gguf::from_bytes(written).expect("what was written can be read");
    assert_eq!(again.tensors().len(), gguf.tensors().len());
    for (tensor, old) in again.tensors().iter().zip(gguf.tensors()) {
        assert_eq!(again.data(tensor), gguf.data(old));
    }
    assert_eq!(again.metadata().len(), gguf.metadata().len());
}
