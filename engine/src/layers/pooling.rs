//! From the hidden states of a text's tokens to its embedding: which of them are taken, or their mean, and the matrices
//! behind that. Flows in: rows of hidden states, a few at a time. Flows out: one row for a text, or one for each token.

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops::{self, Activation};

use super::{Linear, Norm, NormKind, Pass};
use crate::error::Error;
use crate::load::Loader;

/// What a text's embedding is made of (`pooling_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing is joined: an embedding for each token (0).
    None,
    /// The mean over all tokens (1).
    Mean,
    /// The first token (2).
    Cls,
    /// The last token (3).
    Last,
    /// Scores of a classifier, which reads one token or the mean (4).
    Rank,
}

impl Pooling {
    /// All of them, in the order of their numbers in files.
    pub const ALL: [Pooling; 5] = [Self::None, Self::Mean, Self::Cls, Self::Last, Self::Rank];

    /// The name in options.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::Rank => "rank",
        }
    }
}

impl std::fmt::Display for Pooling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Pooling {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| {
            Error::Option(format!(
                "'{name}' is no pooling: none, mean, cls, last or rank"
            ))
        })
    }
}

/// How an architecture's classifier works, where its files have one.
#[derive(Debug, Clone, Copy)]
pub struct Classifier {
    /// What it reads.
    pub reads: Pooling,
    /// Between its two matrices; `None` is the hyperbolic tangent.
    pub activation: Option<Activation>,
    /// Its scores are the softmax of the last matrix.
    pub softmax: bool,
}

impl Default for Classifier {
    /// That of BERT and RoBERTa.
    fn default() -> Self {
        Self {
            reads: Pooling::Cls,
            activation: None,
            softmax: false,
        }
    }
}

/// What is behind the hidden states of a model that makes embeddings.
pub struct PoolingHead {
    /// What the file asks for.
    pub(crate) kind: Option<Pooling>,
    classifier: Classifier,
    /// `cls`, before the activation.
    hidden: Option<Linear>,
    /// `cls.norm`, behind it.
    norm: Option<Norm>,
    /// `cls.output`, to the scores.
    scores: Option<Linear>,
    /// `dense_2` and `dense_3`, one after the other, of embeddings that are no scores.
    dense: Vec<Linear>,
}

impl PoolingHead {
    /// Reads `pooling_type` and takes the tensors that belong to it, as far as the file has them.
    pub(crate) fn load(from: &mut Loader<'_>, classifier: Classifier) -> Result<Self, Error> {
        let (keys, width) = (from.keys, from.hparams.embedding_length);
        let key = "pooling_type";
        let kind = match keys.opt_number(key)? {
            None => None,
            Some(number) => match Pooling::ALL.get(number) {
                Some(&kind) => Some(kind),
                None => {
                    let problem = format!(
                        "is {number}, and must be 0 (none), 1 (mean), 2 (cls), 3 (last) or 4 (rank)"
                    );
                    return Err(keys.wrong(key, problem));
                }
            },
        };
        let hidden = rows(from, "cls.weight")
            .map(|rows| from.linear("cls", width, rows))
            .transpose()?;
        let between = hidden.as_ref().map_or(width, |linear| linear.weight.rows);
        let norm = if hidden.is_some() && from.has("cls.norm.weight") {
            Some(from.norm_of(NormKind::Layer, "cls.norm", between)?)
        } else {
            None
        };
        let scores = rows(from, "cls.output.weight")
            .map(|rows| from.linear("cls.output", between, rows))
            .transpose()?;
        let (mut dense, mut last) = (Vec::new(), width);
        for name in ["dense_2", "dense_3"] {
            if let Some(rows) = rows(from, &format!("{name}.weight")) {
                dense.push(from.linear(name, last, rows)?);
                last = rows;
            }
        }
        Ok(Self {
            kind,
            classifier,
            hidden,
            norm,
            scores,
            dense,
        })
    }

    /// Whether the file has a classifier.
    pub fn has_classifier(&self) -> bool {
        self.hidden.is_some() || self.scores.is_some()
    }

    /// Which hidden states are read for embeddings of this kind.
    pub fn reads(&self, kind: Pooling) -> Pooling {
        match kind {
            Pooling::Rank => self.classifier.reads,
            kind => kind,
        }
    }

