//! Steps of the residual stream:
//! `x = after(factor · (stream_scale · x + scale · joint(Σ behind(scale · mixer(before(x))))))`. A step may
//! keep the stream as it finds it; a branch may see what was kept in place of the stream.

use gristmill_kernels::ops;

use super::{Cost, Mixer, Norm, Pass, StreamStep};

/// A function of the residual stream, between its norms.
pub struct Branch {
    /// Of what it is given.
    pub before: Option<Norm>,
    /// The function.
    pub mixer: Box<dyn Mixer>,
    /// Factor on what it gives.
    pub scale: f32,
    /// It sees what was kept last, not the stream.
    pub sees_kept: bool,
    /// Of what it gives.
    pub behind: Option<Norm>,
}

impl Branch {
    /// With a norm on what it gives.
    pub fn behind(self, norm: Norm) -> Self {
        Self {
            behind: Some(norm),
            ..self
        }
    }
}

/// What a decoder runs, one after the other.
pub enum Stage {
    /// Something is added to the residual stream.
    Residual(Step),
    /// Something is done with the rows that are kept beside it.
    Streams(Box<dyn StreamStep>),
}

impl From<Step> for Stage {
    fn from(step: Step) -> Self {
        Self::Residual(step)
    }
}

impl<S: StreamStep + 'static> From<S> for Stage {
    fn from(step: S) -> Self {
        Self::Streams(Box::new(step))
    }
}

impl Stage {
    /// Whether nothing that it does for a position is seen at later ones.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Residual(step) => step.branches.iter().all(|b| b.mixer.is_local()),
            Self::Streams(_) => true,
        }
    }

    /// f32 values of scratch for batches of up to `rows` positions.
    pub(super) fn scratch(&self, rows: usize) -> usize {
        match self {
            Self::Residual(step) => {
                let branches = step.branches.iter();
                branches.map(|b| b.mixer.scratch(rows)).max().unwrap_or(0)
            }
            Self::Streams(step) => step.scratch(rows),
        }
    }

    /// What it takes to run one token through it.
    pub fn cost(&self) -> Cost {
        match self {
            Self::Residual(step) => step.branches.iter().map(|b| b.mixer.cost()).sum(),
            Self::Streams(step) => step.cost(),
        }
    }

    /// Runs the rows of `x` through it.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, x: &mut [f32], buffers: StepBuffers<'_>) {
        match self {
            Self::Residual(step) => step.forward(pass, x, buffers),
            Self::Streams(step) => step.forward(pass, x, buffers.streams, buffers.scratch),
        }
    }
}

/// What is added to the residual stream at once: the sum of one or several branches, which all see the same stream.
pub struct Step {
    /// At least one.
    pub branches: Vec<Branch>,
    /// Keeps the stream as it is before this step.
    pub keeps: bool,
    /// Norm of the branches' sum.
    pub joint: Option<Norm>,
    /// Factor on what is added.
    pub scale: f32,
    /// Factor on the stream after the addition.
    pub factor: f32,
    /// Factor on the stream that it is added to.
    pub stream_scale: f32,
    /// Norm of the stream after the addition.
    pub after: Option<Norm>,
}

/// The rows that a step works with.
pub(super) struct StepBuffers<'b> {
    pub normed: &'b mut [f32],
    pub out: &'b mut [f32],
    /// What a further branch gives; only where a step has several.
    pub other: &'b mut [f32],
    /// What was kept; only where a step keeps something.
    pub kept: &'b mut [f32],
    /// The rows beside the residual stream, where steps keep some.
    pub streams: &'b mut [f32],
    pub scratch: &'b mut [f32],
}

impl Step {
    /// A step of these branches.
    pub fn new(branches: impl IntoIterator<Item = Branch>) -> Self {
        Self {
            branches: branches.into_iter().collect(),
            keeps: false,
            joint: None,
            scale: 1.0,
            factor: 1.0,
            stream_scale: 1.0,
            after: None,
        }
    }

    /// With a factor on what is added.
    pub fn scaled(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// With a factor on the stream that it is added to.
    pub fn onto(self, stream_scale: f32) -> Self {
        Self {
            stream_scale,
            ..self
        }
    }

    /// With a norm of the stream after the addition.
    pub fn after(self, norm: Norm) -> Self {
        Self {
            after: Some(norm),
            ..self
        }
    }

    /// Runs the rows of `x` through it.
    fn forward(&self, pass: &mut Pass<'_>, x: &mut [f32], buffers: StepBuffers<'_>) {
        let width = x.len() / pass.n;
        let StepBuffers {
            normed,
            out,
            other,
            kept,
            scratch,
            ..
        } = buffers;
        if self.keeps {
            kept.copy_from_slice(x);
        }
        let with = pass.compute.floats();
        for (number, branch) in self.branches.iter().enumerate() {
            let to = if number == 0 { &mut *out } else { &mut *other };
            let seen = if branch.sees_kept { &*kept } else { &*x };
            let from = match &branch.before {
                Some(norm) => {
                    norm.forward(pass, seen, normed);
                    &*normed
                }
                None => seen,
            };
            branch
                .mixer
                .forward_with_kept(pass, from, kept, to, scratch);
            if branch.scale != 1.0 {
                pass.each_row(width, to, |_, row| ops::scale(with, row, branch.scale));
            }
            if let Some(norm) = &branch.behind {
                norm.forward(pass, to, normed);
                to.copy_from_slice(normed);
            }
            if number > 0 {
                pass.add(width, out, other);
            }
        }
        if let Some(norm) = &self.joint {
            norm.forward(pass, out, normed);
            out.copy_from_slice(normed);
        }
        if self.stream_scale != 1.0 {
            let factor = self.stream_scale;
            pass.each_row(width, x, |_, row| ops::scale(with, row, factor));
        }
        if self.scale == 1.0 {
            pass.add(width, x, out);
        } else {
            let scale = self.scale;
            pass.each_row(width, x, |row, x| {
                ops::add_scaled(with, x, scale, &out[row * width..][..width]);
            });
        }
        if self.factor != 1.0 {
            pass.each_row(width, x, |_, row| ops::scale(with, row, self.factor));
        }
        if let Some(norm) = &self.after {
            norm.forward(pass, x, normed);
            x.copy_from_slice(normed);
        }
    }
}
