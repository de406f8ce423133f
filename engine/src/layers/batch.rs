//! What goes through a model in a pass: tokens of one or several sequences, or rows in place of tokens.

use super::{Row, Run};

/// What is fed to a sequence.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Token ids.
    Tokens(&'a [u32]),
    /// Rows in place of those that the table of token embeddings has: of an image, of a soft prompt. One after the other, each of
    /// the width of the model (`embedding_length`), all values finite.
    ///
    /// What an architecture does to token embeddings is done to them where llama.cpp does it, too: Granite, MiniCPM, Grok
    /// and AFMoE multiply both by their factor, Gemma only tokens. Gemma 3n and 4 with inputs for each layer have none for
    /// rows, and refuse them. Qwen 3-VL's further rows for the first layers (DeepStack) can't be given.
    Rows(&'a [f32]),
    /// Rows with a position each, of several parts: time, height, width and an extra one, 0 where a model has none (M-RoPE,
    /// arXiv:2409.12191). For models that rotate heads by sections (`rope.dimension_sections`: Qwen 2-VL, 3-VL and 3.5,
    /// PaddleOCR-VL, Hunyuan VL, GLM 4 with pictures). A row sees what is before it in the sequence, wherever its position
    /// is. Text that follows goes on behind the largest of all parts so far.
    Placed {
        /// The rows, see [`Rows`](Self::Rows).
        rows: &'a [f32],
        /// A position for each of them.
        positions: &'a [[u32; 4]],
    },
}

impl<'a> Input<'a> {
    /// Number of tokens, or of rows of this width.
    pub(crate) fn len(self, width: usize) -> usize {
        match self {
            Input::Tokens(ids) => ids.len(),
            Input::Rows(rows) | Input::Placed { rows, .. } => rows.len() / width,
        }
    }

    /// The same in parts of up to `most` tokens or rows.
    pub(crate) fn parts(self, most: usize, width: usize) -> impl Iterator<Item = Input<'a>> {
        let len = self.len(width);
        (0..len).step_by(most).map(move |first| {
            let end = len.min(first + most);
            match self {
                Input::Tokens(ids) => Input::Tokens(&ids[first..end]),
                Input::Rows(values) => Input::Rows(&values[first * width..end * width]),
                Input::Placed { rows, positions } => Input::Placed {
                    rows: &rows[first * width..end * width],
                    positions: &positions[first..end],
                },
            }
        })
    }
}

impl<'a> From<&'a [u32]> for Input<'a> {
    fn from(ids: &'a [u32]) -> Self {
        Input::Tokens(ids)
    }
}

impl<'a> From<&'a Vec<u32>> for Input<'a> {
    fn from(ids: &'a Vec<u32>) -> Self {
        Input::Tokens(ids)
    }
}

impl<'a, const N: usize> From<&'a [u32; N]> for Input<'a> {
    fn from(ids: &'a [u32; N]) -> Self {
        Input::Tokens(ids)
    }
}

/// The tokens of a pass, and which of them are wanted.
#[derive(Debug, Default)]
pub struct Batch {
    /// The tokens; of rows that are fed in place of tokens, any.
    pub ids: Vec<u32>,
    /// Which of them rows are fed for.
    pub(super) given: Vec<usize>,
    /// These rows.
    pub(super) rows: Vec<f32>,
    /// All of them.
    pub all: Selection,
    /// Those whose hidden states are asked for.
    pub wanted: Selection,
}

/// Some tokens of a pass, by sequence.
#[derive(Debug, Default)]
pub struct Selection {
    /// Each of them.
    pub rows: Vec<Row>,
    /// Their sequences; the rows of each are at consecutive positions.
    pub runs: Vec<Run>,
}

impl Batch {
    /// An empty one, which takes up to `rows` rows of up to `runs` sequences without taking more memory.
    pub fn new(rows: usize, runs: usize) -> Self {
        let part = || Selection {
            rows: Vec::with_capacity(rows),
            runs: Vec::with_capacity(runs),
        };
        Self {
            ids: Vec::with_capacity(rows),
            given: Vec::new(),
            rows: Vec::new(),
            all: part(),
            wanted: part(),
        }
    }

    /// Takes all tokens out.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.given.clear();
        self.rows.clear();
        for part in [&mut self.all, &mut self.wanted] {
            part.rows.clear();
            part.runs.clear();
        }
    }

    /// Adds `len` tokens of a sequence that has none in it so far, at `first` and the positions after it. Those from number
    /// `wanted` on are wanted. `parts` says by number which position each has for rotations.
    pub fn push(
        &mut self,
        sequence: usize,
        first: usize,
        (input, len): (Input<'_>, usize),
        wanted: usize,
        parts: impl Fn(usize) -> [usize; 4],
    ) {
        let index = self.ids.len();
        match input {
            Input::Tokens(ids) => self.ids.extend_from_slice(ids),
            Input::Rows(values) | Input::Placed { rows: values, .. } => {
                self.ids.resize(index + len, 0);
                self.given.extend(index..index + len);
                self.rows.extend_from_slice(values);
            }
        }
        for (part, skipped) in [(&mut self.all, 0), (&mut self.wanted, wanted)] {
            if skipped < len {
                part.runs.push(Run {
                    sequence,
                    row: part.rows.len(),
                    n: len - skipped,
                    first: first + skipped,
                });
                part.rows.extend((skipped..len).map(|number| Row {
                    position: first + number,
                    parts: parts(number),
                    index: index + number,
                }));
            }
        }
    }
}
