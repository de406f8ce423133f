//! Reading and checking a GGUF header with a vocabulary of 260,000 tokens, `load/vocabulary`; throughput in bytes.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gristmill_gguf::{Gguf, Strings, Writer};

const TOKENS: usize = 260_000;

fn load(c: &mut Criterion) {
    let mut writer = Writer::new();
    let tokens: Strings = (0..TOKENS).map(|i| format!("▁token{i}")).collect();
    writer
        .set("general.architecture", "llama")
        .set("tokenizer.ggml.tokens", tokens)
        .set("tokenizer.ggml.scores", vec![0f32; TOKENS])
        .set("tokenizer.ggml.token_type", vec![1i32; TOKENS]);
    let stream = writer.start(Vec::new()).expect("memory takes it");
    let bytes = stream.finish().expect("there are no tensors");
    let mut group = c.benchmark_group("load");
    group.throughput(Throughput::BytesDecimal(bytes.len() as u64));
    group.bench_function("vocabulary", |b| {
        b.iter_batched(
            || bytes.clone(),
            |bytes| Gguf::from_bytes(bytes).expect("it is whole"),
            BatchSize::LargeInput,
        );
    });
}

criterion_group!(benches, load);
criterion_main!(benches);
