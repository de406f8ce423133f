//! Embeddings against the reference implementation, and against themselves: texts alone, together, and on several threads.

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{ContextOptions, EmbedOptions, Embedder, Model, Pooling};
use gristmill_gguf::{Gguf, TensorType, Writer};

const AS_THEY_ARE: EmbedOptions = EmbedOptions {
    pooling: None,
    normalize: false,
};

/// The embeddings of all texts, one after the other.
fn embed(embedder: &mut Embedder, texts: &[Vec<u32>]) -> Vec<f32> {
    let all = embedder.embed(texts).unwrap();
    assert_eq!(all.len(), texts.len());
    all.into_iter().flat_map(|one| one.values).collect()
}

/// Embeds a fixture's texts in every way: what all of them are off by, or what is wrong.
pub fn of_all_ways(fixture: &Fixture) -> Result<f64, String> {
    let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
    let model = Model::from_gguf(gguf).map_err(|error| error.to_string())?;
    let (texts, reference) = (fixture.texts(), fixture.logits("embd"));
    let limit = fixture.json["nmse_limit"].as_f64().unwrap_or(1e-5);
    let embedder = |threads, batch| {
        let options = ContextOptions {
            batch,
            ..common::exact(threads)
        };
        model.embedder(&options, AS_THEY_ARE).unwrap()
    };
    let asked = fixture.json["pooling_type"].as_str().unwrap();
    if embedder(1, 1).pooling().name() != asked {
        return Err(format!("pooling is not {asked}"));
    }
    let ours = embed(&mut embedder(1, 512), &texts);
    let nmse = common::nmse(&ours, &reference);
    if nmse.is_nan() || nmse >= limit {
        return Err(format!("NMSE {nmse:.1e}, more than {limit:.0e}"));
    }
    for (threads, batch) in [(3, 512), (1, 1), (2, 30)] {
        if !common::same_bits(&embed(&mut embedder(threads, batch), &texts), &ours) {
            return Err(format!(
                "{threads} threads and {batch} tokens at a time differ"
            ));
        }
    }
    Ok(nmse)
}

/// Makes a change to a fixture's file: more keys, and more tensors of these values.
fn changed(
    name: &str,
    keys: impl Fn(&mut Writer),
    tensors: &[(&str, &[u64], Vec<f32>)],
) -> Arc<Model> {
    let gguf = Gguf::from_bytes(Fixture::named(name).expand()).unwrap();
    let mut writer = Writer::new();
    writer.set_all(gguf.metadata());
    keys(&mut writer);
    for tensor in gguf.tensors() {
        let kind = tensor.tensor_type();
        writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
    }
    for (name, dims, _) in tensors {
        writer.tensor(*name, TensorType::F32, dims).unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for tensor in gguf.tensors() {
        file.write(gguf.data(tensor)).unwrap();
    }
    for (_, _, values) in tensors {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        file.write(&bytes).unwrap();
    }
    Model::from_gguf(Gguf::from_bytes(file.finish().unwrap()).unwrap()).unwrap()
}

fn embedded(model: &Arc<Model>, pooling: Option<Pooling>, texts: &[Vec<u32>]) -> Vec<f32> {
    let options = EmbedOptions {
        pooling,
        ..AS_THEY_ARE
    };
    embed(
        &mut model.embedder(&common::exact(2), options).unwrap(),
        texts,
    )
}

/// All kinds are made of the vectors that `none` gives, in encoders and in decoders.
#[test]
fn kinds_of_pooling_read_the_same_hidden_states() {
    for name in ["bert-mean", "qwen3-embedding-last", "gemma3-1b"] {
        let model = Model::from_gguf(Gguf::from_bytes(Fixture::named(name).expand()).unwrap());
        let model = model.unwrap();
        let text: Vec<u32> = (0..40).map(|i| i * 37 % 128).collect();
        let texts = [text];
        let each = embedded(&model, Some(Pooling::None), &texts);
        let width = each.len() / 40;
        let of = |pooling| embedded(&model, Some(pooling), &texts);
        assert_eq!(of(Pooling::Cls), each[..width], "{name}");
        assert_eq!(of(Pooling::Last), each[39 * width..], "{name}");
        let mean = of(Pooling::Mean);
        for (i, mean) in mean.iter().enumerate() {
            let sum: f64 = each.chunks(width).map(|row| f64::from(row[i])).sum();
            assert!((sum / 40.0 - f64::from(*mean)).abs() < 1e-5, "{name}");
        }
        let asked = EmbedOptions::default();
        let mut embedder = model.embedder(&common::exact(1), asked).unwrap();
        let default = if name == "bert-mean" {
            Pooling::Mean
        } else {
            Pooling::Last
        };
        assert_eq!(embedder.pooling(), default, "{name}");
        let normed = embed(&mut embedder, &texts);
        let length: f64 = normed.iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-6, "{name}: {length}");
    }
}

