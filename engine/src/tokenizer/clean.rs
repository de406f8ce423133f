//! Cleaning up a decoded text: vocabularies from the GPT-2 and BERT family write a space before punctuation and
//! contractions, and their decoders take it away. In: a text. Out: the same with fewer spaces, as the reference does it.

/// Removes the space before `? ! . ,`, then both spaces around a lone apostrophe, then the space before `'s 'm 're 've`.
pub(super) fn spaces(text: Vec<u8>) -> Vec<u8> {
    let text = drop_space(text, |rest| matches!(rest, [b'?' | b'!' | b'.' | b',', ..]));
    let text = lone_apostrophes(text);
    drop_space(text, |rest| {
        matches!(
            rest,
            [b'\'', b's' | b'm', ..] | [b'\'', b'r' | b'v', b'e', ..]
        )
    })
}

/// Drops every space (but one at the start that stands alone) before a place where `follows` holds.
fn drop_space(text: Vec<u8>, follows: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        if at > 0 && text[at - 1] == b' ' && follows(&text[at..]) {
            out.pop();
        }
        out.push(byte);
    }
    out
}

fn lone_apostrophes(text: Vec<u8>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut at = 0;
    // The space after an apostrophe is used up: it is not before the next one as well.
    let mut after_space = false;
    while at < text.len() {
        let byte = text[at];
        if byte == b'\'' && after_space && text.get(at + 1) == Some(&b' ') {
            out.pop();
            out.push(byte);
            after_space = false;
            at += 2;
            continue;
        }
        out.push(byte);
        after_space = byte == b' ';
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::spaces;

    #[test]
    fn spaces_go_where_the_reference_drops_them() {
        for (text, expected) in [
            ("Hello , world !", "Hello, world!"),
            (
                "it 's we 're I 'm don 't he 'll",
                "it's we're I'm don 't he 'll",
            ),
            ("a ' b ' c", "a'b'c"),
            (" ' ' x", "'' x"),
            (" .", "."),
            ("'s", "'s"),
            ("", ""),
        ] {
            assert_eq!(
                String::from_utf8(spaces(text.into())).unwrap(),
                expected,
                "{text:?}"
            );
        }
    }
}
