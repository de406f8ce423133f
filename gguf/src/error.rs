//! What can be wrong with a GGUF file, each as a typed error that prints as one line: which file, which key or
//! tensor, which byte, what was found and what is allowed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::value::ValueType;

/// Why a GGUF file was refused.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    place: Place,
    offset: Option<u64>,
    kind: ErrorKind,
}

/// The part of a file that an [`Error`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// Magic, version and counts.
    Header,
    /// A metadata entry; its name is known once it could be read.
    Key {
        /// Position among the entries, from 0.
        index: u64,
        /// The key.
        name: Option<String>,
    },
    /// A tensor; its name is known once it could be read.
    Tensor {
        /// Position among the tensor infos, from 0.
        index: u64,
        /// The tensor's name.
        name: Option<String>,
    },
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system refused.
    #[error("{doing}: {error}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// The system's answer.
        error: io::Error,
    },
    /// Not enough memory to read the file into.
    #[error("no memory for its {bytes} bytes; mapped instead of read it needs none up front")]
    Memory {
        /// Bytes asked for.
        bytes: u64,
    },
    /// Shorter than the magic.
    #[error(
        "too short for a GGUF file: {found} bytes, where the magic alone takes 4 (is it empty, or a download cut short?)"
    )]
    TooShort {
        /// Bytes there are.
        found: u64,
    },
    /// Other first four bytes.
    #[error("not a GGUF file: bad magic {}, a GGUF file starts with `GGUF`{}", show_magic(.found), magic_hint(.found))]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// A version this reader doesn't know.
    #[error("unsupported version {found}; versions 1 to 3 can be read")]
    Version {
        /// The version field.
        found: u32,
    },
    /// The file ends inside a field.
    #[error(
        "truncated: the file ends inside the {what}, {needed} bytes are needed and {left} left"
    )]
    Truncated {
        /// The field.
        what: &'static str,
        /// Bytes the field takes.
        needed: u64,
        /// Bytes there are.
        left: u64,
    },
    /// A count or length that the rest of the file can't hold.
    #[error("{what} {found} is too large: the {left} bytes left in the file hold at most {most}{}", truncated_hint(*.found))]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The largest possible.
        most: u64,
        /// Bytes left.
        left: u64,
    },
    /// A string array with more text than is supported.
    #[error("string array with more than {most} bytes of text")]
    TextTooLarge {
        /// The largest allowed.
        most: u64,
    },
    /// An unknown metadata value type.
    #[error("unknown {what} {found}; value types are 0 to 12")]
    ValueType {
        /// Value type or element type.
        what: &'static str,
        /// The number found.
        found: u32,
    },
    /// A bool that is neither 0 nor 1.
    #[error("a bool is {found}; only 0 and 1 are allowed")]
    Bool {
        /// The byte found.
        found: u8,
    },
    /// Arrays nested too deeply.
    #[error("nesting depth of arrays over {most}")]
    Depth {
        /// The deepest allowed.
        most: usize,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8: {}", show_bytes(.found))]
    NotUtf8 {
        /// Which text.
        what: &'static str,
        /// Its first bytes.
        found: Vec<u8>,
    },
    /// An empty key or name.
    #[error("empty {what}")]
    Empty {
        /// Key or tensor name.
        what: &'static str,
    },
    /// A key or tensor that comes twice.
    #[error("duplicate {what}: number {first} has the same name")]
    Duplicate {
        /// Key or tensor.
        what: &'static str,
        /// Position of the first, from 0.
        first: u64,
    },
    /// A well-known key is missing or of a wrong type.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// An alignment that is no power of two.
    #[error("alignment {found} is not a power of two")]
    Alignment {
        /// The value of `general.alignment`.
        found: u64,
    },
    /// Too many dimensions.
    #[error("number of dimensions {found}; at most {most} are allowed")]
    DimensionCount {
        /// Dimensions found.
        found: u32,
        /// Dimensions allowed.
        most: u32,
    },
    /// A dimension of 0.
    #[error("dimension {index} of {dims:?} is 0; each must be at least 1")]
    DimensionZero {
        /// Which one, from 0.
        index: usize,
        /// All of them.
        dims: Vec<u64>,
    },
    /// More bytes than 63 bits can count.
    #[error("dimensions {dims:?} of {type_name} make more bytes than 63 bits can count")]
    DimensionsOverflow {
        /// The dimensions.
        dims: Vec<u64>,
        /// The tensor type.
        type_name: &'static str,
    },
    /// A tensor type that was removed from the format.
    #[error(
        "type {id} ({name}) was removed from the format; convert the file anew with current tools"
    )]
    TypeRemoved {
        /// The id.
        id: u32,
        /// Its former name.
        name: &'static str,
    },
    /// A tensor type nobody knows.
    #[error("unknown type {id}; the highest known is {highest}")]
    TypeUnknown {
        /// The id found.
        id: u32,
        /// The highest in the list.
        highest: u32,
    },
    /// A row that is no whole number of blocks.
    #[error("row length {row} is no multiple of {type_name}'s block size {block}")]
    RowLength {
        /// Elements of a row.
        row: u64,
        /// The tensor type.
        type_name: &'static str,
        /// Elements of a block.
        block: usize,
    },
    /// A tensor offset off the alignment.
    #[error(
        "offset {found} is no multiple of {alignment}, the file's alignment (general.alignment)"
    )]
    OffsetMisaligned {
        /// Offset within the data section.
        found: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// Tensor data past the end of the file.
    #[error(
        "tensor data out of file: offset {found} from data start {data_start} and {bytes} bytes of data \
         go past the file size {file_bytes} (a download cut short?)"
    )]
    OutOfFile {
        /// Offset within the data section.
        found: u64,
        /// Where the data section starts.
        data_start: u64,
        /// Bytes of the tensor.
        bytes: u64,
        /// Bytes of the file.
        file_bytes: u64,
    },
    /// Two tensors that share bytes.
    #[error("overlaps tensor `{other}`: that one ends at byte {other_end}")]
    Overlap {
        /// The tensor before it.
        other: String,
        /// Where that one ends.
        other_end: u64,
    },
    /// A part of a split file was given without its path.
    #[error(
        "this is one part of a file split into {count}; only by its path can the others be found"
    )]
    SplitWithoutPath {
        /// Parts in all.
        count: u64,
    },
    /// A part whose name doesn't say where the others are.
    #[error(
        "this is part {part} of a file split into {count}, so its name must end in `{expected}` for the others to be found"
    )]
    SplitName {
        /// This part, from 1.
        part: u64,
        /// Parts in all.
        count: u64,
        /// How the name must end.
        expected: String,
    },
    /// A part that can't be opened.
    #[error("part {part} of {count} of the split file is missing: {error}")]
    SplitMissing {
        /// The part, from 1.
        part: u64,
        /// Parts in all.
        count: u64,
        /// The system's answer.
        error: io::Error,
    },
    /// A part that belongs elsewhere.
    #[error(
        "split.{key} is {found} where {expected} is expected: the parts do not belong together"
    )]
    SplitMismatch {
        /// `no`, `count` or `tensors.count`.
        key: &'static str,
        /// The value found.
        found: u64,
        /// What the other parts say.
        expected: u64,
    },
    /// The file changed since it was opened.
    #[error("the file was changed while in use; start again, or read it into memory at first")]
    Changed,
}

