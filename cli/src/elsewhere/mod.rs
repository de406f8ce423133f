//! Model files that other programs keep on this machine, used where they are.
//!
//! In: the folders in which Ollama, LM Studio, llama.cpp and the hub's own tools keep models, at their usual places or
//! where the environment says. Out: what is there, and which of it a name means. Nothing is written there, and what
//! can't be read is passed over: these folders are not ours.

mod folders;
mod ollama;

use crate::fetch::{HubModel, Wanted, pick};
use crate::filename;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A model that another program keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// How it is asked for.
    pub name: String,
    /// The program: `Ollama`.
    pub place: &'static str,
    /// The file; of a split model, the first part.
    pub path: PathBuf,
    /// The size of all parts.
    pub bytes: u64,
    /// Its quantization, where that can be told.
    pub quantization: Option<String>,
    /// Its repository and file on the hub, where that can be told.
    pub hub: Option<(String, String)>,
}

/// The models that other programs keep, by name.
pub struct Elsewhere(Vec<Found>);

impl Elsewhere {
    /// Looks into all the folders. A file that has the same name in two programs is listed once.
    pub fn look() -> Elsewhere {
        let mut seen = BTreeSet::new();
        let mut all = ollama::list();
        all.extend(folders::list());
        all.retain(|found| {
            let real = std::fs::canonicalize(&found.path).unwrap_or_else(|_| found.path.clone());
            seen.insert((real, found.name.clone()))
        });
        let key = |found: &Found| (found.name.to_ascii_lowercase(), found.path.clone());
        all.sort_by_key(key);
        Elsewhere(all)
    }

    /// All of them.
    pub fn all(&self) -> &[Found] {
        &self.0
    }

    /// The model of exactly this name, in whatever case.
    pub fn named(&self, name: &str) -> Option<&Found> {
        self.0
            .iter()
            .find(|found| found.name.eq_ignore_ascii_case(name))
    }

    /// The model that a name without a tag means: the one tagged `latest`, else the only one.
    pub fn untagged(&self, name: &str) -> Option<&Found> {
        let tag = |found: &Found| {
            let (front, tag) = found.name.rsplit_once(':')?;
            front.eq_ignore_ascii_case(name).then(|| tag.to_owned())
        };
        let tagged = self.0.iter().filter_map(|found| Some((tag(found)?, found)));
        let all: Vec<(String, &Found)> = tagged.collect();
        let latest = all.iter().find(|(tag, _)| tag == "latest");
        match (latest, all.as_slice()) {
            (Some((_, found)), _) | (None, [(_, found)]) => Some(found),
            _ => None,
        }
    }

    /// The file of a model on the hub. Which revision it is of can't be told, so that one must not be named.
    pub fn of_hub(&self, model: &HubModel) -> Option<&Found> {
        if model.revision.is_some() {
            return None;
        }
        let of_repository = |found: &&Found| {
            let repository = found.hub.as_ref().map(|(repository, _)| repository);
            repository.is_some_and(|repository| repository.eq_ignore_ascii_case(&model.repository))
        };
        let all: Vec<&Found> = self.0.iter().filter(of_repository).collect();
        let files: Vec<&str> = all
            .iter()
            .filter_map(|found| found.hub.as_ref().map(|(_, file)| file.as_str()))
            .collect();
        let index = match &model.wanted {
            // Other programs may drop the folders of a repository.
            Wanted::File(file) => {
                let name = Path::new(file).file_name();
                files
                    .iter()
                    .position(|theirs| Path::new(theirs).file_name() == name)
            }
            // The same file in two places is no reason to ask: either will do.
            wanted => pick(&files, wanted).unwrap_or_else(|several| {
                let same = several.iter().all(|i| files[*i] == files[several[0]]);
                same.then(|| several[0])
            }),
        };
        index.map(|index| all[index])
    }
}

/// The name for a file of a repository: by its quantization, where no other file there has the same.
fn name_in_repository(repository: &str, file: &str, files: &[String]) -> String {
    let Some(quantization) = filename::quantization(file) else {
        return format!("hf:{repository}/{file}");
    };
    let same = files
        .iter()
        .filter(|other| filename::quantization(other).as_deref() == Some(&quantization));
    if same.count() > 1 {
        return format!("hf:{repository}/{file}");
    }
    format!("{repository}:{quantization}")
}

/// An environment variable's folder, if it names one.
fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A folder in the user's home.
fn home(folder: &str) -> Option<PathBuf> {
    etcetera::home_dir().ok().map(|home| home.join(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, hub: Option<(&str, &str)>) -> Found {
        Found {
            name: name.into(),
            place: "x",
            path: name.into(),
            bytes: 1,
            quantization: None,
            hub: hub.map(|(repository, file)| (repository.into(), file.into())),
        }
    }

    #[test]
    fn names_and_tags() {
        let there = Elsewhere(vec![
            found("llama3.2:1b", None),
            found("llama3.2:3b", None),
            found("gemma3:4b", None),
            found("qwen3:4b", None),
            found("qwen3:latest", None),
        ]);
        assert_eq!(there.named("LLAMA3.2:3b").unwrap().name, "llama3.2:3b");
        assert_eq!(there.named("llama3.2"), None);
        assert_eq!(there.untagged("llama3.2"), None);
        assert_eq!(there.untagged("gemma3").unwrap().name, "gemma3:4b");
        assert_eq!(there.untagged("Qwen3").unwrap().name, "qwen3:latest");
        assert_eq!(there.untagged(""), None);
    }

    #[test]
    fn files_of_repositories() {
        let there = Elsewhere(vec![
            found("1", Some(("a/b", "x-Q8_0.gguf"))),
            found("2", Some(("a/b", "d/x-Q4_K_M.gguf"))),
            found("3", Some(("a/b", "x-Q8_0.gguf"))),
            found("4", None),
        ]);
        let of = |text: &str| {
            let model = HubModel::from_marked(&format!("hf:{text}"))
                .unwrap()
                .unwrap();
            there.of_hub(&model).map(|found| found.name.as_str())
        };
        assert_eq!(of("a/b:q8_0"), Some("1"));
        assert_eq!(of("A/B"), Some("2"));
        assert_eq!(of("a/b/x-Q4_K_M.gguf"), Some("2"));
        assert_eq!(of("a/b:Q2_K"), None);
        assert_eq!(of("a/b@v1:q8_0"), None);
        assert_eq!(of("a/c"), None);
    }

    #[test]
    fn the_shortest_name_that_is_clear() {
        let files = ["x-Q8_0.gguf", "y-Q8_0.gguf", "x-F16.gguf", "x.gguf"].map(str::to_owned);
        let name = |file: &str| name_in_repository("a/b", file, &files);
        assert_eq!(name("x-F16.gguf"), "a/b:F16");
        assert_eq!(name("x-Q8_0.gguf"), "hf:a/b/x-Q8_0.gguf");
        assert_eq!(name("x.gguf"), "hf:a/b/x.gguf");
    }
}
