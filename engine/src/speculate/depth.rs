//! How many tokens to guess: as many as promise the most tokens in a second, by what was measured so far. None, where
//! plain generation is as fast.
//! Flows in: times of passes, and which guesses were right. Flows out: a number of guesses.

use super::MOST_GUESSES;

/// How much faster than the plain path guessing must promise to be: estimates err.
const WORTH: f64 = 1.03;

/// How often guesses of one kind are right: the first one, and each one behind a right one.
#[derive(Debug, Clone, Copy)]
pub struct Odds {
    first: Share,
    next: Share,
}

/// A running mean of right and wrong.
#[derive(Debug, Clone, Copy)]
struct Share {
    right: f64,
    all: f64,
}

impl Share {
    /// Guesses that a share remembers.
    const MEMORY: f64 = 64.0;

    /// As if four guesses had been seen.
    const fn assumed(share: f64) -> Self {
        Self {
            right: 4.0 * share,
            all: 4.0,
        }
    }

    fn add(&mut self, right: bool) {
        let kept = (self.all.min(Self::MEMORY) / self.all).min(1.0);
        self.right = self.right * kept + f64::from(u8::from(right));
        self.all = self.all * kept + 1.0;
    }

    fn mean(self) -> f64 {
        self.right / self.all
    }
}

impl Odds {
    /// Before anything is known: how often the first guess may be right, and each one behind a right one.
    pub const fn assumed(first: f64, next: f64) -> Self {
        Self {
            first: Share::assumed(first),
            next: Share::assumed(next),
        }
    }

    /// Takes down whether guess number `index` was right; those before it were.
    pub fn add(&mut self, index: usize, right: bool) {
        let share = if index == 0 {
            &mut self.first
        } else {
            &mut self.next
        };
        share.add(right);
    }

    /// The number of guesses up to `most` that promises the most tokens in a second; 0 if that is not clearly more than
    /// without guesses, or if not even a plain pass was measured. `each`: seconds that making a guess takes.
    pub fn best_depth(&self, costs: &Costs, each: f64, most: usize) -> usize {
        let Some(plain) = costs.seconds(1) else {
            return 0;
        };
        let (mut depth, mut best) = (0, WORTH / plain);
        let (mut tokens, mut reached) = (1.0, self.first.mean());
        for guesses in 1..=most.min(MOST_GUESSES) {
            tokens += reached;
            reached *= self.next.mean();
            let seconds = costs.seconds(guesses + 1).unwrap_or(f64::INFINITY);
            let speed = tokens / (seconds + guesses as f64 * each);
            if speed > best {
                (depth, best) = (guesses, speed);
            }
        }
        depth
    }
}

/// What passes cost, by the number of tokens in them.
#[derive(Debug, Clone)]
pub struct Costs {
    means: [Mean; MOST_GUESSES + 1],
    passes: u64,
    /// Passes since the last plain one.
    since_plain: usize,
}

/// A running mean of times, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    mean: f64,
    count: u32,
    /// When it was last added to, in passes.
    at: u64,
}

impl Mean {
    /// Takes a time in. One that is far off (another program, a page from disk) counts little.
    pub fn add(&mut self, seconds: f64) {
        let slow_start = self.count < 4 && seconds * 1.5 < self.mean;
        if self.count == 0 || slow_start {
            self.mean = seconds;
        } else {
            let weight = (1.0 / f64::from(self.count + 1)).max(1.0 / 16.0);
            self.mean += weight * (seconds.min(1.5 * self.mean) - self.mean);
        }
        self.count = self.count.saturating_add(1);
    }

    /// The mean, if there is one.
    pub fn get(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            means: [Mean::default(); MOST_GUESSES + 1],
            passes: 0,
            since_plain: 0,
        }
    }
}

impl Costs {
    /// Passes after which a time is no longer believed: the text has grown, or it was an accident.
    const BELIEVED: u64 = 256;
    /// Passes with guesses in a row, after which a plain one is measured again.
    const PLAIN_EVERY: usize = 64;

    /// A pass of `tokens` tokens took `seconds`.
    pub fn add(&mut self, tokens: usize, seconds: f64) {
        self.passes += 1;
        self.since_plain = if tokens == 1 { 0 } else { self.since_plain + 1 };
        if let Some(mean) = tokens.checked_sub(1).and_then(|i| self.means.get_mut(i)) {
            if self.passes - mean.at > Self::BELIEVED && tokens > 1 {
                *mean = Mean::default();
            }
            mean.add(seconds);
            mean.at = self.passes;
        }
    }

    /// Whether a plain pass should be measured: there were none for long.
    pub fn wants_plain(&self) -> bool {
        self.means[0].count == 0 || self.since_plain >= Self::PLAIN_EVERY
    }

