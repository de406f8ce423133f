//! Special tokens: which there are, what part each plays, and finding them in a text.
//!
//! In: the vocabulary and the ids that the file names. Out: the roles (BOS, end of turn, ...), the set of tokens that end a
//! generation, corrections to the kinds of tokens that files are known to get wrong (a control token marked as plain
//! text would change ids), and the cutting of a text into special tokens and the fragments between them. The lists
//! of texts are llama.cpp's, the reference: which tokens are control tokens decides about token ids.

use super::load::{Definition, Roles};
use super::vocabulary::{Kind, NONE, Vocabulary};

const END_OF_TURN: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
const END_OF_MESSAGE: &[&str] = &["<|eom_id|>"];

/// Control tokens of fill-in-the-middle prompts: the metadata key's role, the texts, whether it ends a generation.
const FILL_IN_THE_MIDDLE: [(&str, &[&str], bool); 6] = [
    (
        "prefix",
        &[
            "<|fim_prefix|>",
            "<fim-prefix>",
            "<fim_prefix>",
            "<｜fim▁begin｜>",
            "<PRE>",
            "▁<PRE>",
            "<|code_prefix|>",
            "<|prefix|>",
        ],
        false,
    ),
    (
        "suffix",
        &[
            "<|fim_suffix|>",
            "<fim-suffix>",
            "<fim_suffix>",
            "<｜fim▁hole｜>",
            "<SUF>",
            "▁<SUF>",
            "<|code_suffix|>",
            "<|suffix|>",
        ],
        false,
    ),
    (
        "middle",
        &[
            "<|fim_middle|>",
            "<fim-middle>",
            "<fim_middle>",
            "<｜fim▁end｜>",
            "<MID>",
            "▁<MID>",
            "<|code_middle|>",
            "<|middle|>",
        ],
        false,
    ),
    (
        "pad",
        &["<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"],
        true,
    ),
    (
        "rep",
        &[
            "<|fim_repo|>",
            "<|repo_name|>",
            "<fim-repo>",
            "<REPO>",
            "<reponame>",
        ],
        true,
    ),
    ("sep", &["<|file_sep|>"], true),
];

/// Texts that end a generation wherever they are in a vocabulary.
const ENDS: &[&str] = &[
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
];

/// Tokens that structure a gpt-oss answer: shown, and matched in any text.
const STRUCTURE: &[&str] = &["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"];

/// Fills in the roles that the file leaves open, corrects kinds, and returns the sorted ids that end a generation.
pub(super) fn assign(
    definition: &Definition<'_>,
    vocabulary: &mut Vocabulary,
    roles: &mut Roles,
) -> Vec<u32> {
    let mut ends = Vec::new();
    roles.eot = roles.eot.or_else(|| first_control(vocabulary, END_OF_TURN));
    roles.eom = roles
        .eom
        .or_else(|| first_control(vocabulary, END_OF_MESSAGE));
    for (role, texts, is_end) in FILL_IN_THE_MIDDLE {
        let named = definition
            .fill_in_the_middle
            .iter()
            .find(|(name, _)| *name == role)
            .map(|&(_, id)| id);
        let named = named.filter(|&id| vocabulary.is_token(id));
        if let Some(id) = named.or_else(|| first_control(vocabulary, texts))
            && is_end
        {
            ends.push(id);
        }
    }
    for text in ENDS {
        if let Some(id) = present(vocabulary, text) {
            mark_control(vocabulary, id);
            ends.push(id);
        }
    }
    for text in STRUCTURE {
        if let Some(id) = present(vocabulary, text) {
            vocabulary.kinds[id as usize] = Kind::USER_DEFINED;
        }
    }
    ends.extend([roles.eos, roles.eot, roles.eom].into_iter().flatten());
    ends.sort_unstable();
    ends.dedup();
    let mut not_an_end = |text: &str, kind: Kind, vocabulary: &mut Vocabulary| {
        if let Some(id) = present(vocabulary, text)
            && let Ok(at) = ends.binary_search(&id)
        {
            ends.remove(at);
            vocabulary.kinds[id as usize] = kind;
        }
    };
    let has = |text: &str| present(vocabulary, text).is_some();
    // Where a vocabulary has these, <|end|> ends a message and not the answer.
    let calls = has("<|call|>") || has("<|calls|>");
    let harmony = calls && (has("<|return|>") || has("<|flush|>"));
    let tool_response = has("<|tool_response>");
    if harmony {
        not_an_end("<|end|>", Kind::USER_DEFINED, vocabulary);
    }
    // Gemma 4: </s> is HTML.
    if tool_response {
        not_an_end("</s>", Kind::NORMAL, vocabulary);
    }
    ends
}

