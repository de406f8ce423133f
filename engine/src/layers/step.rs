//! Steps of the residual stream: `x = after(stream_scale · x + scale · joint(Σ behind(scale · mixer(before(x)))))`. A step may
//! keep the stream as it finds it; a branch may see what was kept in place of the stream.

use gristmill_kernels::ops;

use super::{Cost, Mixer, Norm, Pass};

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

    /// Whether what it gives for a position depends on that position alone.
    pub fn is_local(&self) -> bool {
        self.branches.iter().all(|b| b.mixer.is_local())
    }

    /// What it takes to run one token through it.
    pub fn cost(&self) -> Cost {
        self.branches.iter().map(|b| b.mixer.cost()).sum()
    }

    /// Runs the rows of `x` through it.
    pub(super) fn forward(&self, pass: &mut Pass<'_>, x: &mut [f32], buffers: StepBuffers<'_>) {
        let width = x.len() / pass.n;
        let StepBuffers {
            normed,
            out,
            other,
            kept,
            scratch,
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
            branch.mixer.forward(pass, from, to, scratch);
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
        if let Some(norm) = &self.after {
            norm.forward(pass, x, normed);
            x.copy_from_slice(normed);
        }
    }
}
