//! Walks every registered quantization type: decoding and encoding against the reference's own blocks (the shared
//! fixtures where they are, and the small cut of them in `testdata/quants` always), then what must hold for any type.

use std::path::{Path, PathBuf};

use gristmill_gguf::{TENSOR_TYPES, TensorType};
use gristmill_kernels::isa::{Ready, UNIT};
use gristmill_kernels::registry::{ISAS, QUANTS, QuantType, quant};
use proptest::prelude::*;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders of reference data: the small copy, and the whole where it is (else a line saying so).
fn fixtures() -> Vec<PathBuf> {
    let mut folders = vec![workspace().join("testdata/quants")];
    let shared = std::env::var_os("GRISTMILL_SHARED")
        .map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let whole = shared.join("conformance/quants");
    if whole.is_dir() {
        folders.push(whole);
    } else {
        println!(
            "skipped: the whole reference data, which is not at {}",
            whole.display()
        );
    }
    folders
}

fn read_floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    bytes
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&b| f32::from_le_bytes(b))
        .collect()
}

fn dequantize(quant: &QuantType, blocks: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; blocks.len() / quant.block_bytes() * quant.block_elements()];
    quant.dequantize(blocks, &mut out);
    out
}

fn quantize(quant: &QuantType, values: &[f32], importance: Option<&[f32]>) -> Option<Vec<u8>> {
    let mut blocks = vec![0xA5; values.len() / quant.block_elements() * quant.block_bytes()];
    quant.quantize()?(values, importance, &mut blocks);
    Some(blocks)
}

/// The values after a round trip through the type's blocks.
fn round_trip(quant: &QuantType, values: &[f32], importance: Option<&[f32]>) -> Option<Vec<f32>> {
    Some(dequantize(quant, &quantize(quant, values, importance)?))
}

/// `√(Σ weight·difference² / Σ weight)`.
fn error(values: &[f32], found: &[f32], weight: impl Fn(usize) -> f32) -> f64 {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (i, (value, found)) in values.iter().zip(found).enumerate() {
        let weight = f64::from(weight(i));
        sum += weight * (f64::from(*value) - f64::from(*found)).powi(2);
        weights += weight;
    }
    (sum / weights).sqrt()
}

/// Bytes that look random, the same in every run.
fn noise(count: usize) -> impl Iterator<Item = u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..count).map(move |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
}

#[test]
fn types_are_those_of_the_file_format() {
    for format in TENSOR_TYPES {
        let quant =
            quant(format.id()).unwrap_or_else(|| panic!("{} is not registered", format.name()));
        assert_eq!(quant.name(), format.name());
        assert_eq!(
            quant.block_elements(),
            format.block_elements(),
            "{}",
            quant.name()
        );
        assert_eq!(
            quant.block_bytes(),
            format.block_bytes(),
            "{}",
            quant.name()
        );
    }
    for pair in QUANTS.windows(2) {
        assert!(
            pair[0].id() < pair[1].id(),
            "{} and {} are out of order",
            pair[0].name(),
            pair[1].name()
        );
    }
    for quant in QUANTS {
        assert!(
            TensorType::from_id(quant.id()).is_some(),
            "{} is not in the format",
            quant.name()
        );
    }
}

#[test]
fn dequantize_equals_the_reference_to_the_last_bit() {
    for folder in fixtures() {
        let mut compared = 0;
        for quant in QUANTS {
            let mut files = 0;
            for stem in [quant.name().to_string(), format!("{}.random", quant.name())] {
                let Ok(blocks) = std::fs::read(folder.join(format!("{stem}.blocks"))) else {
                    continue;
                };
                let expected = read_floats(&folder.join(format!("{stem}.f32")));
                let found = dequantize(quant, &blocks);
                assert_eq!(found.len(), expected.len(), "{stem}");
                for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    assert!(
                        found == expected,
                        "{stem}: element {i} is {found:e}, should be {expected:e}"
                    );
                }
                files += 1;
            }
            if files == 0 {
                println!(
                    "skipped: {} has no reference blocks in {}",
                    quant.name(),
                    folder.display()
                );
            }
            compared += files;
        }
        assert!(
            compared >= 28,
            "only {compared} files compared in {}",
            folder.display()
        );
    }
}

