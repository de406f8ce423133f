//! Kinds of tokenizers without a vocabulary in the repository, on small ones made here: ids worked out by hand, and what
//! the definition says, computed the slow way.

use gristmill_engine::tokenizer::{Definition, Roles, Tokenizer};
use proptest::prelude::*;

/// Types of tokens in a file.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const BYTE: i32 = 6;

/// RWKV's list: `<s>`, every byte, and these.
const WORDS: [&str; 9] = [
    "ab",
    "abc",
    "abcd",
    "bcd",
    "  ",
    " a",
    "ü",
    "x\\n\\n",
    "\\xe4\\xbd\\xa0",
];

fn rwkv(words: &[&str]) -> Tokenizer {
    let mut tokens = vec!["<s>".to_owned()];
    // As Python writes bytes.
    tokens.extend((0..=255u8).map(|byte| match byte {
        b'\\' => r"\\".to_owned(),
        b'\n' => r"\n".to_owned(),
        b'\t' => r"\t".to_owned(),
        b'\r' => r"\r".to_owned(),
        0x20..0x7f => char::from(byte).to_string(),
        _ => format!(r"\x{byte:02x}"),
    }));
    tokens.extend(words.iter().map(|&word| word.to_owned()));
    let mut token_types = vec![NORMAL; tokens.len()];
    token_types[0] = CONTROL;
    Tokenizer::new(&Definition {
        model: "rwkv",
        tokens: tokens.iter().map(String::as_str).collect(),
        token_types: token_types.into(),
        roles: Roles {
            bos: Some(0),
            eos: Some(0),
            ..Roles::default()
        },
        // Asked for, but not this kind's way.
        add_bos: Some(true),
        ..Definition::default()
    })
    .unwrap()
}

#[test]
fn rwkv_takes_the_longest_token() {
    let tokenizer = rwkv(&WORDS);
    let byte = |byte: u8| u32::from(byte) + 1;
    let word = |word: &str| 257 + WORDS.iter().position(|&w| w == word).unwrap() as u32;
    for (text, expected) in [
        ("", vec![]),
        ("abcde", vec![word("abcd"), byte(b'e')]),
        ("abab", vec![word("ab"), word("ab")]),
        // The longest from the left, not the fewest: "a" + "bcd" is as short.
        ("abcbcd", vec![word("abc"), word("bcd")]),
        ("   a", vec![word("  "), word(" a")]),
        ("x\n\n\n", vec![word("x\\n\\n"), byte(b'\n')]),
        ("\\n", vec![byte(b'\\'), byte(b'n')]),
        ("ü", vec![word("ü")]),
        // Bytes of a character that has no token, and one that has.
        ("é你", vec![byte(0xC3), byte(0xA9), word("\\xe4\\xbd\\xa0")]),
        // As in the reference, the list holds control tokens too.
        ("a<s>", vec![byte(b'a'), 0]),
    ] {
        assert_eq!(tokenizer.encode(text, true, false), expected, "{text:?}");
        assert_eq!(tokenizer.decode(&expected, true), text.as_bytes());
    }
    // Not so what a user typed.
    let guarded = tokenizer.encode_guarded("a<\u{1}s>", '\u{1}', false);
    assert_eq!(guarded, [byte(b'a'), byte(b'<'), byte(b's'), byte(b'>')]);
    assert_eq!(tokenizer.decode(&[0], false), b"");
    assert!(tokenizer.is_end(0));
    // Bytes come out of a stream as characters.
    let mut stream = tokenizer.stream(false);
    assert_eq!(stream.push(byte(0xC3)), "");
    assert_eq!(stream.push(byte(0xA9)), "é");
}

#[test]
fn rwkv_without_all_bytes() {
    let definition = Definition {
        model: "rwkv",
        tokens: vec!["<unk>", "ab", "abcd"],
        roles: Roles {
            unknown: Some(0),
            ..Roles::default()
        },
        ..Definition::default()
    };
    let tokenizer = Tokenizer::new(&definition).unwrap();
    // "abc" is the beginning of a token and no token.
    assert_eq!(
        tokenizer.encode("abcabcdaé", false, false),
        [1, 0, 2, 0, 0, 0]
    );
    let silent = Definition {
        roles: Roles::default(),
        ..definition
    };
    let tokenizer = Tokenizer::new(&silent).unwrap();
    assert_eq!(tokenizer.encode("abcabcda", false, false), [1, 2]);
}

