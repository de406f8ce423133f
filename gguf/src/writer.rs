//! Writing GGUF files, version 3, little-endian: first everything is declared, then the data follow in the order of
//! declaration, in pieces of any size, so that a model never has to be in memory.
//!
//! A file gets its name when it is whole: it is written under a temporary one, synced, renamed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::{ErrorKind, KeyError};
use crate::header::{ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAGIC};
use crate::metadata::Metadata;
use crate::tensor::{self, MOST_DIMENSIONS};
use crate::types::TensorType;
use crate::value::{Array, MOST_DEPTH, Value};

const VERSION: u32 = 3;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system refused.
    #[error("can't write: {0}")]
    Io(#[from] io::Error),
    /// The operating system refused a named file.
    #[error("{}: can't write: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        error: io::Error,
    },
    /// Metadata that no reader would take.
    #[error("key `{key}`: {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: ErrorKind,
    },
    /// A tensor that no reader would take.
    #[error("tensor `{name}`: {reason}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: ErrorKind,
    },
    /// More or fewer bytes than declared.
    #[error("tensor `{name}` takes {expected} bytes and got {found}")]
    Data {
        /// The tensor's name.
        name: String,
        /// Bytes its type and dimensions make.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// Data after the last tensor.
    #[error("{found} bytes of data after the last tensor")]
    TooMuch {
        /// Bytes given.
        found: u64,
    },
}

/// A GGUF file to be: metadata and the tensors it will have.
#[derive(Debug, Clone, Default)]
pub struct Writer {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Declared>,
}

#[derive(Debug, Clone)]
struct Declared {
    name: String,
    tensor_type: TensorType,
    dims: Vec<u64>,
    bytes: u64,
}

