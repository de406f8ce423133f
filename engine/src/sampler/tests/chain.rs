//! Whole chains: statistics of the draws, options and their order, and properties of any chain.

use super::*;

#[test]
fn draws_have_their_probabilities() {
    let mut chain = SamplerChain::new(&off(), None, 4).unwrap();
    let row = logits(&FOUR);
    let mut counts = [0u32; 4];
    for _ in 0..100_000 {
        counts[chain.sample(&row) as usize] += 1;
    }
    for (count, p) in counts.iter().zip(FOUR) {
        // Five standard deviations of a binomial count.
        let p = f64::from(p);
        let slack = 5.0 * (100_000.0 * p * (1.0 - p)).sqrt();
        assert!(
            (f64::from(*count) - 100_000.0 * p).abs() < slack,
            "{counts:?}"
        );
    }
}

#[test]
fn xtc_works_as_often_as_asked() {
    let options = SamplerOptions {
        xtc_probability: 0.3,
        xtc_threshold: 0.2,
        ..off()
    };
    let mut chain = SamplerChain::new(&options, None, 2).unwrap();
    let row = logits(&[0.75, 0.25]);
    let second = (0..50_000).filter(|_| chain.sample(&row) == 1).count();
    // 0.3 of the time the second is alone, else it has a quarter: 0.475.
    assert!((23_000..24_500).contains(&second), "{second}");
}

#[test]
fn the_seed_decides() {
    let row: Vec<f32> = (0..300).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    let draw = |seed| {
        let mut chain = SamplerChain::new(
            &SamplerOptions {
                seed: Some(seed),
                ..SamplerOptions::default()
            },
            None,
            300,
        )
        .unwrap();
        let first: Vec<u32> = (0..50).map(|_| chain.sample(&row)).collect();
        chain.reset();
        assert_eq!(
            first,
            (0..50).map(|_| chain.sample(&row)).collect::<Vec<_>>()
        );
        first
    };
    assert_eq!(draw(42), draw(42));
    assert_ne!(draw(42), draw(43));
    // The stream is part of what is promised: it doesn't change between versions.
    assert_eq!(draw(42)[..8], RECORDED);
}

const RECORDED: [u32; 8] = [263, 146, 262, 227, 298, 191, 74, 200];

#[test]
fn greedy_at_temperature_zero() {
    let mut chain = SamplerChain::new(&SamplerOptions::greedy(), None, 5).unwrap();
    assert_eq!(chain.sample(&[0.0, 3.0, f32::NAN, 3.0, 1.0]), 1);
    assert_eq!(chain.names().last(), Some(&"greedy"));
}

#[test]
fn order_is_obeyed_and_checked() {
    let options = SamplerOptions {
        order: "min_p; temp;top_k".into(),
        temperature: 0.5,
        top_k: 2,
        min_p: 0.1,
        ..off()
    };
    assert_eq!(
        SamplerChain::new(&options, None, 9).unwrap().names(),
        ["min_p", "temperature", "top_k", "distribution"]
    );
    let refuse = |options: SamplerOptions, part: &str| {
        let error = SamplerChain::new(&options, None, 9)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
        assert!(!error.contains('\n'));
    };
    refuse(
        SamplerOptions {
            order: "top_k;nonsense".into(),
            ..off()
        },
        "'nonsense'",
    );
    refuse(
        SamplerOptions {
            order: "greedy".into(),
            ..off()
        },
        "'greedy'",
    );
    refuse(
        SamplerOptions {
            order: "top_k;top-k".into(),
            ..off()
        },
        "twice",
    );
    refuse(
        SamplerOptions {
            temperature: f32::NAN,
            ..off()
        },
        "temperature",
    );
    for order in ["", " ; ;;"] {
        refuse(
            SamplerOptions {
                order: order.into(),
                ..off()
            },
            "names no sampler",
        );
    }
    refuse(
        SamplerOptions {
            temperature: 0.0,
            mirostat: 2,
            ..off()
        },
        "mirostat is 2; it must be 0 (off) at temperature 0",
    );
    refuse(
        SamplerOptions {
            frequency_penalty: f32::INFINITY,
            ..off()
        },
        "frequency_penalty is inf; it must be a finite number",
    );
    refuse(
        SamplerOptions {
            logit_bias: vec![(3, f32::INFINITY)],
            ..off()
        },
        "logit_bias is 3=inf",
    );
    for kept in [0, usize::MAX] {
        refuse(
            SamplerOptions {
                min_keep: kept,
                ..off()
            },
            "from 1 to 1048576",
        );
    }
    refuse(
        SamplerOptions {
            top_p: 1.5,
            ..off()
        },
        "top_p is 1.5; it must be a number from 0 to 1",
    );
    refuse(
        SamplerOptions {
            repeat_penalty: 0.0,
            ..off()
        },
        "repeat_penalty",
    );
    refuse(
        SamplerOptions {
            repeat_last_n: -2,
            ..off()
        },
        "repeat_last_n",
    );
    refuse(
        SamplerOptions {
            mirostat: 3,
            ..off()
        },
        "mirostat",
    );
    refuse(
        SamplerOptions {
            logit_bias: vec![(9, 1.0)],
            ..off()
        },
        "logit_bias is 9=1; the vocabulary has ids from 0 to 8",
    );
    refuse(
        SamplerOptions {
            xtc_probability: 0.5,
            xtc_threshold: 0.0,
            ..off()
        },
        "xtc_threshold",
    );
    refuse(
        SamplerOptions {
            dry_multiplier: 0.5,
            ..off()
        },
        "tokenizer",
    );
}

