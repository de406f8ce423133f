//! What a repository offers, and which of it is meant.
//!
//! In: the files of a repository and what is wanted. Out: the files to download, all parts of a split model in order.
//! Projectors for pictures and importance matrices go with a model and are no offer by themselves.

use super::address::Wanted;
use super::hub::Remote;
use crate::filename;
use crate::render::{self, Align, Table};
use anyhow::{Result, anyhow, bail};

/// A model in a repository: one file, or the parts of a split one.
pub struct Offer {
    /// The parts that are there, in order.
    pub files: Vec<Remote>,
    /// How many parts there should be.
    pub parts: usize,
    /// What its name says of its quantization.
    pub quantization: Option<String>,
}

impl Offer {
    /// Of one or more files, the first of which names it.
    fn new(files: Vec<Remote>) -> Offer {
        let name = &files[0].path;
        Offer {
            parts: filename::split(name).map_or(1, |(_, _, count)| count as usize),
            quantization: filename::quantization(name),
            files,
        }
    }

    /// The path of its first file.
    pub fn path(&self) -> &str {
        &self.files[0].path
    }

    /// Its size, if the hub says that of every file.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.bytes).sum()
    }

    fn holds(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }
}

/// The models among the files of a repository, by size.
pub fn offers(listed: &[Remote]) -> Vec<Offer> {
    let models = listed.iter().filter(|file| is_usable(&file.path));
    let mut found: Vec<Vec<Remote>> = Vec::new();
    for file in models.filter(|file| !filename::is_companion(&file.path)) {
        let of_same_model = |other: &&mut Vec<Remote>| {
            let ours = filename::split(&file.path).map(|(stem, _, count)| (stem, count));
            let theirs = filename::split(&other[0].path).map(|(stem, _, count)| (stem, count));
            ours.is_some() && ours == theirs
        };
        match found.iter_mut().find(of_same_model) {
            Some(parts) => parts.push(file.clone()),
            None => found.push(vec![file.clone()]),
        }
    }
    let mut offers: Vec<Offer> = found
        .into_iter()
        .map(|mut files| {
            files.sort_by_key(|file| filename::split(&file.path).map(|(_, number, _)| number));
            Offer::new(files)
        })
        .collect();
    offers.sort_by_key(|offer| (offer.bytes(), offer.path().to_owned()));
    offers
}

/// Whether a path of a repository is that of a GGUF file, and stays inside of the folder it is put in.
fn is_usable(path: &str) -> bool {
    path.ends_with(".gguf")
        && !path.contains('\\')
        && !path
            .split('/')
            .any(|part| part.is_empty() || part == ".." || part == ".")
}

/// The files that are wanted. `place` is the repository, for messages.
pub fn choose(place: &str, listed: &[Remote], wanted: &Wanted) -> Result<Vec<Remote>> {
    let mut offers = offers(listed);
    // A companion that is asked for by its own name is given.
    if let Wanted::File(path) = wanted
        && filename::is_companion(path)
    {
        let companions = listed.iter().filter(|file| is_usable(&file.path));
        offers.extend(
            companions
                .filter(|file| file.path == *path)
                .map(|file| Offer::new(vec![file.clone()])),
        );
    }
    if offers.is_empty() {
        bail!("hf:{place} holds no GGUF model");
    }
    let names: Vec<&str> = offers.iter().map(Offer::path).collect();
    let index = match wanted {
        Wanted::File(path) => offers.iter().position(|offer| offer.holds(path)),
        _ => pick(&names, wanted).map_err(|several| {
            anyhow!(
                "hf:{place} has several files of that quantization; name one, as in hf:{place}/{}",
                names[several[0]]
            )
        })?,
    };
    let Some(index) = index else {
        let example = offers
            .iter()
            .find_map(|offer| offer.quantization.as_deref())
            .map_or_else(
                || format!("hf:{place}/{}", names[0]),
                |quantization| format!("{place}:{quantization}"),
            );
        match wanted {
            Wanted::File(file) => {
                bail!("hf:{place} has no file {file}; name one that it has, as in {example}")
            }
            Wanted::Quantization(name) => {
                bail!(
                    "hf:{place} has no quantization {name}; name one that it has, as in {example}"
                )
            }
            Wanted::Any => bail!("hf:{place} has several files; name one, as in {example}"),
        }
    };
    let offer = offers.swap_remove(index);
    if offer.files.len() != offer.parts {
        bail!(
            "hf:{place} has {} of the {} parts of {}",
            offer.files.len(),
            offer.parts,
            offer.path()
        );
    }
    Ok(offer.files)
}

