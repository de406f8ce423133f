//! LoRA adapters: against the reference's logits, against merged weights of every architecture, and what is refused.

use crate::common::{self, Feeding, Fixture};
use crate::lora::{self, Making};
use gristmill_engine::Model;
use gristmill_gguf::{Gguf, TensorType, Writer};
use serde_json::Value;
use std::sync::Arc;

fn logits(model: &Arc<Model>, tokens: &[u32], feeding: Feeding) -> Vec<f32> {
    let mut context = model.context(&common::exact(1)).unwrap();
    common::logits(&mut context, tokens, feeding)
}

/// Models with adapters of the shared folder where it is there, else of `testdata`.
#[test]
fn logits_agree_with_the_reference() {
    let folder = common::shared("archs-variants");
    let folder = folder.unwrap_or_else(|| common::testdata().join("adapters"));
    let read = |file: &Value| std::fs::read(folder.join(file.as_str().unwrap())).unwrap();
    let mut cases = 0;
    for fixture in Fixture::all(&folder) {
        if fixture.json["adapters"].is_null() {
            continue;
        }
        let base = Fixture::named(fixture.json["base"].as_str().unwrap()).expand();
        let tokens = fixture.tokens();
        for case in fixture.json["cases"].as_array().unwrap() {
            let adapters = case["adapters"].as_array().unwrap().iter();
            let adapters: Vec<(Vec<u8>, f32)> = adapters
                .map(|a| (read(&a["file"]), a["scale"].as_f64().unwrap() as f32))
                .collect();
            let adapters: Vec<(&[u8], f32)> = adapters.iter().map(|(a, s)| (&a[..], *s)).collect();
            let model = lora::open(base.clone(), &adapters).unwrap();
            let ours = logits(&model, &tokens, Feeding::Batch);
            let reference: Vec<f32> = read(&case["logits"])
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect();
            let first = ours.len() - reference.len();
            let nmse = common::nmse(&ours[first..], &reference);
            println!("{} NMSE {nmse:.1e}", case["logits"]);
            assert!(nmse < 1e-11, "{}: {nmse:.1e}", case["logits"]);
            let single = logits(&model, &tokens, Feeding::Single);
            assert!(common::same_bits(&single, &ours), "{}", case["logits"]);
            cases += 1;
        }
    }
    assert!(cases >= 6, "{cases} cases");
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
        let adapter = lora::complete(&bytes, Making::default());
        let model = lora::open(bytes, &[(&adapter, 1.0)]).unwrap();
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
        if !common::same_bits(&logits(&model, &tokens, Feeding::Single), &ours) {
            failures.push(format!("{}: single tokens differ", fixture.name));
        }
        tested += 1;
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(tested > 100, "{tested}");
}

/// A model whose tensors are all of what the engine tells apart: a table that is output, too, fused and stacked matrices.
fn named(name: &str) -> (Vec<u8>, Gguf, Vec<u32>) {
    let fixture = Fixture::named(name);
    let bytes = fixture.expand();
    (
        bytes.clone(),
        Gguf::from_bytes(bytes).unwrap(),
        fixture.tokens(),
    )
}

#[test]
fn adapters_of_every_type_are_as_good_as_merged_weights() {
    // The activations of products with Q8_0 are rounded to 8 bits, and other experts may be chosen.
    for (kind, limit) in [
        ("F32", 1e-10),
        ("F16", 1e-10),
        ("BF16", 1e-10),
        ("Q8_0", 1e-3),
    ] {
        let making = Making {
            rank: 32,
            kind: common::tensor_type(kind),
            seed: 3,
        };
        let names = match kind {
            "Q8_0" => &["llama-tied", "phi3-dense"][..],
            _ => &["llama-tied", "llama-mixtral", "phi3-dense", "deepseek2-v3"],
        };
        for name in names {
            let (bytes, gguf, tokens) = named(name);
            let adapter = lora::adapter(&gguf, &lora::targets(&gguf), making);
            let model = lora::open(bytes, &[(&adapter, 0.5)]).unwrap();
            let merged = lora::merged(&gguf, &[(&adapter, 0.5)]);
            let merged = Model::from_gguf(Gguf::from_bytes(merged).unwrap()).unwrap();
            let ours = logits(&model, &tokens, Feeding::Batch);
            let nmse = common::nmse(&ours, &logits(&merged, &tokens, Feeding::Batch));
            println!("{name} with {kind}: {nmse:.1e}");
            assert!(nmse < limit, "{name} with {kind}: {nmse:.1e}");
        }
    }
}

