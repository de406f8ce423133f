//! Parallel streams (AltUp, arXiv:2301.13310): a token has several rows, of which each layer works on the first alone, the
//! residual stream. Before the layer all of them are predicted from each other; after it the difference from what was
//! predicted corrects all of them. Rows are kept token by token, the streams of each one after the other.

use gristmill_kernels::Product;
use gristmill_kernels::ops::{self, Activation};

use super::{Cost, Linear, Mixer, Norm, Pass, Tensor, copy, cut};
use crate::error::Error;
use crate::load::{LayerTensors, Loader, Part};

/// What is done with the rows that are kept beside the residual stream, position by position.
pub trait StreamStep: Send + Sync {
    /// f32 values of scratch for batches of up to `rows` positions.
    fn scratch(&self, _rows: usize) -> usize {
        0
    }

    /// What it takes to run one token through it: of one without matrices, nothing that counts.
    fn cost(&self) -> Cost {
        Cost::default()
    }

    /// Changes `streams`, and `x`, the residual stream.
    fn forward(&self, pass: &mut Pass<'_>, x: &mut [f32], streams: &mut [f32], scratch: &mut [f32]);
}

/// A matrix for each stream but the first, which gives rows as long as that one's.
struct Projections {
    /// A stack.
    matrices: Tensor,
    count: usize,
}

impl Projections {
    fn load(from: &mut Loader<'_>, name: &str, streams: usize) -> Result<Self, Error> {
        let (width, count) = (from.hparams.embedding_length, streams - 1);
        Ok(Self {
            matrices: from.tensor(&format!("{name}.weight"), &[width, width, count])?,
            count,
        })
    }

    fn cost(&self) -> Cost {
        self.matrices.cost() * self.count as u64
    }

    /// `out` = the product of the rows of `x` with matrix `number`, as long as the rows of `model`.
    fn forward(
        &self,
        pass: &mut Pass<'_>,
        number: usize,
        x: &[f32],
        model: (&[f32], usize),
        out: &mut [f32],
    ) {
        let weights = self.matrices.slice(pass.gguf, number);
        let product = Product {
            weights,
            out: &mut *out,
        };
        pass.compute.matmul(x, pass.n, &mut [product]);
        pass.adapt(x, [(&self.matrices, number, &mut *out)]);
        let (with, width) = (pass.compute.floats(), self.matrices.rows);
        pass.each_row(width, out, |row, out| {
            let model = &model.0[row * model.1..][..width];
            let squares = ops::squares(with, out).max(f32::MIN_POSITIVE);
            ops::scale(with, out, (ops::squares(with, model) / squares).sqrt());
        });
    }
}

/// The first streams: the embedding, and projections of it (`altup_proj`).
pub struct Open(Projections);

impl Open {
    pub(crate) fn load(from: &mut Loader<'_>, streams: usize) -> Result<Self, Error> {
        Ok(Self(Projections::load(from, "altup_proj", streams)?))
    }
}

impl StreamStep for Open {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.0.matrices.rows)
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (n, width) = (pass.n, self.0.matrices.rows);
        let all = streams.len() / n;
        copy(n, width, (&*x, width), (&mut *streams, all));
        for number in 0..self.0.count {
            let out = &mut scratch[..x.len()];
            self.0.forward(pass, number, x, (&*x, width), out);
            let to = &mut streams[(number + 1) * width..];
            copy(n, width, (&*out, width), (to, all));
        }
    }
}

/// At last the streams become one again: the mean of the first and of projections of the others (`altup_unembd_proj`).
pub struct Merge(Projections);

impl Merge {
    pub(crate) fn load(from: &mut Loader<'_>, streams: usize) -> Result<Self, Error> {
        Ok(Self(Projections::load(from, "altup_unembd_proj", streams)?))
    }
}

impl StreamStep for Merge {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(2 * self.0.matrices.rows)
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (n, width) = (pass.n, self.0.matrices.rows);
        let all = streams.len() / n;
        let stream = cut(&mut scratch, x.len());
        let out = cut(&mut scratch, x.len());
        for number in 0..self.0.count {
            let from = &streams[(number + 1) * width..];
            copy(n, width, (from, all), (&mut *stream, width));
            self.0.forward(pass, number, stream, (&*streams, all), out);
            pass.add(width, x, out);
        }
        let (with, share) = (pass.compute.floats(), 1.0 / (self.0.count + 1) as f32);
        pass.each_row(width, x, |_, row| ops::scale(with, row, share));
    }
}

/// Coefficients that depend on a row: a matrix times the tanh of a small router's outputs (`altup_router`).
struct Coefficients {
    norm: Norm,
    router: Linear,
    matrix: Linear,
}

impl Coefficients {
    fn load(
        at: &mut LayerTensors<'_, '_>,
        name: &str,
        streams: usize,
        count: usize,
    ) -> Result<Self, Error> {
        let width = at.width();
        Ok(Self {
            norm: at.norm("altup_router_norm", width)?,
            router: at.linear("altup_router", width, streams)?,
            matrix: at.linear(name, streams, count)?,
        })
    }

    fn scratch(&self) -> usize {
        self.norm.width + self.router.weight.rows + self.matrix.weight.rows
    }

