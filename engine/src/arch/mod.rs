//! Architectures: what each `general.architecture` is made of. A file here names its metadata keys, tensors and layers out
//! of the parts in [`layers`](crate::layers); it holds no arithmetic. To add one: a function, in a file of its family or of
//! its own, a line in [`ARCHS`], and fixtures that prove it (`testdata/archs/take.py`).
//! Flows in: a [`Builder`] over an opened file. Flows out: a [`Decoder`](crate::layers::Decoder), ready to run.

mod builder;
mod layer;

mod bert;
mod cohere;
mod gated;
mod gemma;
mod glm;
mod gpt;
mod gpt_oss;
mod granite;
mod hrm;
mod kimi;
mod latent;
mod llama;
mod minimax;
mod mixtures;
mod olmo;
mod phi;
mod qwen;
mod recurrent;
mod rwkv;
mod windows;

pub use builder::{Builder, Norms};
pub use layer::{FeedForwards, Layer};

use crate::error::Error;

/// One value of `general.architecture`.
pub struct Architecture {
    /// The name in the file, which is also the prefix of its keys.
    pub name: &'static str,
    /// Models that people know.
    pub used_by: &'static str,
    /// Adds the layers, whose tensors are all checked.
    pub(crate) build: fn(&mut Builder<'_>) -> Result<(), Error>,
}

impl Architecture {
    const fn new(
        name: &'static str,
        used_by: &'static str,
        build: fn(&mut Builder<'_>) -> Result<(), Error>,
    ) -> Self {
        Self {
            name,
            used_by,
            build,
        }
    }
}

impl std::fmt::Debug for Architecture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All architectures, by name.
pub static ARCHS: &[&Architecture] = &[
    &windows::AFMOE,
    &llama::ARCEE,
    &mixtures::ARCTIC,
    &gated::BAICHUAN,
    &mixtures::BAILINGMOE,
    &mixtures::BAILINGMOE2,
    &kimi::BAILINGMOE3,
    &bert::BERT,
    &gpt::BLOOM,
    &glm::CHATGLM,
    &gpt::CODESHELL,
    &qwen::COGVLM,
    &cohere::COHERE2,
    &cohere::COHERE2MOE,
    &cohere::COMMAND_R,
    &mixtures::DBRX,
    &llama::DECI,
    &mixtures::DEEPSEEK,
    &latent::DEEPSEEK2,
    &mixtures::DOTS1,
    &mixtures::ERNIE4_5,
    &mixtures::ERNIE4_5_MOE,
    &qwen::EXAONE,
    &windows::EXAONE_MOE,
    &gated::EXAONE4,
    &gpt::FALCON,
    &recurrent::FALCON_H1,
    &gemma::GEMMA,
    &gemma::GEMMA_EMBEDDING,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &gemma::GEMMA3N,
    &gemma::GEMMA4,
    &glm::GLM4,
    &glm::GLM4MOE,
    &gpt_oss::GPT_OSS,
    &gpt::GPT2,
    &gpt::GPTNEOX,
    &granite::GRANITE,
    &granite::GRANITE_SWA,
    &granite::GRANITEHYBRID,
    &granite::GRANITEMOE,
    &mixtures::GROK,
    &qwen::GROVEMOE,
    &hrm::HRM_TEXT,
    &mixtures::HUNYUAN_DENSE,
    &mixtures::HUNYUAN_MOE,
    &mixtures::HUNYUAN_VL,
    &mixtures::HY_V3,
    &llama::INTERNLM2,
    &gated::JAIS,
    &gpt::JAIS2,
    &recurrent::JAMBA,
    &bert::JINA_BERT_V2,
    &kimi::KIMI_K3,
    &kimi::KIMI_LINEAR,
    &windows::LAGUNA,
    &recurrent::LFM2,
    &recurrent::LFM2MOE,
    &llama::LLAMA,
    &llama::LLAMA4,
    &llama::MAINCODER,
    &recurrent::MAMBA,
    &recurrent::MAMBA2,
    &windows::MAPLE,
    &windows::MELLUM,
    &windows::MIMO2,
    &granite::MINICPM,
    &latent::MINICPM3,
    &minimax::MINIMAX_01,
    &minimax::MINIMAX_M2,
    &minimax::MINIMAX_M3,
    &llama::MISTRAL3,
    &latent::MISTRAL4,
    &bert::MODERN_BERT,
    &gpt::MPT,
    &windows::MUSE_GLIMMER,
    &llama::NANBEIGE,
    &gpt::NEMOTRON,
    &recurrent::NEMOTRON_H,
    &recurrent::NEMOTRON_H_MOE,
    &bert::NOMIC_BERT,
    &bert::NOMIC_BERT_MOE,
    &olmo::OLMO,
    &olmo::OLMO2,
    &qwen::OLMOE,
    &gated::OPENELM,
    &gated::ORION,
    &mixtures::PADDLEOCR,
    &qwen::PANGU,
    &phi::PHI2,
    &phi::PHI3,
    &phi::PHIMOE,
    &gated::PLAMO,
    &recurrent::PLAMO2,
    &windows::PLAMO3,
    &qwen::QWEN,
    &qwen::QWEN2,
    &qwen::QWEN2MOE,
    &qwen::QWEN2VL,
    &qwen::QWEN3,
    &recurrent::QWEN35,
    &recurrent::QWEN35MOE,
    &qwen::QWEN3MOE,
    &recurrent::QWEN3NEXT,
    &qwen::QWEN3VL,
    &qwen::QWEN3VLMOE,
    &gated::REFACT,
    &rwkv::RWKV6,
    &rwkv::RWKV7,
    &qwen::SEED_OSS,
    &windows::SMALLTHINKER,
    &llama::SMOLLM3,
    &windows::SPARK2_5,
    &gated::STABLELM,
    &gpt::STARCODER,
    &gpt::STARCODER2,
    &windows::STEP35,
    &gated::TALKIE,
    &llama::XVERSE,
];

/// The architecture of that name.
pub fn architecture(name: &str) -> Result<&'static Architecture, Error> {
    ARCHS
        .iter()
        .copied()
        .find(|a| a.name == name)
        .ok_or_else(|| Error::UnknownArchitecture {
            name: name.to_string(),
            nearest: nearest(name),
        })
}

/// Names that someone who reads this one may have meant: the likest of the registry, at most three.
fn nearest(name: &str) -> Vec<&'static str> {
    // Below this, names share little but letters.
    const LIKE: f64 = 0.85;
    // A name out of a file can be as long as the file, and comparing takes the product of two lengths.
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return Vec::new();
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', '.', ' '], "");
    let asked = plain(name);
    // Counts letters in common, and a common beginning more.
    let likeness = |name: &str| strsim::jaro_winkler(&asked, &plain(name));
    let mut all: Vec<(f64, &str)> = ARCHS.iter().map(|a| (likeness(a.name), a.name)).collect();
    all.retain(|&(likeness, _)| likeness >= LIKE);
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().map(|(_, name)| name).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_names_are_told_with_the_nearest() {
        let first = |name| nearest(name).first().copied();
        assert_eq!(first("Qwen-3"), Some("qwen3"));
        assert_eq!(first("gemma3_text"), Some("gemma3"));
        assert_eq!(first("llama5"), Some("llama"));
        assert_eq!(first("gptoss"), Some("gpt-oss"));
        assert_eq!(first("clip"), None);
        assert_eq!(first(&"llama".repeat(1000)), None);
        for name in ["qwen9moe", "", "g", "l\u{e4}ma"] {
            assert!(nearest(name).len() <= 3, "{name}");
        }
        let error = architecture("clip").unwrap_err().to_string();
        assert_eq!(error, "architecture 'clip' is not known to gristmill");
        let error = architecture("qwen9moe").unwrap_err().to_string();
        assert!(error.contains("; the nearest names are qwen"), "{error}");
        assert!(!error.contains('\n'));
    }
}
