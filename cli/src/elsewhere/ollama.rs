//! Ollama's models: a manifest for each tag, `manifests/HOST/NAMESPACE/MODEL/TAG`, which names files by their digest in
//! `blobs/`.
//!
//! In: the models folder. Out: the tags whose layer of weights is one GGUF file that is there.

use super::{Found, home, variable};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};

/// The media type of a layer of weights.
const WEIGHTS: &str = "application/vnd.ollama.image.model";
/// Manifests are a few hundred bytes; what is larger is none.
const LARGEST: u64 = 1 << 20;

#[derive(Deserialize)]
struct Manifest {
    config: Option<Layer>,
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
struct Layer {
    #[serde(default, rename = "mediaType")]
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct Config {
    file_type: Option<String>,
}

/// The models of every folder that Ollama uses: the environment's, the user's, and the service's.
pub fn list() -> Vec<Found> {
    let folders = [
        variable("OLLAMA_MODELS"),
        home(".ollama/models"),
        cfg!(target_os = "linux").then(|| PathBuf::from("/usr/share/ollama/.ollama/models")),
    ];
    folders
        .into_iter()
        .flatten()
        .flat_map(|folder| in_folder(&folder))
        .collect()
}

fn in_folder(folder: &Path) -> Vec<Found> {
    let mut found = Vec::new();
    for host in children(&folder.join("manifests")) {
        for namespace in children(&host.path) {
            for model in children(&namespace.path) {
                for tag in children(&model.path) {
                    let name = [&host, &namespace, &model, &tag].map(|part| part.name.as_str());
                    found.extend(read(folder, &tag.path, name));
                }
            }
        }
    }
    found
}

/// An entry of a folder.
struct Child {
    name: String,
    path: PathBuf,
}

fn children(folder: &Path) -> Vec<Child> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let child = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        // Left by file managers and editors.
        (!name.starts_with('.')).then(|| Child {
            name,
            path: entry.path(),
        })
    };
    entries.filter_map(child).collect()
}

fn read(folder: &Path, manifest: &Path, name: [&str; 4]) -> Option<Found> {
    let manifest: Manifest = parse(manifest)?;
    let mut weights = manifest
        .layers
        .iter()
        .filter(|layer| layer.media_type == WEIGHTS);
    let (Some(layer), None) = (weights.next(), weights.next()) else {
        return None;
    };
    let path = blob(folder, &layer.digest)?;
    let bytes = fs::metadata(&path)
        .ok()
        .filter(|metadata| metadata.is_file())?
        .len();
    let config: Option<Config> = manifest
        .config
        .and_then(|config| parse(&blob(folder, &config.digest)?));
    let [host, namespace, model, tag] = name;
    let repository =
        matches!(host, "hf.co" | "huggingface.co").then(|| format!("{namespace}/{model}"));
    Some(Found {
        name: match (&repository, namespace) {
            (Some(repository), _) => format!("{repository}:{tag}"),
            (None, "library") => format!("{model}:{tag}"),
            (None, _) => format!("{namespace}/{model}:{tag}"),
        },
        place: "Ollama",
        path,
        bytes,
        quantization: config
            .and_then(|config| config.file_type)
            .filter(|name| !name.is_empty() && name != "unknown"),
        // Their tag is the quantization, which a file's name says like this.
        hub: repository.map(|repository| (repository, format!("{model}-{tag}.gguf"))),
    })
}

/// The file of a digest, `sha256:…`; nothing for a digest that is none.
fn blob(folder: &Path, digest: &str) -> Option<PathBuf> {
    let sum = digest.strip_prefix("sha256:")?;
    let hexadecimal = sum.len() == 64 && sum.chars().all(|c| c.is_ascii_hexdigit());
    hexadecimal.then(|| folder.join("blobs").join(format!("sha256-{sum}")))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    let small =
        fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
    serde_json::from_slice(&small.then(|| fs::read(path).ok()).flatten()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(letter: char) -> String {
        letter.to_string().repeat(64)
    }

    fn manifest(folder: &Path, name: &str, text: &str) {
        let path = folder.join("manifests").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn tag(weights: &[char]) -> String {
        let layers: Vec<String> = weights
            .iter()
            .map(|c| {
                format!(
                    r#"{{"mediaType":"{WEIGHTS}","digest":"sha256:{}","size":4}}"#,
                    sum(*c)
                )
            })
            .collect();
        format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x","digest":"sha256:{}"}},"layers":[{},
               {{"mediaType":"application/vnd.ollama.image.template","digest":"sha256:{}"}}]}}"#,
            sum('c'),
            layers.join(","),
            sum('b')
        )
    }

    #[test]
    fn tags_lead_to_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = folder.path().join("blobs");
        fs::create_dir(&blobs).unwrap();
        fs::write(blobs.join(format!("sha256-{}", sum('a'))), b"GGUF").unwrap();
        let config = r#"{"model_format":"gguf","file_type":"Q4_K_M"}"#;
        fs::write(blobs.join(format!("sha256-{}", sum('c'))), config).unwrap();
        manifest(
            folder.path(),
            "host.example/library/llama3.2/3b",
            &tag(&['a']),
        );
        manifest(folder.path(), "host.example/mine/poet/latest", &tag(&['a']));
        manifest(folder.path(), "hf.co/owner/repo-GGUF/Q8_0", &tag(&['a']));
        // Weights that are not there, that come in pieces, that are none; and a manifest that is none.
        manifest(folder.path(), "host.example/library/gone/1b", &tag(&['d']));
        manifest(
            folder.path(),
            "host.example/library/pieces/1b",
            &tag(&['a', 'a']),
        );
        manifest(folder.path(), "host.example/library/none/1b", &tag(&[]));
        manifest(folder.path(), "host.example/library/broken/1b", "{");
        let evil = tag(&['a']).replace(&sum('a'), "../../etc/passwd");
        manifest(folder.path(), "host.example/library/evil/1b", &evil);

        let mut found = in_folder(folder.path());
        found.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(
            names,
            ["llama3.2:3b", "mine/poet:latest", "owner/repo-GGUF:Q8_0"]
        );
        assert_eq!(found[0].bytes, 4);
        assert_eq!(found[0].quantization.as_deref(), Some("Q4_K_M"));
        assert_eq!(found[0].hub, None);
        assert_eq!(
            found[2].hub,
            Some(("owner/repo-GGUF".into(), "repo-GGUF-Q8_0.gguf".into()))
        );
        assert!(in_folder(&folder.path().join("nothing")).is_empty());
    }
}
