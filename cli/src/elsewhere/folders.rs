//! Programs that keep GGUF files under their names: LM Studio, llama.cpp and the hub's own tools.
//!
//! In: their folders. Out: the models there; of split ones those that are complete, as their first part.

use super::{Found, home, name_in_repository, variable};
use crate::filename;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// As deep as repositories go in practice; also what stops links that lead in circles.
const DEEPEST: u32 = 4;

/// A file of a repository on this machine.
struct Kept {
    path: PathBuf,
    bytes: u64,
    repository: Option<String>,
    /// Its path in the repository.
    file: String,
}

/// The models in all of them.
pub fn list() -> Vec<Found> {
    let mut found = Vec::new();
    for folder in [home(".lmstudio/models"), home(".cache/lm-studio/models")]
        .into_iter()
        .flatten()
    {
        found.extend(models("LM Studio", lm_studio(&folder)));
    }
    let caches = variable("XDG_CACHE_HOME").or_else(|| home(".cache"));
    let in_caches = |folder: &str| caches.as_ref().map(|caches| caches.join(folder));
    let llama = match variable("LLAMA_CACHE") {
        Some(folder) => Some(folder),
        None if cfg!(target_os = "macos") => home("Library/Caches/llama.cpp"),
        None => in_caches("llama.cpp"),
    };
    found.extend(
        llama
            .into_iter()
            .flat_map(|folder| models("llama.cpp", llama_cpp(&folder))),
    );
    let hub = variable("HF_HUB_CACHE")
        .or_else(|| variable("HF_HOME").map(|folder| folder.join("hub")))
        .or_else(|| in_caches("huggingface/hub"));
    found.extend(
        hub.into_iter()
            .flat_map(|folder| models("Hugging Face", hub_cache(&folder))),
    );
    found
}

/// `PUBLISHER/REPOSITORY/…/FILE.gguf`.
fn lm_studio(folder: &Path) -> Vec<Kept> {
    let mut kept = Vec::new();
    for publisher in subfolders(folder) {
        for repository in subfolders(&publisher) {
            let name = format!("{}/{}", last(&publisher), last(&repository));
            kept.extend(files(&repository, Some(&name)));
        }
    }
    kept
}

/// `OWNER_REPOSITORY_FILE.gguf`, all in one folder. Beside them lies a `manifest=OWNER=REPOSITORY=TAG.json` for each
/// model, which says where the names end; without it, repositories are known by the `-GGUF` at their end.
fn llama_cpp(folder: &Path) -> Vec<Kept> {
    let manifests: Vec<(String, String)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let mut parts = name.strip_prefix("manifest=")?.split('=');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        })
        .collect();
    let place = |file: &str| -> Option<(String, String)> {
        let stated = manifests.iter().find_map(|(owner, repository)| {
            let rest = file.strip_prefix(&format!("{owner}_{repository}_"))?;
            Some((format!("{owner}/{repository}"), rest.to_owned()))
        });
        stated.or_else(|| {
            let (owner, rest) = file.split_once('_')?;
            let end = rest.to_ascii_lowercase().find("gguf_")? + "gguf".len();
            Some((
                format!("{owner}/{}", &rest[..end]),
                rest[end + 1..].to_owned(),
            ))
        })
    };
    files(folder, None)
        .into_iter()
        .filter(|kept| !kept.file.contains('/'))
        .map(|kept| match place(&kept.file) {
            Some((repository, file)) => Kept {
                repository: Some(repository),
                file,
                ..kept
            },
            None => kept,
        })
        .collect()
}

