//! Inputs that a fuzzer found, and the malformed corpus, through the fuzzer's checks.

#[path = "../../fuzz/bodies/gguf_reader.rs"]
mod body;

#[test]
fn finds_stay_mended() {
    for folder in ["fuzz/gguf_reader", "malformed"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../testdata")
            .join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            body::run(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
}
