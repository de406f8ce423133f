//! The table of marks that families of models put around their reasoning.

/// How a family of models marks its reasoning.
#[derive(Debug)]
pub struct Marks {
    /// What it begins with, at the start of an answer. A template's prompt may end with it too.
    pub(super) open: &'static [&'static str],
    /// What it ends with.
    pub(super) close: &'static str,
    /// What may stand between it and the answer.
    pub(super) lead: &'static [&'static str],
    /// Only a prompt begins it: in an answer these words mean themselves.
    pub(super) by_prompt: bool,
}

const TAGS: Marks = Marks {
    open: &[],
    close: "",
    lead: &[],
    by_prompt: false,
};

/// All known marks.
pub static MARKS: &[Marks] = &[
    Marks {
        open: &["<think>"],
        close: "</think>",
        ..TAGS
    },
    Marks {
        open: &["<thinking>"],
        close: "</thinking>",
        ..TAGS
    },
    // Seed-OSS
    Marks {
        open: &["<seed:think>"],
        close: "</seed:think>",
        ..TAGS
    },
    // Magistral, Ministral
    Marks {
        open: &["[THINK]"],
        close: "[/THINK]",
        ..TAGS
    },
    // Command A and R7B
    Marks {
        open: &["<|START_THINKING|>"],
        close: "<|END_THINKING|>",
        lead: &["<|START_RESPONSE|>"],
        ..TAGS
    },
    // Apertus
    Marks {
        open: &["<|inner_prefix|>"],
        close: "<|inner_suffix|>",
        ..TAGS
    },
    // Gemma 4
    Marks {
        open: &["<|channel>thought"],
        close: "<channel|>",
        ..TAGS
    },
    // Kimi K3
    Marks {
        open: &["<|open|>think<|sep|>"],
        close: "<|close|>think<|sep|>",
        lead: &["<|open|>response<|sep|>"],
        ..TAGS
    },
    // Harmony: gpt-oss
    Marks {
        open: &[
            "<|channel|>analysis<|message|>",
            "<|start|>assistant<|channel|>analysis<|message|>",
        ],
        close: "<|end|>",
        lead: &[
            "<|channel|>final<|message|>",
            "<|start|>assistant<|channel|>final<|message|>",
        ],
        ..TAGS
    },
    // Solar Open
    Marks {
        open: &["<|think|>"],
        close: "<|end|>",
        lead: &["<|content|>", "<|begin|>assistant<|content|>"],
        ..TAGS
    },
    // Apriel
    Marks {
        open: &["Here are my reasoning steps:"],
        close: "[BEGIN FINAL RESPONSE]",
        by_prompt: true,
        ..TAGS
    },
];

impl Marks {
    /// What may begin it, with what follows right after it.
    pub(super) fn beginnings(&self) -> impl Iterator<Item = &'static str> {
        self.open.iter().chain(self.lead).copied()
    }
}