/// Texts of every length up to 40, alone and in passes of many, with weights of the types that files have.
#[test]
fn texts_together_are_the_same_bits_as_alone() {
    let texts: Vec<Vec<u32>> = (1..=40u32)
        .map(|n| (0..n).map(|i| (i * 37 + n * 11) % 128).collect())
        .collect();
    for (name, pooling) in [
        ("bert-mean", None),
        ("jina-bert-v2-code", None),
        ("modern-bert", None),
        ("nomic-bert-moe", None),
        // Decoders read what comes last, if nothing else is said.
        ("llama-gqa", None),
        ("llama-gqa", Some(Pooling::None)),
        ("lfm2-real", Some(Pooling::Mean)),
    ] {
        let bytes = Fixture::named(name).expand();
        for kind in ["Q8_0", "Q4_0", "Q4_1", "F16"] {
            let kind = common::tensor_type(kind);
            let model = common::quantized(&bytes, |_| kind).unwrap();
            let of = |threads, batch| {
                let options = ContextOptions {
                    batch,
                    ..common::exact(threads)
                };
                let how = EmbedOptions {
                    pooling,
                    ..AS_THEY_ARE
                };
                embed(&mut model.embedder(&options, how).unwrap(), &texts)
            };
            let alone = of(1, 1);
            for (threads, batch) in [(1, 50), (2, 300), (3, 1000)] {
                assert!(
                    common::same_bits(&of(threads, batch), &alone),
                    "{name} as {} in passes of {batch}",
                    kind.name()
                );
            }
        }
    }
}

