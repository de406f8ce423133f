//! The options that say how the next token is chosen, shared by the commands that generate and by `/params` in a chat.

use crate::diagnostics::usage;
use crate::options::{text, whole, with_negative_numbers};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use gristmill_engine::Error;
use gristmill_engine::sampler::SamplerOptions;

/// How the next token is chosen. What is not given keeps the engine's default.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most likely token [default: 0.8]
    #[arg(
        long = "temp",
        visible_alias = "temperature",
        value_name = "X",
        value_parser = number
    )]
    temperature: Option<f32>,
    /// Keep the K most likely tokens; 0: all [default: 40]
    #[arg(long, value_name = "K", value_parser = whole)]
    top_k: Option<usize>,
    /// Keep the most likely tokens that together have probability P; 1: all [default: 0.95]
    #[arg(long, value_name = "P", value_parser = number)]
    top_p: Option<f32>,
    /// Keep tokens at least P times as likely as the most likely one; 0: all [default: 0.05]
    #[arg(long, value_name = "P", value_parser = number)]
    min_p: Option<f32>,
    /// Start of the random numbers: the same seed gives the same text [default: another one each time]
    #[arg(long, value_name = "N", value_parser = seed)]
    seed: Option<u64>,
    /// Divide the logits of tokens that were there by X; 1: off [default: 1]
    #[arg(long, value_name = "X", value_parser = number)]
    repeat_penalty: Option<f32>,
    /// Tokens that the penalties look back at; -1: all [default: 64]
    #[arg(long, value_name = "N", value_parser = back)]
    repeat_last_n: Option<i64>,
    /// Take X off a token's logit for each time it was there [default: 0]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    frequency_penalty: Option<f32>,
    /// Take X off a token's logit if it was there [default: 0]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    presence_penalty: Option<f32>,
    /// Keep tokens of typical information up to probability P, above 0; 1: all [default: 1]
    #[arg(long, value_name = "P", value_parser = number, hide_short_help = true)]
    typical_p: Option<f32>,
    /// Keep tokens within X standard deviations of the largest logit; 0 or less: all [default: 0]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    top_n_sigma: Option<f32>,
    /// XTC: how often the most likely tokens are left out [default: 0]
    #[arg(long, value_name = "P", value_parser = number, hide_short_help = true)]
    xtc_probability: Option<f32>,
    /// XTC: what counts among the most likely [default: 0.1]
    #[arg(long, value_name = "P", value_parser = number, hide_short_help = true)]
    xtc_threshold: Option<f32>,
    /// Move the temperature by up to X with the entropy; 0: off [default: 0]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    dynatemp_range: Option<f32>,
    /// How steeply it moves [default: 1]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    dynatemp_exponent: Option<f32>,
    /// DRY: strength of the penalty on repeated sequences; 0: off [default: 0]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    dry_multiplier: Option<f32>,
    /// DRY: how fast it grows with the length, 1 or more [default: 1.75]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    dry_base: Option<f32>,
    /// DRY: length that is free of it [default: 2]
    #[arg(long, value_name = "N", value_parser = whole, hide_short_help = true)]
    dry_allowed_length: Option<usize>,
    /// DRY: tokens it looks back at; -1: all [default: -1]
    #[arg(long, value_name = "N", value_parser = back, hide_short_help = true)]
    dry_penalty_last_n: Option<i64>,
    /// DRY: a text that breaks sequences (may be given several times) [default: newline : " *]
    #[arg(long, value_name = "TEXT", value_parser = text, hide_short_help = true)]
    dry_sequence_breaker: Vec<String>,
    /// Mirostat 1 or 2 draws the token, at temperatures above 0; 0: off [default: 0]
    #[arg(long, value_name = "N", value_parser = version, hide_short_help = true)]
    mirostat: Option<u8>,
    /// Mirostat: the surprise it aims at, in bits [default: 5]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    mirostat_tau: Option<f32>,
    /// Mirostat: how fast it corrects itself [default: 0.1]
    #[arg(long, value_name = "X", value_parser = number, hide_short_help = true)]
    mirostat_eta: Option<f32>,
    /// Truncating samplers leave at least N tokens, 1 or more [default: 1]
    #[arg(long, value_name = "N", value_parser = whole, hide_short_help = true)]
    min_keep: Option<usize>,
    /// Add X to the logit of a token; -inf bans it (may be given several times)
    #[arg(long, value_name = "ID=X", value_parser = bias, allow_hyphen_values = true, hide_short_help = true)]
    logit_bias: Vec<(u32, f32)>,
    /// The order of the samplers, separated by ';' (see 'gristmill supported' for the names)
    #[arg(long, value_name = "A;B;...", hide_short_help = true)]
    samplers: Option<String>,
}

