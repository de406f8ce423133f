//! Embeddings against the reference implementation, and against themselves: texts alone, together, and on several threads.

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{ContextOptions, EmbedOptions, Embedder, Model, Pooling};
use gristmill_gguf::Gguf;

const AS_THEY_ARE: EmbedOptions = EmbedOptions {
    pooling: None,
    normalize: false,
};

fn model(fixture: &Fixture) -> Arc<Model> {
    Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap()
}

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
