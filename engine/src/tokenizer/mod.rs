//! Tokenizers: text to token ids and back, exactly as the model was trained with them.
//!
//! In: the vocabulary and its settings from a file's metadata (`tokenizer.ggml.*`), then texts. Out: ids, pieces,
//! whole texts. A text is first cut at special tokens, then each fragment goes through the vocabulary's algorithm, one
//! of [`TOKENIZERS`]. llama.cpp is the reference for every id, also where it departs from the publisher's tokenizer.

use std::borrow::Cow;

use crate::Error;

mod bpe;
mod clean;
mod hybrid_dna;
mod kinds;
mod load;
mod merge;
mod pattern;
mod pattern_syntax;
mod plamo2;
mod pretok;
mod queue;
mod rwkv;
mod settings;
mod special;
mod splitter;
mod spm;
mod stream;
mod trie;
mod unicode;
mod unicode_table;
mod unigram;
mod vocabulary;
mod whitespace;
mod wordpiece;
mod words;

pub use kinds::{TOKENIZERS, TokenizerKind};
pub use load::{Definition, Roles};
use settings::Settings;
use special::{Fragment, Specials};
pub use stream::DetokStream;
use vocabulary::{Kind, Vocabulary};

/// Bytes of text that are encoded in one go; every space may become three bytes on the way.
const LONGEST: usize = 1 << 30;

/// How a fragment of text without special tokens becomes ids.
trait Algorithm: Send + Sync + std::fmt::Debug {
    /// Appends the ids of a fragment. `after_special`: it is at the start of the text or follows a special token.
    fn encode(&self, vocabulary: &Vocabulary, text: &str, after_special: bool, out: &mut Vec<u32>);
    /// How the vocabulary's texts are written.
    fn spelling(&self) -> Spelling;
    /// What a token's text is without what only the file needs.
    fn shown<'a>(&self, _id: u32, text: &'a str) -> &'a str {
        text
    }
    /// Whether a text that spells a control token becomes that token here, too.
    fn spells_control_tokens(&self) -> bool {
        false
    }
}

/// How the texts of ordinary tokens are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    /// UTF-8 with `▁` for a space.
    Escaped,
    /// GPT-2's letters, one for each byte.
    ByteLetters,
    /// Bytes as Python writes them, of tokens of all kinds.
    PythonBytes,
    /// UTF-8 as it is, of tokens of all kinds but bytes.
    Verbatim,
}

/// The names that `tokenizer.ggml.pre` may have, those that mean the same together.
pub fn pre_tokenizer_names() -> impl Iterator<Item = &'static [&'static str]> {
    pretok::PRE_TOKENIZERS.iter().map(|entry| entry.names)
}

/// A vocabulary that turns text into token ids and back. Shared by reference between threads.
///
/// ```
/// use gristmill_engine::tokenizer::{Definition, Tokenizer};
///
/// let tokenizer = Tokenizer::new(&Definition {
///     model: "gpt2",
///     pre: Some("gpt-2"),
///     tokens: vec!["a", "b", "ab", "Ġ"],
///     merges: vec!["a b"],
///     ..Definition::default()
/// })?;
/// assert_eq!(tokenizer.encode("ab ba", false, false), [2, 3, 1, 0]);
/// assert_eq!(tokenizer.decode(&[2, 3, 1, 0], false), b"ab ba");
/// # Ok::<(), gristmill_engine::Error>(())
/// ```
#[derive(Debug)]
pub struct Tokenizer {
    model: &'static str,
    pre: Option<String>,
    vocabulary: Vocabulary,
    algorithm: Box<dyn Algorithm>,
    settings: Settings,
    specials: Specials,
    ends: Vec<u32>,
    warnings: Vec<String>,
}

impl Tokenizer {
    /// Makes the tokenizer of a model file.
    pub fn from_metadata(metadata: &gristmill_gguf::Metadata) -> Result<Tokenizer, Error> {
        Tokenizer::new(&Definition::from_metadata(metadata)?)
    }