/// `models--OWNER--REPOSITORY/snapshots/COMMIT/…/FILE.gguf`, mostly links. Of several commits, the one that
/// `refs/main` names goes before the others.
fn hub_cache(folder: &Path) -> Vec<Kept> {
    let mut kept = Vec::new();
    for repository in subfolders(folder) {
        let folder_name = last(&repository);
        let mut parts = folder_name.split("--");
        let (Some("models"), Some(owner), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let place = format!("{owner}/{name}");
        let main = fs::read_to_string(repository.join("refs/main")).unwrap_or_default();
        let mut snapshots = subfolders(&repository.join("snapshots"));
        snapshots.sort_by_key(|snapshot| last(snapshot) != main.trim());
        let mut seen = std::collections::BTreeSet::new();
        for snapshot in snapshots {
            let of_snapshot = files(&snapshot, Some(&place)).into_iter();
            kept.extend(of_snapshot.filter(|kept| seen.insert(kept.file.clone())));
        }
    }
    kept
}

/// The models among files, each under its name.
fn models(place: &'static str, kept: Vec<Kept>) -> Vec<Found> {
    let mut repositories: BTreeMap<Option<String>, Vec<Kept>> = BTreeMap::new();
    for file in kept {
        repositories
            .entry(file.repository.clone())
            .or_default()
            .push(file);
    }
    let mut found = Vec::new();
    for (repository, files) in repositories {
        let firsts: Vec<(&Kept, u64)> = files
            .iter()
            .filter_map(|file| Some((file, whole(file, &files)?)))
            .collect();
        let names: Vec<String> = firsts.iter().map(|(file, _)| file.file.clone()).collect();
        for (file, bytes) in firsts {
            found.push(Found {
                name: match &repository {
                    Some(repository) => name_in_repository(repository, &file.file, &names),
                    None => file.file.clone(),
                },
                place,
                path: file.path.clone(),
                bytes,
                quantization: filename::quantization(&file.file),
                hub: repository
                    .clone()
                    .map(|repository| (repository, file.file.clone())),
            });
        }
    }
    found
}

/// The size of a model with all its parts, if this is its first file and none is missing beside it.
fn whole(file: &Kept, files: &[Kept]) -> Option<u64> {
    if filename::is_companion(&file.file) {
        return None;
    }
    let Some((stem, number, count)) = filename::split(&file.file) else {
        return Some(file.bytes);
    };
    let parts: Vec<&Kept> = files
        .iter()
        .filter(|other| {
            filename::split(&other.file).is_some_and(|(other, _, of)| (other, of) == (stem, count))
                && other.path.parent() == file.path.parent()
        })
        .collect();
    let complete = number == 1 && parts.len() == count as usize;
    complete.then(|| parts.iter().map(|part| part.bytes).sum())
}

/// The GGUF files in a folder and below.
fn files(folder: &Path, repository: Option<&str>) -> Vec<Kept> {
    let mut kept = Vec::new();
    let mut open = vec![(folder.to_owned(), String::new(), 0)];
    while let Some((folder, inside, depth)) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, Ok(name)) = (entry.path(), entry.file_name().into_string()) else {
                continue;
            };
            // Follows links, as the hub's cache consists of them; one that leads nowhere is no file.
            let Ok(metadata) = fs::metadata(&path) else {
                continue;
            };
            let file = format!("{inside}{name}");
            if metadata.is_dir() && depth < DEEPEST {
                open.push((path, format!("{file}/"), depth + 1));
            } else if metadata.is_file() && name.ends_with(".gguf") {
                kept.push(Kept {
                    path,
                    bytes: metadata.len(),
                    repository: repository.map(str::to_owned),
                    file,
                });
            }
        }
    }
    kept.sort_by(|a, b| a.file.cmp(&b.file));
    kept
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn last(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, file: &str, bytes: usize) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![0; bytes]).unwrap();
    }

    fn seen(kept: Vec<Kept>) -> Vec<(String, u64)> {
        models("x", kept)
            .into_iter()
            .map(|found| (found.name, found.bytes))
            .collect()
    }

    fn expect(found: Vec<(String, u64)>, expected: &[(&str, u64)]) {
        let found: Vec<(&str, u64)> = found
            .iter()
            .map(|(name, bytes)| (name.as_str(), *bytes))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn publishers_and_repositories() {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in [
            ("a/b-GGUF/b-Q4_K_M.gguf", 1),
            ("a/b-GGUF/mmproj-b-F16.gguf", 2),
            ("a/b-GGUF/big-Q8_0-00001-of-00002.gguf", 3),
            ("a/b-GGUF/big-Q8_0-00002-of-00002.gguf", 4),
            ("a/part-GGUF/x-Q8_0-00001-of-00002.gguf", 3),
            ("a/two-GGUF/x-Q4_0.gguf", 5),
            ("a/two-GGUF/y-Q4_0.gguf", 6),
            ("a/plain/model.gguf", 7),
            ("a/plain/README.md", 7),
            ("loose.gguf", 8),
        ] {
            write(folder.path(), file, bytes);
        }
        expect(
            seen(lm_studio(folder.path())),
            &[
                ("a/b-GGUF:Q4_K_M", 1),
                ("a/b-GGUF:Q8_0", 7),
                ("hf:a/plain/model.gguf", 7),
                ("hf:a/two-GGUF/x-Q4_0.gguf", 5),
                ("hf:a/two-GGUF/y-Q4_0.gguf", 6),
            ],
        );
        assert!(lm_studio(&folder.path().join("none")).is_empty());
    }

    #[test]
    fn names_in_one_piece() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf",
            "some_one_x_y_y-Q8_0.gguf",
            "manifest=some_one=x_y=latest.json",
            "odd.gguf",
            "deeper/a_b-GGUF_c-Q8_0.gguf",
        ] {
            write(folder.path(), file, 1);
        }
        expect(
            seen(llama_cpp(folder.path())),
            &[
                ("odd.gguf", 1),
                ("ggml-org/gemma-3-1b-it-GGUF:Q4_K_M", 1),
                ("some_one/x_y:Q8_0", 1),
            ],
        );
    }

    #[cfg(unix)]
    #[test]
    fn snapshots_are_links() {
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("models--a--b-GGUF");
        write(&repository, "blobs/1", 11);
        write(&repository, "blobs/2", 22);
        write(&repository, "refs/main", 0);
        fs::write(repository.join("refs/main"), "new\n").unwrap();
        for (snapshot, file, blob) in [
            ("old", "x-Q8_0.gguf", "1"),
            ("new", "x-Q8_0.gguf", "2"),
            ("old", "x-Q4_0.gguf", "1"),
            ("new", "x-F16.gguf", "gone"),
        ] {
            let path = repository.join("snapshots").join(snapshot);
            fs::create_dir_all(&path).unwrap();
            std::os::unix::fs::symlink(format!("../../blobs/{blob}"), path.join(file)).unwrap();
        }
        write(folder.path(), "datasets--a--c/snapshots/new/x.gguf", 1);
        // A link in a circle ends somewhere.
        std::os::unix::fs::symlink(".", repository.join("snapshots/new/again")).unwrap();
        let found = models("x", hub_cache(folder.path()));
        let names: Vec<(&str, u64)> = found
            .iter()
            .filter(|found| !found.hub.as_ref().unwrap().1.contains("again"))
            .map(|found| (found.name.as_str(), found.bytes))
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(
            names
                .iter()
                .any(|(name, bytes)| name.contains("Q8_0") && *bytes == 22)
        );
        assert!(
            names
                .iter()
                .any(|(name, bytes)| name.contains("Q4_0") && *bytes == 11)
        );
    }
}
