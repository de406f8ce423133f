//! Every kernel on its own, for the page's roofline: each type of weights times one, a few and many columns, and attention
//! of as many queries over each type of cache.

use super::report::Kernel;
use anyhow::{Context as _, Result};
use gristmill_kernels::attention::PAGE;
use gristmill_kernels::pool::last_cache_bytes;
use gristmill_kernels::{Attention, CacheRows, Compute, Matrix, Product, QUANTS, QuantType};
use half::f16;
use std::time::{Duration, Instant};

/// Columns of the input: one token, a few of them (speculation, short prompts), a prompt.
pub const COLUMNS: [usize; 3] = [1, 8, 512];
/// A build for debugging measures nothing worth knowing: its matrices are small, so that tests are quick.
const QUICK: bool = cfg!(debug_assertions);
/// Width of the matrices.
const WIDTH: usize = if QUICK { 256 } else { 4096 };
/// Rows of the matrices for a prompt.
const ROWS: usize = if QUICK { 32 } else { 1024 };
/// Rows that differ: quantizing takes long.
const DISTINCT: usize = 4;
/// How long each kernel is measured.
const MEASURED_FOR: Duration = Duration::from_millis(if QUICK { 1 } else { 150 });

/// Types that weights come in (no model has its weights in 64 bits).
pub fn types() -> impl Iterator<Item = &'static QuantType> {
    QUANTS
        .iter()
        .copied()
        .filter(|quant| quant.can_quantize() && quant.block_bytes() <= 4 * quant.block_elements())
}

/// One type in all shapes; `bytes` is reused from type to type.
pub fn measure(
    compute: &mut Compute,
    quant: &'static QuantType,
    bytes: &mut Vec<u8>,
) -> Result<Vec<Kernel>> {
    let (Some(row_bytes), Some(quantize)) = (quant.row_bytes(WIDTH), quant.quantize()) else {
        return Ok(Vec::new());
    };
    let mut distinct = vec![0; DISTINCT * row_bytes];
    quantize(&values(DISTINCT * WIDTH), None, &mut distinct);
    // For few columns, more than the last cache holds.
    let rows = if QUICK {
        ROWS
    } else {
        (uncached() / row_bytes).max(ROWS)
    };
    bytes.clear();
    while bytes.len() < rows * row_bytes {
        bytes.extend_from_slice(&distinct);
    }
    let mut kernels = Vec::new();
    for columns in COLUMNS {
        let rows = if columns < 64 { rows } else { ROWS };
        let weights = Matrix::new(quant, rows, WIDTH, &bytes[..rows * row_bytes])?;
        let (x, mut out) = (values(columns * WIDTH), vec![0.0; columns * rows]);
        let seconds = seconds(|| {
            let out = &mut out;
            compute.matmul(&x, columns, &mut [Product { weights, out }]);
        });
        let multiply_adds = (rows * WIDTH * columns) as f64;
        kernels.push(Kernel {
            name: quant.name().to_lowercase(),
            columns,
            floats: quant.codes().is_none(),
            intensity: multiply_adds / (rows * row_bytes) as f64,
            gmac_s: multiply_adds / seconds / 1e9,
        });
    }
    Ok(kernels)
}

/// How keys and values can be kept, as [`attention`] takes them.
pub const CACHES: [&str; 3] = ["f32", "f16", "q8_0"];
/// Query heads, key/value heads and their width: those of Mistral 7B.
const HEADS: (usize, usize, usize) = if QUICK { (4, 2, 32) } else { (32, 8, 128) };
/// Positions that the queries of a prompt see.
const POSITIONS: usize = if QUICK { 512 } else { 2048 };

/// Attention over keys and values of one type, as many queries as a product has columns.
pub fn attention(compute: &mut Compute, cache: &str) -> Result<Vec<Kernel>> {
    let (heads, kv_heads, width) = HEADS;
    let bytes_of = |values: usize| match cache {
        "f32" => 4 * values,
        "f16" => 2 * values,
        _ => values / 32 * 34,
    };
    // Keys and values are the same numbers, but are read one after the other.
    let position = 2 * bytes_of(kv_heads * width);
    let longest = if QUICK {
        POSITIONS
    } else {
        (uncached() / position).max(POSITIONS)
    };
    let longest = longest.next_multiple_of(PAGE);
    let pages: Vec<u32> = (0..(longest / PAGE) as u32).collect();
    let plain: Vec<f32> = values(64 * width)
        .into_iter()
        .cycle()
        .take(longest * kv_heads * width)
        .collect();
    let (mut halves, mut blocks) = (Vec::new(), Vec::new());
    match cache {
        "f32" => {}
        "f16" => halves = plain.iter().map(|&value| f16::from_f32(value)).collect(),
        // Its id in a file.
        _ => {
            let quantize = gristmill_kernels::quant(8).and_then(|quant| quant.quantize());
            blocks = vec![0; bytes_of(plain.len())];
            quantize.context("q8_0 can't be quantized to")?(&plain, None, &mut blocks);
        }
    }
    let mut kernels = Vec::new();
    for queries in COLUMNS {
        let capacity = if queries < 64 { longest } else { POSITIONS };
        let count = capacity.next_multiple_of(PAGE) * kv_heads * width;
        let rows = match cache {
            "f32" => CacheRows::F32(&plain[..count]),
            "f16" => CacheRows::F16(&halves[..count]),
            _ => CacheRows::Q8_0(&blocks[..bytes_of(count)]),
        };
        let attention = Attention {
            heads,
            kv_heads,
            key_dim: width,
            value_dim: width,
            value_stride: width,
            scale: 1.0 / (width as f32).sqrt(),
            softcap: None,
            window: None,
            chunk: None,
            causal: true,
            first_position: capacity - queries,
            pages: &pages,
            keys: rows,
            values: rows,
            sinks: None,
            slopes: None,
            chosen: None,
        };
        let q = values(queries * heads * width);
        let mut out = vec![0.0; q.len()];
        let seconds = seconds(|| compute.attention(&attention, &q, queries, &mut out));
        let seen: usize = (capacity - queries..capacity).map(|p| p + 1).sum();
        let multiply_adds = (2 * seen * heads * width) as f64;
        kernels.push(Kernel {
            name: format!("attention, {cache}"),
            columns: queries,
            floats: true,
            intensity: multiply_adds / (capacity * position) as f64,
            gmac_s: multiply_adds / seconds / 1e9,
        });
    }
    Ok(kernels)
}

/// More bytes than the last cache holds.
fn uncached() -> usize {
    let cache = last_cache_bytes().unwrap_or(32 << 20);
    3 * cache.clamp(16 << 20, 128 << 20)
}

/// The median of what some runs take, after one to warm up.
fn seconds(mut run: impl FnMut()) -> f64 {
    run();
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < 3 || start.elapsed() < MEASURED_FOR {
        let begun = Instant::now();
        run();
        times.push(begun.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Numbers between -1 and 1, the same every time.
fn values(count: usize) -> Vec<f32> {
    const HALF: usize = 1 << 23;
    let number = |n| n as f32 / HALF as f32 - 1.0;
    super::measure::numbers(count, 2 * HALF, 1)
        .into_iter()
        .map(number)
        .collect()
}
