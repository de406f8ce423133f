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

/// A time that is given as text, such as `2026-01-15T12:00:00`: where the user is, or in the zone that it names
/// (`2026-01-15T12:00:00+01:00[Europe/Berlin]`).
#[derive(Debug, Clone)]
pub struct FixedClock(jiff::Zoned);

impl Clock for FixedClock {
    fn now(&self) -> jiff::Zoned {
        self.0.clone()
    }
}

impl std::str::FromStr for FixedClock {
    type Err = String;

    fn from_str(text: &str) -> Result<FixedClock, String> {
        if let Ok(time) = text.parse() {
            return Ok(FixedClock(time));
        }
        let here = |time: jiff::civil::DateTime| time.to_zoned(jiff::tz::TimeZone::system());
        let time = text.parse().and_then(here);
        time.map(FixedClock)
            .map_err(|_| "must be a date and time such as 2026-01-15T12:00:00".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_words() {
        for (text, expected) in [
            ("2026-01-15T12:30:00", "2026-01-15 12:30"),
            ("2026-01-15", "2026-01-15 00:00"),
            ("2026-01-15T12:30:00+00:00[UTC]", "2026-01-15 12:30"),
        ] {
            let clock: FixedClock = text.parse().expect("a time");
            assert_eq!(clock.now().strftime("%F %H:%M").to_string(), expected);
        }
        for text in ["", "noon", "2026-13-01"] {
            assert!(text.parse::<FixedClock>().is_err(), "{text}");
        }
    }
}
