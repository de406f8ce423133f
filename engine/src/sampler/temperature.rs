//! Temperature: divides the logits. The dynamic temperature (kalomaze, 2023) moves within temperature ± range with the
//! entropy of the candidates, relative to its largest possible value: sure distributions are sharpened, unsure ones
//! flattened.

use super::typical::entropy;
use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "temperature",
    aliases: &["temp"],
    help: "divides the logits: below 1 sharpens, above 1 flattens; can follow the entropy",
    role: Role::Ordered,
    build: |options, _| {
        // A temperature of 0 is the greedy sampler's affair.
        let on = options.temperature > 0.0
            && (options.temperature != 1.0 || options.dynamic_temperature_range > 0.0);
        let sampler = Temperature {
            temperature: options.temperature,
            range: options.dynamic_temperature_range,
            exponent: options.dynamic_temperature_exponent,
        };
        Ok(on.then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct Temperature {
    temperature: f32,
    range: f32,
    exponent: f32,
}

impl Sampler for Temperature {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        let temperature = if self.range > 0.0 {
            self.dynamic(candidates)
        } else {
            self.temperature
        };
        // Far below any useful value, and far from making infinities.
        let temperature = temperature.max(1e-6);
        candidates.rescale(|logit| logit / temperature);
    }
}

impl Temperature {
    fn dynamic(&self, candidates: &mut Candidates) -> f32 {
        let low = (self.temperature - self.range).max(0.0);
        let high = self.temperature + self.range;
        if candidates.len() < 2 {
            return self.temperature;
        }
        candidates.softmax();
        let normalized = (entropy(candidates) / (candidates.len() as f32).ln()).clamp(0.0, 1.0);
        low + (high - low) * normalized.powf(self.exponent)
    }
}