/// Two adapters of the same matrices, and of some that only one has.
#[test]
fn several_adapters_add_up() {
    let (bytes, gguf, tokens) = named("llama-mixtral");
    let targets = lora::targets(&gguf);
    let one = lora::adapter(&gguf, &targets, Making::default());
    let other = Making {
        rank: 5,
        seed: 8,
        ..Making::default()
    };
    let other = lora::adapter(&gguf, &targets[..targets.len() / 2], other);
    let both = [(&one[..], 0.75), (&other[..], -0.5)];
    let model = lora::open(bytes, &both).unwrap();
    let merged = Gguf::from_bytes(lora::merged(&gguf, &both)).unwrap();
    let merged = Model::from_gguf(merged).unwrap();
    let ours = logits(&model, &tokens, Feeding::Batch);
    let nmse = common::nmse(&ours, &logits(&merged, &tokens, Feeding::Batch));
    assert!(nmse < 1e-10, "{nmse:.1e}");
}

#[test]
fn a_scale_of_zero_gives_the_models_own_bits() {
    for name in ["llama-tied", "llama-mixtral"] {
        let (bytes, gguf, tokens) = named(name);
        let adapter = lora::adapter(&gguf, &lora::targets(&gguf), Making::default());
        let model = lora::open(bytes, &[(&adapter, 0.0)]).unwrap();
        let base = Model::from_gguf(gguf).unwrap();
        let ours = logits(&model, &tokens, Feeding::Batch);
        let base = logits(&base, &tokens, Feeding::Batch);
        assert!(common::same_bits(&ours, &base), "{name}");
    }
}

#[test]
fn costs_and_memory_count_adapters() {
    let (bytes, gguf, _) = named("llama-mixtral");
    let adapter = lora::adapter(&gguf, &["blk.0.attn_q.weight"], Making::default());
    let model = lora::open(bytes.clone(), &[(&adapter, 1.0)]).unwrap();
    let base = Model::from_gguf(gguf).unwrap();
    let dims = base.gguf().tensor("blk.0.attn_q.weight").unwrap().dims();
    let values = 3 * (dims[0] + dims[1]);
    let (ours, theirs) = (model.cost().0, base.cost().0);
    assert_eq!(ours.multiply_adds, theirs.multiply_adds + values);
    // Rows of three F32 values.
    assert_eq!(ours.bytes, theirs.bytes + 4 * values);
    let options = common::exact(1);
    let (ours, theirs) = (model.memory(&options), base.memory(&options));
    assert_eq!(ours.weights, theirs.weights + adapter.len() as u64);
    assert!(ours.scratch > theirs.scratch);
}