    fn cost(&self) -> Cost {
        self.router.cost() + self.matrix.cost()
    }

    /// Those of the rows of `x`.
    fn of<'s>(&self, pass: &mut Pass<'_>, x: &[f32], scratch: &mut &'s mut [f32]) -> &'s mut [f32] {
        let (n, with, width) = (pass.n, pass.compute.floats(), self.norm.width);
        let normed = cut(scratch, n * width);
        let routed = cut(scratch, n * self.router.weight.rows);
        let out = cut(scratch, n * self.matrix.weight.rows);
        self.norm.forward(pass, x, normed);
        let share = 1.0 / width as f32;
        pass.each_row(width, normed, |_, row| ops::scale(with, row, share));
        pass.linear(&self.router, normed, routed);
        Activation::Tanh.apply(with, routed);
        pass.linear(&self.matrix, routed, out);
        out
    }
}

/// Before a layer: adds to each stream a combination of all (`altup_predict_coef`).
pub struct Predict {
    coefficients: Coefficients,
    streams: usize,
}

impl Predict {
    pub(crate) fn load(at: &mut LayerTensors<'_, '_>, streams: usize) -> Result<Self, Error> {
        let count = streams * streams;
        Ok(Self {
            coefficients: Coefficients::load(at, "altup_predict_coef", streams, count)?,
            streams,
        })
    }
}

impl StreamStep for Predict {
    fn scratch(&self, rows: usize) -> usize {
        let width = self.coefficients.norm.width;
        rows.saturating_mul(self.coefficients.scratch() + self.streams * width)
    }

    fn cost(&self) -> Cost {
        self.coefficients.cost()
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (n, width, count) = (pass.n, self.coefficients.norm.width, self.streams);
        let with = pass.compute.floats();
        let coefficients = &*self.coefficients.of(pass, x, &mut scratch);
        let before = cut(&mut scratch, streams.len());
        before.copy_from_slice(streams);
        let (all, before) = (count * width, &*before);
        pass.each_row(all, streams, |row, streams| {
            let coefficients = &coefficients[row * count * count..][..count * count];
            let rows = coefficients.chunks_exact(count);
            for (stream, coefficients) in streams.chunks_exact_mut(width).zip(rows) {
                let before = before[row * all..][..all].chunks_exact(width);
                for (&coefficient, before) in coefficients.iter().zip(before) {
                    ops::add_scaled(with, stream, coefficient, before);
                }
            }
        });
        copy(n, width, (&*streams, all), (&mut *x, width));
    }
}

/// After a layer: what the residual stream differs by from the prediction is added to each stream, with a coefficient
/// (`altup_correct_coef`); then what the layer makes of its input is added to all but the first.
pub struct Correct {
    coefficients: Coefficients,
    streams: usize,
    /// Factors on what `input` is given.
    scale: Vec<f32>,
    input: Box<dyn Mixer>,
    behind: Norm,
}

impl Correct {
    pub(crate) fn load(
        at: &mut LayerTensors<'_, '_>,
        streams: usize,
        input: impl Part,
    ) -> Result<Self, Error> {
        let width = at.width();
        Ok(Self {
            coefficients: Coefficients::load(at, "altup_correct_coef", streams, streams)?,
            streams,
            scale: at.vector("altup_correct_scale.weight", width)?,
            behind: at.norm("post_norm", width)?,
            input: input.load(at)?,
        })
    }
}

impl StreamStep for Correct {
    fn scratch(&self, rows: usize) -> usize {
        let width = self.coefficients.norm.width;
        let both = self.coefficients.scratch() + 2 * width;
        rows.saturating_mul(both)
            .saturating_add(self.input.scratch(rows))
    }

    fn cost(&self) -> Cost {
        self.coefficients.cost() + self.input.cost()
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        mut scratch: &mut [f32],
    ) {
        let (n, width, count) = (pass.n, self.coefficients.norm.width, self.streams);
        let (with, all) = (pass.compute.floats(), self.streams * width);
        let coefficients = &*self.coefficients.of(pass, x, &mut scratch);
        pass.each_row(width, x, |row, x| {
            ops::add_scaled(with, x, -1.0, &streams[row * all..][..width]);
        });
        let change = &*x;
        pass.each_row(all, streams, |row, streams| {
            let change = &change[row * width..][..width];
            let coefficients = &coefficients[row * count..][..count];
            for (stream, &coefficient) in streams.chunks_exact_mut(width).zip(coefficients) {
                ops::add_scaled(with, stream, 1.0 + coefficient, change);
            }
        });
        copy(n, width, (&*streams, all), (&mut *x, width));

        let scaled = cut(&mut scratch, x.len());
        let given = cut(&mut scratch, x.len());
        scaled.copy_from_slice(x);
        pass.each_row(width, scaled, |_, row| ops::mul(with, row, &self.scale));
        self.input.forward(pass, scaled, given, scratch);
        self.behind.forward(pass, given, scaled);
        let given = &*scaled;
        pass.each_row(all, streams, |row, streams| {
            for stream in streams[width..].chunks_exact_mut(width) {
                ops::add(with, stream, &given[row * width..][..width]);
            }
        });
    }
}
