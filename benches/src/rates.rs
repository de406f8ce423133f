//! Criterion's wall clock with our units: multiply-adds (or whatever a benchmark counts) and bytes by powers of ten,
//! `GMAC/s` and `GB/s`.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};

/// Criterion with these units.
pub fn criterion() -> Criterion<Rates> {
    Criterion::default().with_measurement(Rates)
}

/// Wall-clock time, and rates in our units.
#[derive(Debug, Clone, Copy)]
pub struct Rates;

impl Measurement for Rates {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        WallTime.start()
    }

    fn end(&self, start: Instant) -> Duration {
        WallTime.end(start)
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        WallTime.add(a, b)
    }

    fn zero(&self) -> Duration {
        WallTime.zero()
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Rates {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_values(typical, values)
    }

    fn scale_throughputs(
        &self,
        typical: f64,
        throughput: &Throughput,
        values: &mut [f64],
    ) -> &'static str {
        let (count, units) = match *throughput {
            Throughput::Bytes(count) | Throughput::BytesDecimal(count) => {
                (count, [" B/s", "kB/s", "MB/s", "GB/s"])
            }
            Throughput::Bits(count) => (count, [" bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
            Throughput::Elements(count)
            | Throughput::ElementsAndBytes {
                elements: count, ..
            } => (count, [" MAC/s", "kMAC/s", "MMAC/s", "GMAC/s"]),
        };
        // Times are in nanoseconds.
        let per_second = |time: f64| count as f64 / time * 1e9;
        let power = (per_second(typical).max(1.0).log10() / 3.0)
            .floor()
            .min(3.0);
        for value in values {
            *value = per_second(*value) / 10f64.powf(3.0 * power);
        }
        units[power as usize]
    }

    fn scale_for_machines(&self, values: &mut [f64]) -> &'static str {
        WallTime.formatter().scale_for_machines(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_powers_of_ten() {
        let shown = |throughput: Throughput, nanoseconds: f64| {
            Rates.format_throughput(&throughput, nanoseconds)
        };
        let both = Throughput::ElementsAndBytes {
            elements: 64_000,
            bytes: 36_000,
        };
        assert_eq!(shown(both, 1000.0), "64.000 GMAC/s");
        assert_eq!(shown(Throughput::Bytes(36_000), 1000.0), "36.000 GB/s");
        assert_eq!(shown(Throughput::Bytes(36), 1e6), "36.000 kB/s");
        assert_eq!(shown(Throughput::Elements(3), 1e9), "3.0000  MAC/s");
    }
}