fn number(text: &str) -> Result<f32, String> {
    let number: Option<f32> = text.trim().parse().ok();
    number
        .filter(|number| number.is_finite())
        .ok_or_else(|| "must be a finite number, for example 0.5".to_owned())
}

fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("must be a whole number from 0 to {}", u64::MAX))
}

fn back(text: &str) -> Result<i64, String> {
    let number: Option<i64> = text.parse().ok();
    number
        .filter(|number| *number >= -1)
        .ok_or_else(|| "must be -1 (all), 0 (none) or a count".to_owned())
}

fn version(text: &str) -> Result<u8, String> {
    let number: Option<u8> = text.parse().ok();
    number
        .filter(|number| *number <= 2)
        .ok_or_else(|| "must be 0 (off), 1 or 2".to_owned())
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let parsed = text.split_once('=').and_then(|(id, bias)| {
        let bias = match bias.trim() {
            "-inf" => f32::NEG_INFINITY,
            bias => number(bias).ok()?,
        };
        Some((id.trim().parse().ok()?, bias))
    });
    parsed.ok_or_else(|| {
        "must be ID=X with a token's id and a finite number, for example 15=-2.5, or -inf to ban it"
            .to_owned()
    })
}

/// The flag that sets an option of the engine.
fn flag(option: &str) -> String {
    let name = match option {
        "temperature" => "temp",
        "order" => "samplers",
        "dynamic_temperature_range" => "dynatemp-range",
        "dynamic_temperature_exponent" => "dynatemp-exponent",
        "dry_sequence_breakers" => "dry-sequence-breaker",
        other => other,
    };
    format!("--{}", name.replace('_', "-"))
}

/// An error of the engine about an option, in the words of the command line.
pub fn refused(error: &Error) -> Option<String> {
    match error {
        Error::Sampling { option, problem } => Some(format!("{} {problem}", flag(option))),
        _ => None,
    }
}

impl SamplingArgs {
    /// The engine's options, checked.
    pub fn options(&self) -> anyhow::Result<SamplerOptions> {
        let mut options = SamplerOptions {
            seed: self.seed,
            logit_bias: self.logit_bias.clone(),
            ..Default::default()
        };
        fn set<T: Clone>(field: &mut T, given: &Option<T>) {
            if let Some(value) = given {
                *field = value.clone();
            }
        }
        set(&mut options.order, &self.samplers);
        set(&mut options.temperature, &self.temperature);
        set(&mut options.dynamic_temperature_range, &self.dynatemp_range);
        set(
            &mut options.dynamic_temperature_exponent,
            &self.dynatemp_exponent,
        );
        set(&mut options.top_k, &self.top_k);
        set(&mut options.top_p, &self.top_p);
        set(&mut options.min_p, &self.min_p);
        set(&mut options.typical_p, &self.typical_p);
        set(&mut options.top_n_sigma, &self.top_n_sigma);
        set(&mut options.xtc_probability, &self.xtc_probability);
        set(&mut options.xtc_threshold, &self.xtc_threshold);
        set(&mut options.min_keep, &self.min_keep);
        set(&mut options.repeat_last_n, &self.repeat_last_n);
        set(&mut options.repeat_penalty, &self.repeat_penalty);
        set(&mut options.frequency_penalty, &self.frequency_penalty);
        set(&mut options.presence_penalty, &self.presence_penalty);
        set(&mut options.dry_multiplier, &self.dry_multiplier);
        set(&mut options.dry_base, &self.dry_base);
        set(&mut options.dry_allowed_length, &self.dry_allowed_length);
        set(&mut options.dry_penalty_last_n, &self.dry_penalty_last_n);
        set(&mut options.mirostat, &self.mirostat);
        set(&mut options.mirostat_tau, &self.mirostat_tau);
        set(&mut options.mirostat_eta, &self.mirostat_eta);
        if !self.dry_sequence_breaker.is_empty() {
            options
                .dry_sequence_breakers
                .clone_from(&self.dry_sequence_breaker);
        }
        options
            .check()
            .map_err(|error| usage(refused(&error).unwrap_or_else(|| error.to_string())))?;
        Ok(options)
    }
}