/// A metadata key that is missing or doesn't hold what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key isn't there.
    #[error("key `{key}` is missing")]
    Missing {
        /// The key.
        key: String,
    },
    /// Another type than expected.
    #[error("key `{key}` is {found}, expected {expected}")]
    Type {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: Kind,
    },
    /// A text that is not UTF-8.
    #[error("key `{key}` is not UTF-8")]
    NotUtf8 {
        /// The key.
        key: String,
    },
    /// A number out of its range.
    #[error("key `{key}` is {found}, out of the range of {expected}")]
    Range {
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// The range.
        expected: &'static str,
    },
    /// An array of a wrong length.
    #[error("key `{key}` has {found} elements, expected {expected}")]
    Length {
        /// The key.
        key: String,
        /// Elements there are.
        found: usize,
        /// Elements there should be.
        expected: usize,
    },
}

/// A value's type in words: `u32`, `an array of string`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A single value.
    Scalar(ValueType),
    /// An array, by its element type.
    Array(ValueType),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Scalar(t) => write!(f, "a {t}"),
            Kind::Array(t) => write!(f, "an array of {t}"),
        }
    }
}

impl Error {
    pub(crate) fn new(place: Place, offset: Option<u64>, kind: ErrorKind) -> Error {
        Error(Box::new(Inner {
            file: None,
            place,
            offset,
            kind,
        }))
    }

