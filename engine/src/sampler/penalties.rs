//! Penalties for tokens that are in the last part of the text: the repetition penalty divides (Keskar et al., "CTRL",
//! 2019), the frequency and presence penalties subtract (as OpenAI's API defines them).

use std::collections::{HashMap, VecDeque};

use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry.
pub static KIND: SamplerKind = SamplerKind {
    name: "penalties",
    aliases: &["penalty"],
    help: "makes tokens that are in the text already less likely (repetition, frequency, presence)",
    role: Role::Ordered,
    build: |options, _| {
        let on = options.repeat_last_n != 0
            && (options.repeat_penalty != 1.0
                || options.frequency_penalty != 0.0
                || options.presence_penalty != 0.0);
        let sampler = Penalties {
            last_n: usize::try_from(options.repeat_last_n).unwrap_or(usize::MAX),
            repeat: options.repeat_penalty,
            frequency: options.frequency_penalty,
            presence: options.presence_penalty,
            window: VecDeque::new(),
            counts: HashMap::new(),
        };
        Ok(on.then(|| Box::new(sampler) as Box<dyn Sampler>))
    },
};

struct Penalties {
    last_n: usize,
    repeat: f32,
    frequency: f32,
    presence: f32,
    window: VecDeque<u32>,
    counts: HashMap<u32, u32>,
}

impl Sampler for Penalties {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        for (&id, &count) in &self.counts {
            candidates.change(id, |logit| {
                let logit = if logit > 0.0 {
                    logit / self.repeat
                } else {
                    logit * self.repeat
                };
                logit - self.frequency * count as f32 - self.presence
            });
        }
    }

    fn accept(&mut self, id: u32) {
        if self.window.len() >= self.last_n
            && let Some(old) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&old)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&old);
            }
        }
        self.window.push_back(id);
        *self.counts.entry(id).or_insert(0) += 1;
    }

    fn reset(&mut self) {
        self.window.clear();
        self.counts.clear();
    }
}
