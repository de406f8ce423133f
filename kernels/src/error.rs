//! What can be wrong with a request for arithmetic.

use crate::pool::MAX_THREADS;

/// What can be wrong with a request for arithmetic.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No instruction set has this name.
    #[error(
        "{asked} {name:?}: there is no instruction set of that name; this machine has {available}"
    )]
    UnknownIsa {
        /// Who asked: "instruction set", or the environment variable.
        asked: &'static str,
        /// As asked for.
        name: String,
        /// The names that would work.
        available: String,
    },
    /// This CPU doesn't have the instruction set, or the build is for another kind of CPU.
    #[error("{asked} {name:?}: {problem}; this machine has {available}")]
    Isa {
        /// Who asked: "instruction set", or the environment variable.
        asked: &'static str,
        /// As asked for.
        name: String,
        /// What is in its way.
        problem: String,
        /// The names that would work.
        available: String,
    },
    /// More threads than a team can have.
    #[error("{threads} threads can't work together; ask for 1 to {MAX_THREADS}")]
    TooManyThreads {
        /// How many were asked for.
        threads: usize,
    },
    /// The system refused a thread.
    #[error("could not start {threads} threads: {source}; ask for fewer with -t")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// Why not.
        source: std::io::Error,
    },
    /// A matrix whose bytes and shape don't agree.
    #[error("a {rows} x {cols} matrix of {quant}: {problem}")]
    Matrix {
        /// Type.
        quant: &'static str,
        /// Rows.
        rows: usize,
        /// Columns.
        cols: usize,
        /// What is wrong.
        problem: String,
    },
}
