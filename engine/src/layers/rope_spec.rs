//! Where the numbers of a rotation ([`Rope`]) are in a model file.

use gristmill_kernels::ops::{RopePairing, Yarn};

use super::{LongFactors, Rope, Scaling};
use crate::error::Error;
use crate::hparams::Keys;
use crate::load::Loader;

/// Where a rotation's numbers come from.
#[derive(Debug, Clone, Copy)]
pub struct RopeSpec {
    /// Which two elements form a pair.
    pub pairing: RopePairing,
    /// Key of the number of elements of a head that are rotated, if not `rope.dimension_count`; without it all are.
    pub dimensions: Option<&'static str>,
    /// Only the first half of these are rotated.
    pub halved: bool,
    /// Key of the base and its default, if not `rope.freq_base`.
    pub base: Option<(&'static str, f32)>,
    /// Factor and YaRN are for other layers (the magnitude is for all).
    pub unscaled: bool,
    /// The magnitude is for other layers, too.
    pub unmagnified: bool,
    /// A tensor that divides the frequencies, if the file has it; with LongRoPE there are two others in its place.
    pub factors: Option<&'static str>,
    /// Where YaRN's own numbers come from.
    pub yarn: YarnNumbers,
}

/// Where YaRN's own numbers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum YarnNumbers {
    /// The paper.
    Paper,
    /// The keys `rope.scaling.yarn_…`.
    Keys,
    /// The paper, but for the magnitude, which does not grow: the factor on the scores does.
    Scores,
}

impl RopeSpec {
    /// The usual keys.
    pub fn new(pairing: RopePairing) -> Self {
        Self {
            pairing,
            dimensions: None,
            halved: false,
            base: None,
            unscaled: false,
            unmagnified: false,
            factors: None,
            yarn: YarnNumbers::Paper,
        }
    }

    /// Reads the rotation.
    pub(crate) fn load(self, from: &mut Loader<'_>) -> Result<Rope, Error> {
        let keys = from.keys;
        let key = self.dimensions.unwrap_or("rope.dimension_count");
        let dimensions = match keys.opt_count(key)? {
            Some(dimensions) => dimensions,
            None => from.head_length()?,
        };
        let dimensions = if self.halved {
            dimensions / 2
        } else {
            dimensions
        };
        if dimensions % 2 != 0 {
            return Err(keys.wrong(key, format!("is {dimensions}, and must be even")));
        }
        let (key, default) = self.base.unwrap_or(("rope.freq_base", 10_000.0));
        let base = keys.opt_f32(key)?.unwrap_or(default);
        if base <= 0.0 {
            return Err(keys.wrong(key, format!("is {base}, and must be positive")));
        }
        let original_context = from.original_context()?;
        let mut scaling = Scaling::read(&keys, original_context)?;
        match self.yarn {
            YarnNumbers::Paper => {}
            YarnNumbers::Keys => scaling.read_yarn(&keys)?,
            YarnNumbers::Scores => scaling.take_back_growth(1.0),
        }
        if self.unscaled {
            (scaling.factor, scaling.yarn) = (1.0, None);
        }
        if self.unmagnified {
            scaling.magnitude = 1.0;
        }
        let (mut factors, mut long) = (None, None);
        let is_long = scaling_type(&keys)? == LONGROPE || from.has("rope_factors_long.weight");
        if self.factors.is_some() && is_long {
            factors = Some(from.vector("rope_factors_short.weight", dimensions / 2)?);
            long = Some(LongFactors {
                original_context,
                factors: from.vector("rope_factors_long.weight", dimensions / 2)?,
            });
        } else if let Some(name) = self.factors {
            factors = from.opt_vector(name, dimensions / 2)?;
        }
        Ok(Rope {
            pairing: self.pairing,
            dimensions,
            base,
            scaling,
            factors,
            long,
            sections: None,
        })
    }
}

/// The value of `rope.scaling.type` for divisors that depend on the context's length.
const LONGROPE: &str = "longrope";

fn scaling_type<'a>(keys: &Keys<'a>) -> Result<&'a str, Error> {
    Ok(keys.opt_string("rope.scaling.type")?.unwrap_or("linear"))
}

impl Scaling {
    /// The keys `rope.scaling.…`.
    fn read(keys: &Keys<'_>, original_context: usize) -> Result<Self, Error> {
        // Files from before 2023-09 have only the old key, and mean linear scaling.
        let key = if keys.contains("rope.scaling.factor") {
            "rope.scaling.factor"
        } else {
            "rope.scale_linear"
        };
        let factor = match keys.opt_f32(key)? {
            None | Some(0.0) => 1.0,
            Some(factor) if factor > 0.0 => factor,
            Some(factor) => {
                return Err(keys.wrong(key, format!("is {factor}, and must be positive")));
            }
        };
        let magnitude = keys.opt_f32("rope.scaling.attn_factor")?.unwrap_or(1.0);
        let (factor, yarn) = match scaling_type(keys)? {
            "none" => (1.0, None),
            "linear" | LONGROPE => (factor, None),
            "yarn" => (factor, Some(Yarn::new(original_context))),
            other => {
                return Err(keys.wrong(
                    "rope.scaling.type",
                    format!("'{other}' is not known (none, linear, yarn, {LONGROPE})"),
                ));
            }
        };
        Ok(Self {
            factor,
            yarn,
            magnitude,
        })
    }
}

impl Scaling {
    /// YaRN's turns, and the part of the growth of its magnitude that attention makes up for itself.
    fn read_yarn(&mut self, keys: &Keys<'_>) -> Result<(), Error> {
        let Some(yarn) = &mut self.yarn else {
            return Ok(());
        };
        let read = |name: &str| keys.opt_f32(&format!("rope.scaling.{name}"));
        yarn.beta_fast = read("yarn_beta_fast")?.unwrap_or(yarn.beta_fast);
        yarn.beta_slow = read("yarn_beta_slow")?.unwrap_or(yarn.beta_slow);
        let multiplier = read("yarn_log_multiplier")?.unwrap_or(0.0);
        self.take_back_growth(multiplier);
        Ok(())
    }

    /// Divides the magnitude by what `multiplier` as much growth as the paper's would make it.
    fn take_back_growth(&mut self, multiplier: f32) {
        if self.yarn.is_some() {
            self.magnitude /= 1.0 + 0.1 * multiplier * self.factor.max(1.0).ln();
        }
    }
}
