//! A bounds-checked walk over the header's bytes, in either byte order: nothing is read that isn't there, and no
//! length is believed before it is compared with the bytes left.

use std::borrow::Cow;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use crate::error::{Error, ErrorKind, Place};
use crate::file::Endianness;

/// A defect and the byte where it is; the caller adds which key or tensor was being read.
pub(crate) struct Fault {
    pub offset: u64,
    pub kind: ErrorKind,
}

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
    pub endianness: Endianness,
    /// Version 1 has 32-bit counts, lengths and dimensions, later ones 64-bit.
    pub wide: bool,
    /// A [`Cursor::text`] was not UTF-8.
    pub was_repaired: bool,
}

macro_rules! numbers {
    ($($one:ident, $many:ident, $read:ident, $into:ident, $type:ty;)*) => {
        impl Cursor<'_> {
            $(
                pub fn $one(&mut self, what: &'static str) -> Result<$type, Fault> {
                    let bytes = self.take(size_of::<$type>(), what)?;
                    Ok(match self.endianness {
                        Endianness::Little => LittleEndian::$read(bytes),
                        Endianness::Big => BigEndian::$read(bytes),
                    })
                }

                pub fn $many(&mut self) -> Result<Vec<$type>, Fault> {
                    let count = self.count("array length", size_of::<$type>())?;
                    let bytes = self.take(count * size_of::<$type>(), "array")?;
                    let mut numbers = vec![<$type>::default(); count];
                    match self.endianness {
                        Endianness::Little => LittleEndian::$into(bytes, &mut numbers),
                        Endianness::Big => BigEndian::$into(bytes, &mut numbers),
                    }
                    Ok(numbers)
                }
            )*
        }
    };
}

numbers! {
    u16, u16s, read_u16, read_u16_into, u16;
    i16, i16s, read_i16, read_i16_into, i16;
    u32, u32s, read_u32, read_u32_into, u32;
    i32, i32s, read_i32, read_i32_into, i32;
    u64, u64s, read_u64, read_u64_into, u64;
    i64, i64s, read_i64, read_i64_into, i64;
    f32, f32s, read_f32, read_f32_into, f32;
    f64, f64s, read_f64, read_f64_into, f64;
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8], endianness: Endianness) -> Cursor<'a> {
        Cursor {
            bytes,
            position: 0,
            endianness,
            wide: true,
            was_repaired: false,
        }
    }

    pub fn position(&self) -> u64 {
        self.position as u64
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Fault> {
        match self.bytes[self.position..].get(..n) {
            Some(bytes) => {
                self.position += n;
                Ok(bytes)
            }
            None => Err(self.fault(ErrorKind::Truncated {
                what,
                needed: n as u64,
                left: self.left() as u64,
            })),
        }
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, Fault> {
        Ok(self.take(1, what)?[0])
    }

    /// A count, length or dimension: 32 bits in version 1, 64 later.
    pub fn size(&mut self, what: &'static str) -> Result<u64, Fault> {
        if self.wide {
            self.u64(what)
        } else {
            Ok(self.u32(what)?.into())
        }
    }

    /// Bytes that [`size`](Self::size) takes.
    pub fn size_bytes(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    /// A number of things that take at least `each` bytes of the file: more than fit are refused.
    pub fn count(&mut self, what: &'static str, each: usize) -> Result<usize, Fault> {
        let offset = self.position();
        let found = self.size(what)?;
        self.check_count(what, found, each)
            .map_err(|kind| Fault { offset, kind })
    }

    fn check_count(&self, what: &'static str, found: u64, each: usize) -> Result<usize, ErrorKind> {
        let left = self.left();
        let most = left / each;
        match usize::try_from(found) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(ErrorKind::TooLarge {
                what,
                found,
                most: most as u64,
                left: left as u64,
            }),
        }
    }

    /// A string: its length, then its UTF-8 bytes.
    pub fn string(
        &mut self,
        what: &'static str,
        length_of: &'static str,
    ) -> Result<&'a str, Fault> {
        let length = self.count(length_of, 1)?;
        let offset = self.position();
        let bytes = self.take(length, what)?;
        std::str::from_utf8(bytes).map_err(|_| Fault {
            offset,
            kind: ErrorKind::NotUtf8 {
                what,
                found: bytes[..bytes.len().min(32)].to_vec(),
            },
        })
    }

    /// A string that may be needed by nobody: what is not UTF-8 becomes replacement characters, which is noted.
    pub fn text(&mut self, what: &'static str) -> Result<Cow<'a, str>, Fault> {
        let length = self.count("string length", 1)?;
        let text = String::from_utf8_lossy(self.take(length, what)?);
        self.was_repaired |= matches!(text, Cow::Owned(_));
        Ok(text)
    }

    pub fn fault(&self, kind: ErrorKind) -> Fault {
        Fault {
            offset: self.position(),
            kind,
        }
    }
}

impl Fault {
    pub fn at(self, place: Place) -> Error {
        Error::new(place, Some(self.offset), self.kind)
    }
}
