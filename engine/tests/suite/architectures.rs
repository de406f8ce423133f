//! Every registered architecture against the logits of the reference implementation.

use std::collections::HashMap;
use std::sync::Arc;

use crate::common::{self, Feeding, Fixture};
use crate::company;
use crate::embeddings;
use gristmill_engine::{CacheType, ContextOptions, Logits, Model, arch::ARCHS};
use gristmill_gguf::{Gguf, TensorType, Writer};

/// All fixtures that hold a model for the registry: of the shared folder where it is there, and what it lacks of `testdata`.
fn fixtures() -> Vec<Fixture> {
    let shared: Vec<_> = ["archs", "archs-variants"]
        .iter()
        .filter_map(|f| common::shared(f))
        .collect();
    let mut all: Vec<Fixture> = shared.iter().flat_map(|f| Fixture::all(f)).collect();
    for fixture in Fixture::all(&common::testdata().join("archs")) {
        if !all.iter().any(|f| f.name == fixture.name) {
            all.push(fixture);
        }
    }
    all
}

fn is_registered(fixture: &Fixture) -> bool {
    ARCHS.iter().any(|a| a.name == fixture.arch())
}

/// Whether a tensor makes keys or values of a layer from `first_sharing` on, which reads those of another one.
fn has_shared_keys(first_sharing: u64, tensor: &str) -> bool {
    let mut parts = tensor.split('.').skip(1);
    let layer: Option<u64> = parts.next().and_then(|layer| layer.parse().ok());
    layer.is_some_and(|layer| layer >= first_sharing)
        && matches!(parts.next(), Some("attn_k" | "attn_v"))
}

/// How often a tensor of a hierarchical model (hrm_text) is used for a token, whose stacks run several times.
fn runs_of_stack(gguf: &Gguf, tensor: &str) -> u64 {
    let number = |key: &str| gguf.metadata().u64(&format!("hrm_text.hrm.{key}")).unwrap();
    let mut parts = tensor.split('.').skip(1);
    let layer: Option<u64> = parts.next().and_then(|layer| layer.parse().ok());
    match layer {
        None => 1,
        Some(layer) if layer < number("layers_per_stack") => {
            number("h_cycles") * number("l_cycles")
        }
        Some(_) => number("h_cycles"),
    }
}

/// What a token costs is what the file's matrices hold, of experts those that are used.
#[test]
fn costs_are_those_of_the_matrices() {
    let mut tested = 0;
    for fixture in fixtures() {
        if !fixture.path("head").exists() || !is_registered(&fixture) {
            continue;
        }
        let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
        let gguf = model.gguf();
        let number = |key: &str| {
            let key = format!("{}.{key}", fixture.arch());
            gguf.metadata().opt_u64(&key).unwrap_or(None)
        };
        let used = number("expert_used_count").unwrap_or(0);
        let first_sharing = match number("attention.shared_kv_layers") {
            Some(sharing) => number("block_count").unwrap() - sharing,
            None if fixture.arch() == "gemma3n" => 20,
            None => u64::MAX,
        };
        let runs = |tensor: &str| match fixture.arch() {
            "hrm_text" => runs_of_stack(gguf, tensor),
            _ => 1,
        };
        let (mut multiply_adds, mut bytes) = (0, 0);
        for tensor in gguf.tensors() {
            let name = tensor.name();
            // Matrices of one row have one dimension.
            let of_one_row = [
                "ffn_gate_inp_shexp.weight",
                "ssm_beta.weight",
                "attn_gate.weight",
            ];
            let is_matrix =
                tensor.dims().len() > 1 || of_one_row.iter().any(|end| name.ends_with(end));
            if !is_matrix
                || name.contains("norm")
                // What is behind pooling.
                || ["dense_2.", "dense_3.", "cls."].iter().any(|beginning| name.starts_with(beginning))
                || name == "token_types.weight"
                || name.ends_with(".bias")
                || name.contains("conv1d")
                || name.ends_with("shortconv.conv.weight")
                || name.ends_with("ssm_a")
                || name.ends_with("ssm_d")
                // Factors of channels, not of rows.
                || name.ends_with("time_mix_lerp_fused.weight")
                || name.ends_with("time_mix_first.weight")
                // The first layer has no values of an earlier one to mix its own with.
                || name.starts_with("blk.0.time_mix_v1.")
                || name.starts_with("blk.0.time_mix_v2.")
                || name == "position_embd.weight"
                // Rows of it are looked up.
                || name == "per_layer_token_embd.weight"
                || (name == "token_embd.weight"
                    && (model.is_encoder() || gguf.tensor("output.weight").is_some()))
                // As long as a context is short, what an index chooses has no effect: it is computed nevertheless.
                || (fixture.is_without_effect(name) && !name.contains(".indexer."))
                // Files have them nevertheless.
                || has_shared_keys(first_sharing, name)
            {
                continue;
            }
            let elements: u64 = tensor.dims().iter().product();
            let size = gguf.data(tensor).len() as u64;
            let (times, of) = if name.contains("exps.") {
                (used, *tensor.dims().last().unwrap())
            } else if name.ends_with("altup_router.weight") {
                // Before the layer and after it.
                (2, 1)
            } else {
                (runs(name), 1)
            };
            multiply_adds += elements / of * times;
            bytes += size / of * times;
        }
        // And the token's own rows of the embeddings.
        for name in [
            "token_embd.weight",
            "position_embd.weight",
            "per_layer_token_embd.weight",
        ] {
            if let Some(embedding) = gguf.tensor(name) {
                bytes += gguf.data(embedding).len() as u64 / embedding.dims()[1];
            }
        }
        let (inner, last) = model.cost();
        let all = inner + last;
        assert_eq!(
            (all.multiply_adds, all.bytes),
            (multiply_adds, bytes),
            "{}",
            fixture.name
        );
        assert!(last.multiply_adds > 0 && all.float_multiply_adds <= all.multiply_adds);
        tested += 1;
    }
    assert!(tested >= 10, "only {tested} fixtures were found");
}

