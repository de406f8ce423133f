//! Telling models apart by what is in their files: a hash of the metadata, of every tensor's name, type and shape, and of a
//! few stretches of its data. Cheap for any size of file; what it can't see is a change of some weights between them.

use gristmill_gguf::{Gguf, Writer};
use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::model::Model;

/// Stretches of each tensor that are hashed: the first, the last and those between, evenly spaced.
const STRETCHES: usize = 4;
/// Bytes in each.
const STRETCH_BYTES: usize = 256;

impl Model {
    /// What names a model and the adapters that it runs with, in hexadecimal: 32 digits for each file, and the scales of
    /// adapters. Another model has another name, wherever its file is; a file that was written to in a few places need not.
    pub fn fingerprint(&self) -> Result<String, Error> {
        let mut all = of(self.gguf())?;
        for (adapter, scale) in self.adapters() {
            all += &format!("+{}={scale}", of(adapter)?);
        }
        Ok(all)
    }
}

/// The fingerprint of a file.
fn of(gguf: &Gguf) -> Result<String, Error> {
    let mut hash = Sha256::new();
    // Metadata as a file without tensors: one spelling, whatever file they were read from.
    let metadata = Writer::new()
        .set_all(gguf.metadata())
        .start(Vec::new())
        .and_then(|file| file.finish())
        .map_err(|error| Error::Unsupported(format!("the model's metadata: {error}")))?;
    hash.update(metadata);
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
