//! What a model file says about its licence, put plainly: open source, open weights with restrictions (and which), or
//! not stated.
//!
//! In: `general.license`, `general.license.name` and `general.license.link` as the file has them. The identifiers are
//! those of SPDX in lower case, as model hubs use them. "Open source" means that the Open Source Initiative approved
//! the licence (<https://opensource.org/licenses>). This sorts what the file *says*; it is no legal advice.

/// The plain classification of a licence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Class {
    /// Approved by the Open Source Initiative.
    OpenSource,
    /// The weights are there for all, with conditions: which.
    Restricted(&'static str),
    /// A licence is named, but not one that this program knows.
    Unrecognised,
    /// The file says nothing.
    NotStated,
}

impl Class {
    /// A stable key for JSON.
    pub fn key(&self) -> &'static str {
        match self {
            Class::OpenSource => "open-source",
            Class::Restricted(_) => "restricted",
            Class::Unrecognised => "unrecognised",
            Class::NotStated => "not-stated",
        }
    }

    /// Whether the licence's terms are known to this program.
    #[cfg(test)]
    pub fn is_known(&self) -> bool {
        matches!(self, Class::OpenSource | Class::Restricted(_))
    }

    /// The classification in words.
    pub fn describe(&self) -> String {
        match self {
            Class::OpenSource => "OSI-approved open source".to_owned(),
            Class::Restricted(which) => format!("open weights with restrictions: {which}"),
            Class::Unrecognised => {
                "not one that gristmill knows; read its text before you rely on it".to_owned()
            }
            Class::NotStated => "the file says nothing; ask where you got it".to_owned(),
        }
    }
}

