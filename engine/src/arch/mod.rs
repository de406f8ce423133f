//! Architectures: what each `general.architecture` is made of. A file here names its metadata keys, tensors and layers out
//! of the parts in [`layers`](crate::layers); it holds no arithmetic. To add one: a function, in a file of its family or of
//! its own, a line in [`ARCHS`], and fixtures that prove it (`testdata/archs/take.py`).
//! Flows in: a [`Builder`] over an opened file. Flows out: a [`Decoder`](crate::layers::Decoder), ready to run.

mod builder;
mod builder_ends;
mod builder_keys;
mod builder_streams;
mod layer;

mod afmoe;
mod arctic;
mod bailingmoe3;
mod bert;
mod cohere;
mod dbrx;
mod deci;
mod ernie;
mod exaone4;
mod falcon;
mod falcon_h1;
mod gated;
mod gemma;
mod gemma3n;
mod gemma4;
mod glm;
mod gpt;
mod gpt_oss;
mod granite;
mod granite_hybrid;
mod grok;
mod hrm;
mod hunyuan;
mod jamba;
mod kimi;
mod kimi_k3;
mod laguna;
mod latent;
mod lfm2;
mod llama;
mod llama4;
mod mamba;
mod maple;
mod mimo;
mod minimax;
mod mixtures;
mod modern_bert;
mod muse;
mod nemotron_h;
mod nomic_bert;
mod olmo;
mod phi;
mod plamo2;
mod qwen;
mod qwen_moe;
mod qwen_next;
mod rwkv;
mod smallthinker;
mod step;
mod talkie;
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
    &afmoe::AFMOE,
    &llama::ARCEE,
    &arctic::ARCTIC,
    &gated::BAICHUAN,
    &mixtures::BAILINGMOE,
    &mixtures::BAILINGMOE2,
    &bailingmoe3::BAILINGMOE3,
    &bert::BERT,
    &gpt::BLOOM,
    &glm::CHATGLM,
    &gpt::CODESHELL,
    &qwen::COGVLM,
    &cohere::COHERE2,
    &cohere::COHERE2MOE,
    &cohere::COMMAND_R,
    &dbrx::DBRX,
    &deci::DECI,
    &mixtures::DEEPSEEK,
    &latent::DEEPSEEK2,
    &mixtures::DOTS1,
    &ernie::ERNIE4_5,
    &ernie::ERNIE4_5_MOE,
    &qwen::EXAONE,
    &windows::EXAONE_MOE,
    &exaone4::EXAONE4,
    &falcon::FALCON,
    &falcon_h1::FALCON_H1,
    &gemma::GEMMA,
    &gemma::GEMMA_EMBEDDING,
    &gemma::GEMMA2,
    &gemma::GEMMA3,
    &gemma3n::GEMMA3N,
    &gemma4::GEMMA4,
    &glm::GLM4,
    &glm::GLM4MOE,
    &gpt_oss::GPT_OSS,
    &gpt::GPT2,
    &gpt::GPTNEOX,
    &granite::GRANITE,
    &granite::GRANITE_SWA,
    &granite_hybrid::GRANITEHYBRID,
    &granite::GRANITEMOE,
    &grok::GROK,
    &qwen_moe::GROVEMOE,
    &hrm::HRM_TEXT,
    &hunyuan::HUNYUAN_DENSE,
    &hunyuan::HUNYUAN_MOE,
    &hunyuan::HUNYUAN_VL,
    &hunyuan::HY_V3,
    &llama::INTERNLM2,
    &gated::JAIS,
    &gpt::JAIS2,
    &jamba::JAMBA,
    &bert::JINA_BERT_V2,
    &kimi_k3::KIMI_K3,
    &kimi::KIMI_LINEAR,
    &laguna::LAGUNA,
    &lfm2::LFM2,
    &lfm2::LFM2MOE,
    &llama::LLAMA,
    &llama4::LLAMA4,
    &llama::MAINCODER,
    &mamba::MAMBA,
    &mamba::MAMBA2,
    &maple::MAPLE,
    &windows::MELLUM,
    &mimo::MIMO2,
    &granite::MINICPM,
    &latent::MINICPM3,
    &minimax::MINIMAX_01,
    &minimax::MINIMAX_M2,
    &minimax::MINIMAX_M3,
    &llama::MISTRAL3,
    &latent::MISTRAL4,
    &modern_bert::MODERN_BERT,
    &gpt::MPT,
    &muse::MUSE_GLIMMER,
    &llama::NANBEIGE,
    &gpt::NEMOTRON,
    &nemotron_h::NEMOTRON_H,
    &nemotron_h::NEMOTRON_H_MOE,
    &nomic_bert::NOMIC_BERT,
    &nomic_bert::NOMIC_BERT_MOE,
    &olmo::OLMO,
    &olmo::OLMO2,
    &qwen_moe::OLMOE,
    &gated::OPENELM,
    &gated::ORION,
    &ernie::PADDLEOCR,
    &qwen::PANGU,
    &phi::PHI2,
    &phi::PHI3,
    &phi::PHIMOE,
    &gated::PLAMO,
    &plamo2::PLAMO2,
    &windows::PLAMO3,
    &qwen::QWEN,
    &qwen::QWEN2,
    &qwen_moe::QWEN2MOE,
    &qwen::QWEN2VL,
    &qwen::QWEN3,
    &qwen_next::QWEN35,
    &qwen_next::QWEN35MOE,
    &qwen::QWEN3MOE,
    &qwen_next::QWEN3NEXT,
    &qwen::QWEN3VL,
    &qwen::QWEN3VLMOE,
    &gated::REFACT,
    &rwkv::RWKV6,
    &rwkv::RWKV7,
    &qwen::SEED_OSS,
    &smallthinker::SMALLTHINKER,
    &llama::SMOLLM3,
    &windows::SPARK2_5,
    &gated::STABLELM,
    &gpt::STARCODER,
    &gpt::STARCODER2,
    &step::STEP35,
    &talkie::TALKIE,
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