    /// What was measured. A pass of more tokens that took less tells that this one was held up.
    fn known(&self, tokens: usize) -> Option<f64> {
        let fresh = |mean: &Mean| self.passes - mean.at <= Self::BELIEVED;
        let mean = self.means.get(tokens - 1)?;
        let own = mean.get().filter(|_| tokens == 1 || fresh(mean))?;
        let longer = self.means[tokens..].iter().filter(|mean| fresh(mean));
        Some(longer.filter_map(Mean::get).fold(own, f64::min))
    }

    /// What a pass of that many tokens takes: measured, between its measured neighbours, or guessed from those below it,
    /// hopefully so that it is tried. `None` before the first plain pass.
    pub fn seconds(&self, tokens: usize) -> Option<f64> {
        let plain = self.known(1)?;
        if let Some(known) = self.known(tokens) {
            return Some(known);
        }
        let below = (1..tokens).rev().find_map(|n| Some((n, self.known(n)?)));
        let above = (tokens + 1..=self.means.len()).find_map(|n| Some((n, self.known(n)?)));
        let (low, seconds) = below.unwrap_or((1, plain));
        let slope = match above {
            Some((high, above)) => (above - seconds) / (high - low) as f64,
            None if low == 1 => 0.1 * plain,
            None => 0.5 * ((seconds - plain) / (low - 1) as f64).max(0.0),
        };
        Some(seconds + slope * (tokens - low) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes that cost `plain` + `each` for every further token.
    fn costs(plain: f64, each: f64) -> Costs {
        let mut costs = Costs::default();
        for tokens in 1..=MOST_GUESSES + 1 {
            costs.add(tokens, plain + each * (tokens - 1) as f64);
        }
        costs
    }

    #[test]
    fn depth_follows_odds_and_costs() {
        let depth = |first, next, each, guess| {
            Odds::assumed(first, next).best_depth(&costs(1.0, each), guess, MOST_GUESSES)
        };
        assert_eq!(depth(1.0, 1.0, 0.1, 0.0), MOST_GUESSES);
        assert_eq!(depth(0.0, 1.0, 0.01, 0.0), 0);
        assert_eq!(
            depth(0.5, 0.5, 0.6, 0.0),
            0,
            "a pass that costs more than it gives"
        );
        assert_eq!(
            depth(0.9, 0.9, 0.05, 1.0),
            0,
            "guesses that cost as much as tokens"
        );
        let some = depth(0.6, 0.6, 0.1, 0.0);
        assert!(0 < some && some < 6, "{some}");
        assert!(depth(0.6, 0.9, 0.1, 0.0) > some);
        assert!(depth(0.6, 0.6, 0.1, 0.1) < some);
        let unknown = Costs::default();
        assert_eq!(Odds::assumed(1.0, 1.0).best_depth(&unknown, 0.0, 15), 0);
        assert_eq!(
            Odds::assumed(1.0, 1.0).best_depth(&costs(1.0, 0.1), 0.0, 4),
            4
        );
    }

    #[test]
    fn shares_follow_what_is_seen() {
        let mut odds = Odds::assumed(0.9, 0.9);
        for _ in 0..300 {
            odds.add(0, false);
        }
        assert!(odds.first.mean() < 0.02);
        assert!(odds.next.mean() > 0.8);
        for _ in 0..300 {
            odds.add(0, true);
            odds.add(1, false);
        }
        assert!(odds.first.mean() > 0.98);
        assert!(odds.next.mean() < 0.02);
    }

    #[test]
    fn times_are_measured_or_in_between() {
        let mut costs = Costs::default();
        assert!(costs.wants_plain());
        assert_eq!(costs.seconds(1), None);
        costs.add(1, 20.0);
        costs.add(1, 1.0);
        assert_eq!(
            costs.seconds(1),
            Some(1.0),
            "a slow first pass is forgotten"
        );
        assert!(costs.seconds(16).unwrap() < 4.0);
        costs.add(5, 3.0);
        assert_eq!(costs.seconds(3), Some(2.0));
        assert_eq!(costs.seconds(9), Some(4.0));
        costs.add(5, 300.0);
        assert!(costs.seconds(5).unwrap() < 4.0, "an outlier counts little");
        costs.add(6, 2.5);
        assert!(
            costs.seconds(5).unwrap() <= 2.5,
            "a longer pass that took less tells"
        );
        assert!(!costs.wants_plain());
        for _ in 0..Costs::PLAIN_EVERY {
            costs.add(2, 1.0);
        }
        assert!(costs.wants_plain());
        for _ in 0..Costs::BELIEVED {
            costs.add(1, 1.0);
        }
        assert!(
            costs.seconds(5).unwrap() < 1.5,
            "old times are not believed"
        );
    }
}
