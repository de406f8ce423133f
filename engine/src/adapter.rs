//! LoRA adapters (arXiv:2106.09685): y = W x + Σ scale · (alpha / rank) · B (A x), with A and B from a small file beside the
//! model's. Flows in: adapters' files, and the model's, whose names and shapes theirs must fit. Flows out: what each
//! matrix is given ([`LowRank`]), as the loader hands it to the part that computes with it; the weights stay as they are.
//! Whatever of an adapter would have no effect is refused by name.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use gristmill_gguf::{Access, Gguf, Metadata, TensorInfo};
use gristmill_kernels::registry::quant;

use crate::error::Error;
use crate::layers::{LowRank, LowRankFactor, Tensor, kernel};

/// An adapter to open a model with.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterOptions {
    /// A GGUF file, as llama.cpp's `convert_lora_to_gguf` makes them.
    pub path: PathBuf,
    /// Factor on what it adds: 1 as it was trained, 0 for none.
    pub scale: f32,
}

impl AdapterOptions {
    /// Opens the file.
    pub fn open(&self, access: Access) -> Result<(Adapter, f32), Error> {
        let file = Gguf::open(&self.path, access)?;
        Ok((Adapter::new(file)?, self.scale))
    }
}

/// A LoRA adapter, checked as far as that can be done without its model.
#[derive(Debug)]
pub struct Adapter {
    file: Arc<Gguf>,
    architecture: String,
    alpha: f32,
    pairs: Vec<Pair>,
}

/// The two factors of one matrix, by their numbers in the adapter's file.
#[derive(Debug)]
struct Pair {
    /// The matrix's name in the model.
    target: String,
    a: usize,
    b: usize,
}

const ALPHA: &str = "adapter.lora.alpha";

/// Keys that are read, or are notes for people.
const KNOWN_KEYS: [&str; 4] = [
    "adapter.type",
    ALPHA,
    "adapter.lora.task_name",
    "adapter.lora.prompt_prefix",
];

impl Adapter {
    /// Whether a file says of itself that it is an adapter.
    pub fn is_adapter(metadata: &Metadata) -> bool {
        matches!(metadata.opt_string("general.type"), Ok(Some("adapter")))
    }

    /// Reads what a file says of itself, and pairs its tensors.
    pub fn new(file: Gguf) -> Result<Self, Error> {
        let name = name(&file);
        let wrong = |problem: String| Error::Adapter {
            file: name.clone(),
            problem,
        };
        let metadata = file.metadata();
        let text = |key: &str| metadata.opt_string(key).map_err(|e| wrong(e.to_string()));
        for (key, expected) in [("general.type", "adapter"), ("adapter.type", "lora")] {
            match text(key)? {
                Some(found) if found == expected => {}
                Some(found) => {
                    return Err(wrong(format!(
                        "{key} is '{found}', and must be '{expected}'"
                    )));
                }
                None => return Err(wrong(format!("{key} is missing: is it a LoRA adapter?"))),
            }
        }
        let unknown = |key: &&str| key.starts_with("adapter.") && !KNOWN_KEYS.contains(key);
        let unknown = metadata.iter().map(|(key, _)| key).find(unknown);
        match unknown {
            Some(key) if key.starts_with("adapter.alora.") => {
                return Err(wrong(format!(
                    "{key}: activated LoRA, which begins after certain tokens, is not supported"
                )));
            }
            Some(key) => return Err(wrong(format!("metadata key {key} is not known"))),
            None => {}
        }
        let architecture = text("general.architecture")?
            .ok_or_else(|| wrong("general.architecture is missing".into()))?;
        let alpha = match metadata.opt_f32(ALPHA).map_err(|e| wrong(e.to_string()))? {
            Some(alpha) if alpha.is_finite() && alpha != 0.0 => alpha,
            Some(alpha) => return Err(wrong(format!("{ALPHA} is {alpha}, and scales all of it"))),
            None => return Err(wrong(format!("{ALPHA} is missing"))),
        };
        let architecture = architecture.to_owned();
        let pairs = pairs(file.tensors()).map_err(wrong)?;
        Ok(Self {
            architecture,
            alpha,
            pairs,
            file: Arc::new(file),
        })
    }

    /// The architecture of the model that it is for.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The numerator of the factor alpha / rank.
    pub fn alpha(&self) -> f32 {
        self.alpha
    }

    /// Smallest and largest rank.
    pub fn ranks(&self) -> (u64, u64) {
        let ranks = || self.pairs.iter().map(|pair| self.rank(pair));
        (ranks().min().unwrap_or(0), ranks().max().unwrap_or(0))
    }

    /// Names of the model's tensors that it adds to.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &str> {
        self.pairs.iter().map(|pair| pair.target.as_str())
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<Gguf> {
        &self.file
    }

    fn info(&self, number: usize) -> &TensorInfo {
        &self.file.tensors()[number]
    }

    fn rank(&self, pair: &Pair) -> u64 {
        at(self.info(pair.b).dims(), 0)
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Adapter {
            file: name(&self.file),
            problem,
        }
    }

