//! Feeding a token allocates nothing: counted by the program's allocator, so this is a test binary of its own, with one test.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use gristmill_engine::{ContextOptions, Logits, Model};

/// The system's allocator, and how often it was asked for memory.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(at, layout, size) }
    }
}

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