    pub(crate) fn file(kind: ErrorKind) -> Error {
        Error::new(Place::File, None, kind)
    }

    pub(crate) fn io(doing: &'static str, error: io::Error) -> Error {
        Error::file(ErrorKind::Io { doing, error })
    }

    /// The same error, in this file (unless it already says which).
    pub(crate) fn in_file(mut self, path: &Path) -> Error {
        self.0.file.get_or_insert_with(|| path.to_owned());
        self
    }

    /// The file, where one was opened by its path.
    pub fn path(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// The key or tensor that the error is about.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The byte of the file where the defect is.
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// What is wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(path) = &inner.file {
            write!(f, "{}: ", path.display())?;
        }
        match &inner.place {
            _ if matches!(inner.kind, ErrorKind::Key(_)) => {} // says its key itself
            Place::File => {}
            Place::Header => f.write_str("header, ")?,
            Place::Key { index, name } => show_place(f, "key", *index, name.as_deref())?,
            Place::Tensor { index, name } => show_place(f, "tensor", *index, name.as_deref())?,
        }
        match inner.offset {
            Some(offset) => write!(f, "byte {offset}: {}", inner.kind),
            None => write!(f, "{}", inner.kind),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Io { error, .. } | ErrorKind::SplitMissing { error, .. } => Some(error),
            ErrorKind::Key(error) => Some(error),
            _ => None,
        }
    }
}

fn show_place(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    index: u64,
    name: Option<&str>,
) -> fmt::Result {
    match name {
        // A name is foreign text: it is shown without control characters and not at any length.
        Some(name) => {
            let shown: String = name.escape_debug().take(120).collect();
            write!(f, "{what} `{shown}`, ")
        }
        None => write!(f, "{what} number {index}, "),
    }
}

fn show_magic(found: &[u8; 4]) -> String {
    let hex: Vec<String> = found.iter().map(|b| format!("{b:02x}")).collect();
    format!("`{}` ({})", found.escape_ascii(), hex.join(" "))
}

fn magic_hint(found: &[u8; 4]) -> &'static str {
    match found {
        b"PK\x03\x04" => "; this is a ZIP archive, perhaps a PyTorch checkpoint",
        b"vers" => "; this may be a Git LFS pointer, fetch the file itself",
        b"<!do" | b"<!DO" | b"<htm" | b"<HTM" => "; this may be a web page saved in its place",
        b"ggml" | b"ggmf" | b"ggjt" | b"lmgg" | b"fmgg" | b"tjgg" => {
            "; this is an older ggml format, convert it anew"
        }
        [0, 0, 0, 0] => "; an unfinished download?",
        _ => "",
    }
}

/// A number that could be right makes a file that was cut short the likelier cause.
fn truncated_hint(found: u64) -> &'static str {
    if found < 1 << 28 {
        " (is the file truncated?)"
    } else {
        ""
    }
}

fn show_bytes(found: &[u8]) -> String {
    format!("`{}`", found.escape_ascii())
}
