//! What the name of a model file says: its quantization, which part of a split model it is, whether it is a model at
//! all. Names are conventions, not promises: who has the file open asks the file.

/// Stem, number and count of a split file's name, `stem-00001-of-00003.gguf`. The stem keeps its folders.
pub fn split(path: &str) -> Option<(&str, u32, u32)> {
    let (front, count) = path.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = front.rsplit_once('-')?;
    let digits = |text: &str| (text.len() == 5).then(|| text.parse().ok()).flatten();
    Some((stem, digits(number)?, digits(count)?))
}

/// The name without folders, number of the part and `.gguf`.
pub fn stem(path: &str) -> &str {
    let whole = split(path).map_or_else(
        || path.strip_suffix(".gguf").unwrap_or(path),
        |(stem, _, _)| stem,
    );
    whole.rsplit('/').next().unwrap_or(whole)
}

/// The folder that the file is in, the innermost one.
pub fn folder(path: &str) -> Option<&str> {
    path.rsplit('/').nth(1)
}

/// Whether the file goes with a model and is none by itself: a projector for pictures, an importance matrix.
pub fn is_companion(path: &str) -> bool {
    let stem = stem(path).to_ascii_lowercase();
    stem.contains("mmproj") || stem.contains("imatrix")
}

/// The quantization in a file's name, in upper case: `Q4_K_M`, `BF16`, `UD-Q4_K_XL`.
pub fn quantization(path: &str) -> Option<String> {
    in_name(stem(path)).or_else(|| in_name(folder(path)?))
}

fn in_name(stem: &str) -> Option<String> {
    let pieces: Vec<String> = stem
        .split(['-', '.'])
        .map(str::to_ascii_uppercase)
        .collect();
    pieces.iter().enumerate().rev().find_map(|(i, piece)| {
        // In a name like model_q4_0 the type is only the end of a piece.
        let after = piece.match_indices('_').map(|(at, _)| &piece[at + 1..]);
        let found = std::iter::once(piece.as_str())
            .chain(after)
            .find(|text| is_type(text))?;
        let variant = i.checked_sub(1).map(|before| pieces[before].as_str());
        Some(match variant {
            Some(variant @ ("UD" | "I1")) if found == piece => format!("{variant}-{found}"),
            _ => found.to_owned(),
        })
    })
}

/// Whether a text in upper case is how a quantization is written.
fn is_type(text: &str) -> bool {
    const FLOATS: [&str; 8] = [
        "F32",
        "F16",
        "BF16",
        "FP32",
        "FP16",
        "MXFP4",
        "MXFP4_MOE",
        "NVFP4",
    ];
    let Some((family, rest)) = text.split_once('Q') else {
        return FLOATS.contains(&text);
    };
    let mut parts = rest.split('_');
    let bits = parts.next().unwrap_or("");
    matches!(family, "" | "I" | "T")
        && matches!(bits.as_bytes(), [b'1'..=b'8'])
        && parts.all(|part| {
            (1..=4).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
        })
}

/// Whether two names of a quantization mean the same, in whatever case.
pub fn same_quantization(a: &str, b: &str) -> bool {
    let normal = |name: &str| {
        let name = name.to_ascii_uppercase();
        match name.as_str() {
            "FP16" => "F16".to_owned(),
            "FP32" => "F32".to_owned(),
            _ => name,
        }
    };
    normal(a) == normal(b)
}

/// A quantization's name without the mark of who made it: `Q4_K_XL` for `UD-Q4_K_XL`.
pub fn plain_quantization(name: &str) -> &str {
    match name.split_once('-') {
        Some((mark, rest))
            if mark.eq_ignore_ascii_case("UD") || mark.eq_ignore_ascii_case("I1") =>
        {
            rest
        }
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_quantization() {
        for (name, expected) in [
            ("Qwen3-4B-Q4_K_M.gguf", Some("Q4_K_M")),
            ("qwen2.5-0.5b-instruct-q4_k_m.gguf", Some("Q4_K_M")),
            ("llama-2-7b.Q5_0.gguf", Some("Q5_0")),
            ("Phi-3-mini-4k-instruct-q4.gguf", Some("Q4")),
            ("model_q8_0.gguf", Some("Q8_0")),
            ("gpt-oss-20b-mxfp4.gguf", Some("MXFP4")),
            ("x-UD-Q4_K_XL.gguf", Some("UD-Q4_K_XL")),
            ("x.i1-IQ3_XXS.gguf", Some("I1-IQ3_XXS")),
            ("BF16/x-BF16-00001-of-00002.gguf", Some("BF16")),
            ("x-TQ1_0.gguf", Some("TQ1_0")),
            ("Q6_K/model-00002-of-00003.gguf", Some("Q6_K")),
            ("model.gguf", None),
            ("Q-learner-7b.gguf", None),
            ("qwen-9.gguf", None),
        ] {
            assert_eq!(quantization(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn quantizations_compare() {
        assert!(same_quantization("q4_k_m", "Q4_K_M"));
        assert!(same_quantization("fp16", "F16"));
        assert!(!same_quantization("BF16", "F16"));
        assert!(!same_quantization("Q4_K", "Q4_K_M"));
        assert_eq!(plain_quantization("UD-Q4_K_XL"), "Q4_K_XL");
        assert_eq!(plain_quantization("Q4_K_XL"), "Q4_K_XL");
    }

    #[test]
    fn parts_and_companions() {
        assert_eq!(split("a/x-00002-of-00003.gguf"), Some(("a/x", 2, 3)));
        assert_eq!(split("x-2-of-3.gguf"), None);
        assert_eq!(stem("a/x-Q8_0-00002-of-00003.gguf"), "x-Q8_0");
        assert!(is_companion("mmproj-model-f16.gguf") && is_companion("b/x.imatrix.gguf"));
        assert!(!is_companion("mmproj/x.gguf"));
    }
}
