//! Text to token ids, `tokenizer/<vocabulary>/<text>`, on one thread; throughput in bytes of text. `prose` is English with
//! much repetition of words, `mixed` has other scripts, code and digits, `unbroken` has no space.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::only_tested;
use gristmill_engine::Tokenizer;
use gristmill_gguf::{Access, Gguf};

const BYTES: usize = 1_000_000;

const PROSE: &str = "The miller, who had not slept since the flood, opened the sluice at dawn and waited; the old wheel \
    groaned, turned once, and stopped. \"It's the bearing,\" he said. Nobody answered him.\n";
const MIXED: &str = "Die Fußgängerbrücke wurde größtenteils erneuert. 今天天气很好，我们去散步吧！ Съешь ещё этих булок. \
    fn main() {\n    let v: Vec<u8> = (0..=255).collect();\n} 3.14159 2026-01-15 안녕하세요 🦀👍🏽\n";
const UNBROKEN: &str = "abcdefghijklmnopqrstuvwxyzeternalgrindstone";

fn tokenizer(c: &mut Criterion) {
    let bytes = if only_tested() { 10_000 } else { BYTES };
    let mut group = c.benchmark_group("tokenizer");
    for name in ["gpt-2", "llama-spm", "unigram"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../testdata/tokenizers")
            .join(format!("{name}.gguf"));
        let file = Gguf::open(path, Access::Map).expect("a file of the repository");
        let tokenizer = Tokenizer::from_metadata(file.metadata()).expect("a vocabulary");
        for (kind, sample) in [("prose", PROSE), ("mixed", MIXED), ("unbroken", UNBROKEN)] {
            let text = sample.repeat(bytes / sample.len() + 1);
            group.throughput(Throughput::BytesDecimal(text.len() as u64));
            group.bench_function(format!("{name}/{kind}"), |b| {
                b.iter(|| tokenizer.encode(black_box(&text), false, false));
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = tokenizer
}
criterion_main!(benches);
