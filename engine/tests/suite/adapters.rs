//! LoRA adapters: against the reference's logits, against merged weights of every architecture, and what is refused.

use crate::common::{self, Feeding, Fixture};
use crate::lora::{self, Making};
use gristmill_engine::{Error, Model};
use gristmill_gguf::{Gguf, TensorType};
use std::sync::Arc;

fn logits(model: &Arc<Model>, tokens: &[u32], feeding: Feeding) -> Vec<f32> {
    let mut context = model.context(&common::exact(2)).unwrap();
    common::logits(&mut context, tokens, feeding)
}

/// The name in an error of an adapter for a tensor without a use.
fn without_use(error: &Error) -> Option<String> {
    let Error::Adapter { problem, .. } = error else {
        return None;
    };
    let (name, _) = problem.strip_prefix("adds to ")?.split_once(',')?;
    Some(name.to_string())
}

/// Every matrix of every architecture at once: where one were left out, the logits would not be those of merged weights.
#[test]
fn every_architecture_gives_the_logits_of_merged_weights() {
    let mut tested = 0;
    let mut failures = Vec::new();
    for fixture in Fixture::all(&common::testdata().join("archs")) {
        if !fixture.is_complete() {
            continue;
        }
        let (bytes, tokens) = (fixture.expand(), fixture.tokens());
        let gguf = Gguf::from_bytes(bytes.clone()).unwrap();
        let mut targets = lora::targets(&gguf);
        let (adapter, model) = loop {
            let adapter = lora::adapter(&gguf, &targets, Making::default());
            match lora::open(bytes.clone(), &[(&adapter, 1.0)]) {
                Ok(model) => break (adapter, model),
                Err(error) => {
                    let name = without_use(&error).unwrap_or_else(|| panic!("{error}"));
                    println!("{:24} refused: {name}", fixture.name);
                    targets.retain(|target| *target != name);
                }
            }
        };
        let merged = lora::merged(&gguf, &[(&adapter, 1.0)]);
        let merged = Model::from_gguf(Gguf::from_bytes(merged).unwrap()).unwrap();
        let base = Model::from_gguf(gguf).unwrap();
        let ours = logits(&model, &tokens, Feeding::Batch);
        let theirs = logits(&merged, &tokens, Feeding::Batch);
        let effect = common::nmse(&logits(&base, &tokens, Feeding::Batch), &theirs);
        let nmse = common::nmse(&ours, &theirs);
        println!(
            "{:24} NMSE {nmse:.1e}, without the adapter {effect:.1e}",
            fixture.name
        );
        // These two make much of little: a rounding may change which activations are kept, and scores are not scaled.
        let limit = match fixture.name.as_str() {
            "gemma3n" | "gemma4-e2b" => 1e-7,
            _ => 1e-10,
        };
        if nmse.is_nan() || nmse > limit || effect < 1e-2 {
            failures.push(format!("{}: {nmse:.1e} {effect:.1e}", fixture.name));
        }
        for feeding in [Feeding::Single, Feeding::Chunks(7)] {
            if !common::same_bits(&logits(&model, &tokens, feeding), &ours) {
                failures.push(format!("{}: {feeding:?}", fixture.name));
            }
        }
        tested += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(tested > 100, "{tested}");
}