/// One line for each fixture: the NMSE of the prompt in one batch, whose bits are those of all other ways. Then the
/// README's table, with the largest of each architecture.
#[test]
fn logits_agree_with_the_reference() {
    let (mut failures, mut skipped) = (Vec::new(), Vec::new());
    let mut found: HashMap<String, Vec<f64>> = HashMap::new();
    for fixture in fixtures() {
        let compared = match (fixture.is_complete(), fixture.has_embeddings()) {
            _ if !is_registered(&fixture) => None,
            (true, _) => Some(of_all_feedings(&fixture)),
            (_, true) => Some(embeddings::of_all_ways(&fixture)),
            _ => None,
        };
        let Some(compared) = compared else {
            skipped.push(fixture.name);
            continue;
        };
        match compared {
            Ok(nmse) => {
                println!("{:24} NMSE {nmse:.1e}", fixture.name);
                found
                    .entry(fixture.arch().to_string())
                    .or_default()
                    .push(nmse);
            }
            Err(problem) => {
                println!("{:24} {problem}", fixture.name);
                failures.push(format!("{}: {problem}", fixture.name));
            }
        }
    }
    println!(
        "skipped, not registered or of another kind: {}",
        skipped.join(" ")
    );
    println!("| architecture | used by | NMSE | models |");
    println!("|---|---|---|---|");
    for arch in ARCHS {
        let Some(all) = found.get(arch.name) else {
            failures.push(format!("{} was not tested", arch.name));
            continue;
        };
        let largest = all.iter().copied().fold(0.0, f64::max);
        println!(
            "| {} | {} | {largest:.1e} | {} |",
            arch.name,
            arch.used_by,
            all.len()
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Feeds a fixture in every way, on one to three threads: what all of them are off by, or what is wrong.
fn of_all_feedings(fixture: &Fixture) -> Result<f64, String> {
    let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
    let model = Model::from_gguf(gguf).map_err(|error| error.to_string())?;
    let (tokens, reference) = (fixture.tokens(), fixture.logits("logits"));
    let limit = fixture.json["nmse_limit"].as_f64().unwrap_or(1e-5);
    let run = |feeding, threads| {
        let mut context = model.context(&common::exact(threads)).unwrap();
        common::logits(&mut context, &tokens, feeding)
    };
    let ours = run(Feeding::Batch, 1);
    let positions = fixture.positions();
    let (first, end) = (positions.start(), positions.end() + 1);
    let stored = &ours[first * model.vocab_size()..end * model.vocab_size()];
    let nmse = common::nmse(stored, &reference);
    if nmse.is_nan() || nmse >= limit {
        return Err(format!("NMSE {nmse:.1e}, more than {limit:.0e}"));
    }
    for (feeding, threads) in [
        (Feeding::Batch, 3),
        (Feeding::Chunks(7), 1),
        (Feeding::Single, 2),
    ] {
        if !common::same_bits(&run(feeding, threads), &ours) {
            return Err(format!("{feeding:?} on {threads} threads differs"));
        }
    }
    let shared = company::logits_in_company(&model, &tokens, &common::exact(2));
    if !common::same_bits(&shared, &ours) {
        return Err("as one of three sequences in a pass it differs".into());
    }
    Ok(nmse)
}

/// LongRoPE: the reference's logits for one set of divisors, stored as the long or the short one of two.
#[test]
fn the_context_decides_between_long_and_short_factors() {
    let all = fixtures();
    let fixture = all.iter().find(|f| f.name == "llama-ropefreqs").unwrap();
    let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
    let renamed = |name: &str, other: &str| {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        writer.set("llama.rope.scaling.type", "longrope");
        writer.set("llama.rope.scaling.original_context_length", 100u32);
        let factors = gguf.tensor("rope_freqs.weight").unwrap();
        for tensor in gguf.tensors() {
            let name = match tensor.name() {
                "rope_freqs.weight" => name,
                other => other,
            };
            writer
                .tensor(name, tensor.tensor_type(), tensor.dims())
                .unwrap();
        }
        let mut data: Vec<&[u8]> = gguf.tensors().iter().map(|t| gguf.data(t)).collect();
        let ones = 1f32.to_le_bytes().repeat(factors.elements() as usize);
        if !other.is_empty() {
            writer
                .tensor(other, factors.tensor_type(), factors.dims())
                .unwrap();
            data.push(&ones);
        }
        let mut out = writer.start(Vec::new()).unwrap();
        data.iter().for_each(|data| out.write(data).unwrap());
        Model::from_gguf(Gguf::from_bytes(out.finish().unwrap()).unwrap())
    };
    let (long, short) = ("rope_factors_long.weight", "rope_factors_short.weight");
    let nmse = |model: &Arc<Model>, positions: usize| {
        let options = ContextOptions {
            context_length: Some(positions),
            ..common::exact(1)
        };
        let mut context = model.context(&options).unwrap();
        let ours = common::logits(&mut context, &fixture.tokens(), Feeding::Batch);
        common::nmse(&ours, &fixture.logits("logits"))
    };
    for (name, other, right, wrong) in [(long, short, 101, 100), (short, long, 100, 101)] {
        let model = renamed(name, other).unwrap();
        assert!(nmse(&model, right) < 1e-6, "{name}");
        assert!(nmse(&model, wrong) > 1e-3, "{name}");
    }
    let error = renamed(long, "").unwrap_err().to_string();
    assert!(error.contains(short), "{error}");
}

/// They say what a model is made of: what is computed with a tensor's values is a part's.
#[test]
fn architecture_files_compute_nothing() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/arch");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let computes = [
                "compute",
                "Pass",
                "matmul",
                "&[f32]",
                "&mut [f32]",
                "ops::rms",
            ];
            let code = line.split("//").next().unwrap();
            assert!(
                !computes.iter().any(|word| code.contains(word)),
                "{}:{}: {line}",
                path.display(),
                number + 1
            );
        }
        files += 1;
    }
    assert!(files > 10, "only {files} files");
}

