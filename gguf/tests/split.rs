//! Split models: any part opens the whole; a part that is missing or belongs elsewhere is named.

use std::fs;
use std::path::{Path, PathBuf};

use gristmill_gguf::{Access, Gguf, TensorType, Writer};

/// Writes part `number` of `count` with one tensor.
fn part(
    folder: &Path,
    number: u16,
    count: u16,
    tensor: &str,
    change: impl FnOnce(&mut Writer),
) -> PathBuf {
    let path = folder.join(format!("model-{:05}-of-{count:05}.gguf", number + 1));
    let mut writer = Writer::new();
    if number == 0 {
        writer.set("general.architecture", "llama");
    }
    writer
        .set("split.no", number)
        .set("split.count", count)
        .set("split.tensors.count", i32::from(count));
    writer.tensor(tensor, TensorType::I8, &[4]).unwrap();
    change(&mut writer);
    let mut file = writer.create(&path).unwrap();
    file.write(&[number as u8; 4]).unwrap();
    file.finish().unwrap();
    path
}

fn refused(path: &Path) -> String {
    Gguf::open(path, Access::Map).unwrap_err().to_string()
}

#[test]
fn any_part_opens_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3)
        .map(|i| part(folder.path(), i, 3, &format!("tensor.{i}"), |_| {}))
        .collect();
    for path in &paths {
        for access in [Access::Map, Access::Read] {
            let gguf = Gguf::open(path, access).unwrap();
            assert_eq!(gguf.part_count(), 3);
            assert_eq!(gguf.metadata().architecture(), Ok("llama"));
            for i in 0..3u8 {
                let tensor = gguf.tensor(&format!("tensor.{i}")).unwrap();
                assert_eq!(tensor.part(), usize::from(i));
                assert_eq!(gguf.data(tensor), [i; 4]);
                assert_eq!(
                    gguf.path(tensor.part()),
                    Some(paths[usize::from(i)].as_path())
                );
            }
            let bytes: u64 = paths.iter().map(|p| fs::metadata(p).unwrap().len()).sum();
            assert_eq!(gguf.file_bytes(), bytes);
        }
    }
}

#[test]
fn a_missing_part_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let first = part(folder.path(), 0, 3, "a", |_| {});
    part(folder.path(), 2, 3, "c", |_| {});
    let message = refused(&first);
    assert!(
        message.contains("model-00002-of-00003.gguf: part 2 of 3"),
        "{message}"
    );
}

#[test]
fn parts_that_do_not_belong_together_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let first = part(folder.path(), 0, 2, "a", |_| {});
    let second = |tensor: &str, change: fn(&mut Writer)| part(folder.path(), 1, 2, tensor, change);
    let second_name = "model-00002-of-00002.gguf: ";
    for (tensor, change, wanted) in [
        (
            "b",
            (|w| {
                w.set("split.no", 0u16);
            }) as fn(&mut Writer),
            "split.no is 0 where 1 is expected",
        ),
        (
            "b",
            |w| {
                w.set("split.count", 3u16);
            },
            "split.count is 3 where 2 is expected",
        ),
        (
            "b",
            |w| {
                w.remove("split.count");
            },
            "split.count is 1 where 2 is expected",
        ),
        ("a", |_| {}, "tensor `a`, duplicate tensor"),
        (
            "b",
            |w| {
                w.set("split.no", "one");
            },
            "key `split.no` is a string",
        ),
    ] {
        second(tensor, change);
        let message = refused(&first);
        assert!(
            message.contains(second_name) && message.contains(wanted),
            "{message}"
        );
    }
    part(folder.path(), 0, 2, "a", |w| {
        w.set("split.tensors.count", 7);
    });
    second("b", |_| {});
    let message = refused(&first);
    assert!(
        message.contains("split.tensors.count is 7 where 2 is expected"),
        "{message}"
    );
}

#[test]
fn a_part_without_its_name_or_path_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = part(folder.path(), 0, 2, "a", |_| {});
    let renamed = folder.path().join("model.gguf");
    fs::rename(&first, &renamed).unwrap();
    let message = refused(&renamed);
    assert!(
        message.contains("must end in `-00001-of-00002.gguf`"),
        "{message}"
    );
    let error = Gguf::from_bytes(fs::read(&renamed).unwrap()).unwrap_err();
    assert!(error.to_string().contains("split into 2"), "{error}");
}

#[test]
fn paths_that_are_no_file_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let message = refused(&folder.path().join("absent.gguf"));
    assert!(message.contains("absent.gguf: can't open: "), "{message}");
    let message = refused(folder.path());
    assert!(message.contains("can't open: is a directory"), "{message}");
}