    /// Values of an embedding of this kind, if hidden states have `width`.
    pub fn width(&self, kind: Pooling, width: usize) -> usize {
        let last = match kind {
            Pooling::Rank => self.scores.as_ref().or(self.hidden.as_ref()),
            _ => self.dense.last(),
        };
        last.map_or(width, |linear| linear.weight.rows)
    }

    /// The matrices behind the `pass.n` pooled rows.
    pub(crate) fn project(&self, pass: &mut Pass<'_>, kind: Pooling, mut x: Vec<f32>) -> Vec<f32> {
        if kind != Pooling::Rank {
            for linear in &self.dense {
                x = product(pass, linear, &x);
            }
            return x;
        }
        let with = pass.compute.floats();
        if let Some(hidden) = &self.hidden {
            x = product(pass, hidden, &x);
            match self.classifier.activation {
                Some(activation) => activation.apply(with, &mut x),
                None => ops::softcap(with, &mut x, 1.0),
            }
            if let Some(norm) = &self.norm {
                let mut normed = vec![0.0; x.len()];
                norm.forward(pass, &x, &mut normed);
                x = normed;
            }
        }
        if let Some(scores) = &self.scores {
            x = product(pass, scores, &x);
        }
        if self.classifier.softmax {
            let width = x.len() / pass.n;
            pass.each_row(width, &mut x, |_, row| ops::softmax(with, row));
        }
        x
    }
}

/// The rows of a matrix, if the file has it.
fn rows(from: &Loader<'_>, name: &str) -> Option<usize> {
    let dims = from.dims(name)?;
    Some(dims.get(1).copied().unwrap_or(1) as usize)
}

fn product(pass: &mut Pass<'_>, linear: &Linear, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; pass.n * linear.weight.rows];
    pass.linear(linear, x, &mut out);
    out
}

/// Joins the hidden states of one text, which come in order, some at a time.
pub(crate) struct Pool {
    kind: Pooling,
    width: usize,
    /// What is taken so far: a row, or one for each token.
    rows: Vec<f32>,
    tokens: usize,
}

impl Pool {
    /// For rows of `width` values.
    pub(crate) fn new(kind: Pooling, width: usize) -> Self {
        Self {
            kind,
            width,
            rows: Vec::new(),
            tokens: 0,
        }
    }

    /// The next tokens' hidden states.
    pub(crate) fn add(&mut self, with: Floats, hidden: &[f32]) {
        for row in hidden.chunks_exact(self.width) {
            let is_first = self.tokens == 0;
            self.tokens += 1;
            match self.kind {
                Pooling::None => self.rows.extend_from_slice(row),
                _ if is_first => self.rows.extend_from_slice(row),
                Pooling::Mean => ops::add(with, &mut self.rows, row),
                Pooling::Last => self.rows.copy_from_slice(row),
                Pooling::Cls | Pooling::Rank => {}
            }
        }
    }

    /// What was taken of all of them.
    pub(crate) fn finish(mut self, with: Floats) -> Vec<f32> {
        if self.kind == Pooling::Mean && self.tokens > 1 {
            ops::scale(with, &mut self.rows, 1.0 / self.tokens as f32);
        }
        self.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_take_what_their_names_say() {
        let hidden = [[1.0, 2.0], [3.0, 5.0], [5.0, 11.0]];
        let with = Floats::all()[0];
        for (kind, expected) in [
            (Pooling::None, hidden.as_flattened()),
            (Pooling::Mean, &[3.0, 6.0]),
            (Pooling::Cls, &[1.0, 2.0]),
            (Pooling::Last, &[5.0, 11.0]),
        ] {
            for size in [1, 2, 3] {
                let mut pool = Pool::new(kind, 2);
                for part in hidden.chunks(size) {
                    pool.add(with, part.as_flattened());
                }
                assert_eq!(pool.finish(with), expected, "{kind} in parts of {size}");
            }
            assert_eq!(kind.name().parse::<Pooling>().unwrap(), kind);
        }
        let error = "max".parse::<Pooling>().unwrap_err().to_string();
        assert!(error.contains("mean"), "{error}");
    }
}
