//! Files that somebody changes, cuts or replaces while they are open.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use gristmill_gguf::{Access, ErrorKind, Gguf, TensorType, Writer, file_mapped_at};

const BYTES: u64 = 1 << 20;

fn write_model(path: &Path) {
    let mut writer = Writer::new();
    writer.tensor("t", TensorType::I8, &[BYTES]).unwrap();
    let mut file = writer.create(path).unwrap();
    file.write(&vec![1; BYTES as usize]).unwrap();
    file.finish().unwrap();
}

fn sum(gguf: &Gguf) -> u64 {
    let data = gguf.data(gguf.tensor("t").unwrap());
    data.iter().map(|&b| u64::from(b)).sum()
}

/// A signal handler that is given an address finds the file that was cut short.
#[test]
fn a_mapped_address_has_its_files_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let mapped = Gguf::open(&path, Access::Map).unwrap();
    let read = Gguf::open(&path, Access::Read).unwrap();
    let at = |gguf: &Gguf| {
        let data = gguf.data(gguf.tensor("t").unwrap());
        data[BYTES as usize - 1..].as_ptr().addr()
    };
    let mut name = [0; 512];
    let bytes = file_mapped_at(at(&mapped), &mut name).expect("it is mapped");
    assert_eq!(&name[..bytes], path.as_os_str().as_encoded_bytes());
    assert_eq!(file_mapped_at(at(&read), &mut name), None);
}

#[test]
fn a_change_in_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let mapped = Gguf::open(&path, Access::Map).unwrap();
    let read = Gguf::open(&path, Access::Read).unwrap();
    mapped.check_unchanged().unwrap();
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"more").unwrap();
    let error = mapped.check_unchanged().unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Changed));
    assert!(
        error
            .to_string()
            .contains("model.gguf: the file was changed"),
        "{error}"
    );
    read.check_unchanged().unwrap();
}

#[test]
fn a_file_replaced_by_name_stays_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    write_model(&path);
    let mapped = Gguf::open(&path, Access::Map).unwrap();
    let other = folder.path().join("other");
    fs::write(&other, "short").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(sum(&mapped), BYTES);
    mapped.check_unchanged().unwrap();
}
