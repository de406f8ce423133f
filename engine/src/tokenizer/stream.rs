//! Text as it is generated: bytes of tokens in, whole characters out.

use super::Tokenizer;

/// Turns tokens into text one by one. A character whose bytes are spread over several tokens comes out when it is
/// complete; bytes that can't be part of any become U+FFFD, and nothing is lost.
///
/// ```
/// fn type_out(tokenizer: &gristmill_engine::tokenizer::Tokenizer, ids: &[u32]) {
///     let mut stream = tokenizer.stream(false);
///     for &id in ids {
///         print!("{}", stream.push(id));
///     }
///     println!("{}", stream.finish());
/// }
/// ```
#[derive(Debug, Clone)]
pub struct DetokStream<'a> {
    tokenizer: &'a Tokenizer,
    show_special: bool,
    pending: Vec<u8>,
    ready: String,
}

impl<'a> DetokStream<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, show_special: bool) -> DetokStream<'a> {
        DetokStream {
            tokenizer,
            show_special,
            pending: Vec::new(),
            ready: String::new(),
        }
    }

    /// Adds a token; the text that is complete now. May be empty.
    pub fn push(&mut self, id: u32) -> &str {
        let piece = self.tokenizer.piece(id, self.show_special);
        self.pending.extend_from_slice(&piece);
        self.ready.clear();
        self.drain();
        &self.ready
    }

    /// The end: what is left of an incomplete character, as U+FFFD. The stream can be used again afterwards.
    pub fn finish(&mut self) -> &str {
        self.ready.clear();
        self.ready.push_str(&String::from_utf8_lossy(&self.pending));
        self.pending.clear();
        &self.ready
    }

    /// Moves everything but an incomplete character at the end from `pending` to `ready`.
    fn drain(&mut self) {
        let mut done = 0;
        for chunk in self.pending.utf8_chunks() {
            self.ready.push_str(chunk.valid());
            done += chunk.valid().len();
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let at_end = done + invalid.len() == self.pending.len();
            if at_end
                && std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none())
            {
                break; // more bytes may complete it
            }
            self.ready.push('\u{FFFD}');
            done += invalid.len();
        }
        self.pending.drain(..done);
    }
}
