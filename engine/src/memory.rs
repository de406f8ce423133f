//! What a run will need, computed before it is taken: weights (mapped), cache, scratch; and what the machine has.
//! Flows in: a model's description and the options of a context. Flows out: a [`MemoryPlan`], which says in one line
//! whether it fits and what helps when it does not.

use std::fmt;

/// The memory that a context needs, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// The weights: the bytes of the files (adapters' too), mapped and shared with other processes unless they are read into memory.
    pub weights: u64,
    /// Keys and values (and other state) of all layers at full context.
    pub cache: u64,
    /// Buffers for one batch, logits included.
    pub scratch: u64,
    /// What the machine has left, where that can be told.
    pub available: Option<u64>,
    /// Positions of the context that this plan is for.
    pub context_length: usize,
    /// The largest context that would fit with the same options, 0 if none does.
    pub fitting_context: usize,
}

impl MemoryPlan {
    /// Everything together.
    pub fn total(&self) -> u64 {
        self.weights
            .saturating_add(self.cache)
            .saturating_add(self.scratch)
    }

    /// Whether the machine can hold it. Mapped weights stay on disk where memory is short (slowly), so only cache and
    /// scratch are demanded in full.
    pub fn fits(&self) -> bool {
        self.available
            .is_none_or(|have| self.cache.saturating_add(self.scratch) <= have)
    }
}

impl MemoryPlan {
    /// What is needed and, where it does not fit, what helps; `smaller` says in the caller's words what a context of the size
    /// that it is given is.
    pub fn describe(&self, smaller: impl Fn(usize) -> String) -> String {
        let Self {
            weights,
            cache,
            scratch,
            ..
        } = *self;
        let mut text = format!(
            "a context of {} needs {} (weights {}, cache {}, scratch {})",
            self.context_length,
            bytes(self.total()),
            bytes(weights),
            bytes(cache),
            bytes(scratch)
        );
        let Some(available) = self.available else {
            return text;
        };
        text += &format!("; {} are available", bytes(available));
        text += &match self.fitting_context {
            _ if self.fits() => String::new(),
            0 => ": too little for this model, but a smaller batch needs less scratch".to_owned(),
            n => format!(
                ": {} would fit, and q8_0 for keys and values halves the cache",
                smaller(n)
            ),
        };
        text
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe(|n| format!("a context of {n}")))
    }
}

/// A number of bytes for people: `1.5 GB`, `23 MB`, `612 kB`.
pub fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", n as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// Memory that this process may still take: the system's free memory, page cache that can be dropped included, but not
/// more than its control group allows. `None` where the platform gives no answer.
pub fn available() -> Option<u64> {
    platform::available()
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs::read_to_string;

    pub fn available() -> Option<u64> {
        let system = mem_available(&read_to_string("/proc/meminfo").ok()?);
        match (system, control_group()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The line `MemAvailable:  123 kB` of /proc/meminfo.
    pub(super) fn mem_available(meminfo: &str) -> Option<u64> {
        let line = meminfo
            .lines()
            .find_map(|l| l.strip_prefix("MemAvailable:"))?;
        line.split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()?
            .checked_mul(1024)
    }

    /// The tightest limit less use, over this process' control group and all above it (version 2, else version 1).
    fn control_group() -> Option<u64> {
        let groups = read_to_string("/proc/self/cgroup").ok()?;
        let mut least: Option<u64> = None;
        for line in groups.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let (root, limit, usage) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.max", "memory.current"),
                c if c.split(',').any(|c| c == "memory") => (
                    "/sys/fs/cgroup/memory",
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                ),
                _ => continue,
            };
            // Inside a container the path may not exist below the mount: its root then holds the limit.
            for path in std::path::Path::new(path.trim_start_matches('/')).ancestors() {
                let folder = std::path::Path::new(root).join(path);
                if let (Some(limit), Some(used)) =
                    (number(&folder.join(limit)), number(&folder.join(usage)))
                {
                    // File pages count as used, but can be dropped.
                    let cached =
                        read_to_string(folder.join("memory.stat")).map_or(0, |s| file_pages(&s));
                    let left = limit.saturating_sub(used.saturating_sub(cached));
                    least = Some(least.map_or(left, |l| l.min(left)));
                }
            }
        }
        least
    }

    fn number(path: &std::path::Path) -> Option<u64> {
        read_to_string(path).ok()?.trim().parse().ok()
    }

    fn file_pages(stat: &str) -> u64 {
        let field = |name: &str| {
            stat.lines()
                .find_map(|l| l.strip_prefix(name)?.trim().parse::<u64>().ok())
        };
        field("inactive_file ").unwrap_or(0) + field("active_file ").unwrap_or(0)
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    /// Physical memory as `sysctl` names it (macOS, BSD): free memory has no stable name there.
    pub fn available() -> Option<u64> {
        let output = std::process::Command::new("sysctl")
            .args(["-n", "hw.memsize"])
            .output()
            .ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_does_not_fit_says_what_helps() {
        let plan = MemoryPlan {
            weights: 98_000_000,
            cache: 3_000_000_000,
            scratch: 50_000_000,
            available: Some(1_000_000_000),
            context_length: 131_072,
            fitting_context: 40_960,
        };
        assert!(!plan.fits());
        let text = plan.to_string();
        for part in [
            "131072",
            "3.1 GB",
            "98 MB",
            "3.0 GB",
            "50 MB",
            "1.0 GB",
            "a context of 40960 would fit",
            "q8_0",
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(
            MemoryPlan {
                available: None,
                ..plan
            }
            .fits()
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn meminfo_is_read() {
        assert_eq!(
            platform::mem_available("MemTotal: 5 kB\nMemAvailable:    12 kB\n"),
            Some(12 * 1024)
        );
        assert_eq!(platform::mem_available("MemTotal: 5 kB\n"), None);
        assert!(available().is_some());
    }
}
