//! How many threads are worth having: the performance cores that this process may use. And how large the last cache is.

/// The processors that this process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Processors that the system lists for this process, hardware threads counted one by one.
    pub processors: usize,
    /// Cores of the fast kind among them. 0: unknown.
    pub performance: usize,
    /// Processors of the slower kind (efficiency cores) among them.
    pub efficiency: usize,
    /// How many threads the system grants at once (affinity and control group).
    pub granted: usize,
}

impl Topology {
    /// What the system says.
    ///
    /// Linux: among the CPUs of the process's affinity, those whose `cpu_capacity` (ARM) or maximum frequency and core
    /// type (x86) mark them as the fast kind. macOS: `hw.perflevel0.physicalcpu`.
    pub fn detect() -> Topology {
        let granted = std::thread::available_parallelism().map_or(1, usize::from);
        let (processors, performance, efficiency) =
            platform::processors().unwrap_or((granted, 0, 0));
        Topology {
            processors,
            performance,
            efficiency,
            granted,
        }
    }

    /// Threads to use: one for each performance core, never more than are granted; at least 1.
    pub fn threads(&self) -> usize {
        match self.performance {
            0 => self.granted,
            cores => cores.clamp(1, self.granted.max(1)),
        }
    }

    /// In words: what there is, and how many threads that makes.
    pub fn describe(&self) -> (String, String) {
        let threads = self.threads();
        let plural = |n: usize| if n == 1 { "" } else { "s" };
        if self.performance == 0 {
            return (
                format!(
                    "{} processor{}, kind unknown",
                    self.granted,
                    plural(self.granted)
                ),
                format!("{threads}, one for each processor"),
            );
        }
        let mut cores = format!(
            "{} performance core{}",
            self.performance,
            plural(self.performance)
        );
        if self.efficiency > 0 {
            cores += &format!(
                ", {} efficiency core{}",
                self.efficiency,
                plural(self.efficiency)
            );
        }
        cores += &format!(" ({} hardware threads)", self.processors);
        let why = if threads < self.performance {
            "all that the system grants this process"
        } else {
            "one for each performance core"
        };
        (cores, format!("{threads}, {why}"))
    }
}

/// The number of performance cores that the process may run on; at least 1. See [`Topology`].
pub fn performance_cores() -> usize {
    Topology::detect().threads()
}

/// Bytes of the last level of cache, if the system says.
pub fn last_cache_bytes() -> Option<usize> {
    platform::last_cache_bytes()
}

#[cfg(target_os = "linux")]
mod platform {
    use std::collections::BTreeSet;
    use std::fs::read_to_string;

