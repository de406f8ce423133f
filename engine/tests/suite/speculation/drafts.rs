//! Which models may guess for another one, and what memory they take.

use super::*;
use gristmill_gguf::{Strings, Writer};

#[test]
fn a_draft_of_another_vocabulary_is_refused() {
    let fixture = Fixture::named("llama-gqa");
    let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
    let named = |tokens: Vec<String>| {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        writer.set("tokenizer.ggml.tokens", tokens.iter().collect::<Strings>());
        if tokens.is_empty() {
            writer.remove("tokenizer.ggml.tokens");
        }
        for tensor in gguf.tensors() {
            writer
                .tensor(tensor.name(), tensor.tensor_type(), tensor.dims())
                .unwrap();
        }
        let mut out = writer.start(Vec::new()).unwrap();
        for tensor in gguf.tensors() {
            out.write(gguf.data(tensor)).unwrap();
        }
        Model::from_gguf(Gguf::from_bytes(out.finish().unwrap()).unwrap()).unwrap()
    };
    let tokens: Vec<String> = (0..128).map(|i| format!("t{i}")).collect();
    let mut changed = tokens.clone();
    changed[77] = "new\nline".into();
    let main = named(tokens.clone());
    let context = |main: &Arc<Model>, draft: &Arc<Model>| {
        main.context(&ContextOptions {
            speculation: guessing(false, Some(draft), None),
            ..common::exact(1)
        })
    };
    assert!(context(&main, &named(tokens)).is_ok());
    let problem = |main: &Arc<Model>, draft: &Arc<Model>| match context(main, draft) {
        Err(Error::Draft(problem)) => problem,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was taken"),
    };
    let text = problem(&main, &named(changed));
    assert!(
        text.contains(r#"token 77 is "new\nline", and the model's is "t77""#),
        "{text}"
    );
    let text = problem(&main, &named(Vec::new()));
    assert!(text.contains("token 0 is missing"), "{text}");

    let real = [
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "gemma-3-270m-q4_k_m.gguf",
    ];
    if let [Some(smol), Some(gemma)] = real.map(common::real_model) {
        let text = problem(&smol, &gemma);
        assert!(text.contains("262144") && text.contains("49152"), "{text}");
    }
}

#[test]
fn the_plan_counts_a_draft() {
    let (main, draft) = (model("gemma3-1b"), model("llama-gqa"));
    let plan = |speculation| {
        main.memory(&ContextOptions {
            speculation,
            ..common::exact(1)
        })
    };
    let plain = plan(SpeculationOptions::default());
    let own = draft.memory(&common::exact(1));
    let both = plan(guessing(false, Some(&draft), None));
    assert_eq!(both.cache, plain.cache + own.cache);
    assert_eq!(both.weights, plain.weights + own.weights);
    let rows = 15 * 4 * main.vocab_size() as u64;
    assert_eq!(both.scratch, plain.scratch + own.scratch + rows);
    assert_eq!(
        plan(guessing(true, None, None)).scratch,
        plain.scratch + rows
    );
}