    /// Makes a tokenizer of what a file says about its vocabulary.
    pub fn new(definition: &Definition<'_>) -> Result<Tokenizer, Error> {
        if matches!(definition.model, "none" | "no_vocab") {
            return Err(Error::Unsupported(
                "the file has no vocabulary (tokenizer.ggml.model is 'none'): the model can only be run on token ids"
                    .into(),
            ));
        }
        let kind = TOKENIZERS.iter().find(|kind| kind.model == definition.model).ok_or_else(|| {
            let known: Vec<&str> = TOKENIZERS.iter().map(|kind| kind.model).collect();
            Error::Unsupported(format!(
                "tokenizer.ggml.model is '{}', a kind of tokenizer that gristmill does not know (known: {}); \
                 the model can still be run on token ids",
                definition.model,
                known.join(", ")
            ))
        })?;
        let mut warnings = Vec::new();
        let mut vocabulary = definition.vocabulary(&mut warnings)?;
        let mut settings = kinds::settings(kind, definition, &vocabulary, &mut warnings);
        let algorithm = (kind.build)(definition, &mut vocabulary, &mut settings)?;
        let ends = special::assign(definition, &mut vocabulary, &mut settings.roles);
        let specials = Specials::new(definition, &vocabulary);
        let pre = definition.pre.map(str::to_owned);
        Ok(Tokenizer {
            model: kind.model,
            pre,
            vocabulary,
            algorithm,
            settings,
            specials,
            ends,
            warnings,
        })
    }

    /// The ids of a text. `add_special`: with BOS, EOS or the like, as far as the vocabulary is set up for them.
    /// `parse_special`: control tokens written in the text become those tokens; else they are text like any other.
    pub fn encode(&self, text: &str, add_special: bool, parse_special: bool) -> Vec<u32> {
        self.encode_parts(text, &[], add_special, parse_special)
    }

    /// As [`encode`](Self::encode) with `parse_special`, but a control token whose text has a `guard` character
    /// inside is text. The guards themselves are no part of the text. For prompts that contain what a user typed.
    pub fn encode_guarded(&self, text: &str, guard: char, add_special: bool) -> Vec<u32> {
        let mut clean = String::with_capacity(text.len());
        let mut guards = Vec::new();
        for piece in text.split(guard) {
            clean.push_str(piece);
            guards.push(clean.len());
        }
        guards.pop(); // the end of the text
        self.encode_parts(&clean, &guards, add_special, true)
    }

    fn encode_parts(
        &self,
        text: &str,
        guards: &[usize],
        add_special: bool,
        parse_special: bool,
    ) -> Vec<u32> {
        let settings = &self.settings;
        let mut out = Vec::with_capacity(text.len() / 3 + 2);
        if add_special && settings.add_bos {
            out.extend(settings.roles.bos);
        }
        // Where control tokens are found in texts, a guard keeps them apart.
        let all_guards = guards;
        let guards = if self.algorithm.spells_control_tokens() {
            guards
        } else {
            &[]
        };
        let cut = |start: usize, most: usize| -> usize {
            let next = guards.partition_point(|&guard| guard <= start);
            guards.get(next).map_or(most, |&guard| guard.min(most))
        };
        let mut after_special = true;
        for fragment in self
            .specials
            .partition(&self.vocabulary, text, parse_special, all_guards)
        {
            match fragment {
                Fragment::Token(id) => out.push(id),
                Fragment::Text(mut start, end) => {
                    // Positions are 32 bits wide inside: what is longer is taken in pieces.
                    while start < end {
                        let most = end.min(start + LONGEST);
                        let stop = text.floor_char_boundary(cut(start, most));
                        self.algorithm.encode(
                            &self.vocabulary,
                            &text[start..stop],
                            after_special,
                            &mut out,
                        );
                        (start, after_special) = (stop, false);
                    }
                }
            }
            after_special = matches!(fragment, Fragment::Token(_));
        }
        if add_special && settings.add_eos {
            out.extend(settings.roles.eos);
        }
        if add_special && settings.ends_with_separator {
            out.extend(settings.roles.separator);
        }
        out
    }

    /// The text of ids as a whole, as bytes: a vocabulary can spell what is not UTF-8. `unparse_special`: control
    /// tokens are written out. The space that an SPM vocabulary puts in front is taken away, and vocabularies that
    /// ask for it lose the space before punctuation and some contractions.
    pub fn decode(&self, ids: &[u32], unparse_special: bool) -> Vec<u8> {
        let mut text = Vec::with_capacity(ids.len() * 4);
        for (index, &id) in ids.iter().enumerate() {
            let piece = self.piece(id, unparse_special);
            let strip = index == 0 && self.settings.space_prefix;
            text.extend_from_slice(if strip {
                piece.strip_prefix(b" ").unwrap_or(&piece)
            } else {
                &piece
            });
        }
        if self.settings.clean_spaces {
            clean::spaces(text)
        } else {
            text
        }
    }

