//! The list that samplers work on: tokens with logits, and probabilities where someone has asked for them.
//! Sorting is done as far as it is needed and no further: with a vocabulary of 262,144 tokens a whole sort would cost
//! more than the rest of sampling together.

/// A token that may come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit, never a NaN and never positive infinity.
    pub logit: f32,
    /// Its probability among the candidates, as of the last [`Candidates::softmax`].
    pub probability: f32,
}

/// The tokens that may come next. Memory is kept from token to token.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    items: Vec<Candidate>,
    /// Number of items at the front that are in descending order of logits; none behind them is larger.
    sorted: usize,
    /// Item `i` is token `i`.
    indexed: bool,
    /// Probabilities belong to the present logits and items.
    probable: bool,
}

/// Descending order of logits; equal ones in order of their ids, so that the outcome doesn't hang on the algorithm.
fn descending(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

impl Candidates {
    /// An empty list with room for a vocabulary.
    pub fn with_capacity(vocab_size: usize) -> Candidates {
        Candidates {
            items: Vec::with_capacity(vocab_size),
            ..Candidates::default()
        }
    }

    /// Starts over with all tokens. A logit that is not a number counts as negative infinity.
    pub fn fill(&mut self, logits: &[f32]) {
        self.items.clear();
        self.items
            .extend(logits.iter().zip(0u32..).map(|(&logit, id)| {
                let logit = if logit.is_nan() {
                    f32::NEG_INFINITY
                } else {
                    logit.min(f32::MAX)
                };
                Candidate {
                    id,
                    logit,
                    probability: 0.0,
                }
            }));
        self.sorted = 0;
        self.indexed = true;
        self.probable = false;
    }

    /// The candidates, in no particular order except for what was asked to be sorted.
    pub fn items(&self) -> &[Candidate] {
        &self.items
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The largest logit; negative infinity for an empty list.
    pub fn max_logit(&self) -> f32 {
        match self.sorted {
            0 => self
                .items
                .iter()
                .fold(f32::NEG_INFINITY, |max, item| max.max(item.logit)),
            _ => self.items[0].logit,
        }
    }

    /// The most likely token.
    pub fn best(&self) -> Option<u32> {
        if self.sorted > 0 {
            return self.items.first().map(|item| item.id);
        }
        let mut best = self.items.first()?;
        for item in &self.items {
            if item.logit > best.logit || (item.logit == best.logit && item.id < best.id) {
                best = item;
            }
        }
        Some(best.id)
    }

    /// Changes the logit of one token, if it is a candidate still.
    pub fn change(&mut self, id: u32, f: impl FnOnce(f32) -> f32) {
        let item = if self.indexed {
            self.items.get_mut(id as usize)
        } else {
            self.items.iter_mut().find(|item| item.id == id)
        };
        if let Some(item) = item {
            item.logit = finite(f(item.logit), item.logit);
            self.sorted = 0;
            self.probable = false;
        }
    }

    /// Gives a token no chance.
    pub fn ban(&mut self, id: u32) {
        if let Some(item) = self.items.iter_mut().find(|item| item.id == id) {
            item.logit = f32::NEG_INFINITY;
            self.sorted = 0;
            self.probable = false;
        }
    }

    /// Changes all logits by a function that keeps their order.
    pub fn rescale(&mut self, f: impl Fn(f32) -> f32) {
        for item in &mut self.items {
            item.logit = finite(f(item.logit), item.logit);
        }
        self.probable = false;
    }

    /// Sorts the largest `count` to the front.
    pub fn sort(&mut self, count: usize) {
        let count = count.min(self.items.len());
        if count <= self.sorted {
            return;
        }
        let rest = &mut self.items[self.sorted..];
        let more = count - self.sorted;
        if more < rest.len() {
            rest.select_nth_unstable_by(more - 1, descending);
        }
        rest[..more].sort_unstable_by(descending);
        self.sorted = count;
        self.indexed = false;
    }

    /// Keeps the `count` largest, sorted.
    pub fn keep_largest(&mut self, count: usize) {
        if self.sorted < count && count < self.items.len() / 8 {
            self.sift(count);
        }
        self.sort(count);
        self.truncate(count);
    }

    /// Removes most of what is not among the `count` largest, in one pass: what beats the `count`-th largest so far is
    /// moved to the front, and the bar is raised whenever enough has gathered there.
    fn sift(&mut self, count: usize) {
        let room = (count * 4).max(256).min(self.items.len());
        let mut gathered = 0;
        let mut bar = f32::NEG_INFINITY;
        for index in 0..self.items.len() {
            if self.items[index].logit >= bar {
                self.items.swap(gathered, index);
                gathered += 1;
                if gathered == room {
                    let (_, last, _) =
                        self.items[..gathered].select_nth_unstable_by(count - 1, descending);
                    // Equal logits go on being gathered, so that ties are settled by id.
                    bar = last.logit;
                    gathered = count;
                }
            }
        }
        self.items.truncate(gathered);
        self.sorted = 0;
        self.indexed = false;
        self.probable = false;
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        if count < self.items.len() {
            self.items.truncate(count);
            self.sorted = self.sorted.min(count);
            self.indexed = false;
            self.probable = false;
        }
    }

    /// Removes the first `count`.
    pub fn remove_front(&mut self, count: usize) {
        self.items.drain(..count.min(self.items.len()));
        self.sorted = self.sorted.saturating_sub(count);
        self.indexed = false;
        self.probable = false;
    }

    /// Keeps the candidates that the condition holds for, in their order.
    pub fn retain(&mut self, condition: impl Fn(&Candidate) -> bool) {
        let before = self.items.len();
        let sorted = self.items[..self.sorted]
            .iter()
            .filter(|item| condition(item))
            .count();
        self.items.retain(condition);
        if self.items.len() != before {
            self.sorted = sorted;
            self.indexed = false;
            self.probable = false;
        }
    }

    /// Keeps these, some of the present ones in any order.
    pub fn replace(&mut self, kept: impl Iterator<Item = Candidate>) {
        self.items.clear();
        self.items.extend(kept);
        self.sorted = 0;
        self.indexed = false;
        self.probable = false;
    }

    /// Computes the probabilities, which add up to one.
    pub fn softmax(&mut self) {
        if self.probable {
            return;
        }
        let max = self.max_logit();
        let mut sum = 0.0f64;
        for item in &mut self.items {
            // Where all are negative infinity the difference is not a number, and the probability is zero.
            let weight = if item.logit == f32::NEG_INFINITY {
                0.0
            } else {
                (item.logit - max).exp()
            };
            item.probability = weight;
            sum += f64::from(weight);
        }
        if sum > 0.0 {
            let scale = (1.0 / sum) as f32;
            self.items
                .iter_mut()
                .for_each(|item| item.probability *= scale);
        }
        self.probable = true;
    }
}

/// Keeps arithmetic on logits within the numbers. A token without a chance stays without.
fn finite(value: f32, before: f32) -> f32 {
    if before == f32::NEG_INFINITY || value.is_nan() {
        before
    } else {
        value.clamp(f32::MIN, f32::MAX)
    }
}