impl Writer {
    /// Nothing declared yet.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Sets a key; one that is there already gets the new value in its old place. `general.alignment` (a u32, a power
    /// of two) is obeyed.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) -> &mut Writer {
        let (key, value) = (key.into(), value.into());
        match self.metadata.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => *old = value,
            None => self.metadata.push((key, value)),
        }
        self
    }

    /// Removes a key.
    pub fn remove(&mut self, key: &str) -> &mut Writer {
        self.metadata.retain(|(k, _)| k != key);
        self
    }

    /// Sets every key of another file's metadata. An alignment that is another kind of integer there becomes a u32, which is
    /// what the format asks for.
    pub fn set_all(&mut self, metadata: &Metadata) -> &mut Writer {
        for (key, value) in metadata.iter() {
            let number = value.as_integer().and_then(|x| u32::try_from(x).ok());
            match number.filter(|_| key == ALIGNMENT_KEY) {
                Some(number) => self.set(key, number),
                None => self.set(key, value.clone()),
            };
        }
        self
    }

    /// Declares the next tensor; dimensions in GGUF order, the row length first.
    ///
    /// # Errors
    /// If name, type and shape don't make a tensor.
    pub fn tensor(
        &mut self,
        name: impl Into<String>,
        tensor_type: TensorType,
        dims: &[u64],
    ) -> Result<&mut Writer, WriteError> {
        let name = name.into();
        let size = if name.is_empty() {
            Err(ErrorKind::Empty {
                what: "tensor name",
            })
        } else if dims.len() > MOST_DIMENSIONS {
            Err(ErrorKind::DimensionCount {
                found: dims.len() as u32,
                most: MOST_DIMENSIONS as u32,
            })
        } else if let Some(first) = self.tensors.iter().position(|t| t.name == name) {
            Err(ErrorKind::Duplicate {
                what: "tensor",
                first: first as u64,
            })
        } else {
            tensor::size(tensor_type, dims)
        };
        match size {
            Ok(bytes) => self.tensors.push(Declared {
                name,
                tensor_type,
                dims: dims.to_vec(),
                bytes,
            }),
            Err(reason) => return Err(WriteError::Tensor { name, reason }),
        }
        Ok(self)
    }

    /// Writes the header; the data come next, through what this returns.
    ///
    /// # Errors
    /// If the metadata can't be written, or writing fails.
    pub fn start<W: Write>(&self, mut out: W) -> Result<StreamWriter<W>, WriteError> {
        let alignment = self.alignment()?;
        let header = self.header(alignment)?;
        out.write_all(&header)?;
        Ok(StreamWriter {
            out,
            alignment,
            position: header.len() as u64,
            tensors: self
                .tensors
                .iter()
                .map(|t| (t.name.clone(), t.bytes))
                .collect(),
            current: 0,
            written: 0,
        })
    }

    /// Starts a file, under a temporary name in the same folder.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn create(&self, path: impl AsRef<Path>) -> Result<FileWriter, WriteError> {
        let path = path.as_ref();
        let named = |error| WriteError::File {
            path: path.to_owned(),
            error,
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".gristmill-").suffix(".part");
        // The rights of any new file, not those of a secret one.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(folder(path)).map_err(named)?;
        Ok(FileWriter {
            stream: self.start(BufWriter::with_capacity(1 << 20, temporary))?,
            path: path.to_owned(),
        })
    }

    fn alignment(&self) -> Result<u64, WriteError> {
        let refuse = |reason| WriteError::Key {
            key: ALIGNMENT_KEY.to_owned(),
            reason,
        };
        match self.metadata.iter().find(|(key, _)| key == ALIGNMENT_KEY) {
            None => Ok(DEFAULT_ALIGNMENT),
            Some((_, Value::U32(found))) if found.is_power_of_two() => Ok((*found).into()),
            Some((_, Value::U32(found))) => Err(refuse(ErrorKind::Alignment {
                found: (*found).into(),
            })),
            Some((key, other)) => Err(refuse(ErrorKind::Key(KeyError::Type {
                key: key.clone(),
                expected: "a u32",
                found: other.kind(),
            }))),
        }
    }

    /// The file up to the data, padded.
    fn header(&self, alignment: u64) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            let refuse = |reason| WriteError::Key {
                key: key.clone(),
                reason,
            };
            if key.is_empty() {
                return Err(refuse(ErrorKind::Empty { what: "key" }));
            }
            put_string(&mut out, key);
            out.extend(value.value_type().id().to_le_bytes());
            put_value(&mut out, value).map_err(refuse)?;
        }
        let mut offset = 0u64;
        for tensor in &self.tensors {
            put_string(&mut out, &tensor.name);
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            for dim in &tensor.dims {
                out.extend(dim.to_le_bytes());
            }
            out.extend(tensor.tensor_type.id().to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset = offset
                .checked_add(tensor.bytes)
                .and_then(|end| end.checked_next_multiple_of(alignment))
                .ok_or_else(|| WriteError::Tensor {
                    name: tensor.name.clone(),
                    reason: ErrorKind::DimensionsOverflow {
                        dims: tensor.dims.clone(),
                        type_name: tensor.tensor_type.name(),
                    },
                })?;
        }
        let padding = padding(out.len() as u64, alignment) as usize;
        out.resize(out.len() + padding, 0);
        Ok(out)
    }
}

/// The folder a file is in; the current one for a bare name.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn padding(position: u64, alignment: u64) -> u64 {
    position.wrapping_neg() & (alignment - 1)
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) -> Result<(), ErrorKind> {
    match value {
        Value::U8(v) => out.push(*v),
        Value::I8(v) => out.extend(v.to_le_bytes()),
        Value::U16(v) => out.extend(v.to_le_bytes()),
        Value::I16(v) => out.extend(v.to_le_bytes()),
        Value::U32(v) => out.extend(v.to_le_bytes()),
        Value::I32(v) => out.extend(v.to_le_bytes()),
        Value::F32(v) => out.extend(v.to_le_bytes()),
        Value::Bool(v) => out.push((*v).into()),
        Value::String(v) => put_string(out, v),
        Value::Array(v) => return put_array(out, v, 1),
        Value::U64(v) => out.extend(v.to_le_bytes()),
        Value::I64(v) => out.extend(v.to_le_bytes()),
        Value::F64(v) => out.extend(v.to_le_bytes()),
    }
    Ok(())
}

