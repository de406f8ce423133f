//! GGUF, the container of quantized models: reading, checking and writing.
//!
//! In: a file (mapped or read, maybe in parts), bytes or a reader. Out: [`Metadata`] with typed access, and
//! [`TensorInfo`]s whose data are views into the bytes of the file: nothing is copied. Everything in the file is
//! checked before it is used, so a [`Gguf`] that exists is whole: every tensor lies inside its file, overlaps none,
//! and has a type, a shape and a size that agree. What is refused is refused with an [`Error`] that names the key or
//! tensor, the byte, what was found and what is allowed.
//!
//! ```
//! use gristmill_gguf::{Gguf, TensorType, Writer};
//!
//! let mut writer = Writer::new();
//! writer.set("general.architecture", "llama");
//! writer.tensor("output_norm.weight", TensorType::F32, &[2])?;
//! let mut file = writer.start(Vec::new())?;
//! file.write(&[0, 0, 128, 63, 0, 0, 0, 64])?; // 1.0 and 2.0
//! let bytes = file.finish()?;
//!
//! let gguf = Gguf::from_bytes(bytes)?;
//! assert_eq!(gguf.metadata().string("general.architecture")?, "llama");
//! let tensor = gguf.tensor("output_norm.weight").unwrap();
//! assert_eq!((tensor.dims(), tensor.tensor_type().name()), (&[2][..], "F32"));
//! assert_eq!(gguf.data(tensor).len(), 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(unsafe_code)]

mod cursor;
mod error;
mod file;
mod header;
mod index;
mod maps;
mod metadata;
mod source;
mod split;
mod tensor;
mod types;
mod value;
mod writer;

pub use error::{Error, ErrorKind, KeyError, Kind, Place};
pub use file::{Endianness, Gguf};
pub use maps::file_mapped_at;
pub use metadata::Metadata;
pub use source::Access;
pub use tensor::TensorInfo;
pub use types::{REMOVED_TYPES, TENSOR_TYPES, TensorType};
pub use value::{Array, Strings, Value, ValueType};
pub use writer::{FileWriter, StreamWriter, WriteError, Writer};
