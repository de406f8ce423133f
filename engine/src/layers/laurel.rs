//! LAuReL (arXiv:2411.07501): beside a part, the stream goes through a product of two small matrices.

use super::{Cost, Linear, Mixer, Norm, Pass, cut};
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// `x + norm(r(l(x)))` with the tensors `laurel_l`, `laurel_r` and `laurel_post_norm`.
#[derive(Debug, Clone, Copy)]
pub struct Laurel;

impl Part for Laurel {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let (width, first) = (at.width(), "laurel_l.weight");
        let rank = match at.dims(first).and_then(|dims| dims.get(1)) {
            Some(&rank) => rank as usize,
            None => return Err(at.missing(first)),
        };
        Ok(Box::new(LowRank {
            first: at.linear("laurel_l", width, rank)?,
            second: at.linear("laurel_r", rank, width)?,
            norm: at.norm("laurel_post_norm", width)?,
        }))
    }
}

struct LowRank {
    first: Linear,
    second: Linear,
    norm: Norm,
}

impl Mixer for LowRank {
    fn scratch(&self, rows: usize) -> usize {
        rows.saturating_mul(self.first.weight.rows + self.norm.width)
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        self.first.cost() + self.second.cost()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], mut scratch: &mut [f32]) {
        let inner = cut(&mut scratch, pass.n * self.first.weight.rows);
        let product = cut(&mut scratch, out.len());
        pass.linear(&self.first, x, inner);
        pass.linear(&self.second, inner, product);
        self.norm.forward(pass, product, out);
        pass.add(self.norm.width, out, x);
    }
}
