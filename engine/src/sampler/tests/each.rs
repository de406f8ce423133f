//! Exact small cases for each sampler.

use super::*;

#[test]
fn top_k_keeps_the_largest() {
    let with = |k| SamplerOptions { top_k: k, ..off() };
    assert_close(&after("top_k", &with(1), &[], &logits(&FOUR)), &[(3, 1.0)]);
    assert_close(
        &after("top_k", &with(3), &[], &logits(&FOUR)),
        &[(1, 2.0 / 9.0), (2, 3.0 / 9.0), (3, 4.0 / 9.0)],
    );
    // Ties go to the smaller id.
    assert_eq!(ids(&after("top_k", &with(2), &[], &[1.0; 5])), [0, 1]);
}

#[test]
fn top_k_of_a_large_vocabulary_equals_a_sort() {
    let mut random = Random::new(5);
    // Few different values, so that there are many ties.
    let row: Vec<f32> = (0..50_000)
        .map(|_| (random.unit() * 3_000.0).floor() as f32 / 100.0)
        .collect();
    for k in [1, 2, 40, 64, 1000, 20_000] {
        let mut expected: Vec<u32> = (0..row.len() as u32).collect();
        expected.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]).then(a.cmp(&b)));
        let mut candidates = Candidates::default();
        candidates.fill(&row);
        candidates.keep_largest(k);
        let found: Vec<u32> = candidates.items().iter().map(|item| item.id).collect();
        assert_eq!(found, &expected[..k]);
    }
}

#[test]
fn top_p_keeps_the_nucleus() {
    let with = |p| SamplerOptions { top_p: p, ..off() };
    assert_close(
        &after("top_p", &with(0.69), &[], &logits(&FOUR)),
        &[(2, 3.0 / 7.0), (3, 4.0 / 7.0)],
    );
    assert_eq!(
        ids(&after("top_p", &with(0.75), &[], &logits(&FOUR))),
        [1, 2, 3]
    );
    assert_eq!(ids(&after("top_p", &with(0.0), &[], &logits(&FOUR))), [3]);
    let keep = SamplerOptions {
        min_keep: 2,
        ..with(0.0)
    };
    assert_eq!(ids(&after("top_p", &keep, &[], &logits(&FOUR))), [2, 3]);
    // More tokens than are sorted at first.
    assert_eq!(after("top_p", &with(0.5), &[], &[0.0; 1000]).len(), 500);
}

#[test]
fn min_p_is_relative_to_the_largest() {
    let with = |p| SamplerOptions { min_p: p, ..off() };
    assert_eq!(
        ids(&after("min_p", &with(0.24), &[], &logits(&FOUR))),
        [0, 1, 2, 3]
    );
    assert_eq!(
        ids(&after("min_p", &with(0.26), &[], &logits(&FOUR))),
        [1, 2, 3]
    );
    assert_close(
        &after("min_p", &with(0.74), &[], &logits(&FOUR)),
        &[(2, 3.0 / 7.0), (3, 4.0 / 7.0)],
    );
    assert_eq!(ids(&after("min_p", &with(0.76), &[], &logits(&FOUR))), [3]);
    assert_eq!(
        ids(&after(
            "min_p",
            &SamplerOptions {
                min_keep: 2,
                ..with(1.0)
            },
            &[],
            &logits(&FOUR)
        )),
        [2, 3]
    );
}

#[test]
fn typical_prefers_expected_information() {
    let with = |p| SamplerOptions {
        typical_p: p,
        ..off()
    };
    // Entropy 0.611 nats; informations 0.0305, 3.51, 3.51...: the sure token is 0.11 from the entropy.
    assert_eq!(
        ids(&after(
            "typ_p",
            &with(0.5),
            &[],
            &logits(&[0.97, 0.01, 0.01, 0.01])
        )),
        [0]
    );
    // Entropy 1.055; |information - entropy|: 0.139 (0.4), 0.139... the least typical is the most likely token here.
    let row = logits(&[0.4, 0.2, 0.2, 0.2]);
    assert_eq!(ids(&after("typ_p", &with(0.5), &[], &row)), [1, 2, 3]);
}

