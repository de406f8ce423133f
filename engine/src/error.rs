//! What can go wrong between a model file and its text, one line each: what is wrong, where, what to do.

use crate::memory::MemoryPlan;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read or is malformed.
    #[error(transparent)]
    Gguf(#[from] gristmill_gguf::Error),
    /// A metadata key is missing or has the wrong type.
    #[error(transparent)]
    Key(#[from] gristmill_gguf::KeyError),
    /// The kernels can't be set up as asked.
    #[error(transparent)]
    Kernels(#[from] gristmill_kernels::Error),
    /// A metadata key is missing, or holds what it must not.
    #[error("metadata key {key}: {problem}")]
    Metadata {
        /// The key in full.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// `general.architecture` names nothing that is registered.
    #[error("architecture '{name}' is not known to gristmill{}", like(.nearest))]
    UnknownArchitecture {
        /// The name in the file.
        name: String,
        /// Names of the registry that are much like it, the most alike first: at most three.
        nearest: Vec<&'static str>,
    },
    /// A tensor that the architecture needs is not in the file.
    #[error("tensor {name} is missing, and architecture {architecture} needs it")]
    MissingTensor {
        /// The tensor's name.
        name: String,
        /// The architecture that asks for it.
        architecture: &'static str,
    },
    /// The file holds tensors that the architecture does not use: what it computes without them could be wrong.
    #[error(
        "the file has {} that architecture {architecture} does not use and that could change its results: {}",
        match .names.len() { 1 => "a tensor".into(), count => format!("{count} tensors") },
        first(.names)
    )]
    UnusedTensors {
        /// All of their names, in the order of the file.
        names: Vec<String>,
        /// The file's architecture.
        architecture: &'static str,
    },
    /// A tensor has another shape than the metadata say.
    #[error("tensor {name}: expected shape {expected}, found {found}")]
    TensorShape {
        /// The tensor's name.
        name: String,
        /// The shape that the metadata ask for, row length first as in the file.
        expected: String,
        /// The shape in the file.
        found: String,
    },
    /// A tensor is stored in a type for which there is no kernel.
    #[error("tensor {name} is stored as {kind}, which gristmill can't compute with yet")]
    TensorType {
        /// The tensor's name.
        name: String,
        /// The type's name.
        kind: String,
    },
    /// An adapter is faulty, or is not for this model.
    #[error("adapter {file}: {problem}")]
    Adapter {
        /// The file's path.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The file asks for something that is not implemented.
    #[error("{0}")]
    Unsupported(String),
    /// The run would need more memory than there is.
    #[error("{0}")]
    Memory(Box<MemoryPlan>),
    /// More tokens than the context has room for.
    #[error(
        "the context is full: {tokens} more tokens after {position} exceed its {capacity} positions; \
         a larger context or a shorter text is needed"
    )]
    ContextFull {
        /// Tokens held already.
        position: usize,
        /// Tokens that were to be added.
        tokens: usize,
        /// Positions of the context.
        capacity: usize,
    },
    /// A text that can't be embedded as it is.
    #[error(
        "text {text} {}",
        match .tokens {
            0 => "has no tokens: there is nothing to embed".to_string(),
            tokens => format!("has {tokens} tokens, more than the {limit} that can be seen at once: shorten or split it"),
        }
    )]
    TextLength {
        /// Its number, from 1 on.
        text: usize,
        /// Its tokens.
        tokens: usize,
        /// The most that it may have.
        limit: usize,
    },
    /// A model without logits was to make text.
    #[error("{architecture} models make embeddings and no text: use 'gristmill embed'")]
    Encoder {
        /// The file's architecture.
        architecture: &'static str,
    },
    /// The model computes what is not a number.
    #[error("{}", not_numbers(.tensor.as_deref()))]
    NotNumbers {
        /// The first tensor with a value that is infinite or not a number, if there is one.
        tensor: Option<String>,
    },
    /// A token id outside of the vocabulary.
    #[error("token id {id} is outside of the vocabulary of {vocab_size} tokens")]
    TokenId {
        /// The id that was given.
        id: u32,
        /// Number of tokens of the model.
        vocab_size: usize,
    },
    /// Sliding-window layers have already forgotten what truncating would need.
    #[error(
        "can't go back to position {to}: the sliding window layers remember nothing before position {oldest} \
         (reset the context and feed the tokens again)"
    )]
    Truncate {
        /// Where the context was to be cut.
        to: usize,
        /// The oldest position that is still held everywhere.
        oldest: usize,
    },
    /// As many sequences are open as there is room for.
    #[error(
        "all {0} sequences of the engine are in use: release one, or make an engine with room for more"
    )]
    Sequences(usize),
    /// The cache has no page for a position, though there should be one for each of every sequence.
    #[error(
        "the cache has no page left for position {0}: this is a fault of gristmill; please report it"
    )]
    Pages(usize),
    /// A sequence that was released is used again.
    #[error("this sequence was released")]
    Released,
    /// A saved sequence can't be written, is damaged, or is not for this engine.
    #[error("the saved sequence {0}")]
    Saved(String),
    /// An option has a value that makes no sense.
    #[error("{0}")]
    Option(String),
    /// A sampling option has a value that makes no sense.
    #[error("{option} {problem}")]
    Sampling {
        /// The field of [`SamplerOptions`](crate::sampler::SamplerOptions).
        option: &'static str,
        /// What follows its name in a sentence: its value, and what is allowed.
        problem: String,
    },
    /// The draft model can't guess for this model.
    #[error("this draft model is of no use here: {0}")]
    Draft(String),
    /// The work was stopped through a [`StopHandle`](crate::StopHandle).
    #[error("stopped")]
    Stopped,
    /// The chat template is faulty, or refuses the conversation.
    #[error(transparent)]
    Template(#[from] crate::template::TemplateError),
    /// There is too little text to evaluate.
    #[error("{0}")]
    Evaluation(String),
}

/// What follows an unknown name.
fn like(nearest: &[&str]) -> String {
    match nearest {
        [] => String::new(),
        [name] => format!("; the nearest name is {name}"),
        [names @ .., last] => format!("; the nearest names are {} and {last}", names.join(", ")),
    }
}

/// As many names as fit on a line, and how many more there are.
fn first(names: &[String]) -> String {
    let shown = if names.len() > 4 { 3 } else { names.len() };
    let (shown, others) = names.split_at(shown);
    match others.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What is wrong with a model whose results are not numbers.
fn not_numbers(tensor: Option<&str>) -> String {
    match tensor {
        Some(tensor) => format!(
            "the model computes nothing but what is not a number, since `{tensor}` holds such values: the file is damaged, \
             get it again or convert it anew"
        ),
        None => "the model computes what is not a number, though all its weights are numbers: its metadata are wrong, or \
                 it was converted wrongly; try another file of it"
            .to_owned(),
    }
}
