//! Where the bytes of a file come from: a map, a read into memory, bytes or a reader.
//!
//! In memory they start at a multiple of 64, as in a map (which starts at a page), so that a tensor's place in the
//! file tells its alignment in memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind};

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Access {
    /// Mapped into memory: nothing is read before it is used, and processes share it. What can't be mapped (a pipe)
    /// is read.
    #[default]
    Map,
    /// Read into memory at once: independent of what happens to the file later.
    Read,
}

/// Alignment of bytes in memory, that of a cache line.
const MEMORY_ALIGNMENT: usize = 64;

/// The bytes of one file.
#[derive(Debug)]
pub(crate) struct Source {
    bytes: Bytes,
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum Bytes {
    Mapped(Mapped),
    Memory(Memory),
}

#[derive(Debug)]
struct Mapped {
    // Dropped first: the range is no longer known when it is unmapped.
    _guard: crate::maps::Guard,
    map: memmap2::Mmap,
    file: File,
    stamp: Stamp,
}

/// What tells a file that was written to: its length and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Stamp> {
        let metadata = file.metadata()?;
        Ok(Stamp {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

/// Bytes on the heap; the first `skip` are filling, so that the rest is aligned.
#[derive(Debug)]
struct Memory {
    buffer: Vec<u8>,
    skip: usize,
}

impl Memory {
    fn new(mut buffer: Vec<u8>) -> Memory {
        let skip = buffer.as_ptr().align_offset(MEMORY_ALIGNMENT);
        if skip == 0 {
            return Memory { buffer, skip };
        }
        let bytes = buffer.len();
        buffer.resize(bytes + MEMORY_ALIGNMENT, 0);
        // It may have moved.
        let skip = buffer.as_ptr().align_offset(MEMORY_ALIGNMENT);
        buffer.copy_within(..bytes, skip);
        buffer.truncate(skip + bytes);
        Memory { buffer, skip }
    }

    fn read(mut reader: impl Read, expected_bytes: u64) -> Result<Memory, Error> {
        let no_memory = || {
            Error::file(ErrorKind::Memory {
                bytes: expected_bytes,
            })
        };
        let expected = usize::try_from(expected_bytes).map_err(|_| no_memory())?;
        let mut buffer: Vec<u8> = Vec::new();
        buffer
            .try_reserve_exact(expected.saturating_add(2 * MEMORY_ALIGNMENT))
            .map_err(|_| no_memory())?;
        let skip = buffer.as_ptr().align_offset(MEMORY_ALIGNMENT);
        buffer.resize(skip, 0);
        reader
            .read_to_end(&mut buffer)
            .map_err(|error| Error::io("can't read", error))?;
        if buffer.as_ptr().align_offset(MEMORY_ALIGNMENT) == skip {
            return Ok(Memory { buffer, skip });
        }
        // There was more to read than expected, and the buffer moved.
        buffer.drain(..skip);
        Ok(Memory::new(buffer))
    }
}

impl Source {
    /// Opens a file; errors name it.
    pub fn open(path: &Path, access: Access) -> Result<Source, Error> {
        Self::open_file(path, access).map_err(|error| error.in_file(path))
    }

    fn open_file(path: &Path, access: Access) -> Result<Source, Error> {
        let file = File::open(path).map_err(|error| Error::io("can't open", error))?;
        let metadata = file
            .metadata()
            .map_err(|error| Error::io("can't open", error))?;
        if metadata.is_dir() {
            let error = io::Error::from(io::ErrorKind::IsADirectory);
            return Err(Error::io("can't open", error));
        }
        let mapped = access == Access::Map && metadata.is_file() && metadata.len() > 0;
        let bytes = if mapped {
            Bytes::Mapped(Mapped::new(file, path).map_err(|error| Error::io("can't map", error))?)
        } else {
            Bytes::Memory(Memory::read(file, metadata.len())?)
        };
        Ok(Source {
            bytes,
            path: Some(path.to_owned()),
        })
    }

    pub fn from_bytes(bytes: Vec<u8>) -> Source {
        Source {
            bytes: Bytes::Memory(Memory::new(bytes)),
            path: None,
        }
    }

    pub fn from_reader(reader: impl Read) -> Result<Source, Error> {
        Ok(Source {
            bytes: Bytes::Memory(Memory::read(reader, 0)?),
            path: None,
        })
    }

    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(mapped) => &mapped.map,
            Bytes::Memory(memory) => &memory.buffer[memory.skip..],
        }
    }

    /// The bytes to be changed: a map is first copied into memory.
    pub fn bytes_mut(&mut self) -> Result<&mut [u8], Error> {
        if let Bytes::Mapped(mapped) = &self.bytes {
            self.bytes = Bytes::Memory(Memory::read(&mapped.map[..], mapped.map.len() as u64)?);
        }
        match &mut self.bytes {
            Bytes::Memory(memory) => Ok(&mut memory.buffer[memory.skip..]),
            Bytes::Mapped(_) => Ok(&mut []),
        }
    }

    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Mapped(_))
    }

    /// Fails if a mapped file was written to since it was opened.
    pub fn check_unchanged(&self) -> Result<(), Error> {
        let Bytes::Mapped(mapped) = &self.bytes else {
            return Ok(());
        };
        if Stamp::of(&mapped.file).is_ok_and(|now| now == mapped.stamp) {
            return Ok(());
        }
        let error = Error::file(ErrorKind::Changed);
        Err(match &self.path {
            Some(path) => error.in_file(path),
            None => error,
        })
    }
}

impl Mapped {
    fn new(file: File, path: &Path) -> io::Result<Mapped> {
        let stamp = Stamp::of(&file)?;
        let map = map(&file)?;
        Ok(Mapped {
            _guard: crate::maps::Guard::new(&map, path),
            map,
            file,
            stamp,
        })
    }
}

#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<memmap2::Mmap> {
    // SAFETY: the map is private to this process's reading and only seen as `&[u8]`. Another process can still change
    // or cut the file under it. A cut raises a signal at the next read (see `maps`), never other values. A change gives other bytes; all
    // that the header says was checked and copied, and tensor data are numbers of which every bit pattern is valid.
    unsafe { memmap2::Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_whatever_the_vector_was() {
        for filling in 0..130usize {
            let bytes: Vec<u8> = (0..100 + filling).map(|i| i as u8).collect();
            for source in [
                Source::from_bytes(bytes.clone()),
                Source::from_reader(&bytes[..]).unwrap(),
            ] {
                assert_eq!(source.bytes(), bytes);
                assert_eq!(source.bytes().as_ptr().align_offset(MEMORY_ALIGNMENT), 0);
            }
        }
        let large = vec![7u8; 1 << 20];
        let source = Source::from_reader(&large[..]).unwrap();
        assert_eq!(source.bytes(), large);
        assert_eq!(source.bytes().as_ptr().align_offset(MEMORY_ALIGNMENT), 0);
    }
}
