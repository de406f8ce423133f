//! Which instruction set runs: the best that the CPU has, or the one that was asked for by name.

use crate::compute::Error;
use crate::isa::Isa;
use crate::isa::scalar::SCALAR;
use crate::registry::ISAS;

/// The instruction sets that this CPU has, the plainest first.
pub fn available() -> impl Iterator<Item = &'static Isa> {
    ISAS.iter().copied().filter(|isa| (isa.detect)())
}

/// The instruction set named `asked`, or else by the environment variable `GRISTMILL_ISA`, or else the best.
pub fn choose(asked: Option<&str>) -> Result<&'static Isa, Error> {
    let environment = std::env::var("GRISTMILL_ISA")
        .ok()
        .filter(|name| !name.is_empty());
    let best = || available().last().unwrap_or(&SCALAR);
    let Some(name) = asked.or(environment.as_deref()) else {
        return Ok(best());
    };
    if name.eq_ignore_ascii_case("auto") {
        return Ok(best());
    }
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
    match ISAS.iter().find(|isa| plain(isa.name) == plain(name)) {
        None => Err(refuse("no such name")),
        Some(isa) if !(isa.detect)() => Err(refuse("this CPU doesn't have it")),
        Some(isa) => Ok(isa),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_says_what_there_is() {
        let error = choose(Some("mmx")).unwrap_err().to_string();
        assert!(
            error.contains("\"mmx\"") && error.contains("scalar"),
            "{error}"
        );
        assert_eq!(choose(Some("SCALAR")).unwrap().name, "scalar");
    }
}
