//! DRY, "don't repeat yourself" (p-e-w, text-generation-webui pull request 5677, 2024): if the end of the text has
//! appeared before, the token that followed it then is punished by multiplier · base^(length - allowed length), where
//! length counts the tokens of the longest such repetition. A repetition doesn't reach back across a sequence breaker.

use std::collections::HashMap;

use super::{Candidates, Random, Role, Sampler, SamplerKind};
use crate::Error;

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "dry",
    aliases: &[],
    help: "makes it less likely to continue a sequence as it went before",
    role: Role::Ordered,
    build: |options, setup| {
        if options.dry_multiplier == 0.0
            || options.dry_base < 1.0
            || options.dry_penalty_last_n == 0
        {
            return Ok(None);
        }
        let breakers: Vec<Vec<u8>> = options
            .dry_sequence_breakers
            .iter()
            .map(|text| text.clone().into_bytes())
            .collect();
        let mut pieces = Vec::new();
        if !breakers.is_empty() {
            let piece = setup.piece.ok_or_else(|| {
                Error::Option(
                    "DRY's sequence breakers need a tokenizer, and this model has none; give none"
                        .to_owned(),
                )
            })?;
            pieces = (0..setup.vocab_size as u32)
                .map(|id| piece(id).into_boxed_slice())
                .collect();
        }
        Ok(Some(Box::new(Dry {
            multiplier: options.dry_multiplier,
            base: options.dry_base,
            allowed_length: options.dry_allowed_length,
            last_n: usize::try_from(options.dry_penalty_last_n).unwrap_or(usize::MAX),
            tail_length: breakers
                .iter()
                .map(Vec::len)
                .max()
                .unwrap_or(0)
                .saturating_sub(1),
            breakers,
            pieces,
            history: Vec::new(),
            since_break: 0,
            tail: Vec::new(),
            matches: Vec::new(),
            longest: HashMap::new(),
        })))
    },
};

struct Dry {
    multiplier: f32,
    base: f32,
    allowed_length: usize,
    last_n: usize,
    breakers: Vec<Vec<u8>>,
    /// The texts of all tokens, where there are breakers.
    pieces: Vec<Box<[u8]>>,
    history: Vec<u32>,
    /// Tokens since the one that ended the last breaker.
    since_break: usize,
    /// The last bytes of the text: a breaker may begin in one token and end in another.
    tail: Vec<u8>,
    tail_length: usize,
    /// Scratch: for each distance back from the end, how many tokens agree with the end of the text.
    matches: Vec<usize>,
    /// Scratch: the longest repetition that each token would continue.
    longest: HashMap<u32, usize>,
}

impl Sampler for Dry {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        let text = &self.history[self.history.len() - self.history.len().min(self.last_n)..];
        let limit = self.since_break.min(text.len());
        if limit < self.allowed_length.max(1) {
            return;
        }
        repetitions(text, limit, &mut self.matches);
        self.longest.clear();
        for (distance, &length) in self.matches.iter().enumerate().skip(1) {
            if length >= self.allowed_length.max(1) {
                // The token that came after the earlier appearance.
                let entry = self.longest.entry(text[text.len() - distance]).or_insert(0);
                *entry = (*entry).max(length);
            }
        }
        for (&id, &length) in &self.longest {
            let exponent = (length - self.allowed_length.min(length)) as f32;
            let penalty = (self.multiplier * self.base.powf(exponent)).min(f32::MAX);
            candidates.change(id, |logit| logit - penalty);
        }
    }

    fn accept(&mut self, id: u32) {
        self.history.push(id);
        self.since_break += 1;
        let Some(piece) = self.pieces.get(id as usize) else {
            return;
        };
        let before = self.tail.len();
        self.tail.extend_from_slice(piece);
        let ends_here = |breaker: &[u8]| {
            // A breaker counts if its last byte is in this token.
            let from = (before + 1).saturating_sub(breaker.len());
            self.tail[from..]
                .windows(breaker.len())
                .any(|bytes| bytes == breaker)
        };
        if self.breakers.iter().any(|breaker| ends_here(breaker)) {
            self.since_break = 0;
        }
        let excess = self.tail.len().saturating_sub(self.tail_length);
        self.tail.drain(..excess);
    }

    fn reset(&mut self) {
        self.history.clear();
        self.tail.clear();
        self.since_break = 0;
    }
}

/// For each distance d, how many tokens (at most `limit`) up to d before the end equal those up to the end. This is the
/// Z-function of the text read backwards, in linear time.
fn repetitions(text: &[u32], limit: usize, matches: &mut Vec<usize>) {
    let n = text.len();
    let back = |i: usize| text[n - 1 - i];
    matches.clear();
    matches.resize(n, 0);
    // [left, right) is the stretch furthest back that is known to equal the end of the text.
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        let mut length = if i < right {
            matches[i - left].min(right - i)
        } else {
            0
        };
        while length < limit && i + length < n && back(length) == back(i + length) {
            length += 1;
        }
        matches[i] = length;
        if i + length > right {
            (left, right) = (i, i + length);
        }
    }
}
