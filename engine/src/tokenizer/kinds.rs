//! The kinds of tokenizers, and what each implies where a file says nothing.

use super::load::Roles;
use super::settings::Settings;
use super::vocabulary::Vocabulary;
use super::{
    Algorithm, Definition, bpe, hybrid_dna, plamo2, pretok, rwkv, spm, unigram, whitespace,
    wordpiece,
};
use crate::Error;

/// One kind of tokenizer: the name in `tokenizer.ggml.model`, what it implies, and how it is made.
pub struct TokenizerKind {
    /// The value of `tokenizer.ggml.model`.
    pub model: &'static str,
    /// What it is, in a few words.
    pub description: &'static str,
    defaults: Defaults,
    pub(super) build: Build,
}

type Build =
    fn(&Definition<'_>, &mut Vocabulary, &mut Settings) -> Result<Box<dyn Algorithm>, Error>;

/// What a file that says nothing gets: ids of special tokens, and switches.
#[derive(Clone, Copy)]
struct Defaults {
    bos: Option<u32>,
    eos: Option<u32>,
    unknown: Option<u32>,
    separator: Option<u32>,
    padding: Option<u32>,
    mask: Option<u32>,
    add_bos: bool,
    add_eos: bool,
    space_prefix: bool,
    clean_spaces: bool,
    /// Every text ends with the separator token.
    ends_with_separator: bool,
    /// Nothing is put around a text, whatever the file says.
    bare: bool,
}

const NOTHING: Defaults = Defaults {
    bos: None,
    eos: None,
    unknown: None,
    separator: None,
    padding: None,
    mask: None,
    add_bos: false,
    add_eos: false,
    space_prefix: false,
    clean_spaces: false,
    ends_with_separator: false,
    bare: false,
};

/// All kinds of tokenizers. Adding one is a file and an entry.
pub static TOKENIZERS: &[TokenizerKind] = &[
    TokenizerKind {
        model: "llama",
        description: "SentencePiece BPE with byte fallback",
        defaults: Defaults {
            bos: Some(1),
            eos: Some(2),
            unknown: Some(0),
            add_bos: true,
            space_prefix: true,
            ..NOTHING
        },
        build: spm::build,
    },
    TokenizerKind {
        model: "gpt2",
        description: "byte-level BPE",
        defaults: Defaults {
            bos: Some(11),
            eos: Some(11),
            ..NOTHING
        },
        build: bpe::build,
    },
    TokenizerKind {
        model: "hybriddna",
        description: "byte-level BPE, and six bases of DNA a token",
        defaults: Defaults {
            bos: Some(11),
            eos: Some(11),
            ..NOTHING
        },
        build: hybrid_dna::build,
    },
    TokenizerKind {
        model: "whitespace",
        description: "BPE of the words between white space",
        defaults: Defaults {
            bos: Some(11),
            eos: Some(11),
            ..NOTHING
        },
        build: whitespace::build,
    },
    TokenizerKind {
        model: "gemma4",
        description: "BPE over escaped spaces",
        defaults: NOTHING,
        build: bpe::build,
    },
    TokenizerKind {
        model: "bert",
        description: "WordPiece",
        defaults: Defaults {
            bos: Some(101),
            unknown: Some(100),
            separator: Some(102),
            padding: Some(0),
            mask: Some(103),
            add_bos: true,
            clean_spaces: true,
            ends_with_separator: true,
            ..NOTHING
        },
        build: wordpiece::build,
    },
    TokenizerKind {
        model: "t5",
        description: "unigram",
        defaults: Defaults {
            eos: Some(1),
            unknown: Some(2),
            padding: Some(0),
            add_eos: true,
            ..NOTHING
        },
        build: unigram::build,
    },
    TokenizerKind {
        model: "rwkv",
        description: "the longest token of a list of byte strings",
        defaults: Defaults {
            bare: true,
            ..NOTHING
        },
        build: rwkv::build,
    },
    TokenizerKind {
        model: "plamo2",
        description: "the best-scored way from the end, with byte fallback",
        defaults: Defaults {
            bos: Some(1),
            eos: Some(2),
            unknown: Some(0),
            padding: Some(3),
            bare: true,
            ..NOTHING
        },
        build: plamo2::build,
    },
];

/// Settles what the file leaves open.
pub(super) fn settings(
    kind: &TokenizerKind,
    definition: &Definition<'_>,
    vocabulary: &Vocabulary,
    warnings: &mut Vec<String>,
) -> Settings {
    let defaults = &kind.defaults;
    let is_bpe = matches!(kind.model, "gpt2" | "hybriddna" | "whitespace" | "gemma4");
    let pre = is_bpe.then(|| bpe::pre_tokenizer(definition));
    if is_bpe && kind.model != "gemma4" {
        match definition.pre {
            None => warnings.push(
                "the file does not name its pre-tokenizer (tokenizer.ggml.pre): the default one is used, and the \
                 model's answers may be worse for it"
                    .into(),
            ),
            Some(name) if pretok::find(name).is_none() => warnings.push(format!(
                "tokenizer.ggml.pre is '{name}', which gristmill does not know: the default pre-tokenizer is used, \
                 and the model's answers may be worse for it"
            )),
            Some(_) => {}
        }
    }
    let mut id = |key: &str, named: Option<u32>, default: Option<u32>| {
        let default = default.filter(|&id| vocabulary.is_token(id));
        match named {
            Some(id) if vocabulary.is_token(id) => Some(id),
            Some(id) => {
                warnings.push(format!(
                    "tokenizer.ggml.{key} is {id}, but the vocabulary has {} tokens: ignored",
                    vocabulary.len()
                ));
                default
            }
            None => default,
        }
    };
    let default_bos = defaults.bos.filter(|_| !pre.is_some_and(|pre| pre.no_bos));
    let named = &definition.roles;
    let roles = Roles {
        bos: id("bos_token_id", named.bos, default_bos),
        eos: id("eos_token_id", named.eos, defaults.eos),
        eot: id("eot_token_id", named.eot, None),
        eom: id("eom_token_id", named.eom, None),
        unknown: id("unknown_token_id", named.unknown, defaults.unknown),
        separator: id("seperator_token_id", named.separator, defaults.separator),
        padding: id("padding_token_id", named.padding, defaults.padding),
        mask: id("mask_token_id", named.mask, defaults.mask),
    };
    let mut add_bos = definition
        .add_bos
        .unwrap_or(defaults.add_bos || pre.is_some_and(|pre| pre.add_bos));
    if pre.is_some_and(|pre| pre.always_bos) || kind.model == "bert" {
        add_bos = true;
    }
    let mut add_eos = definition.add_eos.unwrap_or(defaults.add_eos) && kind.model != "bert";
    if defaults.bare {
        (add_bos, add_eos) = (false, false);
    }
    for (add, id, name) in [(add_bos, roles.bos, "bos"), (add_eos, roles.eos, "eos")] {
        if add && id.is_none() {
            warnings.push(format!(
                "the vocabulary asks for tokenizer.ggml.add_{name}_token but has no such token"
            ));
        }
    }
    Settings {
        add_bos,
        add_eos,
        space_prefix: definition.add_space_prefix.unwrap_or(defaults.space_prefix),
        clean_spaces: pre.map_or(defaults.clean_spaces, |pre| pre.clean_spaces),
        ends_with_separator: defaults.ends_with_separator,
        roles,
    }
}
