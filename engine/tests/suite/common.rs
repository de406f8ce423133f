//! Where the tests find references, and how a fixture without weights becomes a model.
//!
//! References: the folder that `GRISTMILL_SHARED` names, else `shared` beside the workspace, else what `testdata` holds.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gristmill_engine::{Context, ContextOptions, Logits, Model};
use gristmill_gguf::{Gguf, TensorType, Writer};
use sha2::{Digest, Sha256};

pub fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata")
}

/// The folder of conformance references, if it is there.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("GRISTMILL_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let folder = root.join("conformance").join(folder);
    if !folder.is_dir() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// The file of a real model in the cache folder, if it is there.
pub fn model_file(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GRISTMILL_CACHE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/gristmill")))?;
    let path = folder.join(file);
    if !path.is_file() {
        println!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A real model of the cache folder, if it is there.
pub fn real_model(file: &str) -> Option<Arc<Model>> {
    Some(Model::open(&model_file(file)?, &Default::default()).unwrap())
}

/// A reference model: its description, and the file that it becomes.
pub struct Fixture {
    pub name: String,
    pub folder: PathBuf,
    pub json: serde_json::Value,
}

const OF_EACH_KIND: &[&str] = &[
    "deepseek2-v3",
    "gemma3-1b",
    "gemma3-dense",
    "gemma4-e2b",
    "gpt-oss-full",
    "granitehybrid-nope-moe",
    "kimi-linear-real",
    "lfm2-real",
    "llama-dense",
    "llama-gqa",
    "llama-mixtral",
    "qwen35-real",
    "rwkv7",
];

impl Fixture {
    /// All of a folder, by name.
    pub fn all(folder: &Path) -> Vec<Fixture> {
        let mut fixtures = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "json") {
                let name = path.file_stem().unwrap().to_str().unwrap().to_string();
                let json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                fixtures.push(Fixture {
                    name,
                    folder: folder.to_path_buf(),
                    json,
                });
            }
        }
        fixtures.sort_by(|a, b| a.name.cmp(&b.name));
        fixtures
    }

    /// One of `testdata`.
    pub fn named(name: &str) -> Fixture {
        let all = Fixture::all(&testdata().join("archs"));
        let found = all.into_iter().find(|f| f.name == name);
        found.unwrap_or_else(|| panic!("{name} is not in testdata/archs"))
    }

    /// Models of every kind that tests of many runs take: all states (keys and values, windows, latent rows, those of
    /// recurrent layers), dense and with experts, in rows of 32 to 384 weights.
    pub fn of_each_kind() -> Vec<Fixture> {
        let all = Fixture::all(&testdata().join("archs"));
        let chosen: Vec<Fixture> = all
            .into_iter()
            .filter(|f| OF_EACH_KIND.contains(&f.name.as_str()))
            .collect();
        assert_eq!(chosen.len(), OF_EACH_KIND.len(), "of {OF_EACH_KIND:?}");
        chosen
    }

    /// Whether it has what a comparison of logits needs: some have their weights in a file, or embeddings for logits.
    pub fn is_complete(&self) -> bool {
        self.path("head").is_file() && self.path("logits").is_file()
    }

    /// Whether it has embeddings to compare with.
    pub fn has_embeddings(&self) -> bool {
        self.path("head").is_file() && self.path("embd").is_file()
    }

    /// The texts of a fixture with embeddings.
    pub fn texts(&self) -> Vec<Vec<u32>> {
        serde_json::from_value(self.json["tokens"].clone()).unwrap()
    }

    /// First and last position with logits.
    pub fn positions(&self) -> RangeInclusive<usize> {
        let position = |i: usize| self.json["positions"][i].as_u64().unwrap() as usize;
        position(0)..=position(1)
    }

    pub fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }

    pub fn arch(&self) -> &str {
        self.json["arch"].as_str().unwrap_or("")
    }

    /// Whether the reference's logits are the same whatever this tensor holds.
    pub fn is_without_effect(&self, tensor: &str) -> bool {
        let all = self.json["tensors_without_effect"].as_array();
        all.is_some_and(|all| all.iter().any(|name| name == tensor))
    }

    pub fn tokens(&self) -> Vec<u32> {
        self.json["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t.as_u64().unwrap() as u32)
            .collect()
    }

    pub fn logits(&self, extension: &str) -> Vec<f32> {
        let bytes = fs::read(self.path(extension)).unwrap();
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    /// The whole file: `head`, and weights out of the generator.
    pub fn expand(&self) -> Vec<u8> {
        let mut bytes = fs::read(self.path("head")).unwrap();
        let start = bytes.len();
        bytes.resize(
            start + self.json["data_bytes"].as_u64().unwrap() as usize,
            0,
        );
        let seed = self.json["seed"].as_u64().unwrap();
        let gguf = Gguf::from_bytes(bytes.clone()).unwrap();
        for tensor in gguf.tensors() {
            let at = tensor.offset() as usize;
            let count: u64 = tensor.dims().iter().product();
            let places = bytes[at..].chunks_exact_mut(4).take(count as usize);
            for (out, weight) in places.zip(weights(tensor.name(), seed)) {
                out.copy_from_slice(&weight.to_le_bytes());
            }
        }
        let sum: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            sum,
            self.json["gguf_sha256"].as_str().unwrap(),
            "{}",
            self.name
        );
        bytes
    }
}

