//! Pre-tokenizers: how byte-level BPE vocabularies cut text into words before merging.
//!
//! In: the name in `tokenizer.ggml.pre`. Out: the steps of cutting. One table holds them all: the names, the
//! steps taken one after the other (each on the pieces of the one before) and what else the name implies.
//! Adding one is one entry. The patterns are the publishers' (tokenizer.json); where llama.cpp, the reference for
//! token ids, departs from them, so do we (it knows no `\p{Lu}`: letters beyond ASCII count as both cases).

/// One step of cutting.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// At the matches of a pattern.
    Pattern(&'static str),
    /// Runs of `\p{N}` into groups of three from the right. Text in front stays with the first group.
    DigitGroups,
    /// Runs of ASCII digits into groups of three from the right. Other text stays with its neighbours.
    AsciiDigitGroups,
}

use Step::{AsciiDigitGroups, DigitGroups, Pattern as Cut};

/// One way of cutting, and its names.
#[derive(Debug)]
pub(crate) struct PreTokenizer {
    /// Values of `tokenizer.ggml.pre`.
    pub names: &'static [&'static str],
    /// What is done, each step to the pieces of the one before.
    pub steps: &'static [Step],
    /// Decoding drops the space before punctuation and contractions (see `Tokenizer::decode`).
    pub clean_spaces: bool,
    /// A word that is a token is taken whole, whatever the merges say.
    pub whole_words: bool,
    /// BOS is added unless the file says otherwise.
    pub add_bos: bool,
    /// BOS is added whatever the file says.
    pub always_bos: bool,
    /// The vocabulary's texts are plain UTF-8 with `▁` for a space, not GPT-2's byte letters.
    pub escaped: bool,
    /// The vocabulary has no BOS by default.
    pub no_bos: bool,
}

/// What most entries share.
const PLAIN: PreTokenizer = PreTokenizer {
    names: &[],
    steps: &[],
    clean_spaces: false,
    whole_words: false,
    add_bos: false,
    always_bos: false,
    escaped: false,
    no_bos: false,
};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const CJK_KANA: &str = r"[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+";
const DEEPSEEK_CJK: &str = r"[\u{4E00}-\u{9FA5}\u{0800}-\u{4E00}\u{AC00}-\u{D7FF}]+";
const LINES: &str = r"[^\n]+|[\n]+";
/// Words of a BLOOM-like vocabulary: whatever holds neither space nor sentence punctuation.
const BLOOM: &str = r" ?[^(\s|.,!?\u{2026}\u{3002}\u{FF0C}\u{3001}\u{0964}\u{06D4}\u{060C})]+";

