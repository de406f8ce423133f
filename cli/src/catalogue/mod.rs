//! The built-in catalogue: models that a short name is enough for, each with its size, licence and place on the hub.
//!
//! Where a SHA-256 is known, it decides, and the size is exact; such a file can also be had from packages that carry the
//! same bytes, which the user's own pip client fetches (see `fetch`). The others are checked against the size and the
//! SHA-256 that the hub declares when they are downloaded; until then their size is about right.

mod table;

pub use table::CATALOGUE;

/// One model of the catalogue.
pub struct Entry {
    /// The short name.
    pub name: &'static str,
    /// Other names that mean the same.
    pub aliases: &'static [&'static str],
    /// The model's own name.
    pub title: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// How many parameters it has, to three digits.
    pub parameters: u64,
    /// The file's size in bytes: exact if it is pinned, else to three digits.
    pub bytes: u64,
    /// What a context takes beside the weights.
    pub state: State,
    /// The licence's identifier, as `general.license` has it (see `licence`).
    pub licence: &'static str,
    /// Whether the hub gives it only to those who logged in and accepted its terms.
    pub gated: bool,
    /// Where the file is on the hub.
    pub hub: HubFile,
    /// What is known of the file to the byte.
    pub pinned: Option<Pinned>,
}

/// A file on the hub.
pub struct HubFile {
    /// `owner/name` of the repository.
    pub repository: &'static str,
    /// Branch, tag or commit.
    pub revision: &'static str,
    /// The file's path in the repository.
    pub file: &'static str,
}

/// A file of which every byte is known.
pub struct Pinned {
    /// Its name in the cache folder.
    pub file: &'static str,
    /// Its SHA-256 in lower-case hexadecimal.
    pub sha256: &'static str,
    /// The packages whose members, put together in this order, are the file.
    pub packages: &'static [Member],
    /// Documents that belong with the model (licence terms), and the names they get in the cache folder.
    pub documents: &'static [(Member, &'static str)],
}

/// A file inside a Python package's wheel.
pub struct Member {
    /// The package, with its version: `name==1.0`.
    pub package: &'static str,
    /// The path inside the wheel.
    pub path: &'static str,
}

/// The shape of a model's keys and values, from its published configuration.
pub struct State {
    /// Layers that attend to the whole context.
    pub layers: u64,
    /// Layers that attend to a window, and the window's tokens.
    pub windowed: (u64, u64),
    /// Values in a key of one token and layer: heads times their size.
    pub width: u64,
    /// Bytes of state whose size does not grow with the text.
    pub fixed: u64,
}

impl State {
    /// Bytes for that number of tokens of context, with keys and values in f16.
    pub fn bytes(&self, context: u64) -> u64 {
        let (layers, window) = self.windowed;
        let tokens = self.layers * context + layers * context.min(window);
        self.fixed + 2 * 2 * self.width * tokens
    }
}

/// Every layer attends to the whole context.
const fn full(layers: u64, heads: u64, size: u64) -> State {
    State {
        layers,
        windowed: (0, 0),
        width: heads * size,
        fixed: 0,
    }
}

/// Some layers attend to the whole context, the others to a window.
const fn windowed(layers: u64, others: u64, window: u64, heads: u64, size: u64) -> State {
    State {
        layers,
        windowed: (others, window),
        width: heads * size,
        fixed: 0,
    }
}

/// The entry with this name or alias, whatever the case of its letters.
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|entry| {
        entry.name.eq_ignore_ascii_case(name)
            || entry
                .aliases
                .iter()
                .any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// Short names that look like one that is not there, at most four, for messages.
pub fn similar(name: &str) -> Vec<&'static str> {
    let letters = |text: &str| -> String {
        let kept = text.chars().filter(char::is_ascii_alphanumeric);
        kept.collect::<String>().to_ascii_lowercase()
    };
    let wanted = letters(name);
    let common = |entry: &Entry| {
        let names = std::iter::once(&entry.name).chain(entry.aliases);
        let same = |name: &&str| {
            let ours = letters(name).into_bytes();
            ours.iter()
                .zip(wanted.bytes())
                .take_while(|(a, b)| **a == *b)
                .count()
        };
        names.map(same).max().unwrap_or(0)
    };
    let mut ranked: Vec<(usize, &Entry)> = CATALOGUE
        .iter()
        .map(|entry| (common(entry), entry))
        .collect();
    ranked.sort_by_key(|(common, _)| std::cmp::Reverse(*common));
    let best = ranked.first().map_or(0, |(common, _)| *common);
    ranked
        .into_iter()
        .take_while(|(common, _)| *common >= 4 && *common + 1 >= best)
        .map(|(_, entry)| entry.name)
        .take(4)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_complete_and_names_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for entry in CATALOGUE {
            for name in std::iter::once(&entry.name).chain(entry.aliases) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert!(std::ptr::eq(find(&name.to_uppercase()).unwrap(), entry));
                // Wider names would push columns out of a narrow terminal.
                assert!(name.len() <= 21 && !name.contains(['/', ':']), "{name}");
            }
            if let Some(pinned) = &entry.pinned {
                assert_eq!(pinned.sha256.len(), 64);
                assert!(pinned.file.ends_with(".gguf") && !pinned.packages.is_empty());
            }
            let hub = &entry.hub;
            let model = crate::fetch::HubModel::from_marked(&format!(
                "hf:{}@{}/{}",
                hub.repository, hub.revision, hub.file
            ));
            assert!(model.unwrap().is_some());
            assert!(
                crate::filename::quantization(hub.file).is_some(),
                "{}",
                hub.file
            );
            assert!(crate::licence::classify(Some(entry.licence), None, None).is_known());
            assert!(entry.state.layers > 0 && entry.state.width > 0);
        }
        assert_eq!(CATALOGUE[0].title, "SmolLM2-135M-Instruct");
    }

    /// A file holds its parameters in 2 to 10 bits each: a slip in a size or a count shows.
    #[test]
    fn sizes_and_parameters_agree() {
        for entry in CATALOGUE {
            let bits = entry.bytes as f64 * 8.0 / entry.parameters as f64;
            assert!((4.0..10.0).contains(&bits), "{}: {bits} bits", entry.name);
        }
    }

    #[test]
    fn state_of_a_context() {
        // Llama 3.1 8B: 128 KiB for a token.
        assert_eq!(full(32, 8, 128).bytes(4096), 4096 << 17);
        assert_eq!(windowed(1, 2, 100, 1, 1).bytes(1000), 4 * 1200);
        assert_eq!(windowed(1, 2, 100, 1, 1).bytes(50), 4 * 150);
    }

    #[test]
    fn names_that_are_almost_right() {
        assert_eq!(similar("qwen3:4b"), ["qwen3-4b"]);
        assert!(similar("llama3").contains(&"llama-3.1-8b-instruct"));
        assert!(similar("nothing-like-it").is_empty());
    }
}