/// The elements of a tensor: FNV-1a of the name starts a splitmix64 sequence.
pub fn weights(name: &str, seed: u64) -> impl Iterator<Item = f32> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    });
    let around_one = (name.contains("norm") && name.ends_with(".weight"))
        || name.contains("rope_freqs")
        || name.contains("rope_factors")
        || name.ends_with(".act.scales");
    let negative = name.contains("ssm_a");
    let mut state = hash ^ seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let x = x ^ (x >> 31);
        let v = ((x >> 40) as f32 * 2f32.powi(-24) - 0.5) * 0.35;
        if around_one {
            1.0 + v
        } else if negative {
            -v.abs()
        } else {
            v
        }
    })
}

/// The tensor type of this name.
pub fn tensor_type(name: &str) -> TensorType {
    let quant = gristmill_kernels::QUANTS.iter().find(|q| q.name() == name);
    TensorType::from_id(quant.unwrap().id()).unwrap()
}

/// A model of f32 weights with its matrices stored as other types, where their rows are whole blocks of it; `kind` gives
/// the type by the number of the tensor. None if no row is.
pub fn quantized(bytes: &[u8], kind: impl Fn(usize) -> TensorType) -> Option<Arc<Model>> {
    let gguf = Gguf::from_bytes(quantized_file(bytes, kind)?).unwrap();
    Some(Model::from_gguf(gguf).unwrap())
}

/// A fixture's weights as each of these types or, where what differs from other fixtures is not its products, as all of them
/// by turns: with a name of each.
pub fn quantized_as(fixture: &Fixture, bytes: &[u8], kinds: &[&str]) -> Vec<(String, Arc<Model>)> {
    const OF_EACH_TYPE: &[&str] = &["gemma3-dense", "gemma3-gqa", "llama-dense", "llama-mixtral"];
    let types: Vec<TensorType> = kinds.iter().map(|name| tensor_type(name)).collect();
    let turns = (types.len() > 1).then(|| {
        let model = quantized(bytes, |number| types[number % types.len()]);
        model.map(|model| (format!("{} as types by turns", fixture.name), model))
    });
    let each = types.iter().filter_map(|&kind| {
        let model = quantized(bytes, |_| kind)?;
        Some((format!("{} as {}", fixture.name, kind.name()), model))
    });
    match turns.flatten() {
        Some(turns) if !OF_EACH_TYPE.contains(&&*fixture.name) => vec![turns],
        turns => turns.into_iter().chain(each).collect(),
    }
}

