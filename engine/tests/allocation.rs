//! Feeding a token allocates nothing: counted by the program's allocator, so this is a test binary of its own, with one test.

#[path = "../../kernels/tests/counting/mod.rs"]
mod counting;

use counting::COUNT;
use std::path::Path;
use std::sync::atomic::Ordering;

use gristmill_engine::{ContextOptions, Logits, Model};

#[test]
fn feeding_a_token_allocates_nothing() {
    let file = "../testdata/archs/llama-dense-Q4_0.gguf";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let model = Model::open(path, &Default::default()).unwrap();
    let options = ContextOptions {
        context_length: Some(128),
        threads: Some(1),
        ..Default::default()
    };
    let mut context = model.context(&options).unwrap();
    context.feed(&[3, 1, 4, 1, 5], Logits::Last).unwrap();
    context.feed(&[9], Logits::Last).unwrap();
    let before = COUNT.load(Ordering::Relaxed);
    for id in 0..100 {
        context.feed(&[id], Logits::Last).unwrap();
    }
    let count = COUNT.load(Ordering::Relaxed) - before;
    assert_eq!(count, 0, "allocations in a hundred tokens");
}