/// Which of several models is wanted, by their names; all that fit, where one can't be told from the other.
pub fn pick(names: &[&str], wanted: &Wanted) -> Result<Option<usize>, Vec<usize>> {
    /// What people mean who don't say, the best compromise first.
    const USUAL: [&str; 8] = [
        "Q4_K_M", "Q4_K", "Q4_0", "MXFP4", "Q4_1", "Q5_K_M", "IQ4_XS", "Q8_0",
    ];
    match wanted {
        Wanted::File(path) => Ok(names.iter().position(|name| name == path)),
        Wanted::Quantization(quantization) => of_quantization(names, quantization),
        Wanted::Any if names.len() == 1 => Ok(Some(0)),
        // Two files of one quantization are no usual choice: the next one is.
        Wanted::Any => Ok(USUAL
            .iter()
            .find_map(|usual| of_quantization(names, usual).unwrap_or_default())),
    }
}

/// The model of a quantization: named so, else marked by who made it, else with that word as its name or folder. Whole
/// files go before split ones.
fn of_quantization(names: &[&str], wanted: &str) -> Result<Option<usize>, Vec<usize>> {
    let exact = |name: &str| {
        filename::quantization(name)
            .is_some_and(|found| filename::same_quantization(&found, wanted))
    };
    let marked = |name: &str| {
        filename::quantization(name).is_some_and(|found| {
            filename::same_quantization(filename::plain_quantization(&found), wanted)
        })
    };
    let called = |name: &str| {
        filename::stem(name).eq_ignore_ascii_case(wanted)
            || filename::folder(name).is_some_and(|folder| folder.eq_ignore_ascii_case(wanted))
    };
    let ways: [&dyn Fn(&str) -> bool; 3] = [&exact, &marked, &called];
    for fits in ways {
        let all: Vec<usize> = (0..names.len()).filter(|i| fits(names[*i])).collect();
        let whole: Vec<usize> = all
            .iter()
            .copied()
            .filter(|i| filename::split(names[*i]).is_none())
            .collect();
        match (whole.as_slice(), all.as_slice()) {
            ([], []) => {}
            ([one], _) | (_, [one]) => return Ok(Some(*one)),
            _ => return Err(all),
        }
    }
    Ok(None)
}

