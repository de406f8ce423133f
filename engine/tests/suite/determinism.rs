//! The same bits for any number of threads, on the prompt's path and on the generation's, with weights of every kind.

use std::sync::Arc;

use crate::common::{self, Feeding, Fixture};
use gristmill_engine::{CacheType, ContextOptions, Model};
use gristmill_gguf::{Gguf, TensorType, Writer};

/// A fixture with its matrices stored as another type, where their rows are whole blocks of it; none if no row is.
fn quantized(bytes: &[u8], kind: TensorType) -> Option<Arc<Model>> {
    let gguf = Gguf::from_bytes(bytes.to_vec()).unwrap();
    let quant = gristmill_kernels::quant(kind.id()).unwrap();
    let fits = |dims: &[u64]| dims.len() > 1 && dims[0].is_multiple_of(quant.block_elements as u64);
    let mut writer = Writer::new();
    writer.set_all(gguf.metadata());
    for tensor in gguf.tensors() {
        let stored = if fits(tensor.dims()) {
            kind
        } else {
            tensor.tensor_type()
        };
        writer.tensor(tensor.name(), stored, tensor.dims()).unwrap();
    }
    if !gguf.tensors().iter().any(|tensor| fits(tensor.dims())) {
        return None;
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for tensor in gguf.tensors() {
        let data = gguf.data(tensor);
        if !fits(tensor.dims()) {
            file.write(data).unwrap();
            continue;
        }
        let values: Vec<f32> = data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let blocks = values.len() / quant.block_elements * quant.block_bytes;
        let mut stored = vec![0; blocks];
        quant.quantize.unwrap()(&values, None, &mut stored);
        file.write(&stored).unwrap();
    }
    let gguf = Gguf::from_bytes(file.finish().unwrap()).unwrap();
    Some(Model::from_gguf(gguf).unwrap())
}

fn bits(model: &Arc<Model>, tokens: &[u32], threads: usize, feeding: Feeding) -> Vec<u32> {
    let options = ContextOptions {
        cache_keys: CacheType::F16,
        cache_values: CacheType::F16,
        ..common::exact(threads)
    };
    let mut context = model.context(&options).unwrap();
    let logits = common::logits(&mut context, tokens, feeding);
    assert!(logits.iter().all(|l| l.is_finite()));
    logits.iter().map(|l| l.to_bits()).collect()
}

/// Types that real files mix: with and without mins, of 32 and of 256, fused and unpacked.
const KINDS: &[&str] = &[
    "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
    "IQ4_NL", "IQ4_XS", "MXFP4",
];

#[test]
fn logits_do_not_depend_on_the_number_of_threads() {
    let fixtures = Fixture::all(&common::testdata().join("archs"));
    let mut models = 0;
    for fixture in fixtures.iter().filter(|f| f.path("head").is_file()) {
        let tokens = fixture.tokens();
        let bytes = fixture.expand();
        for name in KINDS {
            let quant = gristmill_kernels::QUANTS
                .iter()
                .find(|q| q.name == *name)
                .unwrap();
            let kind = TensorType::from_id(quant.id).unwrap();
            let Some(model) = quantized(&bytes, kind) else {
                continue;
            };
            models += 1;
            // More columns than the dots take, and one at a time.
            for feeding in [Feeding::Batch, Feeding::Single] {
                let one = bits(&model, &tokens, 1, feeding);
                for threads in 2..=4 {
                    assert!(
                        bits(&model, &tokens, threads, feeding) == one,
                        "{} as {name}: {threads} threads, {feeding:?}",
                        fixture.name
                    );
                }
            }
        }
    }
    println!("{models} models");
    assert!(models >= 60, "{models}");
}