/// The sampling options as a command line of their own, for `/params`.
#[derive(Parser)]
#[command(name = "/params", no_binary_name = true, disable_help_flag = true)]
struct Parameters {
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// The options with changes applied that are written as on the command line. The error is for the person who wrote them.
pub fn update(sampling: &SamplingArgs, words: &[String]) -> Result<SamplingArgs, String> {
    let first_line = |error: clap::Error| {
        let text = error.render().to_string();
        text.lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned()
    };
    let matches = with_negative_numbers(Parameters::command())
        .try_get_matches_from(words)
        .map_err(first_line)?;
    let mut changed = sampling.clone();
    changed
        .update_from_arg_matches(&matches)
        .map_err(first_line)?;
    Ok(changed)
}

/// The parameters in effect, one line each kind.
pub fn describe(options: &SamplerOptions) -> String {
    let mut text = format!(
        "  --temp {} --top-k {} --top-p {} --min-p {} --seed {}\n  --repeat-penalty {} --repeat-last-n {}",
        options.temperature,
        options.top_k,
        options.top_p,
        options.min_p,
        options
            .seed
            .map_or("(another each time)".to_owned(), |seed| seed.to_string()),
        options.repeat_penalty,
        options.repeat_last_n,
    );
    // The rarer ones are shown where they are not at their defaults.
    let default = SamplerOptions::default();
    let mut rare = |name: &str, value: String, usual: String| {
        if value != usual {
            text.push_str(&format!("\n  --{name} {value}"));
        }
    };
    macro_rules! rare {
        ($($name:literal $field:ident),* $(,)?) => {
            $(rare($name, options.$field.to_string(), default.$field.to_string());)*
        };
    }
    rare!(
        "frequency-penalty" frequency_penalty,
        "presence-penalty" presence_penalty,
        "typical-p" typical_p,
        "top-n-sigma" top_n_sigma,
        "xtc-probability" xtc_probability,
        "xtc-threshold" xtc_threshold,
        "dynatemp-range" dynamic_temperature_range,
        "dynatemp-exponent" dynamic_temperature_exponent,
        "dry-multiplier" dry_multiplier,
        "dry-base" dry_base,
        "dry-allowed-length" dry_allowed_length,
        "dry-penalty-last-n" dry_penalty_last_n,
        "mirostat" mirostat,
        "mirostat-tau" mirostat_tau,
        "mirostat-eta" mirostat_eta,
        "min-keep" min_keep,
        "samplers" order,
    );
    if options.dry_sequence_breakers != default.dry_sequence_breakers {
        for breaker in &options.dry_sequence_breakers {
            text.push_str(&format!("\n  --dry-sequence-breaker {breaker:?}"));
        }
    }
    for (id, bias) in &options.logit_bias {
        text.push_str(&format!("\n  --logit-bias {id}={bias}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_change_one_by_one() {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let first = update(
            &SamplingArgs::default(),
            &words("--temp 0.5 --logit-bias 7=-inf"),
        )
        .unwrap();
        let second = update(&first, &words("--top-k 3 --repeat-last-n -1")).unwrap();
        let options = second.options().unwrap();
        assert_eq!(
            (options.temperature, options.top_k, options.repeat_last_n),
            (0.5, 3, -1)
        );
        assert_eq!(options.logit_bias, [(7, f32::NEG_INFINITY)]);
        assert_eq!(options.min_p, SamplerOptions::default().min_p);
        let shown = describe(&options);
        assert!(
            shown.contains("--top-k 3") && shown.contains("--logit-bias 7=-inf"),
            "{shown}"
        );
        assert!(update(&first, &words("--tmp 1")).is_err());
        assert!(
            update(&first, &words("--logit-bias x"))
                .unwrap_err()
                .contains("logit-bias")
        );
        assert!(
            update(&first, &words("--top-p 7"))
                .unwrap()
                .options()
                .is_err()
        );
    }

    #[test]
    fn every_option_of_the_engine_has_its_flag() {
        let command = Parameters::command();
        let known: Vec<String> = command
            .get_arguments()
            .filter_map(|arg| arg.get_long().map(|long| format!("--{long}")))
            .collect();
        let options = serde_json::to_value(SamplerOptions::default()).unwrap();
        for option in options.as_object().unwrap().keys() {
            assert!(known.contains(&flag(option)), "{option}");
        }
    }

    #[test]
    fn defaults_in_the_help_texts_are_the_engines() {
        let options = SamplingArgs::default().options().unwrap();
        let said = [
            options.temperature,
            options.top_k as f32,
            options.top_p,
            options.min_p,
            options.repeat_penalty,
        ];
        assert_eq!(said, [0.8, 40.0, 0.95, 0.05, 1.0]);
        assert_eq!(options, SamplerOptions::default());
    }
}