/// A classifier of one score, as rerankers have it, computed once more.
#[test]
fn ranks_are_a_classifiers_scores() {
    let wave = |count: usize, step: f32| -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin() * 0.1).collect()
    };
    let (hidden, bias, scores) = (wave(96 * 96, 0.7), wave(96, 0.3), wave(96, 0.9));
    let tensors = [
        ("cls.weight", &[96, 96][..], hidden.clone()),
        ("cls.bias", &[96][..], bias.clone()),
        ("cls.output.weight", &[96, 1][..], scores.clone()),
        ("cls.output.bias", &[1][..], vec![0.25]),
    ];
    let keys = |writer: &mut Writer| {
        writer.set("bert.pooling_type", 4u32);
    };
    let model = changed("bert-mean", keys, &tensors);
    let texts = Fixture::named("bert-mean").texts();
    let cls = embedded(&model, Some(Pooling::Cls), &texts);
    let ours = embedded(&model, None, &texts);
    assert_eq!(ours.len(), texts.len());
    for (cls, ours) in cls.chunks(96).zip(ours) {
        let dot = |row: &[f32], x: &[f64]| -> f64 {
            row.iter().zip(x).map(|(&a, b)| f64::from(a) * b).sum()
        };
        let x: Vec<f64> = cls.iter().map(|&v| f64::from(v)).collect();
        let between: Vec<f64> = hidden
            .chunks(96)
            .zip(&bias)
            .map(|(row, &bias)| (dot(row, &x) + f64::from(bias)).tanh())
            .collect();
        let score = dot(&scores, &between) + 0.25;
        assert!((score - f64::from(ours)).abs() < 1e-5, "{score} {ours}");
    }
    // A reranker of two answers reads the last token, and gives their probabilities.
    let tensors = [("cls.output.weight", &[96, 2][..], wave(192, 0.9))];
    let keys = |writer: &mut Writer| {
        writer.set("qwen3.pooling_type", 4u32);
    };
    let model = changed("qwen3-embedding-last", keys, &tensors);
    let ours = embedded(&model, None, &texts);
    assert_eq!(ours.len(), 2 * texts.len());
    let last = embedded(&model, Some(Pooling::Last), &texts);
    for (pair, last) in ours.chunks(2).zip(last.chunks(96)) {
        assert!((pair[0] + pair[1] - 1.0).abs() < 1e-6);
        let score = |row: &[f32]| -> f32 { row.iter().zip(last).map(|(a, b)| a * b).sum() };
        let rows = tensors[0].2.split_at(96);
        let odds = (score(rows.0) - score(rows.1)).exp();
        assert!((pair[0] / pair[1] / odds - 1.0).abs() < 1e-3);
    }
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let fixture = Fixture::named("bert-mean");
    let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
    assert!(model.is_encoder());
    let error = model.context(&common::exact(1)).err().unwrap().to_string();
    assert_eq!(
        error,
        "bert models make embeddings and no text: use 'gristmill embed'"
    );
    let mut embedder = model.embedder(&common::exact(1), AS_THEY_ARE).unwrap();
    assert_eq!((embedder.limit(), embedder.width()), (64, 96));
    let mut refused = |texts: &[Vec<u32>]| embedder.embed(texts).unwrap_err().to_string();
    assert_eq!(
        refused(&[vec![1, 2], vec![1; 65]]),
        "text 2 has 65 tokens, more than the 64 that can be seen at once: shorten or split it"
    );
    assert_eq!(
        refused(&[vec![1], vec![]]),
        "text 2 has no tokens: there is nothing to embed"
    );
    assert!(refused(&[vec![128]]).contains("128"));
    assert_eq!(embedder.embed(&[vec![1; 64]]).unwrap()[0].tokens, 64);
    let rank = EmbedOptions {
        pooling: Some(Pooling::Rank),
        ..AS_THEY_ARE
    };
    let error = model.embedder(&common::exact(1), rank).err().unwrap();
    assert!(error.to_string().contains("cls.output.weight"), "{error}");
}

/// A decoder's file may say that its positions see whole texts; layers that carry a state can't.
#[test]
fn decoders_that_see_whole_texts() {
    let text: Vec<u32> = (0..40).map(|i| i * 37 % 128).collect();
    let texts = [text[..20].to_vec(), text];
    let model = changed(
        "llama-gqa",
        |writer| {
            writer.set("llama.attention.causal", false);
        },
        &[],
    );
    assert!(model.is_encoder() && model.context(&common::exact(1)).is_err());
    let each = embedded(&model, Some(Pooling::None), &texts);
    // What is behind a token shows in its vector, and in a decoder's not.
    let decoder = changed("llama-gqa", |_| {}, &[]);
    let causal = embedded(&decoder, Some(Pooling::None), &texts);
    let width = each.len() / 60;
    assert!(common::same_bits(
        &causal[..20 * width],
        &causal[20 * width..][..20 * width]
    ));
    assert!(!common::same_bits(
        &each[..width],
        &each[20 * width..][..width]
    ));
    let model = changed(
        "lfm2-real",
        |writer| {
            writer.set("lfm2.attention.causal", false);
        },
        &[],
    );
    let error = model.embedder(&common::exact(1), AS_THEY_ARE).err();
    assert!(error.unwrap().to_string().contains("attention.causal"));
}
