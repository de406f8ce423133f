//! Blocks to floats, `dequant/<type>/reference`, and blocks to the codes and scales that products work with,
//! `dequant/<type>/<instruction set>`, from the first cache on one thread. Rates are bytes of
//! blocks.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gristmill_benches::rates::{Rates, criterion};
use gristmill_benches::{name, only_tested, weights};
use gristmill_kernels::isa::{UNIT, UNIT_GROUPS};
use gristmill_kernels::{ISAS, QUANTS};

fn dequant(c: &mut Criterion<Rates>) {
    let units = if only_tested() { 2 } else { 64 };
    let elements = units * UNIT;
    let mut group = c.benchmark_group("dequant");
    for quant in QUANTS {
        let unit_bytes = UNIT / quant.block_elements() * quant.block_bytes();
        group.throughput(Throughput::Bytes((units * unit_bytes) as u64));
        // Made when the first of them asks: a filter may leave all of them out.
        let mut made: Option<Vec<u8>> = None;
        let mut blocks = || {
            made.get_or_insert_with(|| {
                weights(quant, units, UNIT).unwrap_or_else(|| vec![0; units * unit_bytes])
            })
            .clone()
        };
        group.bench_function(format!("{}/reference", name(quant)), |b| {
            let (blocks, mut out) = (blocks(), vec![0.0; elements]);
            b.iter(|| quant.dequantize(black_box(&blocks), black_box(&mut out)));
        });
        if quant.codes().is_none() {
            continue;
        }
        for ready in ISAS.iter().filter_map(|isa| isa.ready()) {
            group.bench_function(format!("{}/{}", name(quant), ready.isa().name()), |b| {
                let blocks = blocks();
                let mut codes = [0i8; UNIT];
                let (mut scales, mut mins) = ([0.0; UNIT_GROUPS], [0.0; UNIT_GROUPS]);
                b.iter(|| {
                    for unit in blocks.chunks_exact(unit_bytes) {
                        ready.unpack(quant, black_box(unit), &mut codes, &mut scales, &mut mins);
                        black_box((&mut codes, &mut scales, &mut mins));
                    }
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = dequant
}
criterion_main!(benches);