/// The offers as a table: quantization, size, whether the weights alone fit into `memory` bytes, file.
pub fn table(offers: &[Offer], memory: Option<u64>) -> Table {
    let mut table = Table::new(&[
        ("quantization", Align::Left),
        ("size", Align::Right),
        ("fits", Align::Left),
        ("file", Align::Left),
    ]);
    for offer in offers {
        let bytes = offer.bytes();
        let fits = match (bytes, memory) {
            (Some(bytes), Some(memory)) if bytes <= memory => "yes",
            (Some(_), Some(_)) => "no",
            _ => "?",
        };
        let mut file = render::safe(offer.path());
        if offer.files.len() != offer.parts {
            file += &format!(" ({} of {} parts)", offer.files.len(), offer.parts);
        } else if offer.parts > 1 {
            file += &format!(" (and {} more)", offer.parts - 1);
        }
        table.row([
            offer.quantization.clone().unwrap_or_default(),
            bytes.map_or("?".to_owned(), render::bytes),
            fits.to_owned(),
            file,
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<Remote> {
        paths
            .iter()
            .map(|path| Remote {
                path: (*path).into(),
                bytes: Some(path.len() as u64),
                sha256: None,
            })
            .collect()
    }

    fn chosen(paths: &[&str], wanted: &Wanted) -> Result<Vec<String>, String> {
        choose("a/b", &files(paths), wanted)
            .map(|files| files.into_iter().map(|file| file.path).collect())
            .map_err(|error| error.to_string())
    }

    fn file(path: &str) -> Wanted {
        Wanted::File(path.into())
    }

    fn quantization(name: &str) -> Wanted {
        Wanted::Quantization(name.into())
    }

    #[test]
    fn the_file_that_is_meant() {
        let any = Wanted::Any;
        assert_eq!(chosen(&["README.md", "x.gguf"], &any).unwrap(), ["x.gguf"]);
        let two = ["x-Q8_0.gguf", "x-Q4_K_M.gguf"];
        assert_eq!(chosen(&two, &any).unwrap(), ["x-Q4_K_M.gguf"]);
        assert_eq!(chosen(&two, &file("x-Q8_0.gguf")).unwrap(), ["x-Q8_0.gguf"]);
        assert_eq!(
            chosen(&two, &quantization("q8_0")).unwrap(),
            ["x-Q8_0.gguf"]
        );
        assert_eq!(
            chosen(&["mmproj-x.gguf", "x.gguf"], &any).unwrap(),
            ["x.gguf"]
        );
        let error = |paths: &[&str], wanted: &Wanted| chosen(paths, wanted).unwrap_err();
        assert!(error(&["a.txt"], &any).contains("no GGUF"));
        assert!(error(&["../evil.gguf"], &any).contains("no GGUF"));
        assert!(error(&["a.gguf", "b.gguf"], &any).contains("name one, as in hf:a/b/a.gguf"));
        let none = error(&two, &quantization("Q2_K"));
        assert!(
            none.contains("no quantization Q2_K") && none.contains("a/b:Q8_0"),
            "{none}"
        );
        assert!(error(&two, &file("y.gguf")).contains("no file y.gguf"));
    }

    #[test]
    fn companions_are_given_by_name_only() {
        let paths = ["mmproj-x-Q8_0.gguf", "x-Q4_0.gguf", "x.imatrix.gguf"];
        assert!(chosen(&paths, &quantization("Q8_0")).is_err());
        assert_eq!(offers(&files(&paths)).len(), 1);
        assert_eq!(
            chosen(&paths, &file("mmproj-x-Q8_0.gguf")).unwrap(),
            ["mmproj-x-Q8_0.gguf"]
        );
        assert!(
            chosen(&paths[..1], &Wanted::Any)
                .unwrap_err()
                .contains("no GGUF")
        );
    }

    #[test]
    fn split_models_come_whole() {
        let parts = ["x-00002-of-00002.gguf", "x-00001-of-00002.gguf"];
        let all = ["x-00001-of-00002.gguf", "x-00002-of-00002.gguf"];
        for wanted in [Wanted::Any, file(parts[0]), file(parts[1])] {
            assert_eq!(chosen(&parts, &wanted).unwrap(), all);
        }
        assert!(
            chosen(&parts[..1], &file(parts[0]))
                .unwrap_err()
                .contains("1 of the 2 parts")
        );
        // In folders, as large models are kept; a whole file of the same quantization is simpler.
        let paths = [
            "Q8_0/x-Q8_0-00001-of-00002.gguf",
            "Q8_0/x-Q8_0-00002-of-00002.gguf",
            "BF16/x-BF16-00001-of-00001.gguf",
        ];
        assert_eq!(chosen(&paths, &quantization("Q8_0")).unwrap(), paths[..2]);
        let with_whole = [&paths[..], &["x-Q8_0.gguf"]].concat();
        assert_eq!(
            chosen(&with_whole, &quantization("Q8_0")).unwrap(),
            ["x-Q8_0.gguf"]
        );
        let offers = offers(&files(&paths));
        assert_eq!(offers.len(), 2);
        assert_eq!(offers[1].bytes(), Some(62));
    }

    #[test]
    fn marked_quantizations_and_doubles() {
        let marked = ["x-UD-Q4_K_XL.gguf", "x-Q4_K_M.gguf"];
        for name in ["Q4_K_XL", "ud-q4_k_xl"] {
            assert_eq!(
                chosen(&marked, &quantization(name)).unwrap(),
                ["x-UD-Q4_K_XL.gguf"]
            );
        }
        let doubles = ["x-Q4_0.gguf", "y-Q4_0.gguf"];
        assert!(
            chosen(&doubles, &quantization("Q4_0"))
                .unwrap_err()
                .contains("several files of that quantization")
        );
        assert_eq!(
            chosen(&doubles, &quantization("y-q4_0")).unwrap(),
            ["y-Q4_0.gguf"]
        );
    }

    #[test]
    fn the_table_says_what_fits() {
        let offers = offers(&files(&["x-Q8_0.gguf", "long/x-Q4_K_M.gguf"]));
        assert_eq!(
            table(&offers, Some(15)).plain(),
            "quantization  size  fits  file\n\
             Q8_0          11 B  yes   x-Q8_0.gguf\n\
             Q4_K_M        18 B  no    long/x-Q4_K_M.gguf\n"
        );
    }
}
