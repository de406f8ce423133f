//! Adapters for tests: made for any model, and merged into its weights as the paper says, row by row.

use std::collections::HashMap;
use std::sync::Arc;

use crate::common;
use gristmill_engine::{Adapter, Error, Model};
use gristmill_gguf::{Gguf, TensorType, Writer};

/// How an adapter is made.
#[derive(Clone, Copy)]
pub struct Making {
    pub rank: u64,
    pub kind: TensorType,
    pub seed: u64,
}

impl Default for Making {
    fn default() -> Self {
        Self {
            rank: 3,
            kind: TensorType::F32,
            seed: 7,
        }
    }
}

fn dim(dims: &[u64], i: usize) -> u64 {
    dims.get(i).copied().unwrap_or(1)
}

/// Whether the adapter has its factors the other way round.
fn is_table(name: &str) -> bool {
    name == "token_embd.weight" || name == "per_layer_token_embd.weight"
}

/// An adapter for these tensors of a model, alpha being twice the rank. Rows that are not whole blocks of the type are
/// stored as F16.
pub fn adapter(model: &Gguf, targets: &[&str], making: Making) -> Vec<u8> {
    let Making { rank, kind, seed } = making;
    let block = gristmill_kernels::quant(kind.id())
        .unwrap()
        .block_elements() as u64;
    let mut tensors = Vec::new();
    for target in targets {
        let dims = model.tensor(target).unwrap().dims();
        let stack = |first, second| [first, second, dim(dims, 2), dim(dims, 3)];
        let (cols, rows) = (dim(dims, 0), dim(dims, 1));
        let (a, b) = match is_table(target) {
            true => (stack(rank, rows), stack(rank, cols)),
            false => (stack(cols, rank), stack(rank, rows)),
        };
        for (end, dims) in [("lora_a", a), ("lora_b", b)] {
            let kind = match dims[0].is_multiple_of(block) {
                true => kind,
                false => TensorType::F16,
            };
            tensors.push((format!("{target}.{end}"), kind, dims));
        }
    }
    let mut writer = Writer::new();
    writer.set("general.type", "adapter");
    writer.set("adapter.type", "lora");
    let architecture = model.metadata().architecture().unwrap();
    writer.set("general.architecture", architecture);
    writer.set("adapter.lora.alpha", 2.0 * rank as f32);
    for (name, kind, dims) in &tensors {
        let ones = dims.iter().rev().take_while(|&&d| d == 1).count();
        writer
            .tensor(name, *kind, &dims[..4 - ones.min(2)])
            .unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for (name, kind, dims) in &tensors {
        let count: u64 = dims.iter().product();
        let values: Vec<f32> = common::weights(name, seed).take(count as usize).collect();
        let quant = gristmill_kernels::quant(kind.id()).unwrap();
        let mut bytes = vec![0; values.len() / quant.block_elements() * quant.block_bytes()];
        quant.quantize().unwrap()(&values, None, &mut bytes);
        file.write(&bytes).unwrap();
    }
    file.finish().unwrap()
}

/// An adapter for all tensors that a model computes with.
pub fn complete(model: &[u8], making: Making) -> Vec<u8> {
    let gguf = Gguf::from_bytes(model.to_vec()).unwrap();
    let mut targets = targets(&gguf);
    loop {
        let adapter = adapter(&gguf, &targets, making);
        let error = match open(model.to_vec(), &[(&adapter, 1.0)]) {
            Ok(_) => return adapter,
            Err(error) => error.to_string(),
        };
        // Files hold tensors without a use; an adapter for one is refused by its name.
        let name = error.strip_prefix("adapter in memory: adds to ");
        let name = name
            .and_then(|rest| rest.strip_suffix(", which this model has but does not compute with"));
        let name = name.unwrap_or_else(|| panic!("{error}"));
        println!("refused: {name}");
        targets.retain(|target| *target != name);
    }
}

/// A model with two adapters for all of its tensors, of other types and ranks than each other. The model's weights are as
/// they are, or of a type where their rows are whole blocks of it.
pub fn adapted(model: &[u8], kind: TensorType) -> Arc<Model> {
    let making = |rank, kind, seed| Making { rank, kind, seed };
    let [one, other] = [
        making(32, TensorType::Q8_0, 1),
        making(5, TensorType::F16, 2),
    ]
    .map(|making| complete(model, making));
    let stored = common::quantized_file(model, |_| kind).unwrap_or_else(|| model.to_vec());
    open(stored, &[(&one, 0.25), (&other, 0.5)]).unwrap()
}

/// The model's file with adapters.
pub fn open(model: Vec<u8>, adapters: &[(&[u8], f32)]) -> Result<Arc<Model>, Error> {
    let adapters = adapters.iter().map(|(bytes, scale)| {
        let file = Gguf::from_bytes(bytes.to_vec()).unwrap();
        Ok((Adapter::new(file)?, *scale))
    });
    let adapters = adapters.collect::<Result<_, Error>>()?;
    Model::with_adapters(Gguf::from_bytes(model).unwrap(), adapters)
}

fn values(gguf: &Gguf, name: &str) -> Vec<f32> {
    let info = gguf.tensor(name).unwrap();
    let mut values = vec![0.0; info.elements() as usize];
    let quant = gristmill_kernels::quant(info.tensor_type().id()).unwrap();
    quant.dequantize(gguf.data(info), &mut values);
    values
}

/// A model of f32 weights with W + scale · (alpha / rank) · B A in place of W.
pub fn merged(model: &Gguf, adapters: &[(&[u8], f32)]) -> Vec<u8> {
    let mut changed: HashMap<String, Vec<f32>> = HashMap::new();
    for (bytes, scale) in adapters {
        let adapter = Gguf::from_bytes(bytes.to_vec()).unwrap();
        let alpha = adapter.metadata().f32("adapter.lora.alpha").unwrap();
        for info in adapter.tensors() {
            let Some(target) = info.name().strip_suffix(".lora_b") else {
                continue;
            };
            let weights = changed
                .entry(target.to_string())
                .or_insert_with(|| values(model, target));
            let dims = model.tensor(target).unwrap().dims();
            let (cols, rows) = (dim(dims, 0) as usize, dim(dims, 1) as usize);
            let rank = info.dims()[0] as usize;
            let b = values(&adapter, info.name());
            let a = values(&adapter, &format!("{target}.lora_a"));
            let (a, b) = match is_table(target) {
                true => {
                    let column = |k: usize| b[k..].iter().step_by(rank);
                    ((0..rank).flat_map(column).copied().collect(), a)
                }
                false => (a, b),
            };
            let scale = f64::from(*scale * alpha) / rank as f64;
            // Rows of all matrices of a stack.
            for (row, weights) in weights.chunks_exact_mut(cols).enumerate() {
                let mut sums = vec![0.0f64; cols];
                for k in 0..rank {
                    let (a, b) = (&a[(row / rows * rank + k) * cols..], b[row * rank + k]);
                    for (sum, a) in sums.iter_mut().zip(a) {
                        *sum += f64::from(a * b);
                    }
                }
                for (weight, sum) in weights.iter_mut().zip(sums) {
                    *weight += (scale * sum) as f32;
                }
            }
        }
    }
    let mut writer = Writer::new();
    writer.set_all(model.metadata());
    for tensor in model.tensors() {
        let kind = tensor.tensor_type();
        writer.tensor(tensor.name(), kind, tensor.dims()).unwrap();
    }
    let mut file = writer.start(Vec::new()).unwrap();
    for tensor in model.tensors() {
        match changed.get(tensor.name()) {
            None => file.write(model.data(tensor)).unwrap(),
            Some(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                file.write(&bytes).unwrap();
            }
        }
    }
    file.finish().unwrap()
}

/// All tensors of a model that an adapter may add to: matrices, stacks of them, tables; and filters of convolutions.
pub fn targets(model: &Gguf) -> Vec<&str> {
    let matrices = model.tensors().iter().filter(|t| t.dims().len() > 1);
    let names = matrices.map(|t| t.name());
    // Rates of decay must keep their sign.
    names
        .filter(|name| !name.contains("ssm_a") && !name.contains("norm"))
        .collect()
}