fn present(vocabulary: &Vocabulary, text: &str) -> Option<u32> {
    Some(vocabulary.token(text.as_bytes())).filter(|&id| id != NONE)
}

fn first_control(vocabulary: &mut Vocabulary, texts: &[&str]) -> Option<u32> {
    let id = texts.iter().find_map(|text| present(vocabulary, text))?;
    mark_control(vocabulary, id);
    Some(id)
}

fn mark_control(vocabulary: &mut Vocabulary, id: u32) {
    let kind = &mut vocabulary.kinds[id as usize];
    *kind = kind.with(Kind::CONTROL);
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragment {
    /// Bytes of the text.
    Text(usize, usize),
    /// A special token.
    Token(u32),
}

/// Tokens that are only found in a text whose control tokens count.
const HIDDEN: Kind = Kind::CONTROL.with(Kind::UNKNOWN);

/// The special tokens of a vocabulary, ready to be searched for.
#[derive(Debug)]
pub(super) struct Specials {
    /// All of them, longest text first: where two overlap, the longer one is found.
    ids: Vec<u32>,
    /// For each first byte the lengths of the texts, longest first.
    lengths: Vec<Vec<u16>>,
    /// Which pairs of bytes a text starts with, as bits; a text of one byte has all pairs.
    starts: Vec<u64>,
    /// For each first byte how many texts there are: to be matched in every text, and with control tokens.
    counts: [[u32; 256]; 2],
    /// Tokens that take the white space before them.
    strip_left: Vec<u32>,
    /// Tokens that take the white space after them.
    strip_right: Vec<u32>,
}

impl Specials {
    pub(super) fn new(definition: &Definition<'_>, vocabulary: &Vocabulary) -> Specials {
        let special = HIDDEN.with(Kind::USER_DEFINED);
        let mut ids: Vec<u32> = (0..vocabulary.len() as u32)
            .filter(|&id| vocabulary.kind(id).is(special) && !vocabulary.text(id).is_empty())
            .collect();
        ids.sort_by_key(|&id| std::cmp::Reverse(vocabulary.text(id).len()));
        let mut lengths = vec![Vec::new(); 256];
        for &id in &ids {
            let text = vocabulary.text(id).as_bytes();
            let list: &mut Vec<u16> = &mut lengths[text[0] as usize];
            // A special token longer than 64 KiB is nonsense; it is never found.
            if let Ok(length) = u16::try_from(text.len())
                && list.last() != Some(&length)
            {
                list.push(length);
            }
        }
        let mut starts = vec![0u64; 65536 / 64];
        let mut counts = [[0; 256]; 2];
        for &id in &ids {
            let text = vocabulary.text(id).as_bytes();
            let first = usize::from(text[0]);
            counts[1][first] += 1;
            counts[0][first] += u32::from(!vocabulary.kind(id).is(HIDDEN));
            let seconds = text.get(1).map_or(0..256, |&second| {
                usize::from(second)..usize::from(second) + 1
            });
            for pair in seconds.map(|second| first * 256 + second) {
                starts[pair / 64] |= 1 << (pair % 64);
            }
        }
        let mut specials = Specials {
            ids,
            lengths,
            starts,
            counts,
            strip_left: Vec::new(),
            strip_right: Vec::new(),
        };
        // Files don't say which tokens strip white space; the models' names do.
        let token = |text: &str| present(vocabulary, text);
        let pre = definition.pre.unwrap_or("");
        let name = definition.name.to_lowercase();
        if ["jina-v2-de", "jina-v2-es", "jina-v2-code"]
            .iter()
            .any(|n| pre.contains(n))
            || ["nomic-bert-moe", "jina-bert-v3"]
                .iter()
                .any(|n| definition.architecture.contains(n))
        {
            specials.strip_left.extend(token("<mask>"));
        } else if name.contains("phi-3") || name.contains("phi3") {
            specials.strip_right = specials.ids.clone();
            specials.strip_right.extend(token("</s>"));
            let keep = ["<unk>", "<s>", "<|endoftext|>"].map(token);
            specials.strip_right.retain(|&id| !keep.contains(&Some(id)));
        } else if name.contains("modern-bert") {
            specials.strip_left.extend(token("[MASK]"));
        }
        specials.strip_right.sort_unstable();
        specials.strip_right.dedup();
        specials
    }

    /// Cuts a text at special tokens. Control and unknown tokens count only if `parse_special`, and never across a
    /// guarded place (sorted byte offsets strictly inside a match keep it from being one).
    pub(super) fn partition(
        &self,
        vocabulary: &Vocabulary,
        text: &str,
        parse_special: bool,
        guards: &[usize],
    ) -> Vec<Fragment> {
        let mut fragments = Vec::new();
        if !text.is_empty() {
            fragments.push(Fragment::Text(0, text.len()));
        }
        for id in self.occurring(vocabulary, text, parse_special) {
            let needle = vocabulary.text(id);
            let guards = if vocabulary.kind(id).is(Kind::CONTROL.with(Kind::UNKNOWN)) {
                guards
            } else {
                &[]
            };
            let left = self.strip_left.contains(&id);
            let right = self.strip_right.binary_search(&id).is_ok();
            let mut cut = Vec::with_capacity(fragments.len() + 2);
            for fragment in fragments {
                let Fragment::Text(mut start, end) = fragment else {
                    cut.push(fragment);
                    continue;
                };
                let mut from = start;
                while let Some(at) = text[from..end].find(needle).map(|found| from + found) {
                    let after = at + needle.len();
                    let first_guard = guards.partition_point(|&guard| guard <= at);
                    if guards.get(first_guard).is_some_and(|&guard| guard < after) {
                        from = at + text[at..].chars().next().map_or(1, char::len_utf8);
                        continue;
                    }
                    let mut before = at;
                    while left && before > start && is_space(text.as_bytes()[before - 1]) {
                        before -= 1;
                    }
                    if before > start {
                        cut.push(Fragment::Text(start, before));
                    }
                    cut.push(Fragment::Token(id));
                    start = after;
                    while right && start < end && is_space(text.as_bytes()[start]) {
                        start += 1;
                    }
                    from = start;
                }
                if start < end {
                    cut.push(Fragment::Text(start, end));
                }
            }
            fragments = cut;
        }
        fragments
    }

    /// The special tokens that are in a text at all, in the order in which they are to be cut out.
    fn occurring(&self, vocabulary: &Vocabulary, text: &str, parse_special: bool) -> Vec<u32> {
        let bytes = text.as_bytes();
        let mut found: Vec<u32> = Vec::new();
        let mut left = self.counts[usize::from(parse_special)];
        for (at, &byte) in bytes.iter().enumerate() {
            let first = usize::from(byte);
            if left[first] == 0 {
                continue; // none, or all of them seen already
            }
            let pair = first * 256 + usize::from(bytes.get(at + 1).copied().unwrap_or(0));
            if self.starts[pair / 64] >> (pair % 64) & 1 == 0 && at + 1 < bytes.len() {
                continue;
            }
            for &length in &self.lengths[first] {
                let Some(candidate) = bytes.get(at..at + usize::from(length)) else {
                    continue;
                };
                let id = vocabulary.token(candidate);
                let kind = vocabulary.kind(id);
                let counts =
                    kind.is(HIDDEN.with(Kind::USER_DEFINED)) && (parse_special || !kind.is(HIDDEN));
                if counts && !found.contains(&id) {
                    found.push(id);
                    left[first] -= 1;
                }
            }
        }
        // The order of `ids`: longest first, then by id.
        found.sort_by_key(|&id| (std::cmp::Reverse(vocabulary.text(id).len()), id));
        found
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
