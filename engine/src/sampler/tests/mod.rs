//! What the tests of samplers share: options, and what one sampler leaves of a row.

mod chain;
mod each;

use proptest::prelude::*;

use super::*;

fn off() -> SamplerOptions {
    SamplerOptions {
        seed: Some(1),
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        min_p: 0.0,
        ..SamplerOptions::default()
    }
}

fn setup(vocab_size: usize) -> Setup<'static> {
    Setup {
        vocab_size,
        piece: Some(&|id| vec![b'a' + (id % 26) as u8]),
    }
}

/// The tokens left, sorted by id, with their probabilities, after the sampler of that name.
fn after(name: &str, options: &SamplerOptions, text: &[u32], logits: &[f32]) -> Vec<(u32, f32)> {
    let kind = sampler(name).expect("registered");
    let mut step = (kind.build)(options, &setup(logits.len()))
        .expect("valid")
        .expect("turned on");
    text.iter().for_each(|&id| step.accept(id));
    let mut candidates = Candidates::default();
    candidates.fill(logits);
    step.apply(&mut candidates, &mut Random::new(3));
    candidates.softmax();
    let mut left: Vec<(u32, f32)> = candidates
        .items()
        .iter()
        .map(|item| (item.id, item.probability))
        .collect();
    left.sort_by_key(|item| item.0);
    left
}

fn ids(left: &[(u32, f32)]) -> Vec<u32> {
    left.iter().map(|item| item.0).collect()
}

fn logits(probabilities: &[f32]) -> Vec<f32> {
    probabilities.iter().map(|p| p.ln() + 2.5).collect()
}

fn assert_close(found: &[(u32, f32)], expected: &[(u32, f32)]) {
    assert_eq!(ids(found), ids(expected));
    for (a, b) in found.iter().zip(expected) {
        assert!(
            (a.1 - b.1).abs() < 1e-5,
            "{found:?} instead of {expected:?}"
        );
    }
}

const FOUR: [f32; 4] = [0.1, 0.2, 0.3, 0.4];

/// What DRY leaves of 26 logits of zero.
fn dry_logits(options: &SamplerOptions, text: &[u32]) -> Vec<f32> {
    let mut step = (dry::KIND.build)(options, &setup(26)).unwrap().unwrap();
    text.iter().for_each(|&id| step.accept(id));
    let mut candidates = Candidates::default();
    candidates.fill(&[0.0; 26]);
    step.apply(&mut candidates, &mut Random::new(0));
    candidates.items().iter().map(|item| item.logit).collect()
}
