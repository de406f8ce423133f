//! Inputs that a fuzzer found, and some of every kind, stay mended.

#[path = "../../fuzz/bodies/dequantize.rs"]
mod body;

#[test]
fn finds_stay_mended() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/fuzz/dequantize");
    for entry in std::fs::read_dir(folder).unwrap() {
        body::run(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}

#[test]
fn every_type_takes_any_bytes() {
    for selector in 0..gristmill_kernels::QUANTS.len() as u8 {
        for fill in [0x00, 0x01, 0x7F, 0x80, 0xAA, 0xFF] {
            let mut input = vec![fill; 2400];
            input[0] = selector;
            body::run(&input);
            for (i, byte) in input[1..].iter_mut().enumerate() {
                *byte = (i as u8).wrapping_mul(167).wrapping_add(fill);
            }
            body::run(&input);
        }
    }
}
