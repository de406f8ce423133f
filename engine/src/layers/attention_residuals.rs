//! Attention residuals (Kimi K3): every few layers the residual stream is kept as a checkpoint, and starts anew from what the
//! layer gives. What a layer is given is a mix of all checkpoints and the stream, by a softmax over a score of each.
//!
//! While a layer runs on a mix, the stream is set aside; then what the layer gave is added to it. Rows are kept token by
//! token: the checkpoints, and behind them the stream that was set aside.

use gristmill_kernels::isa::float::Floats;
use gristmill_kernels::ops;

use super::{Norm, Pass, StreamStep, cut};
use crate::error::Error;
use crate::load::Loader;

/// A mix of the stream and some checkpoints. The score of each is the sum of its norm, whose weights are the tensor's.
struct Mix {
    score: Norm,
    checkpoints: usize,
}

impl Mix {
    fn load(from: &mut Loader<'_>, name: &str, checkpoints: usize) -> Result<Self, Error> {
        let (kind, width) = (from.norms, from.hparams.embedding_length);
        let score = Norm {
            weight: Some(from.vector(&format!("{name}.weight"), width)?),
            ..from.plain_norm(kind, width)?
        };
        Ok(Self { score, checkpoints })
    }

    /// f32 values for a row, see [`mix`].
    fn scratch(&self) -> usize {
        2 * self.score.width + self.checkpoints + 1
    }

    /// `x` = the mix of each row with its checkpoints.
    fn forward(&self, pass: &Pass<'_>, x: &mut [f32], streams: &[f32], scratch: &mut [f32]) {
        if self.checkpoints == 0 {
            return;
        }
        let (width, all) = (self.score.width, streams.len() / pass.n);
        let with = pass.compute.floats();
        let (stream, part) = (&*x, self.scratch());
        let scratch = &mut scratch[..pass.n * part];
        pass.each_row(part, scratch, |row, part| {
            let checkpoints = streams[row * all..].chunks_exact(width);
            let checkpoints = checkpoints.take(self.checkpoints);
            let sources = checkpoints.chain([&stream[row * width..][..width]]);
            mix(with, &self.score, sources, part);
        });
        let scratch = &*scratch;
        pass.each_row(width, x, |row, x| {
            x.copy_from_slice(&scratch[row * part..][..width]);
        });
    }
}

/// A mix of rows: `room` is it, a row more, and a value for each of `sources`.
fn mix<'r>(
    with: Floats,
    score: &Norm,
    sources: impl Iterator<Item = &'r [f32]> + Clone,
    mut room: &mut [f32],
) {
    let mixed = cut(&mut room, score.width);
    let normed = cut(&mut room, score.width);
    let scores = room;
    for (to, source) in scores.iter_mut().zip(sources.clone()) {
        ops::rms_norm(with, source, score.weight.as_deref(), score.epsilon, normed);
        *to = ops::deviations(with, normed).0 * score.width as f32;
    }
    ops::softmax(with, scores);
    mixed.fill(0.0);
    for (&weight, source) in scores.iter().zip(sources) {
        ops::add_scaled(with, mixed, weight, source);
    }
}

/// Before a part of a layer: sets the stream aside, or keeps it as the next checkpoint, and leaves the mix in its place.
pub struct SetAside {
    mix: Mix,
    /// Among the rows of a token.
    to: usize,
}

impl SetAside {
    /// The score is `{name}.weight`; `to` is the row that the stream goes to, the number of the checkpoint that it becomes or
    /// one behind all checkpoints.
    pub(crate) fn load(
        from: &mut Loader<'_>,
        name: &str,
        checkpoints: usize,
        to: usize,
    ) -> Result<Self, Error> {
        let mix = Mix::load(from, name, checkpoints)?;
        Ok(Self { mix, to })
    }
}

impl StreamStep for SetAside {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.mix.scratch())
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (width, all) = (self.mix.score.width, streams.len() / pass.n);
        let stream = &*x;
        pass.each_row(all, streams, |row, streams| {
            let to = &mut streams[self.to * width..][..width];
            to.copy_from_slice(&stream[row * width..][..width]);
        });
        self.mix.forward(pass, x, streams, scratch);
    }
}

/// After it: adds the stream that was set aside to what the part gave, which is in its place.
pub struct TakeBack {
    /// The row that it is in.
    pub(crate) from: usize,
}

impl StreamStep for TakeBack {
    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        _scratch: &mut [f32],
    ) {
        let (width, all) = (x.len() / pass.n, streams.len() / pass.n);
        let (with, streams) = (pass.compute.floats(), &*streams);
        pass.each_row(width, x, |row, x| {
            ops::add(with, x, &streams[row * all + self.from * width..][..width]);
        });
    }
}

/// After the last layer: the head sees a mix of all (`output_res_score`).
pub struct LastMix(Mix);

impl LastMix {
    pub(crate) fn load(from: &mut Loader<'_>, checkpoints: usize) -> Result<Self, Error> {
        Ok(Self(Mix::load(from, "output_res_score", checkpoints)?))
    }
}

impl StreamStep for LastMix {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.0.scratch())
    }

    fn forward(
        &self,
        pass: &mut Pass<'_>,
        x: &mut [f32],
        streams: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.0.forward(pass, x, streams, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::NormKind;

    #[test]
    fn a_mix_is_a_softmax_over_scores_of_norms() {
        let rows: [&[f32]; 3] = [&[1.0, -2.0, 0.5, 3.0], &[0.0, 1.0, 4.0, -1.0], &[2.0; 4]];
        let weight: [f32; 4] = [0.5, -0.25, 1.0, 0.75];
        let score = Norm {
            kind: NormKind::Rms,
            width: 4,
            weight: Some(weight.to_vec()),
            bias: None,
            epsilon: 1e-5,
        };
        let exact = |row: &[f32]| {
            let squares: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let product = row.iter().zip(weight);
            let product: f64 = product.map(|(&x, w)| f64::from(x) * f64::from(w)).sum();
            (product / (squares / 4.0 + 1e-5).sqrt()).exp()
        };
        let total: f64 = rows.iter().map(|row| exact(row)).sum();
        for with in Floats::all() {
            let mut room = [f32::NAN; 11];
            mix(with, &score, rows.into_iter(), &mut room);
            for column in 0..4 {
                let terms = rows.iter().map(|row| exact(row) * f64::from(row[column]));
                let want = terms.sum::<f64>() / total;
                let far = (f64::from(room[column]) - want).abs();
                assert!(far < 1e-6, "{} not {want}", room[column]);
            }
        }
    }
}
