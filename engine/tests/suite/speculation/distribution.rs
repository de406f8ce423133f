//! At temperatures above 0: with other seeds, the distribution of the text is that of the plain path.

use super::*;

/// Probability that chi-square with `freedom` degrees is at least `x` (Wilson and Hilferty, 1931).
fn chi_square_tail(x: f64, freedom: f64) -> f64 {
    let a = 2.0 / (9.0 * freedom);
    let z = ((x / freedom).cbrt() - (1.0 - a)) / a.sqrt();
    // The normal distribution's tail (Abramowitz and Stegun 26.2.17).
    let t = 1.0 / (1.0 + 0.2316419 * z.abs());
    let poly = t
        * (0.319381530
            + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    let tail = poly * (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if z < 0.0 { 1.0 - tail } else { tail }
}

/// How unlikely it is that two counts come from one distribution; rare values are taken together.
fn same_distribution(a: &[u32], b: &[u32]) -> f64 {
    let (mut x, mut cells) = (0.0, 0.0);
    let (mut rest_a, mut rest_b) = (0, 0);
    let mut cell = |a: u32, b: u32| {
        if a + b > 0 {
            x += (f64::from(a) - f64::from(b)).powi(2) / f64::from(a + b);
            cells += 1.0;
        }
    };
    for (&a, &b) in a.iter().zip(b) {
        if a + b >= 10 {
            cell(a, b);
        } else {
            rest_a += a;
            rest_b += b;
        }
    }
    cell(rest_a, rest_b);
    chi_square_tail(x, cells - 1.0)
}

#[test]
fn the_distribution_is_that_of_the_plain_path() {
    // Other seeds than the plain path's: the texts differ, their distribution must not.
    let model = model("llama-gqa");
    let context = |speculation| {
        let options = ContextOptions {
            context_length: Some(64),
            speculation,
            ..common::exact(1)
        };
        model.context(&options).unwrap()
    };
    let mut plain = context(Default::default());
    let sample = |context: &mut Context, first_seed: u64| {
        // Counts of the ids at the third place, and of the pairs at the second and fourth in a few classes.
        let (mut ids, mut pairs) = (vec![0u32; 128], vec![0u32; 64]);
        let mut accepted = 0;
        for seed in 0..1500 {
            let sampler = SamplerOptions {
                seed: Some(first_seed + seed),
                temperature: 0.35,
                ..Default::default()
            };
            context.reset();
            let outcome = outcome(context, &[3, 1, 4, 3, 1], &options(sampler, 4));
            ids[outcome.ids[2] as usize] += 1;
            pairs[(outcome.ids[1] % 8 * 8 + outcome.ids[3] % 8) as usize] += 1;
            accepted += outcome.counts.map_or(0, |c| c.accepted);
        }
        (ids, pairs, accepted)
    };
    let (ids, pairs, _) = sample(&mut plain, 0);
    for (what, speculation) in [
        ("lookup", guessing(true, None, Some(3))),
        ("draft", guessing(false, Some(&model), Some(3))),
    ] {
        let mut context = context(speculation);
        let (its_ids, its_pairs, accepted) = sample(&mut context, 1_000_000);
        let p = (
            same_distribution(&ids, &its_ids),
            same_distribution(&pairs, &its_pairs),
        );
        println!("{what}: p = {p:?}, {accepted} guesses accepted");
        assert!(
            accepted > 20,
            "{what}: guesses have to be right now and then, {accepted}"
        );
        assert!(p.0 > 0.001 && p.1 > 0.001, "{what}: {p:?}");
    }
    // The test itself can fail: another temperature is another distribution.
    let mut warm = vec![0u32; 128];
    for seed in 0..1500 {
        plain.reset();
        let sampler = SamplerOptions {
            seed: Some(2_000_000 + seed),
            temperature: 0.6,
            ..Default::default()
        };
        warm[outcome(&mut plain, &[3, 1, 4, 3, 1], &options(sampler, 4)).ids[2] as usize] += 1;
    }
    assert!(same_distribution(&ids, &warm) < 1e-6);
}
