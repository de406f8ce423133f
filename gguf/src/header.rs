//! The header of one file: magic, version, counts, metadata, tensor infos, where the data start.

use crate::cursor::{Cursor, Fault};
use crate::error::{Error, ErrorKind, Place};
use crate::file::Endianness;
use crate::index::Index;
use crate::metadata::Metadata;
use crate::tensor::{self, TensorInfo};
use crate::value::Value;

/// The first four bytes, the same in either byte order.
pub(crate) const MAGIC: [u8; 4] = *b"GGUF";

/// The key that says to what tensor data are aligned.
pub(crate) const ALIGNMENT_KEY: &str = "general.alignment";

/// The alignment of a file that has no such key.
pub(crate) const DEFAULT_ALIGNMENT: u64 = 32;

/// More keys or tensors than any model has; more are believed only where the file is large enough to hold them.
const PLAUSIBLE_COUNT: u64 = 1 << 16;

/// Everything a file says before its data.
pub(crate) struct Header {
    pub version: u32,
    pub endianness: Endianness,
    pub alignment: u64,
    pub metadata: Metadata,
    pub tensors: Vec<TensorInfo>,
    pub tensor_index: Index,
}

impl Header {
    /// Reads and checks the header; `bytes` is the whole file.
    pub fn read(bytes: &[u8]) -> Result<Header, Error> {
        let (version, mut cursor) = start(bytes)?;
        let in_header = |fault: Fault| fault.at(Place::Header);
        let counts = cursor.position();
        let tensor_count = cursor.size("tensor count").map_err(in_header)?;
        let key_count = cursor.size("key/value count").map_err(in_header)?;
        // Counts that can't be are refused. A plausible one that is too large is not: then the file is more likely cut
        // short, and reading on tells where. Nothing is allocated by either.
        let check = |what, found, each: usize, offset| {
            let left = cursor.left() as u64;
            let most = (left / each as u64).min(u32::MAX.into());
            if found <= most || found <= PLAUSIBLE_COUNT {
                return Ok(());
            }
            let kind = ErrorKind::TooLarge {
                what,
                found,
                most,
                left,
            };
            Err(Fault { offset, kind }.at(Place::Header))
        };
        check(
            "tensor count",
            tensor_count,
            tensor::least_bytes(&cursor),
            counts,
        )?;
        // The least an entry takes: an empty key, a type and a byte.
        let least_key = cursor.size_bytes() + 4 + 1;
        let key_count_offset = counts + cursor.size_bytes() as u64;
        check("key/value count", key_count, least_key, key_count_offset)?;

        let metadata = read_metadata(&mut cursor, key_count)?;
        let alignment = alignment(&metadata)?;
        let (mut tensors, tensor_index) = read_tensors(&mut cursor, tensor_count, alignment)?;
        let data_start = cursor.position().next_multiple_of(alignment);
        tensor::place_in_file(&mut tensors, data_start, bytes.len() as u64)?;
        tensor::check_overlaps(&tensors)?;
        Ok(Header {
            version,
            endianness: cursor.endianness,
            alignment,
            metadata,
            tensors,
            tensor_index,
        })
    }
}

/// Reads magic and version; the cursor then knows byte order and width.
fn start(bytes: &[u8]) -> Result<(u32, Cursor<'_>), Error> {
    let mut cursor = Cursor::new(bytes, Endianness::Little);
    let too_short = ErrorKind::TooShort {
        found: bytes.len() as u64,
    };
    let found = bytes.first_chunk().ok_or_else(|| Error::file(too_short))?;
    if *found != MAGIC {
        return Err(Error::new(
            Place::Header,
            Some(0),
            ErrorKind::Magic { found: *found },
        ));
    }
    let read = |cursor: &mut Cursor<'_>| {
        cursor.take(4, "magic")?;
        cursor.u32("version")
    };
    let found = read(&mut cursor).map_err(|fault| fault.at(Place::Header))?;
    // A small number in the other byte order has its low half empty.
    let version = if found.trailing_zeros() >= 16 && found != 0 {
        cursor.endianness = Endianness::Big;
        found.swap_bytes()
    } else {
        found
    };
    if !(1..=3).contains(&version) {
        return Err(Error::new(
            Place::Header,
            Some(4),
            ErrorKind::Version { found: version },
        ));
    }
    cursor.wide = version >= 2;
    Ok((version, cursor))
}

fn read_metadata(cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, Error> {
    let mut entries: Vec<(String, Value)> = Vec::new();
    let mut repaired = Vec::new();
    let mut offsets = Vec::new();
    for index in 0..count {
        let offset = cursor.position();
        let key = match cursor.string("key", "key length") {
            Ok("") => Err(Fault {
                offset,
                kind: ErrorKind::Empty { what: "key" },
            }),
            other => other,
        }
        .map_err(|fault| fault.at(Place::Key { index, name: None }))?;
        cursor.was_repaired = false;
        let value = Value::read(cursor).map_err(|fault| {
            fault.at(Place::Key {
                index,
                name: Some(key.to_owned()),
            })
        })?;
        if cursor.was_repaired {
            repaired.push(key.to_owned());
        }
        entries.push((key.to_owned(), value));
        offsets.push(offset);
    }
    Metadata::new(entries, repaired).map_err(|(key, first, second)| {
        let place = Place::Key {
            index: second as u64,
            name: Some(key),
        };
        let kind = ErrorKind::Duplicate {
            what: "key",
            first: first as u64,
        };
        Error::new(place, Some(offsets[second]), kind)
    })
}

fn alignment(metadata: &Metadata) -> Result<u64, Error> {
    let place = || Place::Key {
        index: metadata
            .iter()
            .position(|(k, _)| k == ALIGNMENT_KEY)
            .unwrap_or(0) as u64,
        name: Some(ALIGNMENT_KEY.to_owned()),
    };
    let found = metadata
        .u32_or(ALIGNMENT_KEY, DEFAULT_ALIGNMENT as u32)
        .map_err(|error| Error::new(place(), None, error.into()))?
        .into();
    if !u64::is_power_of_two(found) {
        return Err(Error::new(place(), None, ErrorKind::Alignment { found }));
    }
    Ok(found)
}

fn read_tensors(
    cursor: &mut Cursor<'_>,
    count: u64,
    alignment: u64,
) -> Result<(Vec<TensorInfo>, Index), Error> {
    let mut tensors: Vec<TensorInfo> = Vec::new();
    let mut offsets = Vec::new();
    for index in 0..count {
        offsets.push(cursor.position());
        tensors.push(tensor::read(cursor, index, alignment)?);
    }
    match Index::new(tensors.len(), |i| tensors[i].name()) {
        Ok(index) => Ok((tensors, index)),
        Err((first, second)) => {
            let kind = ErrorKind::Duplicate {
                what: "tensor",
                first: first as u64,
            };
            let place = tensor::place(second, &tensors[second]);
            Err(Error::new(place, Some(offsets[second]), kind))
        }
    }
}