/// Here, and not only in a folder beside it: a fresh clone proves every architecture.
#[test]
fn every_architecture_has_a_fixture() {
    let fixtures = Fixture::all(&common::testdata().join("archs"));
    for arch in ARCHS {
        let is_its = |f: &Fixture| f.arch() == arch.name && (f.is_complete() || f.has_embeddings());
        assert!(
            fixtures.iter().any(is_its),
            "{} has none; testdata/archs/take.py brings them",
            arch.name
        );
    }
}

/// A file that holds more than is computed with may mean another model than the one that would be run.
#[test]
fn tensors_without_a_use_are_refused_by_name() {
    let fixture = fixtures().into_iter().find(|f| f.name == "llama-gqa");
    let gguf = Gguf::from_bytes(fixture.unwrap().expand()).unwrap();
    let with = |names: &[&str]| {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        for tensor in gguf.tensors() {
            let kind = tensor.tensor_type();
            writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
        }
        for name in names {
            writer.tensor(*name, TensorType::F32, &[1]).unwrap();
        }
        let mut file = writer.start(Vec::new()).unwrap();
        for tensor in gguf.tensors() {
            file.write(gguf.data(tensor)).unwrap();
        }
        for _ in names {
            file.write(&[0; 4]).unwrap();
        }
        let file = Gguf::from_bytes(file.finish().unwrap()).unwrap();
        Model::from_gguf(file).map_err(|error| error.to_string())
    };
    let refused = |names: &[&str]| with(names).unwrap_err();
    assert_eq!(
        refused(&["blk.0.attn_q.scale"]),
        "the file has a tensor that architecture llama does not use and that could change its results: \
         blk.0.attn_q.scale"
    );
    let many = ["a", "b", "c", "d", "e"].map(|name| format!("blk.1.{name}.weight"));
    assert_eq!(
        refused(&many.each_ref().map(String::as_str)),
        "the file has 5 tensors that architecture llama does not use and that could change its results: \
         blk.1.a.weight, blk.1.b.weight, blk.1.c.weight and 2 more"
    );
    // What is for pictures and sound, and layers behind the last that only guess further tokens.
    let last = gguf.metadata().u64("llama.block_count").unwrap();
    let guess = [
        format!("blk.{last}.nextn.eh_proj.weight"),
        format!("blk.{last}.attn_q.weight"),
    ];
    let [a, b] = &guess;
    with(&[
        "v.patch_embd.weight",
        "mm.0.weight",
        "a.conv1d.1.weight",
        a,
        b,
    ])
    .unwrap();
    // In a layer that is computed they are a riddle, and so is a layer too many.
    assert!(refused(&["blk.0.nextn.eh_proj.weight"]).contains("nextn"));
    assert!(refused(&[b]).contains(b.as_str()));
}

