//! Whether a model that is not open yet will fit into this machine's memory, from the size of its file.

/// The context that such estimates are made for, in tokens.
pub const CONTEXT: u64 = 4096;

/// How a model and a machine's memory go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fits {
    /// Weights and state fit.
    Yes,
    /// The state fits, the weights do not: mapped weights are read from the disk again for every token.
    Slow,
    /// Not even the state fits.
    No,
    /// The size of the file or of the memory is not known.
    Unknown,
}

impl Fits {
    /// Compares weights and state, in bytes, with the memory that is free.
    pub fn of(weights: Option<u64>, state: u64, free: Option<u64>) -> Fits {
        match (weights, free) {
            (_, Some(free)) if state > free => Fits::No,
            (Some(weights), Some(free)) if weights.saturating_add(state) <= free => Fits::Yes,
            (Some(_), Some(_)) => Fits::Slow,
            _ => Fits::Unknown,
        }
    }

    /// One word for a table, also the key in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Fits::Yes => "yes",
            Fits::Slow => "slow",
            Fits::No => "no",
            Fits::Unknown => "?",
        }
    }
}

/// The memory that this process may still take, in bytes, where the system says it.
pub fn free() -> Option<u64> {
    gristmill_engine::memory::available()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_may_stay_on_disk_but_state_may_not() {
        assert_eq!(Fits::of(Some(6), 2, Some(8)), Fits::Yes);
        assert_eq!(Fits::of(Some(7), 2, Some(8)), Fits::Slow);
        assert_eq!(Fits::of(Some(1), 9, Some(8)), Fits::No);
        assert_eq!(Fits::of(None, 2, Some(8)), Fits::Unknown);
        assert_eq!(Fits::of(Some(6), 2, None), Fits::Unknown);
        assert_eq!(Fits::of(Some(u64::MAX), 2, Some(8)), Fits::Slow);
    }
}