    /// Refuses a model that has other tensors, or of other shapes.
    fn check(&self, model: &Gguf) -> Result<(), Error> {
        let architecture = model.metadata().architecture()?;
        if architecture != self.architecture {
            return Err(self.wrong(format!(
                "is for models of architecture '{}', and this one's is '{architecture}'",
                self.architecture
            )));
        }
        for pair in &self.pairs {
            let target = &pair.target;
            let Some(info) = model.tensor(target) else {
                return Err(self.wrong(format!(
                    "adds to {target}, which this model does not have: is it for another model?"
                )));
            };
            let (a, b) = (self.info(pair.a).dims(), self.info(pair.b).dims());
            let (dims, rank) = (info.dims(), self.rank(pair));
            let stack = |first: u64, second: u64| [first, second, at(dims, 2), at(dims, 3)];
            let (cols, rows) = (at(dims, 0), at(dims, 1));
            let (of_a, of_b) = if is_turned(target) {
                (stack(rank, rows), stack(rank, cols))
            } else {
                (stack(cols, rank), stack(rank, rows))
            };
            if whole(a) != of_a || whole(b) != of_b {
                return Err(self.wrong(format!(
                    "{target} is {} in this model, and its factors must be {} and {}, not {} and {}: \
                     is it for another model?",
                    text(dims),
                    text(&of_a),
                    text(&of_b),
                    text(a),
                    text(b)
                )));
            }
            for info in [self.info(pair.a), self.info(pair.b)] {
                kernel(info)?;
            }
        }
        Ok(())
    }

    /// A tensor of `rows` rows, handles of which are good for all of a stack.
    fn tensor(&self, number: usize) -> Result<Tensor, Error> {
        let info = self.info(number);
        let [cols, rows] = [0, 1].map(|i| at(info.dims(), i) as usize);
        Ok(Tensor::new(number, kernel(info)?, cols, rows))
    }

    fn values(&self, number: usize) -> Result<Vec<f32>, Error> {
        let info = self.info(number);
        let mut values = vec![0.0; info.elements() as usize];
        kernel(info)?.dequantize(self.file.data(info), &mut values);
        Ok(values)
    }

    fn transposed(&self, number: usize) -> Result<LowRankFactor, Error> {
        let tensor = self.tensor(number)?;
        let values = self.values(number)?;
        let column = |col: usize| values[col..].iter().step_by(tensor.cols);
        let turned = (0..tensor.cols).flat_map(column);
        let bytes: Vec<u8> = turned.flat_map(|value| value.to_le_bytes()).collect();
        let f32s = quant(0).ok_or_else(|| self.wrong("there are no kernels for F32".into()))?;
        let turned = Tensor::new(number, f32s, tensor.rows, tensor.cols);
        Ok(LowRankFactor::Transposed(turned, bytes.into()))
    }
}

/// The adapters of one model, and what was taken of them.
#[derive(Debug, Default)]
pub(crate) struct Adapters(Vec<Fitted>);

#[derive(Debug)]
struct Fitted {
    adapter: Adapter,
    scale: f32,
    /// Pairs by the name of the matrix, and whether it was asked for.
    by_name: HashMap<String, (usize, bool)>,
}

impl Adapters {
    /// Refuses what does not fit the model.
    pub(crate) fn new(model: &Gguf, adapters: Vec<(Adapter, f32)>) -> Result<Self, Error> {
        let fitted = adapters.into_iter().map(|(adapter, scale)| {
            if !scale.is_finite() {
                return Err(adapter.wrong(format!("its scale is {scale}")));
            }
            adapter.check(model)?;
            let names = adapter.targets().enumerate();
            Ok(Fitted {
                by_name: names
                    .map(|(number, name)| (name.to_owned(), (number, false)))
                    .collect(),
                scale,
                adapter,
            })
        });
        Ok(Self(fitted.collect::<Result<_, _>>()?))
    }

    /// What is added to the products of a tensor. `lookup`: rows of it are looked up, too.
    pub(crate) fn of(&mut self, name: &str, lookup: bool) -> Result<Vec<LowRank>, Error> {
        let fitted = self.0.iter_mut();
        let found = fitted.filter_map(|fitted| fitted.take(name));
        let parts = found.map(|(adapter, scale, pair)| {
            let stored = |number| adapter.tensor(number).map(LowRankFactor::Stored);
            let (down, up, back) = if is_turned(name) {
                let back = lookup.then(|| stored(pair.b)).transpose()?;
                (adapter.transposed(pair.b)?, pair.a, back)
            } else {
                let back = lookup.then(|| adapter.transposed(pair.a)).transpose()?;
                (stored(pair.a)?, pair.b, back)
            };
            Ok(LowRank {
                file: Arc::clone(adapter.file()),
                down,
                up: adapter.tensor(up)?,
                back,
                scale,
            })
        });
        parts.collect()
    }

