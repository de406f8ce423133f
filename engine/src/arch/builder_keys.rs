//! What architectures ask of keys and shapes before they add layers.

use super::builder::Builder;
use crate::error::Error;
use crate::hparams::Pattern;
use crate::layers::RopeId;

impl Builder<'_> {
    /// Refuses files in which rotary positions cover only a part of each head.
    pub fn require_whole_heads_rotated(&self) -> Result<(), Error> {
        let (key, length) = ("rope.dimension_count", self.loader.head_length()?);
        match self.keys.opt_count(key)? {
            Some(dims) if dims != length => Err(self.keys.wrong(
                key,
                format!("is {dims}, and must be the length of a head, {length}"),
            )),
            _ => Ok(()),
        }
    }

    /// Values of a query or key head.
    pub fn head_length(&self) -> Result<usize, Error> {
        self.loader.head_length()
    }

    /// One by the root of the width's share of a head, a factor on scores.
    pub fn scale_by_width_per_head(&self) -> Result<f32, Error> {
        let heads = self.keys.count("attention.head_count")?;
        let width = self.loader.hparams.embedding_length;
        Ok(1.0 / ((width / heads) as f32).sqrt())
    }

    /// Factor on scores that makes up for a rotation whose magnitude does not grow with YaRN's factor
    /// (`rope.scaling.yarn_log_multiplier`): it is for both sides of a product.
    pub fn score_growth(&self, rope: RopeId) -> Result<f32, Error> {
        let scaling = &self.loader.ropes[rope.0].scaling;
        let key = "rope.scaling.yarn_log_multiplier";
        let multiplier = self.keys.opt_f32(key)?.unwrap_or(0.0);
        let growth = match scaling.yarn {
            Some(_) => 1.0 + multiplier * scaling.factor.max(1.0).ln(),
            None => 1.0,
        };
        Ok(growth * growth)
    }

    /// Positions of the training before the context was stretched.
    pub fn original_context(&self) -> Result<usize, Error> {
        self.loader.original_context()
    }

    /// Which layers look back over a window (by a key, else all but every `period`-th), and over how many positions.
    pub fn windows(&self, period: usize) -> Result<(Pattern, Option<usize>), Error> {
        let key = "attention.sliding_window_pattern";
        let pattern = self.keys.pattern(key, self.layers().len(), period)?;
        let window = self.keys.opt_number("attention.sliding_window")?;
        Ok((pattern, window.filter(|&window| window > 0)))
    }

    /// As [`windows`](Self::windows), but by a period it is the first layer of each that sees everything.
    pub fn windows_but_first_of(&self, period: usize) -> Result<(Pattern, Option<usize>), Error> {
        let (pattern, window) = self.windows(period)?;
        Ok((pattern.first_for_last(), window))
    }

    /// Whether a layer's feed-forward has a gate: a matrix of its own, or rows of `ffn_up` before the others.
    pub fn has_gate(&self, layer: usize) -> bool {
        let dims = |name: &str| self.loader.dims(&format!("blk.{layer}.{name}.weight"));
        let (up, down) = (dims("ffn_up"), dims("ffn_down"));
        let rows = up.and_then(|dims| dims.get(1));
        dims("ffn_gate").is_some() || rows != down.and_then(|dims| dims.first())
    }

    /// The bound of queries, keys and values.
    pub fn clamp(&self) -> Result<Option<f32>, Error> {
        let bound = self.keys.opt_f32("attention.clamp_kqv")?;
        Ok(bound.filter(|&bound| bound > 0.0))
    }
}