/// Sparse attention by blocks: each query sees the same ones, however it is fed, and fewer than all of them.
#[test]
fn queries_see_the_chosen_blocks_in_all_ways() {
    let fixture = fixtures().into_iter().find(|f| f.name == "minimax-m3-moe");
    let fixture = fixture.unwrap();
    let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
    let with_blocks = |most: u32| {
        let mut writer = Writer::new();
        writer.set_all(gguf.metadata());
        writer.set("minimax-m3.attention.indexer.top_k", most);
        for tensor in gguf.tensors() {
            let kind = tensor.tensor_type();
            writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
        }
        let mut file = writer.start(Vec::new()).unwrap();
        let tensors = gguf.tensors().iter();
        tensors.for_each(|tensor| file.write(gguf.data(tensor)).unwrap());
        Model::from_gguf(Gguf::from_bytes(file.finish().unwrap()).unwrap()).unwrap()
    };
    let tokens: Vec<u32> = (0..180).map(|k| (7 * k * k + 13 * k + 5) % 128).collect();
    let run = |model: &Arc<Model>, feeding, threads| {
        let mut context = model.context(&common::exact(threads)).unwrap();
        common::logits(&mut context, &tokens, feeding)
    };
    let whole = run(&with_blocks(45), Feeding::Batch, 1);
    let model = with_blocks(3);
    let ours = run(&model, Feeding::Batch, 1);
    for (feeding, threads) in [
        (Feeding::Batch, 3),
        (Feeding::Chunks(7), 1),
        (Feeding::Single, 2),
    ] {
        let same = common::same_bits(&run(&model, feeding, threads), &ours);
        assert!(same, "{feeding:?} on {threads} threads differs");
    }
    let shared = company::logits_in_company(&model, &tokens, &common::exact(2));
    assert!(common::same_bits(&shared, &ours));
    // The first three blocks of four positions are all there is to see; then something is left out.
    let vocab = model.vocab_size();
    assert!(common::same_bits(&whole[..12 * vocab], &ours[..12 * vocab]));
    let nmse = common::nmse(&ours[12 * vocab..], &whole[12 * vocab..]);
    assert!(nmse > 1e-6 && nmse < 1.0, "{nmse:.1e}");
}

