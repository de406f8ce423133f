//! A tiny model with random weights, a byte-level tokenizer and a chat template: everything that the commands need, made
//! in a moment.

use gristmill_gguf::{Array, Strings, TensorType, Writer};
use std::path::{Path, PathBuf};

const BLOCKS: u32 = 2;
/// Tokens that stand for nothing typed: the end of a message and its beginning.
const SPECIAL: [&str; 2] = ["<|im_end|>", "<|im_start|>"];

const TEMPLATE: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// How GPT-2's vocabulary spells a byte: printable ones as themselves, the others from U+0100 on.
fn spell(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|byte| !printable(*byte)).count() as u32;
    char::from_u32(256 + before).unwrap()
}

fn strings(texts: &[String]) -> Array {
    Array::String(texts.iter().collect::<Strings>())
}

/// What may differ between tiny models.
pub struct Tiny {
    /// Positions it says it was trained for.
    pub context: u32,
    /// Its chat template, if it has one.
    pub template: Option<&'static str>,
    /// The licence it states.
    pub licence: Option<&'static str>,
    /// Width of its hidden state; its feed-forwards are twice as wide.
    pub width: u64,
    /// How its matrices are stored; the width must be whole blocks of it.
    pub weights: TensorType,
    /// What it says it is; its keys and tensors stay those of llama.
    pub architecture: &'static str,
    /// A tensor of four values that llama does not know.
    pub extra: Option<&'static str>,
    /// Its positions see the whole text, and their mean is its embedding.
    pub encoder: bool,
}

impl Default for Tiny {
    fn default() -> Tiny {
        Tiny {
            context: 512,
            template: Some(TEMPLATE),
            licence: Some("apache-2.0"),
            width: 32,
            weights: TensorType::F32,
            architecture: "llama",
            extra: None,
            encoder: false,
        }
    }
}

impl Tiny {
    /// With matrices of the type of this name.
    pub fn stored_as(name: &str) -> Tiny {
        let mut quants = gristmill_kernels::QUANTS.iter();
        let quant = quants.find(|q| q.name() == name).unwrap();
        Tiny {
            width: quant.block_elements().max(32) as u64,
            weights: TensorType::from_id(quant.id()).unwrap(),
            ..Tiny::default()
        }
    }

    /// Writes the model to `folder` and gives its path.
    pub fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("tiny.gguf");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let (width, feed_forward) = (self.width, 2 * self.width);
        let mut tokens: Vec<String> = SPECIAL.iter().map(|text| (*text).to_owned()).collect();
        tokens.extend((0..=255).map(|byte| spell(byte).to_string()));
        tokens.extend(["he".to_owned(), "th".to_owned()]);
        let vocab = tokens.len() as u64;
        // 3: control, 1: normal
        let kinds: Vec<i32> = (0..tokens.len())
            .map(|i| if i < SPECIAL.len() { 3 } else { 1 })
            .collect();
        let merges = vec!["h e".to_owned(), "t h".to_owned()];

        let mut writer = Writer::new();
        writer.set("general.architecture", self.architecture);
        writer.set("general.name", "Tiny Random");
        if let Some(licence) = self.licence {
            writer.set("general.license", licence);
        }
        writer.set("llama.context_length", self.context);
        writer.set("llama.embedding_length", width as u32);
        writer.set("llama.block_count", BLOCKS);
        writer.set("llama.feed_forward_length", feed_forward as u32);
        writer.set("llama.attention.head_count", 2u32);
        writer.set("llama.attention.head_count_kv", 1u32);
        writer.set("llama.attention.layer_norm_rms_epsilon", 1e-5f32);
        writer.set("llama.rope.dimension_count", (width / 2) as u32);
        if self.encoder {
            writer.set("llama.attention.causal", false);
            writer.set("llama.pooling_type", 1u32);
        }
        writer.set("tokenizer.ggml.model", "gpt2");
        writer.set("tokenizer.ggml.pre", "gpt-2");
        writer.set("tokenizer.ggml.tokens", strings(&tokens));
        writer.set("tokenizer.ggml.token_type", kinds);
        writer.set("tokenizer.ggml.merges", strings(&merges));
        writer.set("tokenizer.ggml.bos_token_id", 1u32);
        writer.set("tokenizer.ggml.eos_token_id", 0u32);
        writer.set("tokenizer.ggml.add_bos_token", false);
        if let Some(template) = self.template {
            writer.set("tokenizer.chat_template", template);
        }

        let mut shapes: Vec<(String, Vec<u64>)> = vec![
            ("token_embd.weight".into(), vec![width, vocab]),
            ("output_norm.weight".into(), vec![width]),
            ("output.weight".into(), vec![width, vocab]),
        ];
        for block in 0..BLOCKS {
            for (name, shape) in [
                ("attn_norm", vec![width]),
                ("attn_q", vec![width, width]),
                ("attn_k", vec![width, width / 2]),
                ("attn_v", vec![width, width / 2]),
                ("attn_output", vec![width, width]),
                ("ffn_norm", vec![width]),
                ("ffn_gate", vec![width, feed_forward]),
                ("ffn_up", vec![width, feed_forward]),
                ("ffn_down", vec![feed_forward, width]),
            ] {
                shapes.push((format!("blk.{block}.{name}.weight"), shape));
            }
        }
        shapes.extend(self.extra.map(|name| (name.to_owned(), vec![4])));
        let stored = |shape: &[u64]| {
            if shape.len() == 1 {
                TensorType::F32
            } else {
                self.weights
            }
        };
        for (name, shape) in &shapes {
            writer.tensor(name, stored(shape), shape).unwrap();
        }
        let mut file = writer.start(Vec::new()).unwrap();
        let mut state = 7u64;
        for (name, shape) in &shapes {
            let count: u64 = shape.iter().product();
            let scale = if name == "output.weight" { 2.0 } else { 0.5 };
            let values: Vec<f32> = (0..count)
                .map(|_| {
                    // Knuth's linear congruential generator; norms stay near one.
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    let random = (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
                    if shape.len() == 1 {
                        1.0 + 0.1 * random
                    } else {
                        scale * random
                    }
                })
                .collect();
            let quant = gristmill_kernels::quant(stored(shape).id()).unwrap();
            let blocks = values.len() / quant.block_elements();
            let mut bytes = vec![0; blocks * quant.block_bytes()];
            quant.quantize().unwrap()(&values, None, &mut bytes);
            file.write(&bytes).unwrap();
        }
        file.finish().unwrap()
    }
}