#[test]
fn quantizers_reach_the_references_error() {
    for folder in fixtures() {
        let source = read_floats(&folder.join("source.f32"));
        let index =
            std::fs::read_to_string(folder.join("index.json")).expect("the index of the fixtures");
        let index: serde_json::Value = serde_json::from_str(&index).expect("JSON");
        let mut failed = Vec::new();
        for entry in index["types"].as_array().expect("a list of types") {
            let name = entry["type"].as_str().expect("a name");
            let quant = QUANTS
                .iter()
                .find(|quant| quant.name() == name)
                .expect(name);
            assert_eq!(entry["ggml_type"], quant.id(), "{name}");
            assert_eq!(entry["block_elements"], quant.block_elements(), "{name}");
            assert_eq!(entry["block_bytes"], quant.block_bytes(), "{name}");
            let found = round_trip(quant, &source, None).expect(name);
            let found = error(&source, &found, |_| 1.0);
            let reference = entry["rmse"].as_f64().expect("a number");
            println!(
                "{name}: RMSE {found:.4e}, {:.3} of the reference's",
                found / reference
            );
            if found > 1.01 * reference {
                failed.push(name);
            }
        }
        assert!(
            failed.is_empty(),
            "error above 1.01 times the reference's: {failed:?}"
        );
    }
}

#[test]
fn an_importance_matrix_lowers_the_error_it_weighs() {
    let source = read_floats(&workspace().join("testdata/quants/source.f32"));
    // Two rows of 1024 columns; importance spread over four orders of magnitude.
    let importance: Vec<f32> = noise(1024)
        .map(|byte| 10_f32.powf(f32::from(byte) / 64.0 - 2.0))
        .collect();
    let weight = |i: usize| importance[i % 1024];
    for quant in QUANTS.iter().filter(|quant| quant.codes().is_some()) {
        let Some(without) = round_trip(quant, &source, None) else {
            continue;
        };
        let with = round_trip(quant, &source, Some(&importance)).unwrap();
        let (with, without) = (
            error(&source, &with, weight),
            error(&source, &without, weight),
        );
        println!(
            "{}: weighted error {:.3} of that without importance",
            quant.name(),
            with / without
        );
        assert!(
            with <= without,
            "{}: {with} with importance, {without} without",
            quant.name()
        );
    }
}

#[test]
fn rows_are_quantized_as_if_alone() {
    let source = read_floats(&workspace().join("testdata/quants/source.f32"));
    let importance: Vec<f32> = noise(1024).map(f32::from).collect();
    for quant in QUANTS {
        let Some(both) = quantize(quant, &source, Some(&importance)) else {
            continue;
        };
        let second = quantize(quant, &source[1024..], Some(&importance)).unwrap();
        assert!(both[both.len() / 2..] == second, "{}", quant.name());
    }
}

#[test]
fn unpacked_codes_times_scales_are_the_values() {
    for quant in QUANTS {
        let Some(codes_of) = quant.codes() else {
            continue;
        };
        let count = 512;
        let mut blocks: Vec<u8> = noise(count * quant.block_bytes()).collect();
        // The extremes too: all bits clear, all bits set.
        blocks[..quant.block_bytes()].fill(0);
        blocks[quant.block_bytes()..2 * quant.block_bytes()].fill(0xFF);
        let values = dequantize(quant, &blocks);
        let groups = values.len() / codes_of.group();
        let mut codes = vec![0; values.len()];
        let mut scales = vec![0.0; groups];
        let mut mins = vec![0.0; if codes_of.has_mins() { groups } else { 0 }];
        codes_of.unpack(&blocks, &mut codes, &mut scales, &mut mins);
        let extremes = (
            *codes.iter().min().expect("codes"),
            *codes.iter().max().expect("codes"),
        );
        assert_eq!(
            extremes,
            codes_of.range(),
            "{}: the range is not what blocks hold",
            quant.name()
        );
        for (i, &value) in values.iter().enumerate() {
            let (scale, min) = (
                scales[i / codes_of.group()],
                mins.get(i / codes_of.group()).unwrap_or(&0.0),
            );
            let product = scale * f32::from(codes[i]) - min;
            let tolerance = 1e-6 * (scale.abs() * 127.0 + min.abs());
            let same = (value - product).abs() <= tolerance
                || value == product
                || value.is_nan() && product.is_nan();
            assert!(
                same,
                "{}: element {i} is {value}, unpacked {product}",
                quant.name()
            );
        }
    }
}

