//! What is done to a template's source before minijinja sees it: uniform line ends, and the `generation` tags of
//! transformers (which mark the text to train on, and render their body unchanged) as `with` tags. Line numbers stay.

/// The source for the parser.
pub(super) fn prepare(source: &str) -> String {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    let tags = generation_tags(&source);
    for (start, end, replacement) in tags.into_iter().rev() {
        source.replace_range(start..end, replacement);
    }
    source
}

/// Places of the words `generation` and `endgeneration` where they are tags, and what to write there.
fn generation_tags(source: &str) -> Vec<(usize, usize, &'static str)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|offset| at + offset) {
        let rest = &source[open..];
        if rest.starts_with("{#") {
            let Some(close) = rest.find("#}") else { break };
            at = open + close + 2;
        } else if rest.starts_with("{{") {
            at = expression_end(source, open + 2, "}}");
        } else if let Some(inside) = rest.strip_prefix("{%") {
            let inside = inside.trim_start_matches(['-', '+']).trim_start();
            let start = source.len() - inside.len();
            let word = &inside[..inside
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(inside.len())];
            at = expression_end(source, start + word.len(), "%}");
            match word {
                "generation" => found.push((start, start + word.len(), "with")),
                "endgeneration" => found.push((start, start + word.len(), "endwith")),
                "raw" => match raw_end(source, at) {
                    Some(end) => at = end,
                    None => break,
                },
                _ => {}
            }
        } else {
            at = open + 1;
        }
    }
    found
}

/// Where an expression ends, strings skipped.
fn expression_end(source: &str, from: usize, close: &str) -> usize {
    let bytes = source.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if bytes[at..].starts_with(close.as_bytes()) {
            return at + close.len();
        }
        if let quote @ (b'"' | b'\'') = bytes[at] {
            at += 1;
            while at < bytes.len() && bytes[at] != quote {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
        }
        at += 1;
    }
    bytes.len()
}

fn raw_end(source: &str, from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        let open = at + source[at..].find("{%")?;
        let inside = source[open + 2..]
            .trim_start_matches(['-', '+'])
            .trim_start();
        if inside.starts_with("endraw") {
            let start = source.len() - inside.len();
            return source[start..].find("%}").map(|offset| start + offset + 2);
        }
        at = open + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::prepare;

    #[test]
    fn generation_becomes_with() {
        assert_eq!(
            prepare("a{%- generation -%}b{% endgeneration %}c"),
            "a{%- with -%}b{% endwith %}c"
        );
        for unchanged in [
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{% raw %}{% generation %}{% endraw %}",
            "{% if generation %}",
            "{% set x = '%}{% generation %}' %}",
            "{",
            "{% raw",
            "{{ '\\",
        ] {
            assert_eq!(prepare(unchanged), unchanged);
        }
        assert_eq!(prepare("a\r\nb\rc"), "a\nb\nc");
    }
}
