//! Models in several files, `name-00001-of-00003.gguf`: each part is a GGUF file with its own tensors, and says with
//! `split.no` (from 0) and `split.count` which one it is. The metadata of the model is in the first.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Place};
use crate::file::read_part;
use crate::header::Header;
use crate::index::Index;
use crate::metadata::Metadata;
use crate::source::{Access, Source};
use crate::tensor::{self, TensorInfo};

/// What a file says of itself: part `number` (from 0) of `count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub number: u64,
    pub count: u64,
}

/// Which part of a split model this is; `None` for a whole one.
pub(crate) fn part_of(metadata: &Metadata) -> Result<Option<Part>, Error> {
    let key = |error| Error::file(ErrorKind::Key(error));
    let count = metadata.u64_or("split.count", 1).map_err(key)?;
    if count <= 1 {
        return Ok(None);
    }
    let number = metadata.u64("split.no").map_err(key)?;
    if number >= count {
        return Err(Error::file(ErrorKind::SplitMismatch {
            key: "no",
            found: number,
            expected: count - 1,
        }));
    }
    Ok(Some(Part { number, count }))
}

fn suffix(number: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}

/// Opens all parts, in order; `opened` is the part that is at `path`.
pub(crate) fn open_parts(
    path: &Path,
    access: Access,
    part: Part,
    opened: (Source, Header),
) -> Result<Vec<(Source, Header)>, Error> {
    let Part { number, count } = part;
    let own_suffix = suffix(number, count);
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(prefix) = name.and_then(|name| name.strip_suffix(&own_suffix)) else {
        return Err(Error::file(ErrorKind::SplitName {
            part: number + 1,
            count,
            expected: own_suffix,
        })
        .in_file(path));
    };
    let sibling =
        |number| -> PathBuf { path.with_file_name(format!("{prefix}{}", suffix(number, count))) };

    // A missing part is told before any is read.
    for other in 0..count {
        let other_path = sibling(other);
        if let Err(error) = std::fs::metadata(&other_path) {
            return Err(Error::file(ErrorKind::SplitMissing {
                part: other + 1,
                count,
                error,
            })
            .in_file(&other_path));
        }
    }
    let mut opened = Some(opened);
    let mut parts = Vec::new();
    for other in 0..count {
        let next = match opened.take_if(|_| other == number) {
            Some(opened) => opened,
            None => open_part(
                &sibling(other),
                access,
                Part {
                    number: other,
                    count,
                },
            )?,
        };
        parts.push(next);
    }
    Ok(parts)
}

fn open_part(path: &Path, access: Access, expected: Part) -> Result<(Source, Header), Error> {
    let (source, header) = read_part(path, access)?;
    let mismatch = |key, found, expected| {
        let kind = ErrorKind::SplitMismatch {
            key,
            found,
            expected,
        };
        Err(Error::file(kind).in_file(path))
    };
    let found = part_of(&header.metadata)
        .map_err(|error| error.in_file(path))?
        .unwrap_or(Part {
            number: 0,
            count: 1,
        });
    if found.count != expected.count {
        return mismatch("count", found.count, expected.count);
    }
    if found.number != expected.number {
        return mismatch("no", found.number, expected.number);
    }
    Ok((source, header))
}

/// Checks what only all parts together can tell: no tensor twice, none missing. An error comes with the number of the
/// part it is in.
pub(crate) fn check_together(
    metadata: &Metadata,
    tensors: &[TensorInfo],
) -> Result<Index, (Error, usize)> {
    let index = Index::new(tensors.len(), |i| tensors[i].name()).map_err(|(first, second)| {
        let kind = ErrorKind::Duplicate {
            what: "tensor",
            first: first as u64,
        };
        let found = &tensors[second];
        (
            Error::new(tensor::place(second, found), None, kind),
            found.part(),
        )
    })?;
    let expected = metadata
        .opt_u64("split.tensors.count")
        .map_err(|error| (Error::file(error.into()), 0))?;
    match expected {
        Some(expected) if expected != tensors.len() as u64 => {
            let kind = ErrorKind::SplitMismatch {
                key: "tensors.count",
                found: expected,
                expected: tensors.len() as u64,
            };
            Err((Error::new(Place::File, None, kind), 0))
        }
        _ => Ok(index),
    }
}
