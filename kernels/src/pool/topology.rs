//! How many threads are worth having: the performance cores that this process may use.

/// The number of performance cores that the process may run on; at least 1.
///
/// Linux: among the CPUs of the process's affinity, those whose `cpu_capacity` (ARM) or maximum frequency and core type
/// (x86) mark them as the fast kind; never more than the control group grants. macOS: `hw.perflevel0.physicalcpu`.
pub fn performance_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    platform::performance_cores()
        .unwrap_or(allowed)
        .clamp(1, allowed)
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

    pub(super) fn performance_cores() -> Option<usize> {
        let mut cpus = allowed()?;
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
        // Two hardware threads of one core share its multipliers: count cores.
        let cores: BTreeSet<String> = cpus
            .iter()
            .map(|cpu| {
                read_to_string(format!("{dir}/cpu{cpu}/topology/thread_siblings_list"))
                    .unwrap_or_else(|_| cpu.to_string())
            })
            .collect();
        Some(cores.len())
    }
}

#[cfg(target_os = "macos")]
mod platform {
    pub(super) fn performance_cores() -> Option<usize> {
        let output = std::process::Command::new("/usr/sbin/sysctl")
            .args(["-n", "hw.perflevel0.physicalcpu"])
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
    pub(super) fn performance_cores() -> Option<usize> {
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

    #[cfg(target_os = "linux")]
    #[test]
    fn cpu_lists_are_read() {
        use super::platform::cpu_list;
        assert_eq!(cpu_list("0-2,5\n"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cpu_list(""), Some(vec![]));
        assert_eq!(cpu_list("x"), None);
    }
}