#[test]
fn options_are_saved_and_read() {
    let options = SamplerOptions {
        seed: Some(u64::MAX),
        logit_bias: vec![(3, f32::NEG_INFINITY), (4, -1.5)],
        ..SamplerOptions::default()
    };
    let saved = serde_json::to_string(&options).unwrap();
    assert_eq!(
        serde_json::from_str::<SamplerOptions>(&saved).unwrap(),
        options
    );
    assert_eq!(
        serde_json::from_str::<SamplerOptions>("{}").unwrap(),
        SamplerOptions::default()
    );
    assert!(serde_json::from_str::<SamplerOptions>(r#"{"top_kk": 1}"#).is_err());
}

#[test]
fn nothing_to_draw_from() {
    for options in [
        off(),
        SamplerOptions::greedy(),
        SamplerOptions {
            mirostat: 1,
            ..off()
        },
    ] {
        let mut chain = SamplerChain::new(&options, None, 3).unwrap();
        assert_eq!(chain.sample(&[]), 0);
        assert!(chain.sample(&[f32::NAN, f32::NEG_INFINITY, f32::NAN]) < 3);
    }
}

fn any_logit() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => -30.0f32..30.0,
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::NAN),
        1 => Just(f32::INFINITY),
        1 => any::<f32>(),
    ]
}

prop_compose! {
    fn any_options()(
        order in Just(options::DEFAULT_ORDER.split(';').collect::<Vec<_>>()).prop_shuffle(),
        (temperature, range, top_k, top_p) in (prop_oneof![1 => Just(0.0f32), 5 => 0.01f32..3.0], 0.0f32..2.0, 0usize..20, 0.0f32..=1.0),
        (min_p, typical_p, sigma) in (0.0f32..=1.0, 0.01f32..=1.0, -1.0f32..3.0),
        (xtc_probability, xtc_threshold) in (0.0f32..=1.0, 0.001f32..0.6),
        (repeat, frequency, presence) in (0.1f32..3.0, -2.0f32..2.0, -2.0f32..2.0),
        (dry, mirostat, min_keep) in (0.0f32..4.0, 0u8..3, 1usize..4),
        seed in any::<u64>(),
    ) -> SamplerOptions {
        SamplerOptions {
            seed: Some(seed), order: order.join(";"), temperature, dynamic_temperature_range: range, top_k, top_p, min_p,
            typical_p, top_n_sigma: sigma, xtc_probability, xtc_threshold, repeat_penalty: repeat,
            frequency_penalty: frequency, presence_penalty: presence, dry_multiplier: dry, min_keep,
            mirostat: if temperature > 0.0 { mirostat } else { 0 },
            logit_bias: vec![(0, f32::NEG_INFINITY)], ..SamplerOptions::default()
        }
    }
}

proptest! {
    /// Whatever the options and the logits: a token of the vocabulary, and none without a chance.
    #[test]
    fn never_a_token_without_a_chance(
        options in any_options(),
        rows in prop::collection::vec(prop::collection::vec(any_logit(), 40), 1..6),
    ) {
        let mut chain = SamplerChain::with_setup(&options, &setup(40)).unwrap();
        for row in rows {
            let id = chain.sample(&row);
            prop_assert!(id < 40);
            let possible = |id: usize| id != 0 && !row[id].is_nan() && row[id] != f32::NEG_INFINITY;
            if (0..40).any(possible) {
                prop_assert!(possible(id as usize), "{id} of {row:?}");
            }
            chain.accept(id);
        }
    }

    /// The linear-time search agrees with comparing from every place.
    #[test]
    fn dry_agrees_with_the_definition(text in prop::collection::vec(0u32..4, 0..60), allowed in 1usize..4) {
        let options = SamplerOptions {
            dry_multiplier: 1.0, dry_base: 1.5, dry_allowed_length: allowed,
            dry_sequence_breakers: vec!["d".into()], ..off()
        };
        let mut expected = vec![0.0f32; 26];
        for end in 1..text.len() {
            // text[..end] and text have this many last tokens in common, none of them the breaker 3.
            let length = (1..=end)
                .take_while(|&n| text[end - n] == text[text.len() - n] && text[end - n] != 3)
                .count();
            if length >= allowed {
                let penalty = 1.5f32.powf((length - allowed) as f32);
                let entry = &mut expected[text[end] as usize];
                *entry = entry.min(-penalty);
            }
        }
        prop_assert_eq!(dry_logits(&options, &text), expected);
    }
}
