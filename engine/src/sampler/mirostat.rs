//! Mirostat: keeps the surprise (-log2 of the probability) of the drawn tokens close to a target tau by feedback
//! (Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity", 2020).
//! Version 1 estimates the exponent of Zipf's law from the most likely tokens and truncates to the k that it gives;
//! version 2 removes the tokens whose surprise is above the running maximum mu. Both draw the token themselves.

use super::distribution::draw;
use super::{Candidates, Random, Role, Sampler, SamplerKind};

/// Registry entry of version 1.
pub static KIND_1: SamplerKind = SamplerKind {
    name: "mirostat",
    aliases: &["mirostat_v1"],
    help: "holds the surprise at a target by a varying top-k (version 1)",
    role: Role::Last,
    build: |options, setup| {
        let limit = Limit::Zipf {
            vocab_size: setup.vocab_size,
        };
        Ok((options.mirostat == 1).then(|| {
            Box::new(Mirostat::new(
                options.mirostat_tau,
                options.mirostat_eta,
                limit,
            )) as Box<dyn Sampler>
        }))
    },
};

/// Registry entry of version 2.
pub static KIND_2: SamplerKind = SamplerKind {
    name: "mirostat_v2",
    aliases: &[],
    help: "holds the surprise at a target by a varying limit on each token's surprise (version 2)",
    role: Role::Last,
    build: |options, _| {
        Ok((options.mirostat == 2).then(|| {
            Box::new(Mirostat::new(
                options.mirostat_tau,
                options.mirostat_eta,
                Limit::Surprise,
            )) as Box<dyn Sampler>
        }))
    },
};

/// How many of the most likely tokens the estimate of version 1 looks at (m in the paper).
const ESTIMATE_TOKENS: usize = 100;

enum Limit {
    Zipf { vocab_size: usize },
    Surprise,
}

struct Mirostat {
    tau: f32,
    eta: f32,
    /// The running maximum of the surprise; starts at twice the target.
    mu: f32,
    limit: Limit,
}

impl Mirostat {
    fn new(tau: f32, eta: f32, limit: Limit) -> Mirostat {
        Mirostat {
            tau,
            eta,
            mu: 2.0 * tau,
            limit,
        }
    }

    /// The number of tokens that version 1 keeps: k in the paper's equation for Zipf's law with exponent s over n words.
    fn zipf_count(&self, candidates: &mut Candidates, vocab_size: usize) -> usize {
        candidates.sort(ESTIMATE_TOKENS);
        let top = &candidates.items()[..ESTIMATE_TOKENS.min(candidates.len())];
        let (mut products, mut squares) = (0.0f64, 0.0f64);
        for (rank, pair) in (1u32..).zip(top.windows(2)) {
            if pair[1].probability <= 0.0 {
                break;
            }
            let t = (f64::from(rank + 1) / f64::from(rank)).ln();
            let b = (f64::from(pair[0].probability) / f64::from(pair[1].probability)).ln();
            products += t * b;
            squares += t * t;
        }
        if squares == 0.0 {
            return 1;
        }
        let s = products / squares;
        let epsilon = s - 1.0;
        let surprise = f64::from(self.mu).exp2();
        let k = if s.abs() < 1e-9 {
            // Equal probabilities: 2^mu tokens have surprise mu.
            surprise
        } else if epsilon.abs() < 1e-9 {
            // The limit of epsilon / (1 - n^-epsilon) at 0.
            surprise / (vocab_size as f64).ln()
        } else {
            (epsilon * surprise / (1.0 - (vocab_size as f64).powf(-epsilon))).powf(1.0 / s)
        };
        // A float too large for the integer saturates, a NaN becomes 0.
        (k.round() as usize).max(1)
    }
}

impl Sampler for Mirostat {
    fn apply(&mut self, candidates: &mut Candidates, _random: &mut Random) {
        candidates.softmax();
        match self.limit {
            Limit::Zipf { vocab_size } => {
                let count = self.zipf_count(candidates, vocab_size);
                candidates.keep_largest(count);
            }
            Limit::Surprise => {
                let least = (-self.mu).exp2();
                if candidates
                    .items()
                    .iter()
                    .any(|item| item.probability >= least)
                {
                    candidates.retain(|item| item.probability >= least);
                } else {
                    candidates.keep_largest(1);
                }
            }
        }
    }

    fn select(&mut self, candidates: &mut Candidates, random: &mut Random) -> Option<u32> {
        self.apply(candidates, random);
        let (id, probability) = draw(candidates, random);
        self.mu -= self.eta * (-probability.log2() - self.tau);
        Some(id)
    }

    fn reset(&mut self) {
        self.mu = 2.0 * self.tau;
    }
}