/// All pre-tokenizers. The first is what a file without `tokenizer.ggml.pre` gets.
pub(crate) static PRE_TOKENIZERS: &[PreTokenizer] = &[
    PreTokenizer {
        names: &["default"],
        steps: &[
            Cut(r"[\p{P}\$\+<=>\^~\|]+"),
            Cut(GPT2),
            Cut(r"\p{N}+"),
            Cut("[0-9][0-9][0-9]"),
        ],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "gpt-2",
            "phi-2",
            "jina-es",
            "jina-de",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v1-en",
            "jina-v2-code",
            "roberta-bpe",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "exaone4",
            "mpt",
            "olmo",
            "jais",
        ],
        steps: &[Cut(GPT2)],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["trillion", "granite-docling"],
        steps: &[Cut(GPT2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "falcon-h1",
            "pixtral",
            "midm-2.0",
            "lfm2",
            "jina-v5-nano",
        ],
        steps: &[Cut(LLAMA3)],
        clean_spaces: true,
        whole_words: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe"],
        steps: &[Cut(LLAMA3)],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["glm4", "chatglm-bpe"],
        steps: &[Cut(LLAMA3)],
        clean_spaces: true,
        no_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "qwen2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "hunyuan",
            "grok-2",
            "solar-open",
        ],
        steps: &[Cut(QWEN2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["stablelm2", "megrez"],
        steps: &[Cut(QWEN2)],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["qwen35"],
        steps: &[Cut(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["minicpm5"],
        steps: &[
            Cut(r"\p{N}{1,3}"),
            Cut(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ),
        ],
        clean_spaces: true,
        whole_words: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["ufakzeka"],
        steps: &[Cut(
            r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &[
            "starcoder",
            "refact",
            "codeshell",
            "exaone",
            "minerva-7b",
            "mellum2",
        ],
        steps: &[Cut(r"\p{N}"), Cut(GPT2)],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["command-r", "smollm"],
        steps: &[Cut(r"\p{N}"), Cut(GPT2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["falcon"],
        steps: &[
            Cut(r"[\p{P}\$\+<=>\^~\|`]+"),
            Cut(GPT2),
            Cut("[0-9][0-9][0-9]"),
        ],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        steps: &[
            Cut(r"[\r\n]"),
            // The cased letters of some older Unicode, as DeepSeek lists them.
            Cut(concat!(
                r"\s?[A-Za-z\u{B5}\u{C0}-\u{D6}\u{D8}-\u{F6}\u{F8}-\u{1BA}\u{1BC}-\u{1BF}\u{1C4}-\u{293}",
                r"\u{295}-\u{2AF}\u{370}-\u{373}\u{376}\u{377}\u{37B}-\u{37D}\u{37F}\u{386}\u{388}-\u{38A}\u{38C}",
                r"\u{38E}-\u{3A1}\u{3A3}-\u{3F5}\u{3F7}-\u{481}\u{48A}-\u{52F}\u{531}-\u{556}\u{10A0}-\u{10C5}",
                r"\u{13A0}-\u{13F5}\u{13F8}-\u{13FD}\u{1C90}-\u{1CBA}\u{1CBD}-\u{1CBF}\u{1D00}-\u{1D2B}",
                r"\u{1D6B}-\u{1D77}\u{1D79}-\u{1D9A}\u{1E00}-\u{1F15}\u{1F18}-\u{1F1D}\u{1F20}-\u{1F45}",
                r"\u{1F48}-\u{1F4D}\u{1F50}-\u{1F57}\u{1F59}\u{1F5B}\u{1F5D}\u{1F5F}-\u{1F7D}\u{1F80}-\u{1FB4}",
                r"\u{1FB6}-\u{1FBC}\u{1FBE}\u{1FC2}-\u{1FC4}\u{1FC6}-\u{1FCC}\u{1FD0}-\u{1FD3}\u{1FD6}-\u{1FDB}",
                r"\u{1FE0}-\u{1FEC}\u{1FF2}-\u{1FF4}\u{1FF6}-\u{1FFC}\u{2102}\u{2107}\u{210A}-\u{2113}\u{2115}",
                r"\u{2119}-\u{211D}\u{2124}\u{2126}\u{2128}\u{212A}-\u{212D}\u{212F}-\u{2134}\u{2139}",
                r"\u{213C}-\u{213F}\u{2145}-\u{2149}\u{214E}\u{2183}\u{2184}\u{2C00}-\u{2C7B}\u{2C7E}-\u{2CE4}",
                r"\u{2CEB}-\u{2CEE}\u{2CF2}\u{2CF3}\u{A640}-\u{A66D}\u{A680}-\u{A69B}\u{A722}-\u{A76F}",
                r"\u{A771}-\u{A787}\u{A78B}-\u{A78E}\u{AB70}-\u{ABBF}\u{FB00}-\u{FB06}\u{FB13}-\u{FB17}",
                r"\u{FF21}-\u{FF3A}\u{FF41}-\u{FF5A}\u{10400}-\u{1044F}\u{104B0}-\u{104D3}\u{104D8}-\u{104FB}",
                r"\u{10C80}-\u{10CB2}\u{10CC0}-\u{10CF2}\u{118A0}-\u{118DF}\u{1E900}-\u{1E943}]+",
            )),
            Cut(
                r"\s?[!-/:-~\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}]+",
            ),
            Cut(r"\s++$"),
            Cut(DEEPSEEK_CJK),
            Cut(r"\p{N}+"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        steps: &[
            Cut(r"[\r\n]"),
            Cut(r"\s?\p{L}+"),
            Cut(r"\s?\p{P}+"),
            Cut(DEEPSEEK_CJK),
            Cut(r"\p{N}"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        steps: &[Cut(r"\p{N}{1,3}"), Cut(CJK_KANA), Cut(DEEPSEEK3)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["spark2_5"],
        steps: &[
            Cut(r"\p{N}{1,3}"),
            Cut(CJK_KANA),
            Cut(
                r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##,
            ),
            Cut(r"\p{N}"),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["youtu"],
        steps: &[
            Cut(
                r"[\u{AC00}-\u{D7A3}\u{3131}-\u{318E}]+|[\u{FF01}\u{2026}\u{201C}\u{201D}\u{2018}\u{2019}\u{2014}\u{FF1A}\u{FF1B}\u{FF0C}\u{3001}-\u{303F}\u{FE30}-\u{FE4F}]+|[\u{3105}-\u{312F}]+|[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+",
            ),
            Cut(
                r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ),
        ],
        whole_words: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["poro-chat"],
        steps: &[Cut(BLOOM)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["bloom", "gpt3-finnish"],
        steps: &[Cut(BLOOM)],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["viking"],
        steps: &[Cut(BLOOM), Cut(r"\p{N}")],
        ..PLAIN
    },
    PreTokenizer {
        names: &["tekken"],
        steps: &[Cut(
            r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words: true,
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
        steps: &[Cut(
            r"[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]*[\p{L}&&[^A-Z]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{L}&&[^a-z]]+[\p{L}&&[^A-Z]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["granite-embed-multi-97m"],
        steps: &[Cut(
            r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}&&[^a-z]]*[\p{L}\p{M}&&[^A-Z]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}&&[^a-z]]+[\p{L}\p{M}&&[^A-Z]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        whole_words: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["tiny_aya", "cohere2moe"],
        steps: &[
            DigitGroups,
            Cut(
                r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            ),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["kimi-k2"],
        steps: &[Cut(
            r"\p{Han}+|[^\r\n\p{L}\p{N}]?[\p{L}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["superbpe"],
        steps: &[Cut(r"\p{N}+"), AsciiDigitGroups],
        ..PLAIN
    },
    PreTokenizer {
        names: &["bailingmoe", "bailingmoe2", "llada-moe"],
        steps: &[Cut(
            r"(?i:'s|'d|'m|'t|'ll|'ve|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["seed-coder"],
        steps: &[Cut(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["exaone-moe"],
        steps: &[Cut(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        )],
        ..PLAIN
    },
    PreTokenizer {
        names: &["afmoe"],
        steps: &[
            DigitGroups,
            Cut(
                r"[\u{4E00}-\u{9FFF}\u{3400}-\u{4DBF}\u{F900}-\u{FAFF}\u{3040}-\u{309F}\u{30A0}-\u{30FF}\u{FF65}-\u{FF9F}\u{2F00}-\u{2FDF}\u{E40}-\u{E7F}\u{E80}-\u{EFF}\u{1780}-\u{17FF}\u{1000}-\u{109F}\u{AA60}-\u{AA7F}\u{A9E0}-\u{A9FF}\u{AC00}-\u{D7AF}\u{1100}-\u{11FF}]+",
            ),
            Cut(DEEPSEEK3),
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["laguna"],
        steps: &[Cut(LINES), Cut(QWEN2)],
        ..PLAIN
    },
    PreTokenizer {
        names: &["chameleon"],
        steps: &[
            Cut("<sentinel:[0-9]+>"),
            Cut("IMGIMG[A-I]{1,4}Z"),
            Cut(r"[\t\n]|    |  "),
            Cut(r"\p{N}"),
            Cut(r"[\p{P}!-/:-@\[-`{-~]"),
            Cut(GPT2),
        ],
        add_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["jais-2"],
        steps: &[Cut(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s{512}(?!\S)|\s{256}(?!\S)|\s{128}(?!\S)|\s{64}(?!\S)|\s{32}(?!\S)|\s{16}(?!\S)|\s{8}(?!\S)|\s{4}(?!\S)|\s{1,2}(?!\S)|\s{1}",
        )],
        clean_spaces: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["gemma4", "granite-embed-multi-311m"],
        steps: &[Cut(LINES)],
        clean_spaces: true,
        escaped: true,
        always_bos: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["sarvam-moe"],
        steps: &[Cut(LINES)],
        escaped: true,
        ..PLAIN
    },
    PreTokenizer {
        names: &["whitespace"],
        steps: &[Cut(r"\S+")],
        clean_spaces: true,
        escaped: true,
        ..PLAIN
    },
];

/// The pre-tokenizer of that name.
pub(crate) fn find(name: &str) -> Option<&'static PreTokenizer> {
    PRE_TOKENIZERS
        .iter()
        .find(|entry| entry.names.contains(&name))
}

#[cfg(test)]
mod tests {
    /// The values of `tokenizer.ggml.pre` that llama.cpp takes.
    const REFERENCE: &str = "default minicpm5 llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 \
        jina-v5-nano deepseek-llm deepseek-coder deepseek-v3 spark2_5 youtu falcon mpt starcoder gpt-2 phi-2 jina-es \
        jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert jais-2 gemma4 granite-embed-multi-311m \
        sarvam-moe jina-v1-en jina-v2-code roberta-bpe whitespace refact command-r qwen2 deepseek-r1-qwen kormo f2llmv2 \
        qwen35 stablelm2 olmo dbrx smaug-bpe poro-chat glm4 chatglm-bpe viking jais tekken smollm codeshell bloom \
        gpt3-finnish exaone exaone4 exaone-moe chameleon minerva-7b megrez gpt-4o llama4 kanana2 talkie \
        granite-embed-multi-97m tiny_aya cohere2moe superbpe trillion granite-docling bailingmoe bailingmoe2 llada-moe \
        seed-coder hunyuan hunyuan-dense hy_v4 joyai-llm kimi-k2 ufakzeka grok-2 afmoe laguna minimax-m2 solar-open \
        mellum2";

    #[test]
    fn every_name_of_the_reference_is_known() {
        for name in REFERENCE.split_whitespace() {
            assert!(super::find(name).is_some(), "{name}");
        }
    }
}
