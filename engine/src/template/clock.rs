//! The time of day that templates write.

/// A clock for `strftime_now`.
pub trait Clock: Send + Sync {
    /// The date and time now, where the user is.
    fn now(&self) -> jiff::Zoned;
}

/// The computer's clock in its time zone.
#[derive(Debug, Clone, Copy)]
pub struct LocalClock;

impl Clock for LocalClock {
    fn now(&self) -> jiff::Zoned {
        jiff::Zoned::now()
    }
}

/// A clock that stands still: for tests and reproducible runs.
impl Clock for jiff::Zoned {
    fn now(&self) -> jiff::Zoned {
        self.clone()
    }
}
