//! Files that are there whole or not at all: written under a temporary name beside their place, then renamed. What is no
//! file (`/dev/null`, a named pipe) is written to as it is.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use tempfile::{Builder, NamedTempFile};

/// A file under a temporary name in the folder of `path`.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::metadata(folder)?;
    let mut builder = Builder::new();
    // As for any new file; by default others may not read a temporary one.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // The error's own text names the temporary file, which nobody asked for.
    builder
        .tempfile_in(folder)
        .map_err(|error| io::Error::new(error.kind(), error.kind().to_string()))
}

fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Whether `path` can be written to.
pub fn check(path: &Path) -> Result<()> {
    let tried = if is_special(path) {
        File::options().write(true).open(path).map(drop)
    } else {
        beside(path).map(drop)
    };
    tried.with_context(|| format!("cannot write {}", path.display()))
}

/// Writes to `path` what `content` gives; what was there before stays until the new file is complete.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let written = if is_special(path) {
        File::options()
            .write(true)
            .open(path)
            .and_then(|file| fill(file, content).map(drop))
    } else {
        beside(path)
            .and_then(|file| fill(file, content))
            .and_then(|file| Ok(file.persist(path).map(drop)?))
    };
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn fill<W: Write>(
    file: W,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<W> {
    let mut buffered = BufWriter::new(file);
    content(&mut buffered)?;
    Ok(buffered.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        check(&path).unwrap();
        assert!(!path.exists());
        write(&path, |out| out.write_all(b"old")).unwrap();
        let broken = write(&path, |out| {
            out.write_all(b"ne")?;
            Err(io::ErrorKind::Other.into())
        });
        assert!(broken.is_err());
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

        let nowhere = folder.path().join("missing/a");
        let error = crate::diagnostics::one_line(&check(&nowhere).unwrap_err());
        assert!(
            error.contains("missing") && !error.contains("at path"),
            "{error}"
        );
        assert!(check(folder.path()).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn others_may_read_them_as_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name| {
            fs::metadata(folder.path().join(name))
                .unwrap()
                .permissions()
                .mode()
        };
        fs::write(folder.path().join("plain"), b"").unwrap();
        write(&folder.path().join("whole"), |out| out.write_all(b"")).unwrap();
        assert_eq!(mode("whole"), mode("plain"));
        write(Path::new("/dev/null"), |out| out.write_all(b"x")).unwrap();
    }
}
