//! Which instruction set runs: the best that the CPU has, or the one that was asked for by name.

use crate::error::Error;
use crate::isa::{Isa, Ready};
use crate::registry::ISAS;

/// The instruction sets that this CPU has, the plainest first.
pub fn available() -> impl Iterator<Item = &'static Isa> {
    ISAS.iter().copied().filter(|isa| isa.detect())
}

/// The name that the environment variable `GRISTMILL_ISA` gives, unless that leaves the choice to us.
pub fn forced() -> Option<String> {
    std::env::var("GRISTMILL_ISA")
        .ok()
        .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("auto"))
}

/// The instruction sets of the processors that this build is not for.
const ELSEWHERE: (&str, &[&str]) = if cfg!(target_arch = "aarch64") {
    (
        "x86_64",
        &["avx2", "avxvnni", "avx512vl", "avx512", "avx512vbmi"],
    )
} else {
    ("aarch64", &["neon", "dotprod", "i8mm"])
};

/// Whether a name means something: an instruction set, of this build or of one for another kind of processor, or `auto`.
pub fn is_known(name: &str) -> bool {
    let of_isas = ISAS.iter().map(|isa| isa.name);
    of_isas
        .chain(ELSEWHERE.1.iter().copied())
        .chain(["auto"])
        .any(|known| plain(known) == plain(name))
}

/// `avx-vnni`, `avx_vnni` and `AVXVNNI` are one name.
fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['-', '_'], "")
}

/// The best instruction set that this CPU has.
pub(crate) fn best() -> Ready {
    let ready = ISAS.iter().rev().find_map(|isa| isa.ready());
    ready.unwrap_or(Ready::SCALAR)
}

/// The instruction set named `asked`, or else by the environment variable `GRISTMILL_ISA`, or else the best.
pub fn choose(asked: Option<&str>) -> Result<Ready, Error> {
    let environment = forced();
    let name = match asked.or(environment.as_deref()) {
        Some(name) if !name.eq_ignore_ascii_case("auto") => name,
        // The scalar set is always there.
        _ => best().isa().name,
    };
    let by = if asked.is_some() {
        "instruction set"
    } else {
        "GRISTMILL_ISA"
    };
    let all: Vec<&str> = available().map(|isa| isa.name).collect();
    if !is_known(name) {
        return Err(Error::UnknownIsa {
            asked: by,
            name: name.to_owned(),
            available: all.join(", "),
        });
    }
    let isa = ISAS.iter().find(|isa| plain(isa.name) == plain(name));
    isa.and_then(|isa| isa.ready()).ok_or_else(|| Error::Isa {
        asked: by,
        name: name.to_owned(),
        problem: match isa {
            None => format!("it belongs to builds for {}", ELSEWHERE.0),
            Some(isa) => {
                let missing: Vec<_> = isa.missing().collect();
                format!("this CPU lacks {}", missing.join(", "))
            }
        },
        available: all.join(", "),
    })
}

/// The processor's name as its maker gives it, or else its architecture.
pub fn model_name() -> String {
    let name = if cfg!(target_os = "macos") {
        std::process::Command::new("/usr/sbin/sysctl")
            .args(["-n", "machdep.cpu.brand_string"])
            .output()
            .ok()
            .and_then(|output| String::from_utf8(output.stdout).ok())
    } else {
        std::fs::read_to_string("/proc/cpuinfo")
            .ok()
            .as_deref()
            .and_then(name_in)
    };
    let name = name.map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The line `model name : ...` of /proc/cpuinfo; ARM kernels have none.
fn name_in(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_forces_a_set() {
        match std::env::var("GRISTMILL_ISA") {
            Ok(name) if ISAS.iter().any(|isa| isa.name == name) => {
                assert_eq!(choose(None).unwrap().isa().name, name);
            }
            _ => println!("skipped: GRISTMILL_ISA doesn't name a set"),
        }
    }

    #[test]
    fn processors_have_names() {
        let found = name_in("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t: x\n");
        assert_eq!(found.as_deref(), Some("Some CPU @ 3 GHz"));
        assert_eq!(name_in("processor: 0\n"), None);
        assert!(!model_name().is_empty());
    }

    #[test]
    fn a_wrong_name_says_what_there_is() {
        let error = choose(Some("mmx")).unwrap_err().to_string();
        assert!(
            error.contains("\"mmx\"") && error.contains("scalar"),
            "{error}"
        );
        assert_eq!(choose(Some("SCALAR")).unwrap().isa().name, "scalar");
        assert!(is_known("avx-512-VBMI") && is_known("i8mm") && is_known("auto"));
        assert!(!is_known("mmx") && !is_known(""));
        let error = choose(Some(ELSEWHERE.1[0])).unwrap_err().to_string();
        assert!(error.contains("builds for"), "{error}");
        assert!(ISAS.iter().all(|isa| !ELSEWHERE.1.contains(&isa.name)));
    }
}
