//! Architectures: what each `general.architecture` is made of. A file here names its metadata keys, tensors and blocks out
//! of the parts in [`layers`](crate::layers); it holds no arithmetic. To add one: a file, and a line in [`ARCHS`].
//! Flows in: a [`Builder`] over an opened file. Flows out: a [`Decoder`], ready to run.

mod builder;
mod gemma3;
mod llama;

pub use builder::{AttentionSpec, Builder, RopeSpec};

use crate::error::Error;
use crate::layers::Decoder;

/// One value of `general.architecture`.
pub struct Architecture {
    /// The name in the file, which is also the prefix of its keys.
    pub name: &'static str,
    /// Models that people know.
    pub used_by: &'static str,
    /// Makes a decoder out of a file's tensors, all of which it checks.
    pub build: fn(&mut Builder<'_>) -> Result<Decoder, Error>,
}

impl std::fmt::Debug for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All architectures, by name.
pub static ARCHS: &[&Architecture] = &[&gemma3::GEMMA3, &llama::LLAMA];

/// The architecture of that name.
pub fn architecture(name: &str) -> Result<&'static Architecture, Error> {
    ARCHS
        .iter()
        .copied()
        .find(|a| a.name == name)
        .ok_or_else(|| Error::UnknownArchitecture {
            name: name.to_string(),
            known: ARCHS.iter().map(|a| a.name).collect::<Vec<_>>().join(", "),
        })
}
