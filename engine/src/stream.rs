//! Numbers to a writer and back from a reader, little-endian on every machine, with a hash of all of them at the end: what
//! was damaged on the way is noticed.

use std::io::{ErrorKind, Read, Write};

use sha2::{Digest, Sha256};

use crate::error::Error;

/// Numbers that are written.
pub(crate) struct Writing<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
}

impl<'a> Writing<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            hash: Sha256::new(),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.hash.update(bytes);
        write(self.out, bytes)
    }

    pub(crate) fn number(&mut self, number: usize) -> Result<(), Error> {
        self.bytes(&(number as u64).to_le_bytes())
    }

    pub(crate) fn floats(&mut self, values: &[f32]) -> Result<(), Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.bytes(&bytes)
    }

    /// Writes the hash.
    pub(crate) fn finish(self) -> Result<(), Error> {
        write(self.out, &self.hash.finalize())?;
        self.out.flush().map_err(failed)
    }
}

fn failed(error: std::io::Error) -> Error {
    Error::Saved(format!("can't be written: {error}"))
}

fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    out.write_all(bytes).map_err(failed)
}

/// Numbers that are read.
pub(crate) struct Reading<'a> {
    from: &'a mut dyn Read,
    hash: Sha256,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(from: &'a mut dyn Read) -> Self {
        Self {
            from,
            hash: Sha256::new(),
        }
    }

    pub(crate) fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        read(self.from, bytes)?;
        self.hash.update(bytes);
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.bytes(&mut bytes)?;
        Ok(bytes)
    }

    /// A number; one that this machine can't count to is as good as the largest.
    pub(crate) fn number(&mut self) -> Result<usize, Error> {
        let number = u64::from_le_bytes(self.array()?);
        Ok(usize::try_from(number).unwrap_or(usize::MAX))
    }

    pub(crate) fn floats(&mut self, values: &mut [f32]) -> Result<(), Error> {
        let mut bytes = vec![0; 4 * values.len()];
        self.bytes(&mut bytes)?;
        let (numbers, _) = bytes.as_chunks();
        for (value, &number) in values.iter_mut().zip(numbers) {
            *value = f32::from_le_bytes(number);
        }
        Ok(())
    }

    /// Refuses everything that was read if the hash that follows is another, or if something follows that.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let (mut hash, mut more) = ([0; 32], [0]);
        read(self.from, &mut hash)?;
        if hash[..] != self.hash.finalize()[..] {
            return Err(damaged());
        }
        match read(self.from, &mut more) {
            Ok(()) => Err(Error::Saved("is followed by something else".into())),
            Err(_) => Ok(()),
        }
    }
}

/// For numbers that can't be.
pub(crate) fn damaged() -> Error {
    Error::Saved("is damaged: its parts do not agree with each other".into())
}

fn read(from: &mut dyn Read, bytes: &mut [u8]) -> Result<(), Error> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::Saved("is cut short".into()),
        _ => Error::Saved(format!("can't be read: {error}")),
    })
}