/// [`quantized`] as a file.
pub fn quantized_file(bytes: &[u8], kind: impl Fn(usize) -> TensorType) -> Option<Vec<u8>> {
    let gguf = Gguf::from_bytes(bytes.to_vec()).unwrap();
    let stored: Vec<TensorType> = gguf
        .tensors()
        .iter()
        .enumerate()
        .map(|(number, tensor)| {
            let kind = kind(number);
            let block = gristmill_kernels::quant(kind.id())
                .unwrap()
                .block_elements() as u64;
            if tensor.dims().len() > 1 && tensor.dims()[0].is_multiple_of(block) {
                kind
            } else {
                tensor.tensor_type()
            }
        })
        .collect();
    if stored.iter().all(|&kind| kind == TensorType::F32) {
        return None;
    }
    let mut writer = Writer::new();
    writer.set_all(gguf.metadata());
    for (tensor, &kind) in gguf.tensors().iter().zip(&stored) {
        writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for (tensor, kind) in gguf.tensors().iter().zip(stored) {
        let data = gguf.data(tensor);
        if kind == tensor.tensor_type() {
            file.write(data).unwrap();
            continue;
        }
        let quant = gristmill_kernels::quant(kind.id()).unwrap();
        let values: Vec<f32> = data
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect();
        let blocks = values.len() / quant.block_elements() * quant.block_bytes();
        let mut bytes = vec![0; blocks];
        quant.quantize().unwrap()(&values, None, &mut bytes);
        file.write(&bytes).unwrap();
    }
    Some(file.finish().unwrap())
}

/// How a prompt is cut up.
#[derive(Debug, Clone, Copy)]
pub enum Feeding {
    Batch,
    Single,
    Chunks(usize),
}

/// Logits for all tokens, fed in one of the ways.
pub fn logits(context: &mut Context, tokens: &[u32], feeding: Feeding) -> Vec<f32> {
    let chunk = match feeding {
        Feeding::Batch => tokens.len(),
        Feeding::Single => 1,
        Feeding::Chunks(n) => n,
    };
    context.reset();
    let mut all = Vec::new();
    for ids in tokens.chunks(chunk) {
        all.extend_from_slice(context.feed(ids, Logits::All).unwrap());
    }
    all
}

/// The rows of a model of f32 weights that are the same input as these tokens. Gemma multiplies only tokens by the root of the
/// width.
pub fn embedding_rows(model: &Model, ids: &[u32]) -> Vec<f32> {
    let tensor = model.gguf().tensor("token_embd.weight").unwrap();
    assert_eq!(tensor.tensor_type(), TensorType::F32);
    let width = tensor.row_length() as usize;
    let scale = match model.architecture().name.starts_with("gemma") {
        true => (width as f32).sqrt(),
        false => 1.0,
    };
    let table = model.gguf().data(tensor);
    let row = |&id: &u32| table[id as usize * width * 4..][..width * 4].chunks_exact(4);
    let value = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap()) * scale;
    ids.iter().flat_map(row).map(value).collect()
}

/// Whether all values are the same, bit for bit.
pub fn same_bits(a: &[f32], b: &[f32]) -> bool {
    let mut pairs = a.iter().zip(b);
    a.len() == b.len() && pairs.all(|(a, b)| a.to_bits() == b.to_bits())
}

/// Sum of squared differences over the sum of squares of the reference.
pub fn nmse(ours: &[f32], reference: &[f32]) -> f64 {
    assert_eq!(ours.len(), reference.len());
    let pairs = || {
        ours.iter()
            .zip(reference)
            .map(|(&a, &b)| (f64::from(a), f64::from(b)))
    };
    let error: f64 = pairs().map(|(a, b)| (a - b) * (a - b)).sum();
    error / pairs().map(|(_, b)| b * b).sum::<f64>()
}

/// A context with a cache of full precision.
pub fn exact(threads: usize) -> ContextOptions {
    use gristmill_engine::CacheType::F32;
    ContextOptions {
        context_length: Some(256),
        threads: Some(threads),
        cache_keys: F32,
        cache_values: F32,
        ..Default::default()
    }
}