/// Licences that the Open Source Initiative approved: identifier and the name people know.
static OPEN_SOURCE: &[(&str, &str)] = &[
    ("apache-2.0", "Apache-2.0"),
    ("mit", "MIT"),
    ("mit-0", "MIT-0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("0bsd", "0BSD"),
    ("isc", "ISC"),
    ("zlib", "zlib"),
    ("unlicense", "Unlicense"),
    ("mpl-2.0", "MPL-2.0"),
    ("gpl-2.0", "GPL-2.0"),
    ("gpl-3.0", "GPL-3.0"),
    ("lgpl-2.1", "LGPL-2.1"),
    ("lgpl-3.0", "LGPL-3.0"),
    ("agpl-3.0", "AGPL-3.0"),
    ("afl-3.0", "AFL-3.0"),
    ("artistic-2.0", "Artistic-2.0"),
    ("bsl-1.0", "BSL-1.0"),
    ("cecill-2.1", "CeCILL-2.1"),
    ("ecl-2.0", "ECL-2.0"),
    ("epl-1.0", "EPL-1.0"),
    ("epl-2.0", "EPL-2.0"),
    ("eupl-1.1", "EUPL-1.1"),
    ("eupl-1.2", "EUPL-1.2"),
    ("ms-pl", "MS-PL"),
    ("ncsa", "NCSA"),
    ("ofl-1.1", "OFL-1.1"),
    ("osl-3.0", "OSL-3.0"),
    ("postgresql", "PostgreSQL"),
    ("upl-1.0", "UPL-1.0"),
];

const NON_COMMERCIAL: &str = "no commercial use; attribution";
const LLAMA: &str = "acceptable-use policy; a separate licence above 700 million monthly users; \
     attribution \"Built with Llama\" and \"Llama\" in the names of derived models";
const RAIL: &str = "a list of forbidden uses, which has to be passed on with the model";

/// Licences with conditions that keep them off that list: identifier, name, the conditions in short.
static RESTRICTED: &[(&str, &str, &str)] = &[
    (
        "gemma",
        "Gemma Terms of Use",
        "Google's prohibited-use policy; the terms have to be passed on with the model and its derivatives; \
         Google may restrict use that it finds in breach",
    ),
    (
        "llama2",
        "Llama 2 Community License",
        "acceptable-use policy; a separate licence above 700 million monthly users; \
         output may not be used to improve other models",
    ),
    (
        "llama3",
        "Llama 3 Community License",
        "acceptable-use policy; a separate licence above 700 million monthly users; attribution \
         \"Built with Meta Llama 3\"; output may not be used to improve other models",
    ),
    ("llama3.1", "Llama 3.1 Community License", LLAMA),
    ("llama3.2", "Llama 3.2 Community License", LLAMA),
    ("llama3.3", "Llama 3.3 Community License", LLAMA),
    ("llama4", "Llama 4 Community License", LLAMA),
    ("openrail", "OpenRAIL", RAIL),
    ("openrail++", "OpenRAIL++", RAIL),
    ("creativeml-openrail-m", "CreativeML OpenRAIL-M", RAIL),
    ("bigscience-openrail-m", "BigScience OpenRAIL-M", RAIL),
    (
        "bigscience-bloom-rail-1.0",
        "BigScience BLOOM RAIL 1.0",
        RAIL,
    ),
    ("bigcode-openrail-m", "BigCode OpenRAIL-M", RAIL),
    ("deepseek", "DeepSeek License", RAIL),
    ("cc-by-nc-2.0", "CC BY-NC 2.0", NON_COMMERCIAL),
    ("cc-by-nc-3.0", "CC BY-NC 3.0", NON_COMMERCIAL),
    ("cc-by-nc-4.0", "CC BY-NC 4.0", NON_COMMERCIAL),
    (
        "cc-by-nc-sa-2.0",
        "CC BY-NC-SA 2.0",
        "no commercial use; attribution; derivatives under the same licence",
    ),
    (
        "cc-by-nc-sa-3.0",
        "CC BY-NC-SA 3.0",
        "no commercial use; attribution; derivatives under the same licence",
    ),
    (
        "cc-by-nc-sa-4.0",
        "CC BY-NC-SA 4.0",
        "no commercial use; attribution; derivatives under the same licence",
    ),
    (
        "cc-by-nc-nd-3.0",
        "CC BY-NC-ND 3.0",
        "no commercial use; attribution; no derivatives",
    ),
    (
        "cc-by-nc-nd-4.0",
        "CC BY-NC-ND 4.0",
        "no commercial use; attribution; no derivatives",
    ),
    (
        "cc-by-nd-4.0",
        "CC BY-ND 4.0",
        "attribution; no derivatives",
    ),
    (
        "cc-by-3.0",
        "CC BY 3.0",
        "attribution only (a content licence, not on the OSI's list)",
    ),
    (
        "cc-by-4.0",
        "CC BY 4.0",
        "attribution only (a content licence, not on the OSI's list)",
    ),
    (
        "cc-by-sa-3.0",
        "CC BY-SA 3.0",
        "attribution; derivatives under the same licence",
    ),
    (
        "cc-by-sa-4.0",
        "CC BY-SA 4.0",
        "attribution; derivatives under the same licence",
    ),
    (
        "cc0-1.0",
        "CC0 1.0",
        "none in effect (a public-domain dedication, not on the OSI's list)",
    ),
    (
        "bsd-3-clause-clear",
        "BSD-3-Clause-Clear",
        "no patent licence (not on the OSI's list)",
    ),
    ("wtfpl", "WTFPL", "none in effect (not on the OSI's list)"),
    (
        "mrl",
        "Mistral AI Research License",
        "research only, no commercial use",
    ),
    (
        "mnpl",
        "Mistral AI Non-Production License",
        "no use in production",
    ),
    (
        "qwen",
        "Qwen License",
        "a separate licence above 100 million monthly users; attribution",
    ),
    (
        "tongyi-qianwen",
        "Tongyi Qianwen License",
        "a separate licence above 100 million monthly users",
    ),
    (
        "qwen-research",
        "Qwen Research License",
        "research only, no commercial use",
    ),
    (
        "lfm1.0",
        "LFM Open License 1.0",
        "no commercial use by companies with 10 million dollars of revenue or more",
    ),
    (
        "apple-amlr",
        "Apple ML Research Model License",
        "research only, no commercial use",
    ),
    (
        "apple-ascl",
        "Apple Sample Code License",
        "no patent licence beyond Apple's own text",
    ),
    (
        "intel-research",
        "Intel Research Use License",
        "research only, no commercial use",
    ),
    (
        "h-research",
        "H Research License",
        "research only, no commercial use",
    ),
    (
        "exaone",
        "EXAONE License",
        "research only, no commercial use; the terms cover the output too",
    ),
    (
        "nvidia-open-model-license",
        "NVIDIA Open Model License",
        "the grant ends where guardrails are removed; notices",
    ),
    (
        "falcon-llm-license",
        "Falcon LLM License",
        "acceptable-use policy; attribution",
    ),
    (
        "fair-noncommercial-research-license",
        "FAIR Noncommercial Research License",
        "research only, no commercial use",
    ),
];

/// A licence as the file states it, ready to be shown.
#[derive(Debug, Clone)]
pub struct Licence {
    /// The name people know, or what the file says.
    pub name: String,
    /// The plain classification.
    pub class: Class,
}

/// Looks a licence identifier up.
fn look_up(id: &str) -> Option<Licence> {
    let id = id.trim().to_ascii_lowercase().replace(['_', ' '], "-");
    // SPDX writes gpl-3.0-only and gpl-3.0-or-later.
    let id = id.trim_end_matches("-only").trim_end_matches("-or-later");
    if let Some((_, name)) = OPEN_SOURCE.iter().find(|(known, _)| *known == id) {
        return Some(Licence {
            name: (*name).to_owned(),
            class: Class::OpenSource,
        });
    }
    let (_, name, which) = RESTRICTED.iter().find(|(known, _, _)| *known == id)?;
    Some(Licence {
        name: (*name).to_owned(),
        class: Class::Restricted(which),
    })
}

/// Sorts the statements of a file: `general.license`, `general.license.name`, `general.license.link`.
///
/// Hubs use `other` as the identifier where the name says more, so the name is tried next.
pub fn classify_named(id: Option<&str>, name: Option<&str>, link: Option<&str>) -> Licence {
    let said = |text: Option<&str>| {
        text.map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let (id, name, link) = (said(id), said(name), said(link));
    if let Some(found) = [&id, &name]
        .into_iter()
        .flatten()
        .find_map(|text| look_up(text))
    {
        return found;
    }
    let vague =
        |text: &String| text.eq_ignore_ascii_case("other") || text.eq_ignore_ascii_case("unknown");
    match name.or_else(|| id.filter(|id| !vague(id))).or(link) {
        Some(name) => Licence {
            name,
            class: Class::Unrecognised,
        },
        None => Licence {
            name: "not stated".to_owned(),
            class: Class::NotStated,
        },
    }
}

/// The classification alone.
#[cfg(test)]
pub fn classify(id: Option<&str>, name: Option<&str>, link: Option<&str>) -> Class {
    classify_named(id, name, link).class
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say_is_sorted() {
        assert_eq!(classify(Some("apache-2.0"), None, None), Class::OpenSource);
        assert_eq!(classify(Some("Apache 2.0"), None, None), Class::OpenSource);
        assert_eq!(
            classify(Some("GPL-3.0-or-later"), None, None),
            Class::OpenSource
        );
        assert!(matches!(
            classify(Some("gemma"), None, None),
            Class::Restricted(_)
        ));
        assert!(matches!(
            classify(Some("other"), Some("lfm1.0"), None),
            Class::Restricted(_)
        ));
        assert_eq!(
            classify(Some("other"), Some("house-licence"), None),
            Class::Unrecognised
        );
        assert_eq!(classify(Some("other"), None, None), Class::NotStated);
        assert_eq!(
            classify(None, None, Some("https://example.org/terms")),
            Class::Unrecognised
        );
        assert_eq!(classify(Some(" "), None, None), Class::NotStated);
    }

    #[test]
    fn no_identifier_stands_on_both_lists() {
        for (id, _, _) in RESTRICTED {
            assert!(!OPEN_SOURCE.iter().any(|(open, _)| open == id), "{id}");
            assert_eq!(*id, id.to_ascii_lowercase());
        }
    }
}
