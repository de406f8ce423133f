//! What a file says about its vocabulary: the metadata keys `tokenizer.ggml.*`, checked, in plain slices.

use std::borrow::Cow;

use gristmill_gguf::{KeyError, Metadata};

use super::vocabulary::{Kind, Vocabulary};
use crate::Error;

/// Ids with a part to play, where a file or its vocabulary has them.
#[derive(Debug, Clone, Default)]
pub struct Roles {
    /// `tokenizer.ggml.bos_token_id` (for BERT: `cls_token_id` where that is absent).
    pub bos: Option<u32>,
    /// `tokenizer.ggml.eos_token_id`.
    pub eos: Option<u32>,
    /// `tokenizer.ggml.eot_token_id`.
    pub eot: Option<u32>,
    /// `tokenizer.ggml.eom_token_id`.
    pub eom: Option<u32>,
    /// `tokenizer.ggml.unknown_token_id`.
    pub unknown: Option<u32>,
    /// `tokenizer.ggml.seperator_token_id` (spelt like this in files).
    pub separator: Option<u32>,
    /// `tokenizer.ggml.padding_token_id`.
    pub padding: Option<u32>,
    /// `tokenizer.ggml.mask_token_id`.
    pub mask: Option<u32>,
}

/// A vocabulary as a file describes it. Only `model` and `tokens` must be there.
#[derive(Debug, Clone, Default)]
pub struct Definition<'a> {
    /// `tokenizer.ggml.model`.
    pub model: &'a str,
    /// `tokenizer.ggml.pre`.
    pub pre: Option<&'a str>,
    /// `tokenizer.ggml.tokens`.
    pub tokens: Vec<&'a str>,
    /// `tokenizer.ggml.scores`; empty if absent.
    pub scores: Cow<'a, [f32]>,
    /// `tokenizer.ggml.token_type`; empty if absent.
    pub token_types: Cow<'a, [i32]>,
    /// `tokenizer.ggml.merges`; empty if absent.
    pub merges: Vec<&'a str>,
    /// `general.name`.
    pub name: &'a str,
    /// `general.architecture`.
    pub architecture: &'a str,
    /// Ids with a part to play.
    pub roles: Roles,
    /// `tokenizer.ggml.fim_{pre,suf,mid,pad,rep,sep}_token_id`, by role: prefix, suffix, middle, pad, rep, sep.
    pub fill_in_the_middle: Vec<(&'static str, u32)>,
    /// `tokenizer.ggml.add_bos_token`.
    pub add_bos: Option<bool>,
    /// `tokenizer.ggml.add_eos_token`.
    pub add_eos: Option<bool>,
    /// `tokenizer.ggml.add_space_prefix`.
    pub add_space_prefix: Option<bool>,
    /// `tokenizer.ggml.remove_extra_whitespaces`.
    pub remove_extra_whitespaces: Option<bool>,
    /// `tokenizer.ggml.precompiled_charsmap`; empty if absent.
    pub character_map: Cow<'a, [u8]>,
    /// `tokenizer.ggml.normalizer.lowercase`.
    pub lowercase: Option<bool>,
    /// `tokenizer.ggml.normalizer.strip_accents`.
    pub strip_accents: Option<bool>,
}

/// Scores, which some files have as whole numbers.
fn scores(metadata: &Metadata) -> Result<Cow<'_, [f32]>, KeyError> {
    let key = "tokenizer.ggml.scores";
    let error = match metadata.opt_f32s(key) {
        Ok(scores) => return Ok(scores.unwrap_or_default()),
        Err(error) => error,
    };
    let whole = metadata.opt_i32s(key).map_err(|_| error)?;
    let whole = whole.unwrap_or_default();
    Ok(whole.iter().map(|&score| score as f32).collect())
}