/// Keys that ask for what is not computed are refused, not passed over.
#[test]
fn keys_that_ask_for_more_are_refused_by_name() {
    for (name, key) in [
        ("hrm_text-dense", "hrm_text.hrm.prefix_lm"),
        ("bailingmoe3-moe", "bailingmoe3.kda.safe_gate"),
    ] {
        let fixture = fixtures().into_iter().find(|f| f.name == name).unwrap();
        let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
        let with = |value: bool| {
            let mut writer = Writer::new();
            writer.set_all(gguf.metadata());
            writer.set(key, value);
            for tensor in gguf.tensors() {
                let kind = tensor.tensor_type();
                writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
            }
            let mut file = writer.start(Vec::new()).unwrap();
            let tensors = gguf.tensors().iter();
            tensors.for_each(|tensor| file.write(gguf.data(tensor)).unwrap());
            Model::from_gguf(Gguf::from_bytes(file.finish().unwrap()).unwrap())
        };
        let usual = gguf.metadata().opt_bool(key).unwrap().unwrap();
        with(usual).unwrap();
        let error = with(!usual).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn quantized_logits_agree_with_exact_activations() {
    let mut tested = 0;
    for fixture in fixtures() {
        if !fixture.path("gguf").exists()
            || !fixture.path("f32act.logits").exists()
            || !is_registered(&fixture)
        {
            continue;
        }
        let model = match Model::open(fixture.path("gguf"), &Default::default()) {
            Err(gristmill_engine::Error::TensorType { kind, .. }) => {
                println!("skipped: {} needs {kind}", fixture.name);
                continue;
            }
            model => model.unwrap(),
        };
        tested += 1;
        let reference = fixture.logits("f32act.logits");
        for feeding in [Feeding::Batch, Feeding::Single] {
            let mut context = model.context(&common::exact(2)).unwrap();
            let nmse = common::nmse(
                &common::logits(&mut context, &fixture.tokens(), feeding),
                &reference,
            );
            println!("{:24} {feeding:10?} nmse {nmse:.1e}", fixture.name);
            assert!(nmse < 2e-3, "{} {feeding:?}: nmse {nmse:.1e}", fixture.name);
        }
    }
    assert!(tested > 0);
}

#[test]
fn smaller_caches_change_little() {
    let find = |name: &str| fixtures().into_iter().find(|f| f.name == name).unwrap();
    for (name, cache, limit) in [
        ("llama-dense", CacheType::F16, 1e-5),
        ("gemma3-gqa", CacheType::F16, 1e-4),
        ("llama-dense", CacheType::Q8_0, 1e-3),
    ] {
        let fixture = find(name);
        let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
        let options = ContextOptions {
            cache_keys: cache,
            cache_values: cache,
            ..common::exact(2)
        };
        let mut context = model.context(&options).unwrap();
        let ours = common::logits(&mut context, &fixture.tokens(), Feeding::Chunks(7));
        let nmse = common::nmse(&ours, &fixture.logits("logits"));
        println!("{name:24} {cache} nmse {nmse:.1e}");
        assert!(nmse < limit, "{name} {cache}: {nmse:.1e}");
    }
}

#[test]
fn windows_forget_and_say_so() {
    let fixture = fixtures()
        .into_iter()
        .find(|f| f.name == "gemma3-gqa")
        .unwrap();
    let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
    let tokens = fixture.tokens();
    // A ring of 16 + 4 - 1 slots.
    let mut context = model
        .context(&ContextOptions {
            batch: 4,
            ..common::exact(1)
        })
        .unwrap();
    let whole = common::logits(&mut context, &tokens, Feeding::Batch);
    assert!(matches!(
        context.truncate(20),
        Err(gristmill_engine::Error::Truncate { to: 20, .. })
    ));
    assert_eq!(context.position(), tokens.len());
    // One batch back is always possible, and gives the same logits again.
    let vocab = model.vocab_size();
    context.truncate(tokens.len() - 4).unwrap();
    let again = context
        .feed(&tokens[tokens.len() - 4..], Logits::All)
        .unwrap();
    assert_eq!(again, &whole[(tokens.len() - 4) * vocab..]);
    // A prefix that is not held any more is fed again.
    let other: Vec<u32> = tokens[..30].iter().copied().chain([1, 2, 3]).collect();
    assert_eq!(context.keep_prefix(&other), 0);
    context.feed(&other[..30], Logits::None).unwrap();
    assert_eq!(context.keep_prefix(&tokens[..30]), 29);
    let last = context.feed(&tokens[29..30], Logits::Last).unwrap();
    assert_eq!(last, &whole[29 * vocab..30 * vocab]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let fixture = fixtures()
        .into_iter()
        .find(|f| f.name == "llama-dense")
        .unwrap();
    let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
    let huge = ContextOptions {
        context_length: Some(1 << 50),
        ..Default::default()
    };
    let error = model.context(&huge).err().unwrap().to_string();
    assert!(
        error.contains("a context of 256 would fit") && error.contains("available"),
        "{error}"
    );
    let mut context = model.context(&common::exact(1)).unwrap();
    let error = context
        .feed(&[0; 257], Logits::None)
        .unwrap_err()
        .to_string();
    assert!(error.contains("257") && error.contains("256"), "{error}");
    let error = context.feed(&[128], Logits::None).unwrap_err().to_string();
    assert!(error.contains("128"), "{error}");
    assert_eq!(context.position(), 0);
    assert_eq!(context.feed(&[], Logits::Last).unwrap().len(), 0);
}
