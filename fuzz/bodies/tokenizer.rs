//! Any vocabulary and any text: a vocabulary is taken or refused, and then text becomes ids that exist, ids become
//! bytes, and a stream gives the same text as all at once.
//!
//! An input is five bytes of settings, then the tokens up to a 0xFF byte (separated by 0xFE), the merges up to the
//! next, and the text.

use gristmill_engine::tokenizer::{Definition, Roles, TOKENIZERS, Tokenizer};

const PRE: &[&str] = &[
    "default",
    "llama-bpe",
    "gpt-2",
    "qwen2",
    "smollm",
    "deepseek-llm",
    "deepseek-v3",
    "tekken",
    "gpt-4o",
    "falcon",
    "bloom",
    "poro-chat",
    "kimi-k2",
    "superbpe",
    "gemma4",
    "chameleon",
    "glm4",
    "nonsense",
];

fn texts(part: &[u8]) -> Vec<String> {
    part.split(|&b| b == 0xFE)
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

/// GPT-2's letter for each byte.
fn byte_letters() -> Vec<String> {
    let plain = |b: u32| {
        (0x21..=0x7E).contains(&b) || (0xA1..=0xAC).contains(&b) || (0xAE..=0xFF).contains(&b)
    };
    let mut next = 256;
    (0..256u32)
        .map(|b| {
            let code = if plain(b) {
                b
            } else {
                next += 1;
                next - 1
            };
            char::from_u32(code).unwrap_or(' ').to_string()
        })
        .collect()
}

pub fn run(data: &[u8]) {
    let Some((settings, rest)) = data.split_first_chunk::<5>() else {
        return;
    };
    let mut parts = rest.splitn(3, |&b| b == 0xFF);
    let mut tokens = texts(parts.next().unwrap_or_default());
    let merges = texts(parts.next().unwrap_or_default());
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let bit = |i: u32| settings[2] >> i & 1 == 1;
    if bit(0) {
        tokens.extend((0..256).map(|b| format!("<0x{b:02X}>")));
    }
    if bit(1) {
        tokens.extend(byte_letters());
    }
    let count = tokens.len() as u32;
    let id = |bit: u32| {
        (settings[3] >> bit & 1 == 1)
            .then(|| u32::from(settings[4]).wrapping_mul(bit + 1) % (count + 1))
    };
    let scores: Vec<f32> = (0..count)
        .map(|i| -(i as f32) * f32::from(settings[4] % 7))
        .collect();
    let types: Vec<i32> = tokens
        .iter()
        .enumerate()
        .map(|(i, token)| match token {
            token if token.starts_with("<0x") => 6,
            token if token.starts_with('<') => [3, 4, 2, 5][i % 4],
            _ => 1,
        })
        .collect();
    let definition = Definition {
        model: TOKENIZERS[settings[0] as usize % TOKENIZERS.len()].model,
        pre: PRE.get(settings[1] as usize % (PRE.len() + 1)).copied(),
        tokens: tokens.iter().map(String::as_str).collect(),
        scores: if bit(2) {
            scores.into()
        } else {
            Default::default()
        },
        token_types: if bit(3) {
            types.into()
        } else {
            Default::default()
        },
        merges: merges.iter().map(String::as_str).collect(),
        roles: Roles {
            bos: id(0),
            eos: id(1),
            eot: id(2),
            unknown: id(3),
            separator: id(4),
            padding: id(5),
            ..Roles::default()
        },
        add_bos: bit(4).then_some(bit(5)),
        add_eos: bit(4).then_some(bit(6)),
        add_space_prefix: bit(7).then_some(bit(6)),
        ..Definition::default()
    };
    let Ok(tokenizer) = Tokenizer::new(&definition) else {
        return;
    };
    for (add_special, parse_special) in [(false, false), (true, true)] {
        let ids = tokenizer.encode(&text, add_special, parse_special);
        assert!(
            ids.iter().all(|&id| (id as usize) < tokenizer.len()),
            "an id that is no token"
        );
        let _ = tokenizer.decode(&ids, add_special);
        let pieces: Vec<u8> = ids
            .iter()
            .flat_map(|&id| tokenizer.piece(id, true).into_owned())
            .collect();
        let mut stream = tokenizer.stream(true);
        let mut streamed = String::new();
        for &id in &ids {
            streamed.push_str(stream.push(id));
        }
        streamed.push_str(stream.finish());
        assert_eq!(streamed, String::from_utf8_lossy(&pieces));
    }
    let _ = tokenizer.encode_guarded(&text, '\u{1}', true);
    let foreign: Vec<u32> = settings.iter().map(|&b| u32::from(b) << (b % 25)).collect();
    let _ = tokenizer.decode(&foreign, true);
}
