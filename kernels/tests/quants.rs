//! Walks every registered quantization type against the reference's blocks: the shared fixtures where they are, and the
//! small copy in `testdata/quants` always.

use std::path::{Path, PathBuf};

use gristmill_kernels::registry::{QUANTS, QuantType};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The shared reference data, or `None` (and a line saying so).
fn shared_fixtures() -> Option<PathBuf> {
    let shared = std::env::var_os("GRISTMILL_SHARED")
        .map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let folder = shared.join("conformance/quants");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no reference data at {}", folder.display());
    None
}

fn read_floats(path: &Path) -> Option<Vec<f32>> {
    let bytes = std::fs::read(path).ok()?;
    Some(
        bytes
            .as_chunks::<4>()
            .0
            .iter()
            .map(|&b| f32::from_le_bytes(b))
            .collect(),
    )
}

fn dequantize(quant: &QuantType, blocks: &[u8]) -> Vec<f32> {
    let mut out = vec![0.0; blocks.len() / quant.block_bytes * quant.block_elements];
    (quant.dequantize)(blocks, &mut out);
    out
}

/// Compares with `NAME.blocks` / `NAME.f32` to the last bit; how many files there were.
fn compare(folder: &Path, quant: &QuantType, stem: &str) -> usize {
    let Ok(blocks) = std::fs::read(folder.join(format!("{stem}.blocks"))) else {
        return 0;
    };
    let expected =
        read_floats(&folder.join(format!("{stem}.f32"))).expect("each .blocks file has its .f32");
    let found = dequantize(quant, &blocks);
    assert_eq!(found.len(), expected.len(), "{stem}");
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(
            found == expected,
            "{stem}: element {i} is {found:e}, should be {expected:e}"
        );
    }
    1
}

fn walk(folder: &Path) {
    let mut compared = 0;
    for quant in QUANTS {
        let files = compare(folder, quant, quant.name)
            + compare(folder, quant, &format!("{}.random", quant.name));
        if files == 0 {
            println!(
                "skipped: {} has no reference blocks in {}",
                quant.name,
                folder.display()
            );
        }
        compared += files;
    }
    assert!(
        compared > 20,
        "only {compared} files compared in {}",
        folder.display()
    );
}

#[test]
fn dequantize_equals_the_reference() {
    if let Some(folder) = shared_fixtures() {
        walk(&folder);
    }
}

fn root_mean_square(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for (a, b) in pairs {
        sum += f64::from(a - b).powi(2);
        count += 1;
    }
    (sum / f64::from(count)).sqrt()
}

/// Round trip error of `values` in this type.
fn round_trip(quant: &QuantType, values: &[f32], importance: Option<&[f32]>) -> Option<Vec<f32>> {
    let mut blocks = vec![0; values.len() / quant.block_elements * quant.block_bytes];
    quant.quantize?(values, importance, &mut blocks);
    Some(dequantize(quant, &blocks))
}

#[test]
fn quantizers_reach_the_references_error() {
    let Some(folder) = shared_fixtures() else {
        return;
    };
    let source = read_floats(&folder.join("source.f32")).expect("the source of the fixtures");
    let index =
        std::fs::read_to_string(folder.join("index.json")).expect("the index of the fixtures");
    let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let mut failed = Vec::new();
    for entry in index["types"].as_array().expect("a list of types") {
        let name = entry["type"].as_str().expect("a name");
        let Some(quant) = QUANTS.iter().find(|quant| quant.name == name) else {
            println!("skipped: {name} is not registered");
            continue;
        };
        assert_eq!(entry["ggml_type"], quant.id, "{name}");
        assert_eq!(entry["block_elements"], quant.block_elements, "{name}");
        assert_eq!(entry["block_bytes"], quant.block_bytes, "{name}");
        let started = std::time::Instant::now();
        let Some(found) = round_trip(quant, &source, None) else {
            println!("skipped: {name} has no quantizer");
            continue;
        };
        let microseconds = started.elapsed().as_micros();
        let error = root_mean_square(source.iter().copied().zip(found));
        let reference = entry["rmse"].as_f64().expect("a number");
        println!(
            "{name}: RMSE {error:.4e}, {:.3} of the reference's, {microseconds} us",
            error / reference
        );
        if error > 1.01 * reference {
            failed.push(name);
        }
    }
    assert!(
        failed.is_empty(),
        "error above 1.01 times the reference's: {failed:?}"
    );
}