fn put_array(out: &mut Vec<u8>, array: &Array, depth: usize) -> Result<(), ErrorKind> {
    if depth > MOST_DEPTH {
        return Err(ErrorKind::Depth { most: MOST_DEPTH });
    }
    out.extend(array.element_type().id().to_le_bytes());
    out.extend((array.len() as u64).to_le_bytes());
    match array {
        Array::U8(v) => out.extend(v),
        Array::I8(v) => out.extend(v.iter().map(|v| *v as u8)),
        Array::U16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I16(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::U32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F32(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::Bool(v) => out.extend(v.iter().map(|v| u8::from(*v))),
        Array::String(v) => v.iter().for_each(|v| put_string(out, v)),
        Array::Array(v) => v.iter().try_for_each(|v| put_array(out, v, depth + 1))?,
        Array::U64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::I64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
        Array::F64(v) => out.extend(v.iter().flat_map(|v| v.to_le_bytes())),
    }
    Ok(())
}

/// Takes the data of the declared tensors, in order.
#[derive(Debug)]
pub struct StreamWriter<W: Write> {
    out: W,
    alignment: u64,
    position: u64,
    tensors: Vec<(String, u64)>,
    current: usize,
    /// Bytes of the current tensor so far.
    written: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Name of the tensor whose data come next, and bytes it still takes.
    pub fn current(&self) -> Option<(&str, u64)> {
        let (name, bytes) = self.tensors.get(self.current)?;
        Some((name, bytes - self.written))
    }

    /// Writes the next bytes of the current tensor; after its last, the next tensor is the current one.
    ///
    /// # Errors
    /// If they are more than the tensor still takes, or writing fails.
    pub fn write(&mut self, data: &[u8]) -> Result<(), WriteError> {
        if data.is_empty() {
            return Ok(());
        }
        let given = data.len() as u64;
        let Some((name, bytes)) = self.tensors.get(self.current) else {
            return Err(WriteError::TooMuch { found: given });
        };
        if given > bytes - self.written {
            return Err(WriteError::Data {
                name: name.clone(),
                expected: *bytes,
                found: self.written + given,
            });
        }
        self.out.write_all(data)?;
        self.position += given;
        self.written += given;
        if self.written == *bytes {
            let padding = padding(self.position, self.alignment);
            io::copy(&mut io::Read::take(io::repeat(0), padding), &mut self.out)?;
            self.position += padding;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    /// Ends the file and gives back what it was written to, flushed.
    ///
    /// # Errors
    /// If data are missing, or writing fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some((name, bytes)) = self.tensors.get(self.current) {
            return Err(WriteError::Data {
                name: name.clone(),
                expected: *bytes,
                found: self.written,
            });
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// A [`StreamWriter`] to a file that appears under its name when it is finished; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct FileWriter {
    stream: StreamWriter<BufWriter<NamedTempFile>>,
    path: PathBuf,
}

impl FileWriter {
    /// As [`StreamWriter::current`].
    pub fn current(&self) -> Option<(&str, u64)> {
        self.stream.current()
    }

    /// As [`StreamWriter::write`].
    ///
    /// # Errors
    /// As there; errors name the file.
    pub fn write(&mut self, data: &[u8]) -> Result<(), WriteError> {
        self.stream
            .write(data)
            .map_err(|error| in_file(error, &self.path))
    }

    /// Syncs the file and gives it its name, in place of any that had it.
    ///
    /// # Errors
    /// If data are missing, or writing fails.
    pub fn finish(self) -> Result<(), WriteError> {
        let path = &self.path;
        let named = |error| WriteError::File {
            path: path.clone(),
            error,
        };
        let buffered = self.stream.finish().map_err(|error| in_file(error, path))?;
        let temporary = buffered
            .into_inner()
            .map_err(|error| named(error.into_error()))?;
        temporary.as_file().sync_all().map_err(named)?;
        temporary
            .persist(path)
            .map_err(|error| named(error.error))?;
        // So that the name, too, is on the disk. Not every system can open a folder; the file itself is safe.
        if let Ok(folder) = File::open(folder(path)) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn in_file(error: WriteError, path: &Path) -> WriteError {
    match error {
        WriteError::Io(error) => WriteError::File {
            path: path.to_owned(),
            error,
        },
        other => other,
    }
}