    /// Adds to the values of a small tensor, which the model keeps unpacked.
    pub(crate) fn add_to(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &mut [f32],
    ) -> Result<(), Error> {
        let (cols, rows) = (shape[0], shape.get(1).copied().unwrap_or(1));
        for (adapter, scale, pair) in self.0.iter_mut().filter_map(|fitted| fitted.take(name)) {
            let (a, b) = (adapter.values(pair.a)?, adapter.values(pair.b)?);
            let rank = adapter.rank(pair) as usize;
            for (row, values) in values.chunks_exact_mut(cols).enumerate() {
                let a = &a[row / rows * rank * cols..][..rank * cols];
                for (factor, a) in b[row * rank..][..rank].iter().zip(a.chunks_exact(cols)) {
                    for (value, a) in values.iter_mut().zip(a) {
                        *value += scale * factor * a;
                    }
                }
            }
        }
        Ok(())
    }

    /// Refuses adapters of tensors that the model's architecture has no use for.
    pub(crate) fn refuse_unused(&self) -> Result<(), Error> {
        for Fitted {
            adapter, by_name, ..
        } in &self.0
        {
            let mut targets = adapter.targets();
            if let Some(name) =
                targets.find(|name| by_name.get(*name).is_none_or(|(_, used)| !used))
            {
                return Err(adapter.wrong(format!(
                    "adds to {name}, which this model has but does not compute with"
                )));
            }
        }
        Ok(())
    }

    /// The files, and the users' scales.
    pub(crate) fn files(&self) -> Vec<(Arc<Gguf>, f32)> {
        let fitted = self.0.iter();
        let files = fitted.map(|fitted| (Arc::clone(fitted.adapter.file()), fitted.scale));
        files.collect()
    }
}

impl Fitted {
    /// The pair for a tensor and the factor on its product, if that is not zero; it counts as asked for either way.
    fn take(&mut self, name: &str) -> Option<(&Adapter, f32, &Pair)> {
        let (number, used) = self.by_name.get_mut(name)?;
        *used = true;
        let pair = &self.adapter.pairs[*number];
        let scale = self.scale * self.adapter.alpha / self.adapter.rank(pair) as f32;
        (scale != 0.0).then_some((&self.adapter, scale, pair))
    }
}

/// Tables of embeddings have A transposed, so that its rows can be looked up, and B holds the other factor.
fn is_turned(target: &str) -> bool {
    target.ends_with("token_embd.weight")
}

/// Finds the partner of each tensor. Errors are what is wrong.
fn pairs(tensors: &[TensorInfo]) -> Result<Vec<Pair>, String> {
    let mut found: Vec<(&str, [Option<usize>; 2])> = Vec::new();
    let mut numbers: HashMap<&str, usize> = HashMap::new();
    for (number, info) in tensors.iter().enumerate() {
        let name = info.name();
        let (target, which) = match (name.strip_suffix(".lora_a"), name.strip_suffix(".lora_b")) {
            (Some(target), _) => (target, 0),
            (_, Some(target)) => (target, 1),
            _ => {
                return Err(format!(
                    "tensor {name} is neither a lora_a nor a lora_b: only low-rank additions are supported"
                ));
            }
        };
        let at = *numbers.entry(target).or_insert_with(|| {
            found.push((target, [None; 2]));
            found.len() - 1
        });
        found[at].1[which] = Some(number);
    }
    if found.is_empty() {
        return Err("has no tensors".into());
    }
    let pair = |(target, [a, b]): (&str, [Option<usize>; 2])| {
        let partner = |number: Option<usize>, own: &str, other: &str| {
            number.ok_or_else(|| format!("tensor {target}.{other} is there without {target}.{own}"))
        };
        let (a, b) = (
            partner(a, "lora_a", "lora_b")?,
            partner(b, "lora_b", "lora_a")?,
        );
        let (of_a, of_b) = (tensors[a].dims(), tensors[b].dims());
        let rank = at(of_a, usize::from(!is_turned(target)));
        if rank == 0 || rank != at(of_b, 0) {
            return Err(format!(
                "{target}: lora_a of {} and lora_b of {} have no rank in common",
                text(of_a),
                text(of_b)
            ));
        }
        Ok(Pair {
            target: target.to_owned(),
            a,
            b,
        })
    };
    found.into_iter().map(pair).collect()
}

/// How errors name the file.
fn name(file: &Gguf) -> String {
    match file.path(0) {
        Some(path) => path.display().to_string(),
        None => "in memory".to_owned(),
    }
}

fn at(dims: &[u64], i: usize) -> u64 {
    dims.get(i).copied().unwrap_or(1)
}

/// Dimensions of 1 are left out at the end.
fn whole(dims: &[u64]) -> [u64; 4] {
    [0, 1, 2, 3].map(|i| at(dims, i))
}

fn text(dims: &[u64]) -> String {
    let ones = dims.iter().rev().take_while(|&&dim| dim == 1).count();
    let kept = (dims.len() - ones).max(dims.len().min(2));
    let dims: Vec<String> = dims[..kept].iter().map(u64::to_string).collect();
    dims.join(" x ")
}
