//! The real models in the cache folder, where they are: read, whole, the same mapped and in memory.

use std::path::PathBuf;

use gristmill_gguf::{Access, Gguf};

#[test]
fn real_models_are_read() {
    let folder = std::env::var_os("GRISTMILL_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            let home = PathBuf::from(std::env::var_os("HOME")?);
            Some(home.join(".cache/gristmill"))
        });
    for (file, architecture, tokens, tensors) in [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "llama", 49_152, 272),
        ("gemma-3-270m-q4_k_m.gguf", "gemma3", 262_144, 236),
    ] {
        let Some(path) = folder
            .as_ref()
            .map(|f| f.join(file))
            .filter(|p| p.is_file())
        else {
            println!("skipped: {file} is not in the cache folder");
            continue;
        };
        let mapped = Gguf::open(&path, Access::Map).unwrap();
        let read = Gguf::open(&path, Access::Read).unwrap();
        assert_eq!(mapped.metadata().architecture(), Ok(architecture));
        let vocabulary = mapped.metadata().strings("tokenizer.ggml.tokens").unwrap();
        assert_eq!(vocabulary.len(), tokens);
        assert_eq!(vocabulary.iter().last(), vocabulary.get(tokens - 1));
        assert_eq!(mapped.tensors().len(), tensors);
        assert_eq!(mapped.metadata(), read.metadata());
        for (a, b) in mapped.tensors().iter().zip(read.tensors()) {
            assert_eq!(a, b);
            assert!(mapped.data(a) == read.data(b), "{}", a.name());
        }
    }
}
