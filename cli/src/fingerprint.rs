//! Telling model files apart by what is in them: a hash of the metadata, of every tensor's name, type and shape, and of a
//! few stretches of its data. Cheap for any size of file; what it can't see is a change of some weights between them.

use anyhow::Result;
use gristmill_engine::Model;
use gristmill_gguf::{Gguf, Writer};
use sha2::{Digest, Sha256};

/// Stretches of each tensor that are hashed: the first, the last and those between, evenly spaced.
const STRETCHES: usize = 4;
/// Bytes in each.
const STRETCH_BYTES: usize = 256;

/// The fingerprint of a model and of the adapters that it runs with.
pub fn of_model(model: &Model) -> Result<String> {
    let mut all = of(model.gguf())?;
    for (adapter, scale) in model.adapters() {
        all += &format!("+{}={scale}", of(adapter)?);
    }
    Ok(all)
}

/// The fingerprint of a file, in hexadecimal.
fn of(gguf: &Gguf) -> Result<String> {
    let mut hash = Sha256::new();
    // Metadata as a file without tensors: one spelling, whatever file they were read from.
    hash.update(
        Writer::new()
            .set_all(gguf.metadata())
            .start(Vec::new())?
            .finish()?,
    );
    for tensor in gguf.tensors() {
        hash.update(tensor.name());
        hash.update(format!(
            "\0{}\0{:?}\0",
            tensor.tensor_type().name(),
            tensor.dims()
        ));
        let data = gguf.data(tensor);
        let last = data.len().saturating_sub(STRETCH_BYTES);
        for stretch in 0..STRETCHES {
            let start = last * stretch / (STRETCHES - 1);
            hash.update(&data[start..data.len().min(start + STRETCH_BYTES)]);
        }
    }
    let digest = hash.finalize();
    Ok(digest[..16].iter().map(|b| format!("{b:02x}")).collect())
}