    /// A list such as `0-3,8` as numbers.
    pub(super) fn cpu_list(text: &str) -> Option<Vec<usize>> {
        let mut cpus = Vec::new();
        for part in text.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            cpus.extend(first..=last.min(first + 65_536));
        }
        Some(cpus)
    }

    fn allowed() -> Option<Vec<usize>> {
        let status = read_to_string("/proc/self/status").ok()?;
        cpu_list(
            status
                .lines()
                .find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?,
        )
    }

    fn number(path: String) -> Option<u64> {
        read_to_string(path).ok()?.trim().parse().ok()
    }

    /// The largest of `/sys/devices/system/cpu/cpu0/cache/index*/size`, written as `32768K`.
    pub(super) fn last_cache_bytes() -> Option<usize> {
        (0..8)
            .filter_map(|index| {
                let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
                cache_size(&read_to_string(path).ok()?)
            })
            .max()
    }

    pub(super) fn cache_size(text: &str) -> Option<usize> {
        let text = text.trim();
        let (digits, unit) = match text.strip_suffix('K') {
            Some(digits) => (digits, 1 << 10),
            None => match text.strip_suffix('M') {
                Some(digits) => (digits, 1 << 20),
                None => (text, 1),
            },
        };
        digits.parse::<usize>().ok()?.checked_mul(unit)
    }

    /// Processors, performance cores, efficiency cores.
    pub(super) fn processors() -> Option<(usize, usize, usize)> {
        let mut cpus = allowed()?;
        let all = cpus.len();
        // Hybrid Intel: the kernel lists the two kinds.
        if let Some(fast) = read_to_string("/sys/devices/cpu_core/cpus")
            .ok()
            .and_then(|list| cpu_list(&list))
            && cpus.iter().any(|cpu| fast.contains(cpu))
        {
            cpus.retain(|cpu| fast.contains(cpu));
        }
        let dir = "/sys/devices/system/cpu";
        // ARM: capacity 1024 is the fastest core; half of that is an efficiency core.
        let capacity = |cpu: usize| number(format!("{dir}/cpu{cpu}/cpu_capacity"));
        if let Some(most) = cpus.iter().filter_map(|&cpu| capacity(cpu)).max() {
            cpus.retain(|&cpu| capacity(cpu).is_none_or(|c| c * 10 >= most * 7));
        }
        let frequency = |cpu: usize| number(format!("{dir}/cpu{cpu}/cpufreq/cpuinfo_max_freq"));
        if let Some(most) = cpus.iter().filter_map(|&cpu| frequency(cpu)).max() {
            cpus.retain(|&cpu| frequency(cpu).is_none_or(|f| f * 10 >= most * 7));
        }
        let efficiency = all - cpus.len();
        // Two hardware threads of one core share its multipliers: count cores.
        let cores: BTreeSet<String> = cpus
            .iter()
            .map(|cpu| {
                read_to_string(format!("{dir}/cpu{cpu}/topology/thread_siblings_list"))
                    .unwrap_or_else(|_| cpu.to_string())
            })
            .collect();
        Some((all, cores.len(), efficiency))
    }
}

#[cfg(target_os = "macos")]
mod platform {
    pub(super) fn processors() -> Option<(usize, usize, usize)> {
        let performance = number("hw.perflevel0.physicalcpu")?;
        // Intel Macs have one kind.
        let efficiency = number("hw.perflevel1.physicalcpu").unwrap_or(0);
        let all = number("hw.logicalcpu").unwrap_or(performance + efficiency);
        Some((all, performance, efficiency))
    }

    /// Apple's own chips: the second level is the last that a core cluster has to itself and that `sysctl` names.
    pub(super) fn last_cache_bytes() -> Option<usize> {
        number("hw.l3cachesize").or_else(|| number("hw.perflevel0.l2cachesize"))
    }

    fn number(name: &str) -> Option<usize> {
        let output = std::process::Command::new("/usr/sbin/sysctl")
            .args(["-n", name])
            .output()
            .ok()?;
        std::str::from_utf8(&output.stdout)
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod platform {
    pub(super) fn processors() -> Option<(usize, usize, usize)> {
        None
    }

    pub(super) fn last_cache_bytes() -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_a_core_to_run_on() {
        let cores = super::performance_cores();
        assert!(cores >= 1 && cores <= std::thread::available_parallelism().unwrap().get());
    }

    #[test]
    fn threads_are_the_fast_cores_that_are_granted() {
        let hybrid = super::Topology {
            processors: 20,
            performance: 6,
            efficiency: 8,
            granted: 20,
        };
        assert_eq!(hybrid.threads(), 6);
        assert_eq!(
            hybrid.describe().0,
            "6 performance cores, 8 efficiency cores (20 hardware threads)"
        );
        let limited = super::Topology {
            granted: 2,
            ..hybrid
        };
        assert_eq!(
            limited.describe().1,
            "2, all that the system grants this process"
        );
        let unknown = super::Topology {
            performance: 0,
            granted: 1,
            ..hybrid
        };
        assert_eq!(
            unknown.describe(),
            (
                "1 processor, kind unknown".to_owned(),
                "1, one for each processor".to_owned()
            )
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cache_sizes_are_read() {
        use super::platform::cache_size;
        assert_eq!(cache_size("32768K\n"), Some(32 << 20));
        assert_eq!(cache_size("1M"), Some(1 << 20));
        assert_eq!(cache_size("4096"), Some(4096));
        assert_eq!(cache_size("x"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_lists_are_read() {
        use super::platform::cpu_list;
        assert_eq!(cpu_list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list(""), Some(vec![]));
        assert_eq!(cpu_list("x"), None);
    }
}