/// What is wrong with an adapter that was made right, and then changed.
fn refusal(change: impl Fn(&mut Writer), tensors: &[(&str, &[u64])]) -> String {
    let (bytes, gguf, _) = named("llama-gqa");
    let mut writer = Writer::new();
    let architecture = gguf.metadata().architecture().unwrap();
    writer.set("general.architecture", architecture);
    writer.set("general.type", "adapter");
    writer.set("adapter.type", "lora");
    writer.set("adapter.lora.alpha", 8.0f32);
    change(&mut writer);
    for (name, dims) in tensors {
        writer.tensor(*name, TensorType::F32, dims).unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for (_, dims) in tensors {
        let bytes = 4 * dims.iter().product::<u64>();
        file.write(&vec![0; bytes as usize]).unwrap();
    }
    let adapter = file.finish().unwrap();
    let error = lora::open(bytes, &[(&adapter, 1.0)]).unwrap_err();
    let text = error.to_string();
    text.strip_prefix("adapter in memory: ")
        .unwrap_or(&text)
        .to_string()
}

/// What is done to an adapter's metadata.
type Change<'a> = &'a dyn Fn(&mut Writer);
/// Name and shape of a tensor.
type Shaped<'a> = (&'a str, &'a [u64]);

#[test]
fn what_would_have_no_effect_is_refused_by_name() {
    let q: [(&str, &[u64]); 2] = [
        ("blk.0.attn_q.weight.lora_a", &[96, 4]),
        ("blk.0.attn_q.weight.lora_b", &[4, 96]),
    ];
    let unchanged = |_: &mut Writer| {};
    let keys: [(Change<'_>, &str); 11] = [
        (
            &|w| {
                w.remove("general.type");
            },
            "general.type is missing: is it a LoRA adapter?",
        ),
        (
            &|w| {
                w.set("general.type", "model");
            },
            "general.type is 'model', and must be 'adapter'",
        ),
        (
            &|w| {
                w.set("adapter.type", "control");
            },
            "adapter.type is 'control', and must be 'lora'",
        ),
        (
            &|w| {
                w.remove("adapter.type");
            },
            "adapter.type is missing: is it a LoRA adapter?",
        ),
        (
            &|w| {
                w.remove("adapter.lora.alpha");
            },
            "adapter.lora.alpha is missing",
        ),
        (
            &|w| {
                w.set("adapter.lora.alpha", 0f32);
            },
            "adapter.lora.alpha is 0, and scales all of it",
        ),
        (
            &|w| {
                w.set("adapter.lora.alpha", "8");
            },
            "adapter.lora.alpha",
        ),
        (
            &|w| {
                w.set("adapter.lora.alpha", f32::NAN);
            },
            "adapter.lora.alpha is NaN",
        ),
        (
            &|w| {
                w.set("adapter.alora.invocation_tokens", 5u32);
            },
            "adapter.alora.invocation_tokens: activated LoRA, which begins after certain tokens, is not supported",
        ),
        (
            &|w| {
                w.set("adapter.lora.dropout", 1f32);
            },
            "metadata key adapter.lora.dropout is not known",
        ),
        (
            &|w| {
                w.set("general.architecture", "gemma3");
            },
            "is for models of architecture 'gemma3', and this one's is 'llama'",
        ),
    ];
    for (change, expected) in keys {
        let found = refusal(change, &q);
        assert!(found.contains(expected), "{found}");
    }
    let tensors: [(&[Shaped<'_>], &str); 8] = [
        (&[], "has no tensors"),
        (
            &q[..1],
            "tensor blk.0.attn_q.weight.lora_a is there without blk.0.attn_q.weight.lora_b",
        ),
        (
            &q[1..],
            "tensor blk.0.attn_q.weight.lora_b is there without blk.0.attn_q.weight.lora_a",
        ),
        (
            &[q[0], q[1], ("blk.0.attn_norm.weight", &[96])],
            "tensor blk.0.attn_norm.weight is neither a lora_a nor a lora_b",
        ),
        (
            &[
                ("blk.99.attn_q.weight.lora_a", &[96, 4]),
                ("blk.99.attn_q.weight.lora_b", &[4, 96]),
            ],
            "adds to blk.99.attn_q.weight, which this model does not have: is it for another model?",
        ),
        (
            &[
                ("blk.0.attn_q.weight.lora_a", &[96, 4]),
                ("blk.0.attn_q.weight.lora_b", &[2, 96]),
            ],
            "blk.0.attn_q.weight: lora_a of 96 x 4 and lora_b of 2 x 96 have no rank in common",
        ),
        (
            &[
                ("blk.0.attn_q.weight.lora_a", &[64, 4]),
                ("blk.0.attn_q.weight.lora_b", &[4, 64]),
            ],
            "in this model, and its factors must be",
        ),
        (
            // As tables of embeddings have them, but not turned round.
            &[
                ("token_embd.weight.lora_a", &[96, 4]),
                ("token_embd.weight.lora_b", &[4, 128]),
            ],
            "token_embd.weight: lora_a of 96 x 4 and lora_b of 4 x 128 have no rank in common",
        ),
    ];
    for (tensors, expected) in tensors {
        let found = refusal(unchanged, tensors);
        assert!(found.contains(expected), "{found}");
    }
    let shapes = refusal(
        unchanged,
        &[
            ("blk.0.attn_q.weight.lora_a", &[64, 4]),
            ("blk.0.attn_q.weight.lora_b", &[4, 64]),
        ],
    );
    let (_, gguf, _) = named("llama-gqa");
    let dims = gguf.tensor("blk.0.attn_q.weight").unwrap().dims();
    let (cols, rows) = (dims[0], dims[1]);
    assert_eq!(
        shapes,
        format!(
            "blk.0.attn_q.weight is {cols} x {rows} in this model, and its factors must be {cols} x 4 and 4 x {rows}, \
             not 64 x 4 and 4 x 64: is it for another model?"
        )
    );
}

#[test]
fn adapters_and_models_are_not_taken_for_each_other() {
    let (bytes, gguf, _) = named("llama-gqa");
    let adapter = lora::adapter(&gguf, &["blk.0.attn_q.weight"], Making::default());
    let error = Model::from_gguf(Gguf::from_bytes(adapter.clone()).unwrap()).unwrap_err();
    assert!(error.to_string().contains("--lora"), "{error}");
    let error = lora::open(bytes.clone(), &[(&bytes, 1.0)]).unwrap_err();
    assert!(error.to_string().contains("general.type"), "{error}");
    let error = lora::open(bytes, &[(&adapter, f32::INFINITY)]).unwrap_err();
    assert!(error.to_string().contains("scale is inf"), "{error}");
}
