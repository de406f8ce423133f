//! Which instruction set runs: the best that the CPU has, or the one that was asked for by name.

use crate::compute::Error;
use crate::isa::{Isa, Ready};
use crate::registry::ISAS;

/// The instruction sets that this CPU has, the plainest first.
pub fn available() -> impl Iterator<Item = &'static Isa> {
    ISAS.iter().copied().filter(|isa| isa.detect())
}

/// The instruction set named `asked`, or else by the environment variable `GRISTMILL_ISA`, or else the best.
pub fn choose(asked: Option<&str>) -> Result<Ready, Error> {
    let environment = std::env::var("GRISTMILL_ISA")
        .ok()
        .filter(|name| !name.is_empty());
    let best = || ISAS.iter().rev().find_map(|isa| isa.ready());
    let name = match asked.or(environment.as_deref()) {
        Some(name) if !name.eq_ignore_ascii_case("auto") => name,
        // The scalar set is always there.
        _ => best().map_or("scalar", |ready| ready.isa().name),
    };
    // `avx-vnni`, `avx_vnni` and `avxvnni` are one name.
    let plain = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
    let refuse = |problem| Error::Isa {
        name: name.to_string(),
        problem,
        available: available()
            .map(|isa| isa.name)
            .collect::<Vec<_>>()
            .join(", "),
    };
    let Some(isa) = ISAS.iter().find(|isa| plain(isa.name) == plain(name)) else {
        return Err(refuse("no such name"));
    };
    isa.ready()
        .ok_or_else(|| refuse("this CPU doesn't have it"))
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
    fn a_wrong_name_says_what_there_is() {
        let error = choose(Some("mmx")).unwrap_err().to_string();
        assert!(
            error.contains("\"mmx\"") && error.contains("scalar"),
            "{error}"
        );
        assert_eq!(choose(Some("SCALAR")).unwrap().isa().name, "scalar");
    }
}