/// PLaMo's: four control tokens, every byte, and these with their scores.
fn plamo2(pieces: &[(&str, f32)]) -> Tokenizer {
    let mut tokens: Vec<String> = ["unk", "bos", "eos", "pad"]
        .iter()
        .map(|name| format!("<|plamo:{name}|>"))
        .collect();
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(pieces.iter().map(|(text, _)| (*text).to_owned()));
    let mut token_types = [vec![CONTROL; 4], vec![BYTE; 256]].concat();
    token_types.resize(tokens.len(), NORMAL);
    let mut scores = vec![0.0; 260];
    scores.extend(pieces.iter().map(|(_, score)| *score));
    Tokenizer::new(&Definition {
        model: "plamo2",
        tokens: tokens.iter().map(String::as_str).collect(),
        token_types: token_types.into(),
        scores: scores.into(),
        add_bos: Some(true),
        ..Definition::default()
    })
    .unwrap()
}

#[test]
fn plamo2_takes_the_best_way() {
    let pieces = [
        ("a", -2.0),
        ("b", -2.0),
        ("ab", -3.0),
        ("ba", -3.0),
        ("aba", -5.0),
        ("你", -4.0),
        ("never", -3000.0),
        (" ", -1.0),
        ("bb", -4.0),
    ];
    let tokenizer = plamo2(&pieces);
    let id = |text: &str| 260 + pieces.iter().position(|(t, _)| *t == text).unwrap() as u32;
    let byte = |byte: u8| 4 + u32::from(byte);
    for (text, expected) in [
        ("", vec![]),
        ("ab", vec![id("ab")]),
        // "a" + "ba", "ab" + "a" and "aba" all score -5: the longest first token.
        ("aba", vec![id("aba")]),
        // "ab" + "ab" at -6 beats "aba" + "b" at -7.
        ("abab", vec![id("ab"), id("ab")]),
        // As good as "b" + "b".
        ("bb", vec![id("bb")]),
        ("é你", vec![byte(0xC3), byte(0xA9), id("你")]),
        // Scores below -2000 are none.
        ("never", "never".bytes().map(byte).collect()),
        // Byte tokens are not spelled by their names.
        ("<0x41>", "<0x41>".bytes().map(byte).collect()),
    ] {
        assert_eq!(tokenizer.encode(text, true, false), expected, "{text:?}");
        assert_eq!(
            tokenizer.decode(&expected, true),
            text.as_bytes(),
            "{text:?}"
        );
    }
    // A byte order mark is dropped where a text begins, and a text is otherwise kept as it is.
    assert_eq!(
        tokenizer.encode("\u{FEFF} a", true, false),
        [id(" "), id("a")]
    );
    assert_eq!(tokenizer.encode("a\u{FEFF}", false, false).len(), 4);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)));
    assert_eq!(tokenizer.encode("<|plamo:eos|>a", true, true), [2, id("a")]);
    let guarded = tokenizer.encode_guarded("<\u{1}|plamo:eos|>", '\u{1}', false);
    assert!(!guarded.contains(&2));
}