#[test]
fn xtc_removes_the_top_but_the_last_that_passes() {
    let with = |threshold| SamplerOptions {
        xtc_probability: 1.0,
        xtc_threshold: threshold,
        ..off()
    };
    assert_eq!(ids(&after("xtc", &with(0.09), &[], &logits(&FOUR))), [0]);
    assert_eq!(ids(&after("xtc", &with(0.15), &[], &logits(&FOUR))), [0, 1]);
    assert_eq!(
        ids(&after("xtc", &with(0.25), &[], &logits(&FOUR))),
        [0, 1, 2]
    );
    assert_eq!(
        ids(&after("xtc", &with(0.35), &[], &logits(&FOUR))),
        [0, 1, 2, 3]
    );
}

#[test]
fn top_n_sigma_counts_in_deviations() {
    // Mean 2, deviation sqrt(2).
    let row = [0.0, 1.0, 2.0, 3.0, 4.0];
    let with = |n| SamplerOptions {
        top_n_sigma: n,
        ..off()
    };
    assert_eq!(ids(&after("top_n_sigma", &with(1.0), &[], &row)), [3, 4]);
    assert_eq!(ids(&after("top_n_sigma", &with(0.5), &[], &row)), [4]);
    assert_eq!(
        ids(&after("top_n_sigma", &with(3.0), &[], &row)),
        [0, 1, 2, 3, 4]
    );
    // A banned token doesn't count.
    let banned = [0.0, 1.0, 2.0, 3.0, 4.0, f32::NEG_INFINITY];
    assert_eq!(ids(&after("top_n_sigma", &with(1.0), &[], &banned)), [3, 4]);
}

#[test]
fn temperature_scales_log_ratios() {
    let left = after(
        "temperature",
        &SamplerOptions {
            temperature: 0.5,
            ..off()
        },
        &[],
        &logits(&[0.25, 0.75]),
    );
    assert_close(&left, &[(0, 0.1), (1, 0.9)]);
    let left = after(
        "temperature",
        &SamplerOptions {
            temperature: 1e-9,
            ..off()
        },
        &[],
        &logits(&[0.25, 0.75]),
    );
    assert_close(&left, &[(0, 0.0), (1, 1.0)]);
}

#[test]
fn dynamic_temperature_follows_the_entropy() {
    let options = SamplerOptions {
        temperature: 1.0,
        dynamic_temperature_range: 0.5,
        ..off()
    };
    // Entropy at its largest: temperature 1.5 (no difference among equals, so compare with an almost equal pair).
    let row = [0.01f32, 0.0];
    let ratio = |left: Vec<(u32, f32)>| (left[0].1 / left[1].1).ln();
    assert!((ratio(after("temperature", &options, &[], &row)) - 0.01 / 1.5).abs() < 1e-4);
    // Hardly any entropy: temperature 0.5.
    let row = [10.0f32, 0.0];
    let found = ratio(after("temperature", &options, &[], &row));
    assert!((19.9..20.1).contains(&found), "{found}");
    // A middling one, by hand: p = 0.9, 0.1; H / ln 2 = 0.469; squared 0.21995; t = 0.5 + 0.21995.
    let options = SamplerOptions {
        dynamic_temperature_exponent: 2.0,
        ..options
    };
    let found = ratio(after("temperature", &options, &[], &logits(&[0.9, 0.1])));
    assert!((found - 9f32.ln() / 0.719_95).abs() < 1e-3, "{found}");
}

#[test]
fn penalties_change_what_is_in_the_text() {
    let row = [2.0, -2.0, 1.0];
    let options = SamplerOptions {
        repeat_penalty: 2.0,
        frequency_penalty: 0.25,
        presence_penalty: 0.5,
        repeat_last_n: 3,
        ..off()
    };
    let changed = |text: &[u32]| {
        let mut step = (penalties::KIND.build)(&options, &setup(3))
            .unwrap()
            .unwrap();
        text.iter().for_each(|&id| step.accept(id));
        let mut candidates = Candidates::default();
        candidates.fill(&row);
        step.apply(&mut candidates, &mut Random::new(0));
        candidates
            .items()
            .iter()
            .map(|item| item.logit)
            .collect::<Vec<_>>()
    };
    assert_eq!(changed(&[]), row);
    assert_eq!(
        changed(&[0, 0, 1]),
        [2.0 / 2.0 - 0.5 - 0.5, -4.0 - 0.25 - 0.5, 1.0]
    );
    // The first two have left the window of three.
    assert_eq!(changed(&[0, 0, 1, 1, 1]), [2.0, -4.0 - 0.75 - 0.5, 1.0]);
}

