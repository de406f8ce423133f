//! Every kernel on its own, for the page's roofline: each quantization type times one, a few and many columns.

use super::report::Kernel;
use anyhow::Result;
use gristmill_kernels::pool::last_cache_bytes;
use gristmill_kernels::{Compute, Matrix, Product, QUANTS, QuantType};
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

/// Types with codes, which the roofline is about.
pub fn types() -> impl Iterator<Item = &'static QuantType> {
    QUANTS
        .iter()
        .copied()
        .filter(|quant| quant.codes.is_some() && quant.quantize.is_some())
}

/// One type in all shapes; `bytes` is reused from type to type.
pub fn measure(
    compute: &mut Compute,
    quant: &'static QuantType,
    bytes: &mut Vec<u8>,
) -> Result<Vec<Kernel>> {
    let (Some(row_bytes), Some(quantize)) = (quant.row_bytes(WIDTH), quant.quantize) else {
        return Ok(Vec::new());
    };
    let mut distinct = vec![0; DISTINCT * row_bytes];
    quantize(&values(DISTINCT * WIDTH), None, &mut distinct);
    // For few columns, more than the last cache holds.
    let cache = last_cache_bytes().unwrap_or(32 << 20);
    let most = 3 * cache.clamp(16 << 20, 128 << 20);
    let rows = if QUICK {
        ROWS
    } else {
        (most / row_bytes).max(ROWS)
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
        let mut run = || {
            let start = Instant::now();
            let out = &mut out;
            compute.matmul(&x, columns, &mut [Product { weights, out }]);
            start.elapsed().as_secs_f64()
        };
        run();
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < 3 || start.elapsed() < MEASURED_FOR {
            times.push(run());
        }
        times.sort_by(f64::total_cmp);
        let seconds = times[times.len() / 2];
        let multiply_adds = (rows * WIDTH * columns) as f64;
        kernels.push(Kernel {
            quant: quant.name.to_lowercase(),
            columns,
            intensity: multiply_adds / (rows * row_bytes) as f64,
            gmac_s: multiply_adds / seconds / 1e9,
        });
    }
    Ok(kernels)
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