    /// The bytes that one token stands for; nothing for a control token unless `show_special`, nor for an id
    /// outside of the vocabulary.
    pub fn piece(&self, id: u32, show_special: bool) -> Cow<'_, [u8]> {
        let kind = self.vocabulary.kind(id);
        let text = self.algorithm.shown(id, self.text(id));
        if kind.is(Kind::CONTROL.with(Kind::UNKNOWN)) {
            return Cow::Borrowed(if show_special { text.as_bytes() } else { b"" });
        }
        let spelling = self.algorithm.spelling();
        match spelling {
            Spelling::PythonBytes => return Cow::Owned(rwkv::unescape(text)),
            Spelling::Verbatim if !kind.is(Kind::BYTE) => return Cow::Borrowed(text.as_bytes()),
            _ => {}
        }
        if kind.is(Kind::USER_DEFINED) {
            return Cow::Borrowed(text.as_bytes());
        }
        if kind.is(Kind::NORMAL) {
            return match spelling {
                Spelling::Escaped if text.contains(words::SPACE) => {
                    Cow::Owned(text.replace(words::SPACE, " ").into_bytes())
                }
                Spelling::Escaped | Spelling::PythonBytes | Spelling::Verbatim => {
                    Cow::Borrowed(text.as_bytes())
                }
                Spelling::ByteLetters => Cow::Owned(from_letters(text)),
            };
        }
        if kind.is(Kind::BYTE) {
            let hex = text
                .get(3..5)
                .and_then(|hex| u8::from_str_radix(hex, 16).ok());
            return hex.map_or(Cow::Borrowed(b""), |byte| Cow::Owned(vec![byte]));
        }
        Cow::Borrowed(b"")
    }

    /// A stream that turns tokens into whole characters one by one.
    pub fn stream(&self, show_special: bool) -> DetokStream<'_> {
        DetokStream::new(self, show_special)
    }

    /// The value of `tokenizer.ggml.model`.
    pub fn kind(&self) -> &'static str {
        self.model
    }

    /// The value of `tokenizer.ggml.pre`, if the file has one.
    pub fn pre_tokenizer(&self) -> Option<&str> {
        self.pre.as_deref()
    }

    /// What is doubtful about this vocabulary, for a person to read: one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there are no tokens at all.
    pub fn is_empty(&self) -> bool {
        self.vocabulary.len() == 0
    }

    /// The text of a token as the vocabulary writes it; empty for an id outside of it.
    pub fn text(&self, id: u32) -> &str {
        if self.vocabulary.is_token(id) {
            self.vocabulary.text(id)
        } else {
            ""
        }
    }

    /// The token with that text as the vocabulary writes it, special or not.
    pub fn token(&self, text: &str) -> Option<u32> {
        Some(self.vocabulary.token(text.as_bytes())).filter(|&id| id != vocabulary::NONE)
    }

    /// The score of a token; 0 in vocabularies without.
    pub fn score(&self, id: u32) -> f32 {
        self.vocabulary.score(id)
    }

    /// Whether a token is a control token: never part of ordinary text.
    pub fn is_control(&self, id: u32) -> bool {
        self.vocabulary.kind(id).is(Kind::CONTROL)
    }

    /// Whether a token ends a generation: end of text, of turn, of message.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The tokens that end a generation, sorted.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Beginning of text (for BERT: CLS).
    pub fn bos(&self) -> Option<u32> {
        self.settings.roles.bos
    }

    /// End of text.
    pub fn eos(&self) -> Option<u32> {
        self.settings.roles.eos
    }

    /// End of turn.
    pub fn eot(&self) -> Option<u32> {
        self.settings.roles.eot
    }

    /// End of message.
    pub fn eom(&self) -> Option<u32> {
        self.settings.roles.eom
    }

    /// What stands for text without tokens.
    pub fn unknown(&self) -> Option<u32> {
        self.settings.roles.unknown
    }

    /// Separator.
    pub fn separator(&self) -> Option<u32> {
        self.settings.roles.separator
    }

    /// Padding.
    pub fn pad(&self) -> Option<u32> {
        self.settings.roles.padding
    }

    /// Mask, of vocabularies for masked language models.
    pub fn mask(&self) -> Option<u32> {
        self.settings.roles.mask
    }

    /// Whether [`encode`](Self::encode) with `add_special` puts BOS in front.
    pub fn adds_bos(&self) -> bool {
        self.settings.add_bos
    }

    /// Whether [`encode`](Self::encode) with `add_special` puts EOS at the end.
    pub fn adds_eos(&self) -> bool {
        self.settings.add_eos
    }
}

/// The bytes behind GPT-2's letters. A character that is none of them stands for itself.
fn from_letters(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match bpe::byte(c) {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}
