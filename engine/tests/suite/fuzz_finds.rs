//! Inputs that a fuzzer found stay mended.

#[path = "../../../fuzz/bodies/template.rs"]
mod template;
#[path = "../../../fuzz/bodies/tokenizer.rs"]
mod tokenizer;

fn walk(target: &str, run: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../testdata/fuzz")
        .join(target);
    for entry in std::fs::read_dir(folder).unwrap() {
        run(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}

#[test]
fn tokenizer_finds_stay_mended() {
    walk("tokenizer", tokenizer::run);
}

#[test]
fn template_finds_stay_mended() {
    walk("template", template::run);
}
