//! What a user can set about sampling. Serde names are the field names, so that a chat's settings can be saved.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::{Role, SAMPLERS, SamplerKind, sampler};
use crate::Error;

/// All parameters of all samplers. The defaults are the ones most common in the field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerOptions {
    /// Start of the random numbers; `None` picks one.
    pub seed: Option<u64>,
    /// Names of samplers, separated by `;`, in the order in which they work. One that is left out is not used.
    pub order: String,
    /// Divides the logits; 0 takes the most likely token always.
    pub temperature: f32,
    /// Lets the temperature move by this much up and down with the entropy; 0: it doesn't move.
    pub dynamic_temperature_range: f32,
    /// How steeply the dynamic temperature follows the entropy.
    pub dynamic_temperature_exponent: f32,
    /// Keeps this number of the most likely tokens; 0: all.
    pub top_k: usize,
    /// Keeps the most likely tokens that together have this probability; 1: all.
    pub top_p: f32,
    /// Keeps tokens at least this fraction as likely as the most likely one; 0: all.
    pub min_p: f32,
    /// Keeps the tokens whose information is closest to the expected, up to this probability; 1: all.
    pub typical_p: f32,
    /// Keeps tokens whose logits are at most this number of standard deviations below the largest; 0 or less: all.
    pub top_n_sigma: f32,
    /// How often the most likely tokens are excluded; 0: never.
    pub xtc_probability: f32,
    /// Which tokens XTC counts among the most likely; above 0.5: none.
    pub xtc_threshold: f32,
    /// Truncating samplers (top-p, min-p, typical, XTC) leave at least this number of tokens.
    pub min_keep: usize,
    /// How many of the last tokens the penalties look at; 0: none, -1: all.
    pub repeat_last_n: i64,
    /// Divides positive and multiplies negative logits of tokens in the text; 1: off.
    pub repeat_penalty: f32,
    /// Taken off a token's logit for each time it is in the text; 0: off.
    pub frequency_penalty: f32,
    /// Taken off a token's logit if it is in the text; 0: off.
    pub presence_penalty: f32,
    /// Strength of DRY, which punishes repeating sequences; 0: off.
    pub dry_multiplier: f32,
    /// How fast the DRY penalty grows with the length of the repetition, at least 1.
    pub dry_base: f32,
    /// Repetitions up to this length are free of the DRY penalty.
    pub dry_allowed_length: usize,
    /// How many of the last tokens DRY looks at; 0: none, -1: all.
    pub dry_penalty_last_n: i64,
    /// Texts across which DRY sees no repetition.
    pub dry_sequence_breakers: Vec<String>,
    /// 1 or 2: mirostat of that version draws the token, after penalties and temperature; 0: off.
    pub mirostat: u8,
    /// The surprise, in bits, that mirostat aims at.
    pub mirostat_tau: f32,
    /// How fast mirostat corrects itself.
    pub mirostat_eta: f32,
    /// Added to the logits of these tokens; negative infinity bans one.
    #[serde(with = "bias")]
    pub logit_bias: Vec<(u32, f32)>,
}

/// The most tokens that truncating samplers can be told to leave: more than any vocabulary has.
pub const MOST_KEPT: usize = 1 << 20;

/// The order of samplers that is used unless another is asked for.
pub const DEFAULT_ORDER: &str = "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature";

impl Default for SamplerOptions {
    fn default() -> Self {
        SamplerOptions {
            seed: None,
            order: DEFAULT_ORDER.to_owned(),
            temperature: 0.8,
            dynamic_temperature_range: 0.0,
            dynamic_temperature_exponent: 1.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            min_keep: 1,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: -1,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(str::to_owned).to_vec(),
            mirostat: 0,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            logit_bias: Vec::new(),
        }
    }
}

impl SamplerOptions {
    /// The options under which the most likely token is always taken, whatever the text.
    pub fn greedy() -> Self {
        SamplerOptions {
            temperature: 0.0,
            ..SamplerOptions::default()
        }
    }

