//! What a sequence holds: its tokens, rows that were fed in place of some, and where those are for rotations.

use crate::layers::Input;
use crate::sequence::ROW;

/// The tokens of a sequence.
#[derive(Debug, Clone, Default)]
pub(super) struct Text {
    pub(super) serial: u64,
    /// Those that were fed, with [`ROW`] for rows.
    pub(super) tokens: Vec<u32>,
    /// The rows among them, where recurrent layers may have to read them again.
    pub(super) rows: Vec<f32>,
    /// Those that were fed with positions, in their order.
    pub(super) placed: Vec<Placed>,
    /// How many of the last ones are guesses.
    pub(super) guesses: usize,
}

/// A row that was fed with a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Its number in the sequence.
    pub(super) index: usize,
    /// Its position.
    pub(super) parts: [u32; 4],
    /// The position of text that follows it.
    pub(super) next: usize,
}

impl Text {
    /// The position of number `index` for rotations, which is one of what is held or of text that follows.
    pub(super) fn parts(&self, index: usize) -> [usize; 4] {
        let before = self.placed.partition_point(|placed| placed.index <= index);
        match self.placed[..before].last() {
            None => [index; 4],
            Some(last) if last.index == index => last.parts.map(|part| part as usize),
            Some(last) => [last.next + (index - last.index - 1); 4],
        }
    }

    /// The position of text that follows.
    pub(super) fn next(&self) -> usize {
        self.parts(self.tokens.len())[0]
    }

    /// Gives the row of number `index`, which is behind all others with a position, its own.
    pub(super) fn place(&mut self, index: usize, parts: [u32; 4]) {
        let [mut next, ..] = self.parts(index);
        for part in parts {
            next = next.max(part as usize + 1);
        }
        self.placed.push(Placed { index, parts, next });
    }

    /// Number of rows among the first `tokens`.
    pub(super) fn rows_before(&self, tokens: usize) -> usize {
        let rows = self.tokens[..tokens].iter();
        rows.filter(|&&id| id == ROW).count()
    }

    /// Takes in what was fed, `len` tokens or rows.
    pub(super) fn extend(&mut self, (input, len): (Input<'_>, usize), keeps_rows: bool) {
        match input {
            Input::Tokens(ids) => self.tokens.extend(ids),
            Input::Rows(values) | Input::Placed { rows: values, .. } => {
                let first = self.tokens.len();
                self.tokens.resize(first + len, ROW);
                if let Input::Placed { positions, .. } = input {
                    let rows = (first..).zip(positions);
                    rows.for_each(|(index, &parts)| self.place(index, parts));
                }
                if keeps_rows {
                    self.rows.extend(values);
                }
            }
        }
    }
}