#[test]
fn instruction_sets_unpack_the_same() {
    for quant in QUANTS {
        let Some(codes_of) = quant.codes() else {
            continue;
        };
        // A block is a unit of 256 elements at most; 67 blocks end in a part of a unit.
        let unit = UNIT / quant.block_elements();
        let blocks: Vec<u8> = noise(67 * quant.block_bytes()).collect();
        let unpacked = |ready: Option<Ready>| {
            let (mut codes, mut scales, mut mins) = (Vec::new(), Vec::new(), Vec::new());
            for blocks in blocks.chunks(unit * quant.block_bytes()) {
                let count = blocks.len() / quant.block_bytes() * quant.block_elements();
                let groups = count / codes_of.group();
                let (mut c, mut s, mut m) = (vec![0; count], vec![0.0; groups], vec![0.0; groups]);
                match ready {
                    None => codes_of.unpack(blocks, &mut c, &mut s, &mut m),
                    Some(ready) => ready.unpack(quant, blocks, &mut c, &mut s, &mut m),
                }
                codes.extend(c);
                // Which NaN it is has no meaning.
                let bits = |x: f32| if x.is_nan() { u32::MAX } else { x.to_bits() };
                scales.extend(s.into_iter().map(bits));
                mins.extend(m.into_iter().map(bits));
            }
            (codes, scales, mins)
        };
        for ready in ISAS.iter().filter_map(|isa| isa.ready()) {
            assert!(
                unpacked(Some(ready)) == unpacked(None),
                "{} with {}",
                quant.name(),
                ready.isa().name()
            );
        }
    }
}

#[test]
fn zeros_stay_zeros() {
    for quant in QUANTS {
        let Some(found) = round_trip(quant, &[0.0; 512], None) else {
            continue;
        };
        assert!(found.iter().all(|&value| value == 0.0), "{}", quant.name());
    }
}

#[test]
fn strange_values_quantize_to_finite_ones() {
    let strange = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        1e-40,
        -0.0,
        1e30,
        -1e-30,
        65504.0,
    ];
    for quant in QUANTS.iter().filter(|quant| quant.codes().is_some()) {
        for &value in &strange {
            let alone = [value; 256];
            let mut among = [1.0; 256];
            among[7] = value;
            for (values, importance) in [
                (alone, [1.0; 256]),
                (among, [1.0; 256]),
                ([1.0; 256], alone),
                (among, alone),
            ] {
                let Some(found) = round_trip(quant, &values, Some(&importance)) else {
                    continue;
                };
                assert!(
                    found.iter().all(|found| found.is_finite()),
                    "{} of {value}: {found:?}",
                    quant.name()
                );
            }
        }
        let empty: [f32; 0] = [];
        assert_eq!(round_trip(quant, &empty, None).unwrap_or_default().len(), 0);
        assert_eq!(
            round_trip(quant, &[1.0; 256], Some(&empty)).map_or(256, |found| found.len()),
            256
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// The root mean square error is below half the step of plain rounding with as many bits as a weight takes.
    #[test]
    fn the_round_trip_error_is_bounded(values in prop::collection::vec(-1_f32..1.0, 256), exponent in -6_i32..8) {
        let values: Vec<f32> = values.iter().map(|value| value * 2_f32.powi(exponent)).collect();
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for quant in QUANTS {
            let Some(found) = round_trip(quant, &values, None) else { continue };
            let bits = quant.bits_per_weight().floor().min(8.0);
            let bound = f64::from(largest) * 2_f64.powf(1.0 - bits);
            let error = error(&values, &found, |_| 1.0);
            prop_assert!(error <= bound, "{}: error {error}, largest value {largest}", quant.name());
        }
    }

    /// Decoding takes any bytes.
    #[test]
    fn any_bytes_decode(bytes in prop::collection::vec(any::<u8>(), 292)) {
        for quant in QUANTS {
            let found = dequantize(quant, &bytes[..292 / quant.block_bytes() * quant.block_bytes()]);
            prop_assert_eq!(found.len(), 292 / quant.block_bytes() * quant.block_elements());
        }
    }
}
