//! Attention over a cache of 2,048 positions, `attention/<one|prompt>/<cache>/<heads x groups x width>/<instruction
//! set>`, one thread; rates in multiply-adds (two for each query head, position it sees and width).

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::{computes, only_tested, values};
use gristmill_kernels::attention::PAGE;
use gristmill_kernels::{Attention, CacheRows, quant};
use half::f16;

/// Query heads, key/value heads, width: SmolLM2-135M, gemma-3-270m.
const SHAPES: [(usize, usize, usize); 2] = [(9, 3, 64), (4, 1, 256)];

fn attention(c: &mut Criterion<Rates>) {
    let positions = if only_tested() { PAGE } else { 2048 };
    let pages: Vec<u32> = (0..positions.div_ceil(PAGE) as u32).collect();
    for (heads, kv_heads, width) in SHAPES {
        let floats = values(kv_heads * positions * width);
        let halves: Vec<f16> = floats.iter().map(|&v| f16::from_f32(v)).collect();
        let mut caches = vec![
            ("f32", CacheRows::F32(&floats)),
            ("f16", CacheRows::F16(&halves)),
        ];
        // The type's id in GGUF files is 8.
        let q8_0 = quant(8).and_then(|quant| {
            let mut blocks = vec![0; floats.len() / quant.block_elements() * quant.block_bytes()];
            quant.quantize()?(&floats, None, &mut blocks);
            Some(blocks)
        });
        if let Some(q8_0) = &q8_0 {
            caches.push(("q8_0", CacheRows::Q8_0(q8_0)));
        }
        for (isa, compute) in &mut computes() {
            for &(cache, rows) in &caches {
                for (kind, n) in [("one", 1), ("prompt", positions / 8)] {
                    let mut group = c.benchmark_group("attention");
                    let first_position = positions - n;
                    let seen: usize = (first_position..positions).map(|p| p + 1).sum();
                    group.throughput(Throughput::Elements((2 * seen * heads * width) as u64));
                    let name = format!("{kind}/{cache}/{heads}x{kv_heads}x{width}/{isa}");
                    group.bench_function(name, |b| {
                        let attention = Attention {
                            heads,
                            kv_heads,
                            key_dim: width,
                            value_dim: width,
                            value_stride: width,
                            scale: 1.0 / (width as f32).sqrt(),
                            softcap: None,
                            chunk: None,
                            window: None,
                            causal: true,
                            first_position,
                            pages: &pages,
                            keys: rows,
                            values: rows,
                            sinks: None,
                            slopes: None,
                            chosen: None,
                        };
                        let q = values(n * heads * width);
                        let mut out = vec![0.0; q.len()];
                        b.iter(|| compute.attention(&attention, &q, n, &mut out));
                    });
                }
            }
        }
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = attention
}
criterion_main!(benches);
