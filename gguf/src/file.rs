//! A whole GGUF model, in one file or several: the header's facts and views of the tensors' bytes.

use std::io::Read;
use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::header::Header;
use crate::index::Index;
use crate::metadata::Metadata;
use crate::source::{Access, Source};
use crate::split;
use crate::tensor::TensorInfo;

/// The byte order of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endianness {
    /// Least significant byte first, as nearly all files are.
    Little,
    /// Most significant byte first.
    Big,
}

/// A GGUF model whose every part was checked.
///
/// It owns the map (or the memory), so the views it gives out can't outlive it.
#[derive(Debug)]
pub struct Gguf {
    parts: Vec<Source>,
    version: u32,
    endianness: Endianness,
    alignment: u64,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    index: Index,
}

impl Gguf {
    /// Opens a model. Any part of a split one will do: the others are found by name and opened too.
    ///
    /// # Errors
    /// If a file can't be opened or is no valid GGUF file, or a part is missing.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Gguf, Error> {
        let path = path.as_ref();
        let (source, header) = read_part(path, access)?;
        match split::part_of(&header.metadata).map_err(|error| error.in_file(path))? {
            None => Gguf::new(vec![(source, header)]),
            Some(part) => Gguf::new(split::open_parts(path, access, part, (source, header))?),
        }
    }

    /// Reads a model from the bytes of one file.
    ///
    /// # Errors
    /// If they are no valid GGUF file, or one part of a split one.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Gguf, Error> {
        Gguf::from_source(Source::from_bytes(bytes))
    }

    /// Reads a model from a reader, to its end.
    ///
    /// # Errors
    /// If reading fails, or as [`from_bytes`](Self::from_bytes).
    pub fn from_reader(reader: impl Read) -> Result<Gguf, Error> {
        Gguf::from_source(Source::from_reader(reader)?)
    }

    fn from_source(source: Source) -> Result<Gguf, Error> {
        let header = Header::read(source.bytes())?;
        match split::part_of(&header.metadata)? {
            None => Gguf::new(vec![(source, header)]),
            Some(part) => Err(Error::file(ErrorKind::SplitWithoutPath {
                count: part.count,
            })),
        }
    }

    fn new(parts: Vec<(Source, Header)>) -> Result<Gguf, Error> {
        let mut parts = parts.into_iter();
        let Some((source, header)) = parts.next() else {
            return Err(Error::file(ErrorKind::TooShort { found: 0 }));
        };
        let mut gguf = Gguf {
            parts: vec![source],
            version: header.version,
            endianness: header.endianness,
            alignment: header.alignment,
            metadata: header.metadata,
            tensors: header.tensors,
            index: header.tensor_index,
        };
        swap_bytes(&mut gguf.parts[0], &gguf.tensors, header.endianness)?;
        for (number, (mut source, mut header)) in parts.enumerate() {
            swap_bytes(&mut source, &header.tensors, header.endianness)?;
            for tensor in &mut header.tensors {
                tensor.part = number as u32 + 1;
            }
            gguf.tensors.append(&mut header.tensors);
            gguf.parts.push(source);
        }
        if gguf.parts.len() > 1 {
            gguf.index =
                split::check_together(&gguf.metadata, &gguf.tensors).map_err(|(error, part)| {
                    match gguf.parts[part].path() {
                        Some(path) => error.in_file(path),
                        None => error,
                    }
                })?;
        }
        Ok(gguf)
    }

    /// Version of the format: 1, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Byte order of the file; what [`data`](Self::data) gives is little-endian always.
    pub fn endianness(&self) -> Endianness {
        self.endianness
    }

    /// What tensor data are aligned to in the file, in bytes (`general.alignment`).
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// Size of the file in bytes, all parts together.
    pub fn file_bytes(&self) -> u64 {
        self.parts
            .iter()
            .map(|part| part.bytes().len() as u64)
            .sum()
    }

    /// Number of files: 1, or the parts of a split model.
    pub fn part_count(&self) -> usize {
        self.parts.len()
    }

    /// Path of a part, if it was opened by its path.
    pub fn path(&self, part: usize) -> Option<&Path> {
        self.parts.get(part)?.path()
    }

    /// Whether the bytes are mapped (and not read into memory).
    pub fn is_mapped(&self) -> bool {
        self.parts.iter().all(Source::is_mapped)
    }

    /// The key/value pairs (of the first part, where there are several).
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// All tensors in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let at = self.index.find(name, |i| self.tensors[i].name())?;
        Some(&self.tensors[at])
    }

    /// The bytes of one of this model's tensors, little-endian, not copied.
    ///
    /// # Panics
    /// If the tensor is another model's and lies outside this one.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        let start = tensor.offset() as usize;
        &self.parts[tensor.part()].bytes()[start..start + tensor.bytes() as usize]
    }

    /// Fails if a mapped file was written to since it was opened: cheap enough to ask once an answer.
    ///
    /// # Errors
    /// If it was; a run should then end, since its weights are no longer those that were loaded.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        self.parts.iter().try_for_each(Source::check_unchanged)
    }
}

/// Opens and checks one file.
pub(crate) fn read_part(path: &Path, access: Access) -> Result<(Source, Header), Error> {
    let source = Source::open(path, access)?;
    let header = Header::read(source.bytes()).map_err(|error| error.in_file(path))?;
    Ok((source, header))
}

/// Turns the tensor data of a big-endian file round, in memory.
fn swap_bytes(
    source: &mut Source,
    tensors: &[TensorInfo],
    endianness: Endianness,
) -> Result<(), Error> {
    if endianness == Endianness::Little {
        return Ok(());
    }
    let bytes = source.bytes_mut()?;
    for tensor in tensors {
        let start = tensor.offset() as usize;
        let data = &mut bytes[start..start + tensor.bytes() as usize];
        tensor.tensor_type().swap_bytes(data);
    }
    Ok(())
}
