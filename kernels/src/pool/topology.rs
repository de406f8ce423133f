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
    use std::path::Path;

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

    fn allowed(root: &Path) -> Option<Vec<usize>> {
        let status = read_to_string(root.join("proc/self/status")).ok()?;
        cpu_list(
            status
                .lines()
                .find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?,
        )
    }

    fn number(path: &Path) -> Option<u64> {
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
        processors_below(Path::new("/"))
    }

    /// The same, as the `proc` and `sys` in the folder `root` have it.
    pub(super) fn processors_below(root: &Path) -> Option<(usize, usize, usize)> {
        let mut cpus = allowed(root)?;
        let all = cpus.len();
        // Hybrid Intel: the kernel lists the two kinds.
        if let Some(fast) = read_to_string(root.join("sys/devices/cpu_core/cpus"))
            .ok()
            .and_then(|list| cpu_list(&list))
            && cpus.iter().any(|cpu| fast.contains(cpu))
        {
            cpus.retain(|cpu| fast.contains(cpu));
        }
        let file = |cpu: usize, name: &str| {
            let folder = root.join("sys/devices/system/cpu");
            folder.join(format!("cpu{cpu}")).join(name)
        };
        // ARM gives the fastest core a capacity of 1024; x86 has frequencies. A prime core among performance cores may be
        // somewhat faster than they are, efficiency cores have well under 70% of it.
        for name in ["cpu_capacity", "cpufreq/cpuinfo_max_freq"] {
            let speed = |cpu: usize| number(&file(cpu, name));
            if let Some(most) = cpus.iter().filter_map(|&cpu| speed(cpu)).max() {
                cpus.retain(|&cpu| speed(cpu).is_none_or(|s| s * 10 >= most * 7));
            }
        }
        let efficiency = all - cpus.len();
        // Two hardware threads of one core share its multipliers: count cores.
        let cores: BTreeSet<String> = cpus
            .iter()
            .map(|&cpu| {
                read_to_string(file(cpu, "topology/thread_siblings_list"))
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

    /// What is found below a root folder that holds these files; every CPU's are under its folder.
    #[cfg(target_os = "linux")]
    fn found(
        allowed: &str,
        files: &[(&str, &str)],
        of_cpu: impl Fn(usize) -> Vec<(&'static str, String)>,
    ) -> (usize, usize, usize) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let status = format!("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t{allowed}\n");
        write("proc/self/status", &status);
        for (path, text) in files {
            write(path, text);
        }
        // The files are there for CPUs that the process may not use, too.
        for cpu in 0..32 {
            for (name, text) in of_cpu(cpu) {
                let path = format!("sys/devices/system/cpu/cpu{cpu}/{name}");
                write(&path, &format!("{text}\n"));
            }
        }
        super::platform::processors_below(root.path()).unwrap()
    }

    /// The file that says which hardware threads share a core, where cores have so many.
    #[cfg(target_os = "linux")]
    fn siblings(cpu: usize, threads: usize) -> (&'static str, String) {
        let first = cpu / threads * threads;
        let list = match threads {
            1 => format!("{cpu}"),
            _ => format!("{first}-{}", first + threads - 1),
        };
        ("topology/thread_siblings_list", list)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn cores_are_counted_not_their_hardware_threads() {
        let smt = |cpu| {
            vec![
                siblings(cpu, 2),
                ("cpufreq/cpuinfo_max_freq", "4500000".into()),
            ]
        };
        assert_eq!(found("0-15", &[], smt), (16, 8, 0));
        // One thread of each of two cores, both of a third.
        assert_eq!(found("0,2,4-5", &[], smt), (4, 3, 0));
        let without = |cpu| vec![siblings(cpu, 1)];
        assert_eq!(found("0-3", &[], without), (4, 4, 0));
        // A system that says nothing.
        assert_eq!(found("0-3", &[], |_| Vec::new()), (4, 4, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn efficiency_cores_of_hybrid_intel_are_left_out() {
        // Six cores of two threads, eight small ones. Two of the fast ones are favoured, as in chips of this kind.
        let of_cpu = |cpu: usize| {
            let (siblings, frequency) = match cpu {
                0..4 => (siblings(cpu, 2), "5400000"),
                4..12 => (siblings(cpu, 2), "5200000"),
                _ => (siblings(cpu, 1), "3900000"),
            };
            vec![siblings, ("cpufreq/cpuinfo_max_freq", frequency.into())]
        };
        let kinds = [
            ("sys/devices/cpu_core/cpus", "0-11\n"),
            ("sys/devices/cpu_atom/cpus", "12-19\n"),
        ];
        assert_eq!(found("0-19", &kinds, of_cpu), (20, 6, 8));
        assert_eq!(found("0-3,12-19", &kinds, of_cpu), (12, 2, 8));
        // Only small ones are allowed: then they are what there is.
        assert_eq!(found("12-15", &kinds, of_cpu), (4, 4, 0));
        // Without the lists, frequencies nearer than 70% tell nothing.
        assert_eq!(found("0-19", &[], of_cpu), (20, 14, 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn little_cores_are_left_out_prime_ones_have_company() {
        let capacity = |speeds: &'static [u32]| {
            move |cpu: usize| {
                let speed = speeds.get(cpu).map(|c| ("cpu_capacity", c.to_string()));
                speed.into_iter().chain([siblings(cpu, 1)]).collect()
            }
        };
        let big_little = capacity(&[446, 446, 446, 446, 1024, 1024, 1024, 1024]);
        assert_eq!(found("0-7", &[], big_little), (8, 4, 4));
        // A prime core, three big ones, four little ones.
        let prime = capacity(&[325, 325, 325, 325, 828, 828, 828, 1024]);
        assert_eq!(found("0-7", &[], prime), (8, 4, 4));
        assert_eq!(found("0-3", &[], prime), (4, 4, 0));
        // Big cores have a frequency of their own, and the little ones may reach it.
        let equal = |cpu: usize| {
            let mut files = big_little(cpu);
            files.push(("cpufreq/cpuinfo_max_freq", "2400000".into()));
            files
        };
        assert_eq!(found("0-7", &[], equal), (8, 4, 4));
        // Frequencies alone.
        let frequency = |cpu: usize| {
            let frequency = if cpu < 4 { "1800000" } else { "2900000" };
            vec![("cpufreq/cpuinfo_max_freq", frequency.into())]
        };
        assert_eq!(found("0-7", &[], frequency), (8, 4, 4));
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