#[test]
fn dry_punishes_the_continuation() {
    let options = SamplerOptions {
        dry_multiplier: 1.0,
        dry_base: 2.0,
        dry_allowed_length: 2,
        dry_sequence_breakers: vec!["z".into(), "xy".into()],
        ..off()
    };
    let only = |id: usize, value: f32| {
        let mut row = vec![0.0; 26];
        row[id] = value;
        row
    };
    // "abcd…abc": d would continue a repetition of length 3.
    assert_eq!(
        dry_logits(&options, &[0, 1, 2, 3, 9, 0, 1, 2]),
        only(3, -2.0)
    );
    // Length 2 is the shortest that is punished; length 1 is free.
    assert_eq!(dry_logits(&options, &[1, 2, 3, 9, 1, 2]), only(3, -1.0));
    assert_eq!(dry_logits(&options, &[2, 3, 9, 2]), vec![0.0; 26]);
    // A breaker (token 25, "z") cuts the repetition to length 2.
    assert_eq!(
        dry_logits(&options, &[0, 25, 1, 2, 3, 9, 0, 25, 1, 2]),
        only(3, -1.0)
    );
    // So does one spread over two tokens ("x" 23, "y" 24).
    assert_eq!(
        dry_logits(&options, &[0, 23, 24, 1, 2, 3, 9, 0, 23, 24, 1, 2]),
        only(3, -1.0)
    );
    // Overlapping: "aaaa" continued by a; the longest is 3.
    assert_eq!(dry_logits(&options, &[0, 0, 0, 0]), only(0, -2.0));
    // What is out of the window is forgotten.
    let short = SamplerOptions {
        dry_penalty_last_n: 3,
        ..options
    };
    assert_eq!(dry_logits(&short, &[1, 2, 3, 9, 1, 2]), vec![0.0; 26]);
}

#[test]
fn mirostat_holds_the_surprise() {
    let mut random = Random::new(9);
    // A Zipf-like distribution over 5000 words with entropy far above the target.
    let row: Vec<f32> = (1..=5000)
        .map(|rank| -(rank as f32).ln() + (random.unit() as f32) * 0.1)
        .collect();
    let total: f64 = row.iter().map(|logit| f64::from(logit.exp())).sum();
    for version in [1, 2] {
        let options = SamplerOptions {
            mirostat: version,
            mirostat_tau: 3.0,
            ..off()
        };
        let mut chain = SamplerChain::new(
            &SamplerOptions {
                seed: Some(4),
                ..options
            },
            None,
            row.len(),
        )
        .unwrap();
        assert_eq!(
            chain.names(),
            [if version == 1 {
                "mirostat"
            } else {
                "mirostat_v2"
            }]
        );
        let ids: Vec<u32> = (0..4000).map(|_| chain.sample(&row)).collect();
        // The surprise is that under the truncated distribution; for the plain one it is larger. Mean rank is small.
        let mean = ids[500..]
            .iter()
            .map(|&id| -(f64::from(row[id as usize].exp()) / total).log2())
            .sum::<f64>()
            / 3500.0;
        assert!((3.0..5.5).contains(&mean), "version {version}: {mean}");
        assert!(ids.iter().all(|&id| id < 200), "version {version}");
    }
}

#[test]
fn logit_bias_bans_and_favours() {
    let options = SamplerOptions {
        logit_bias: vec![(0, f32::NEG_INFINITY), (1, 100.0)],
        ..off()
    };
    assert_close(
        &after("logit_bias", &options, &[], &[5.0, 0.0, 5.0]),
        &[(0, 0.0), (1, 1.0), (2, 0.0)],
    );
}
