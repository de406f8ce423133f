//! Which tokens a text begins with: a tree over byte strings.

use super::vocabulary::NONE;

/// A set of byte strings with a value each. A node's children are neighbours, sorted by their byte.
#[derive(Debug)]
pub(super) struct Trie {
    /// The byte that leads to each node but the root.
    bytes: Vec<u8>,
    /// The value of the string that ends at each node, or [`NONE`].
    values: Vec<u32>,
    /// Where each node's children begin; they end where the next node's begin.
    children: Vec<u32>,
    /// The root's children by their byte, which every search begins with; 0, the root, where there is none.
    first: [u32; 256],
}

impl Trie {
    /// Makes the tree. Of equal strings the last one counts; empty ones are left out.
    pub(super) fn new(mut strings: Vec<(Vec<u8>, u32)>) -> Trie {
        strings.retain(|(text, _)| !text.is_empty());
        strings.sort_by(|a, b| a.0.cmp(&b.0));
        let mut trie = Trie {
            bytes: vec![0],
            values: vec![NONE],
            children: Vec::new(),
            first: [0; 256],
        };
        // Breadth first: the strings below each node, and the depth of it.
        let mut pending = std::collections::VecDeque::from([(0, strings.len(), 0)]);
        while let Some((mut start, end, depth)) = pending.pop_front() {
            trie.children.push(trie.bytes.len() as u32);
            while start < end && strings[start].0.len() == depth {
                start += 1;
            }
            while start < end {
                let byte = strings[start].0[depth];
                let below = &strings[start..end];
                let stop = start + below.partition_point(|(text, _)| text[depth] == byte);
                let here = strings[start..stop].iter();
                let value = here.take_while(|(text, _)| text.len() == depth + 1).last();
                trie.bytes.push(byte);
                trie.values.push(value.map_or(NONE, |&(_, value)| value));
                pending.push_back((start, stop, depth + 1));
                start = stop;
            }
        }
        trie.children.push(trie.bytes.len() as u32);
        for node in trie.children[0]..trie.children[1] {
            trie.first[usize::from(trie.bytes[node as usize])] = node;
        }
        trie
    }

    /// The nodes that `text` leads to, byte by byte.
    fn nodes<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
        let mut node = 0;
        text.iter().map_while(move |&byte| {
            if node == 0 {
                node = self.first[usize::from(byte)] as usize;
                return (node != 0).then_some(node);
            }
            let children = self.children[node] as usize..self.children[node + 1] as usize;
            let at = self.bytes[children.clone()].binary_search(&byte).ok()?;
            node = children.start + at;
            Some(node)
        })
    }

    /// The strings that `text` begins with, shortest first: length and value.
    pub(super) fn prefixes<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (usize, u32)> {
        let nodes = self.nodes(text).enumerate();
        nodes.filter_map(|(index, node)| {
            let value = self.values[node];
            (value != NONE).then_some((index + 1, value))
        })
    }

    /// How many bytes of `text` are the beginning of some string.
    pub(super) fn begun(&self, text: &[u8]) -> usize {
        self.nodes(text).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn finds_what_a_search_finds(
            strings in prop::collection::vec("[ab]{0,4}|[\u{0}-\u{ff}]{0,2}", 0..40),
            text in "[ab]{0,9}|[\u{0}-\u{ff}]{0,9}",
        ) {
            let numbered = strings.iter().enumerate();
            let trie = Trie::new(numbered.map(|(at, text)| (text.clone().into_bytes(), at as u32)).collect());
            let found: Vec<(usize, u32)> = trie.prefixes(text.as_bytes()).collect();
            let expected: Vec<(usize, u32)> = (1..=text.len())
                .filter_map(|length| {
                    let matches = |string: &String| string.as_bytes() == &text.as_bytes()[..length];
                    Some((length, strings.iter().rposition(matches)? as u32))
                })
                .collect();
            prop_assert_eq!(found, expected);
            let begins = |length: &usize| strings.iter().any(|s| s.as_bytes().starts_with(&text.as_bytes()[..*length]));
            prop_assert_eq!(trie.begun(text.as_bytes()), (0..=text.len()).rev().find(begins).unwrap_or(0));
        }
    }

    #[test]
    fn an_empty_one_finds_nothing() {
        let trie = Trie::new(vec![(Vec::new(), 3)]);
        assert_eq!(trie.prefixes(b"a").count(), 0);
    }
}