#[test]
fn plamo2_needs_every_byte() {
    let error = Tokenizer::new(&Definition {
        model: "plamo2",
        tokens: vec!["a", "<0x00>"],
        token_types: vec![NORMAL, BYTE].into(),
        ..Definition::default()
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no byte token <0x01>"), "{error}");
}

#[test]
fn words_between_white_space() {
    let definition = Definition {
        model: "whitespace",
        pre: Some("whitespace"),
        tokens: vec!["a", "b", "ab", "你", "A", "<0xC3>", "<0xA9>"],
        token_types: vec![1, 1, 1, 1, 1, 6, 6].into(),
        merges: vec!["a b"],
        ..Definition::default()
    };
    let ids = |definition: &Definition<'_>, text: &str| {
        let tokenizer = Tokenizer::new(definition).unwrap();
        tokenizer.encode(text, false, false)
    };
    // Nothing merges over a space, and none is left; what has no token is its bytes, as far as they have.
    assert_eq!(
        ids(&definition, "  ab a\n\u{3000}b你Aé"),
        [2, 0, 1, 3, 4, 5, 6]
    );
    let small = Definition {
        lowercase: Some(true),
        ..definition
    };
    assert_eq!(ids(&small, "AB A"), [2, 0]);
}

#[test]
fn sequences_of_bases() {
    let letters = ["<", "d", "n", "a", ">", "A", "C", "G", "T", "N"];
    let more = [
        "<dna>",
        "</dna>",
        "<oov>",
        "ACGTAC\u{E000}",
        "GAAAAA\u{E000}",
    ];
    let definition = Definition {
        model: "hybriddna",
        pre: Some("gpt-2"),
        tokens: letters.into_iter().chain(more).collect(),
        merges: vec!["A C"],
        ..Definition::default()
    };
    let tokenizer = Tokenizer::new(&definition).unwrap();
    let ids = |text: &str| tokenizer.encode(text, false, false);
    // A whole token, one that is filled up, one of small letters, one that is none.
    assert_eq!(ids("T<dna>ACGTACG</dna>A"), [8, 10, 13, 14, 11, 5]);
    assert_eq!(ids("<dna>acgtacNNNNNN"), [10, 13, 12]);
    assert_eq!(ids("<dna></dna>"), [10, 11]);
    assert_eq!(ids("ACG"), [5, 6, 7]);
    assert_eq!(
        tokenizer.decode(&[10, 13, 14, 11], false),
        b"<dna>ACGTACGAAAAA</dna>"
    );
    // Without the tokens it is text.
    let plain = Definition {
        tokens: letters.to_vec(),
        ..definition
    };
    let plain = Tokenizer::new(&plain).unwrap();
    assert_eq!(plain.encode("<dna>A", false, false), [0, 1, 2, 3, 4, 5]);
}

/// All ways to spell `text`: total score in steps, then length and whether it is a token of each part, then the ids.
type Way = (i64, Vec<(usize, bool)>, Vec<u32>);

fn ways(text: &str, pieces: &[(String, f32)]) -> Vec<Way> {
    let Some(c) = text.chars().next() else {
        return vec![(0, Vec::new(), Vec::new())];
    };
    let mut options: Vec<(i64, (usize, bool), Vec<u32>)> = pieces
        .iter()
        .zip(260..)
        .filter(|((piece, _), _)| text.starts_with(piece.as_str()))
        .map(|((piece, score), id)| {
            let steps = (f64::from(*score) * 1e4).round() as i64;
            (steps, (piece.len(), true), vec![id])
        })
        .collect();
    let length = c.len_utf8();
    let bytes = text[..length].bytes().map(|byte| 4 + u32::from(byte));
    options.push((-10_000_000, (length, false), bytes.collect()));
    let mut all = Vec::new();
    for (score, part, ids) in options {
        for (rest, parts, more) in ways(&text[part.0..], pieces) {
            all.push((
                score + rest,
                [vec![part], parts].concat(),
                [ids.clone(), more].concat(),
            ));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn rwkv_agrees_with_a_search(
        words in prop::collection::btree_set("[abü]{2,5}", 0..12),
        text in "[abcü\u{0}-\u{7f}]{0,24}",
    ) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let tokenizer = rwkv(&words);
        let (mut expected, mut rest) = (Vec::new(), text.as_bytes());
        while let Some(&first) = rest.first() {
            let longest = words.iter().enumerate()
                .filter(|(_, word)| rest.starts_with(word.as_bytes()))
                .max_by_key(|(_, word)| word.len());
            let (id, length) = if rest.starts_with(b"<s>") {
                (0, 3)
            } else {
                longest.map_or((u32::from(first) + 1, 1), |(at, word)| (257 + at as u32, word.len()))
            };
            expected.push(id);
            rest = &rest[length..];
        }
        let ids = tokenizer.encode(&text, false, false);
        prop_assert_eq!(tokenizer.decode(&ids, true), text.as_bytes());
        prop_assert_eq!(ids, expected);
    }

    /// Of all ways the best, and of equally good ones the one whose first parts are longest.
    #[test]
    fn plamo2_agrees_with_trying_all_ways(
        pieces in prop::collection::btree_map("[abü]{1,4}", -4i8..1, 0..9),
        text in "[abcü]{0,8}",
    ) {
        let pieces: Vec<(String, f32)> = pieces.into_iter().map(|(text, score)| (text, f32::from(score))).collect();
        let given: Vec<(&str, f32)> = pieces.iter().map(|(text, score)| (text.as_str(), *score)).collect();
        let best = ways(&text, &pieces).into_iter().max().unwrap();
        prop_assert_eq!(plamo2(&given).encode(&text, false, false), best.2);
    }
}

/// What the vocabulary lacks is spelt in bytes where it has them (SentencePiece's byte fallback), all of a character's or none.
#[test]
fn unigram_falls_back_to_bytes() {
    let unigram = |bytes: &[u8]| {
        let mut tokens = vec!["<unk>".to_owned(), "▁".into(), "a".into(), "b".into()];
        let mut token_types = vec![2, NORMAL, NORMAL, NORMAL];
        tokens.extend(bytes.iter().map(|byte| format!("<0x{byte:02X}>")));
        token_types.resize(tokens.len(), BYTE);
        Tokenizer::new(&Definition {
            model: "t5",
            tokens: tokens.iter().map(String::as_str).collect(),
            scores: vec![-1.0; tokens.len()].into(),
            token_types: token_types.into(),
            roles: Roles {
                unknown: Some(0),
                ..Roles::default()
            },
            add_space_prefix: Some(false),
            ..Definition::default()
        })
        .unwrap()
    };
    // é is C3 A9, € is E2 82 AC.
    for (bytes, text, expected) in [
        (&[0xC3, 0xA9, 0xE2, 0x82, 0xAC][..], "aéb", vec![2, 4, 5, 3]),
        (
            &[0xC3, 0xA9, 0xE2, 0x82, 0xAC],
            "é€ a",
            vec![4, 5, 6, 7, 8, 1, 2],
        ),
        (&[0xC3, 0xA9, 0xE2, 0xAC], "é€€é", vec![4, 5, 0, 4, 5]),
        (&[], "aé€b", vec![2, 0, 3]),
    ] {
        let tokenizer = unigram(bytes);
        let ids = tokenizer.encode(text, false, false);
        assert_eq!(ids, expected, "{text} with {bytes:02x?}");
        if !ids.contains(&0) {
            assert_eq!(tokenizer.decode(&ids, true), text.as_bytes());
        }
    }
}

/// A megabyte without a space, for every kind. With a loop over the text for every token each would take hours.
#[test]
fn unbroken_texts_take_linear_time() {
    let words = ["ab", "abab", "aaaaaaaa"];
    let scored = [("ab", -1.0), ("abab", -1.5), ("aaaaaaaa", -3.0)];
    let plain = |model: &'static str, tokens: &[&'static str], merges: &[&'static str]| {
        Tokenizer::new(&Definition {
            model,
            pre: Some("gpt-2"),
            tokens: tokens.to_vec(),
            scores: (0..tokens.len()).map(|id| -(id as f32)).collect(),
            merges: merges.to_vec(),
            roles: Roles {
                unknown: Some(0),
                ..Roles::default()
            },
            add_space_prefix: Some(false),
            ..Definition::default()
        })
        .unwrap()
    };
    let tokens = ["?", "a", "b", "ab", "abab", "aa", "aaaa", "▁a", "▁ab"];
    let merges = ["a b", "ab ab", "a a", "aa aa"];
    for tokenizer in [
        rwkv(&words),
        plamo2(&scored),
        plain("gpt2", &tokens, &merges),
        plain("gemma4", &tokens, &merges),
        plain("llama", &tokens, &[]),
        plain("t5", &tokens, &[]),
        plain("bert", &tokens, &[]),
    ] {
        for text in ["ab".repeat(500_000), "a".repeat(1_000_000)] {
            let ids = tokenizer.encode(&text, false, false);
            let decoded = tokenizer.decode(&ids, true);
            // WordPiece puts a space in front of each word.
            let decoded = decoded.strip_prefix(b" ").unwrap_or(&decoded);
            assert!(decoded == text.as_bytes(), "{}", tokenizer.kind());
        }
    }
}

/// The same for every way of cutting words, over texts that are one word to most of them.
#[test]
fn every_pre_tokenizer_takes_linear_time() {
    for names in gristmill_engine::tokenizer::pre_tokenizer_names() {
        let tokenizer = Tokenizer::new(&Definition {
            model: "gpt2",
            pre: Some(names[0]),
            tokens: vec!["a", "1", "."],
            merges: vec!["a a"],
            ..Definition::default()
        })
        .unwrap();
        for piece in ["a", "1", ".", "\n", "A", "é\u{301}", "你", "a'", "1,", "a "] {
            let text = piece.repeat(100_000);
            tokenizer.encode(&text, false, false);
        }
    }
}
