//! The same bits for any number of threads, on the prompt's path and on the generation's, with weights of every kind.

use std::sync::Arc;

use crate::common::{self, Feeding, Fixture};
use crate::lora;
use gristmill_engine::{CacheType, ContextOptions, Logits, Model};
use gristmill_gguf::TensorType;

/// Logits with these numbers of threads: for generation, and for prompts if not the same.
fn bits(
    model: &Arc<Model>,
    tokens: &[u32],
    (threads, threads_prompt): (usize, Option<usize>),
    feeding: Feeding,
) -> Vec<u32> {
    let options = ContextOptions {
        threads_prompt,
        cache_keys: CacheType::F16,
        cache_values: CacheType::F16,
        ..common::exact(threads)
    };
    let mut context = model.context(&options).unwrap();
    assert_eq!(context.threads(), threads);
    assert_eq!(context.threads_prompt(), threads_prompt.unwrap_or(threads));
    let logits = common::logits(&mut context, tokens, feeding);
    assert!(logits.iter().all(|l| l.is_finite()));
    logits.iter().map(|l| l.to_bits()).collect()
}

/// Types that real files mix: with and without mins, of 32 and of 256, fused and unpacked.
const KINDS: &[&str] = &[
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4",
];

/// Walks the fixtures with matrices of these types, the first with adapters, too, fed in more columns than the dots take, and
/// one at a time; what one thread makes of them is what each of these numbers of threads must.
fn walk(kinds: &[&str], threads: &[(usize, Option<usize>)]) -> usize {
    let mut models = 0;
    for fixture in &Fixture::of_each_kind() {
        let tokens = fixture.tokens();
        let bytes = fixture.expand();
        let adapted = lora::adapted(&bytes, common::tensor_type(kinds[0]));
        let adapted = (format!("{} with adapters", fixture.name), adapted);
        let all = common::quantized_as(fixture, &bytes, kinds);
        for (name, model) in all.into_iter().chain([adapted]) {
            models += 1;
            for feeding in [Feeding::Batch, Feeding::Single] {
                let one = bits(&model, &tokens, (1, None), feeding);
                for &threads in threads {
                    assert!(
                        bits(&model, &tokens, threads, feeding) == one,
                        "{name}: {threads:?} threads, {feeding:?}"
                    );
                }
            }
        }
    }
    println!("{models} models");
    models
}

#[test]
fn logits_do_not_depend_on_the_number_of_threads() {
    let models = walk(KINDS, &[(2, None), (3, None), (4, None)]);
    assert!(models >= 60, "{models}");
}

#[test]
fn prompts_with_threads_of_their_own_make_the_same_logits() {
    let threads = [(1, Some(3)), (3, Some(1)), (2, Some(4)), (4, Some(2))];
    let models = walk(&["Q4_0", "Q6_K", "F16"], &threads);
    assert!(models >= 12, "{models}");
}

#[test]
fn a_text_with_other_threads_for_its_prompt_is_the_same() {
    // A prompt on one path, then tokens one by one on the other, in one context.
    let fixture = Fixture::named("llama-gqa");
    let tokens = fixture.tokens();
    assert!(tokens.len() > gristmill_kernels::FEW_COLUMNS + 2);
    let model = common::quantized(&fixture.expand(), |_| TensorType::Q4_0).unwrap();
    let text = |threads, threads_prompt| {
        let options = ContextOptions {
            threads_prompt,
            ..common::exact(threads)
        };
        let mut context = model.context(&options).unwrap();
        let mut logits = context.feed(&tokens, Logits::Last).unwrap().to_vec();
        let mut all = Vec::new();
        for _ in 0..20 {
            all.extend(logits.iter().map(|l| l.to_bits()));
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
            let id = best.unwrap() as u32;
            logits = context.feed(&[id], Logits::Last).unwrap().to_vec();
        }
        all
    };
    let one = text(1, None);
    for (threads, threads_prompt) in [(1, 4), (4, 1), (2, 3), (3, 2)] {
        assert!(
            text(threads, Some(threads_prompt)) == one,
            "{threads} threads, {threads_prompt} for the prompt"
        );
    }
}