impl<'a> Definition<'a> {
    /// Reads the keys of a file.
    pub fn from_metadata(metadata: &'a Metadata) -> Result<Definition<'a>, Error> {
        let id = |name: &str| metadata.opt_u32(&format!("tokenizer.ggml.{name}_token_id"));
        let flag = |name: &str| metadata.opt_bool(&format!("tokenizer.ggml.{name}"));
        let texts = |name: &str| -> Result<Vec<&'a str>, KeyError> {
            let texts = metadata.opt_strings(&format!("tokenizer.ggml.{name}"))?;
            Ok(texts
                .map(|texts| texts.iter().collect())
                .unwrap_or_default())
        };
        let mut fill_in_the_middle = Vec::new();
        for (role, older) in [
            ("prefix", Some("prefix")),
            ("suffix", Some("suffix")),
            ("middle", Some("middle")),
            ("pad", None),
            ("rep", None),
            ("sep", None),
        ] {
            let short = if older.is_some() { &role[..3] } else { role };
            let newer = id(&format!("fim_{short}"))?;
            let named = match older {
                Some(older) if newer.is_none() => id(older)?,
                _ => newer,
            };
            fill_in_the_middle.extend(named.map(|id| (role, id)));
        }
        Ok(Definition {
            model: metadata.string("tokenizer.ggml.model")?,
            pre: metadata.opt_string("tokenizer.ggml.pre")?,
            tokens: texts("tokens")?,
            scores: scores(metadata)?,
            token_types: metadata
                .opt_i32s("tokenizer.ggml.token_type")?
                .unwrap_or_default(),
            merges: texts("merges")?,
            name: metadata.shown("general.name").unwrap_or_default(),
            architecture: metadata.string_or("general.architecture", "")?,
            roles: Roles {
                bos: id("bos")?.or(id("cls")?),
                eos: id("eos")?,
                eot: id("eot")?,
                eom: id("eom")?,
                unknown: id("unknown")?,
                separator: id("seperator")?,
                padding: id("padding")?,
                mask: id("mask")?,
            },
            fill_in_the_middle,
            add_bos: flag("add_bos_token")?,
            add_eos: flag("add_eos_token")?,
            add_space_prefix: flag("add_space_prefix")?,
            remove_extra_whitespaces: flag("remove_extra_whitespaces")?,
            character_map: metadata
                .opt_u8s("tokenizer.ggml.precompiled_charsmap")?
                .unwrap_or_default(),
            lowercase: flag("normalizer.lowercase")?,
            strip_accents: flag("normalizer.strip_accents")?,
        })
    }

    /// The vocabulary proper, with a warning for what is odd about it.
    pub(super) fn vocabulary(&self, warnings: &mut Vec<String>) -> Result<Vocabulary, Error> {
        let error = |key: &str, problem: String| Error::Metadata {
            key: format!("tokenizer.ggml.{key}"),
            problem,
        };
        let count = self.tokens.len();
        if count == 0 {
            return Err(error(
                "tokens",
                "missing or empty, so there is no vocabulary".into(),
            ));
        }
        let bytes = self
            .tokens
            .iter()
            .chain(&self.merges)
            .map(|text| text.len())
            .sum::<usize>();
        if count + self.merges.len() > i32::MAX as usize || bytes > i32::MAX as usize {
            return Err(error(
                "tokens",
                format!("{count} tokens with {bytes} bytes are more than a vocabulary may have"),
            ));
        }
        for (key, length) in [
            ("scores", self.scores.len()),
            ("token_type", self.token_types.len()),
        ] {
            if length != 0 && length < count {
                return Err(error(
                    key,
                    format!("has {length} entries for {count} tokens"),
                ));
            }
        }
        let mut vocabulary = Vocabulary::with_capacity(count);
        let (mut empty, mut twice) = (None, None);
        for (id, text) in self.tokens.iter().enumerate() {
            let inserted = if text.is_empty() {
                empty = empty.or(Some(id));
                vocabulary.push(&format!("[EMPTY_{id}]"))
            } else {
                vocabulary.push(text)
            };
            if let Err(first) = inserted {
                twice = twice.or(Some((id, first)));
            }
        }
        if let Some(id) = empty {
            warnings.push(format!("token {id} (and maybe others) has an empty text"));
        }
        if let Some((id, first)) = twice {
            let text = self.tokens[id];
            warnings.push(format!(
                "{} tokens have the text of another one, the first of them {id} that of {first} ({text:?}): they are \
                 never produced",
                vocabulary.duplicates()
            ));
        }
        vocabulary.seal();
        vocabulary.kinds = match self.token_types.get(..count) {
            Some(types) => types.iter().map(|&value| Kind::from_file(value)).collect(),
            None => vec![Kind::NORMAL; count],
        };
        vocabulary.scores = self.scores.get(..count).unwrap_or(&[]).to_vec();
        Ok(vocabulary)
    }
}