    /// Refuses values that make no sense; [`Error::Sampling`] names the option and what is allowed.
    pub fn check(&self) -> Result<(), Error> {
        let ok = |fine: bool, option, is: &dyn Display, allowed: &str| {
            let problem = || format!("is {is}; it must be {allowed}");
            fine.then_some(()).ok_or_else(|| Error::Sampling {
                option,
                problem: problem(),
            })
        };
        let within = |option, value: f32, low: f32, high: f32| {
            let allowed = format!("a number from {low} to {high}");
            ok((low..=high).contains(&value), option, &value, &allowed)
        };
        let least = |option, value: f32, low: f32| {
            let allowed = format!("a finite number of at least {low}");
            ok(value.is_finite() && value >= low, option, &value, &allowed)
        };
        let above = |option, value: f32, high: f32, allowed: &str| {
            let fine = value.is_finite() && value > 0.0 && value <= high;
            ok(fine, option, &value, allowed)
        };
        let finite = |option, value: f32| ok(value.is_finite(), option, &value, "a finite number");
        let back =
            |option, value: i64| ok(value >= -1, option, &value, "-1 (all), 0 (none) or a count");
        least("temperature", self.temperature, 0.0)?;
        least(
            "dynamic_temperature_range",
            self.dynamic_temperature_range,
            0.0,
        )?;
        least(
            "dynamic_temperature_exponent",
            self.dynamic_temperature_exponent,
            0.0,
        )?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        above(
            "typical_p",
            self.typical_p,
            1.0,
            "a number above 0, up to 1 (off)",
        )?;
        finite("top_n_sigma", self.top_n_sigma)?;
        within("xtc_probability", self.xtc_probability, 0.0, 1.0)?;
        within("xtc_threshold", self.xtc_threshold, 0.0, 1.0)?;
        ok(
            self.xtc_threshold > 0.0 || self.xtc_probability == 0.0,
            "xtc_threshold",
            &self.xtc_threshold,
            "above 0 (0.05 to 0.5 are usual), or only the least likely token would be left",
        )?;
        ok(
            (1..=MOST_KEPT).contains(&self.min_keep),
            "min_keep",
            &self.min_keep,
            &format!("a whole number from 1 to {MOST_KEPT}"),
        )?;
        above(
            "repeat_penalty",
            self.repeat_penalty,
            f32::MAX,
            "a finite number above 0 (1 turns it off)",
        )?;
        finite("frequency_penalty", self.frequency_penalty)?;
        finite("presence_penalty", self.presence_penalty)?;
        back("repeat_last_n", self.repeat_last_n)?;
        least("dry_multiplier", self.dry_multiplier, 0.0)?;
        least("dry_base", self.dry_base, 1.0)?;
        back("dry_penalty_last_n", self.dry_penalty_last_n)?;
        ok(
            !self.dry_sequence_breakers.iter().any(String::is_empty),
            "dry_sequence_breakers",
            &"empty",
            "a text (or there must be none at all)",
        )?;
        ok(
            self.mirostat <= 2,
            "mirostat",
            &self.mirostat,
            "0 (off), 1 or 2",
        )?;
        ok(
            self.mirostat == 0 || self.temperature > 0.0,
            "mirostat",
            &self.mirostat,
            "0 (off) at temperature 0, where the most likely token is always taken",
        )?;
        least("mirostat_tau", self.mirostat_tau, 0.0)?;
        least("mirostat_eta", self.mirostat_eta, 0.0)?;
        for &(id, bias) in &self.logit_bias {
            ok(
                bias.is_finite() || bias == f32::NEG_INFINITY,
                "logit_bias",
                &format!("{id}={bias}"),
                "a finite number, or -inf to ban the token",
            )?;
        }
        self.chain().map(drop)
    }

    /// The samplers that may take part, in order; options can still turn each of them off.
    pub(super) fn chain(&self) -> Result<Vec<&'static SamplerKind>, Error> {
        let wrong = |problem| Error::Sampling {
            option: "order",
            problem,
        };
        let mut ordered: Vec<&'static SamplerKind> = Vec::new();
        for name in self
            .order
            .split(';')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let kind = sampler(name)
                .filter(|kind| kind.role == Role::Ordered)
                .ok_or_else(|| {
                    let known: Vec<&str> = SAMPLERS
                        .iter()
                        .filter(|kind| kind.role == Role::Ordered)
                        .map(|kind| kind.name)
                        .collect();
                    wrong(format!(
                        "names '{name}', which is no sampler (known: {})",
                        known.join(", ")
                    ))
                })?;
            if ordered.iter().any(|other| other.name == kind.name) {
                return Err(wrong(format!("names sampler '{name}' twice")));
            }
            ordered.push(kind);
        }
        if ordered.is_empty() {
            return Err(wrong(
                "names no sampler; name at least one ('temperature' alone samples from all tokens)"
                    .to_owned(),
            ));
        }
        // Mirostat does its own truncation: what would truncate before it is left out.
        if self.mirostat != 0 {
            ordered.retain(|kind| ["penalties", "dry", "temperature"].contains(&kind.name));
        }
        let of = |role: Role| {
            SAMPLERS
                .iter()
                .copied()
                .filter(move |kind| kind.role == role)
        };
        Ok(of(Role::First)
            .chain(ordered)
            .chain(of(Role::Last))
            .collect())
    }
}

/// JSON has no infinity: a bias of negative infinity is saved as null.
mod bias {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(bias: &[(u32, f32)], serializer: S) -> Result<S::Ok, S::Error> {
        let saved: Vec<(u32, Option<f32>)> = bias
            .iter()
            .map(|&(id, value)| (id, Some(value).filter(|value| value.is_finite())))
            .collect();
        saved.serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(u32, f32)>, D::Error> {
        let saved = Vec::<(u32, Option<f32>)>::deserialize(deserializer)?;
        Ok(saved
            .into_iter()
            .map(|(id, value)| (id, value.unwrap_or(f32::NEG_INFINITY)))
            .collect())
    }
}
