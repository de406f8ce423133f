//! The engine's handle on the arithmetic: an instruction set, a worker team and the scratch they need.
//!
//! In: f32 activations and matrices that are views of the file's bytes. Out: f32. Products quantize their input once to
//! 8 bits (unless the weights are floats) and share it between all matrices and threads. Every output is summed in one
//! fixed order: results are the same bits for any number of threads and for any number of columns.

use crate::attention::{Attention, AttentionScratch, BlockScores};
use crate::cpu;
use crate::error::Error;
use crate::gemm::{self, Hands};
use crate::isa::float::Floats;
use crate::isa::{Isa, Ready};
use crate::matrix::Matrix;
use crate::ops::recurrent::Output;
use crate::ops::{self, Activation};
use crate::pool::{Grid, MAX_THREADS, Team, performance_cores};
use crate::product::{FEW_COLUMNS, Product};

/// How to set up a [`Compute`].
#[derive(Debug, Clone, Default)]
pub struct ComputeOptions {
    /// Threads for generation; `None`: the performance cores.
    pub threads: Option<usize>,
    /// Threads for prompts (more than [`FEW_COLUMNS`] positions at once); `None`: as for generation.
    pub threads_prompt: Option<usize>,
    /// Name of the instruction set; `None`: what `GRISTMILL_ISA` says, else the best.
    pub isa: Option<String>,
}

/// Threads where nobody asks for a number.
fn most_useful() -> usize {
    performance_cores().min(MAX_THREADS)
}

/// An instruction set, a worker team and scratch memory that is reused from call to call.
#[derive(Debug)]
pub struct Compute {
    ready: Ready,
    team: Team,
    threads: usize,
    threads_prompt: usize,
    scratch: gemm::Scratch,
    second: Vec<f32>,
    attention: AttentionScratch,
}

impl Compute {
    /// Chooses the instruction set and starts the threads.
    pub fn new(options: &ComputeOptions) -> Result<Compute, Error> {
        let ready = cpu::choose(options.isa.as_deref())?;
        let threads = options.threads.unwrap_or_else(most_useful).max(1);
        let threads_prompt = options.threads_prompt.unwrap_or(threads).max(1);
        let most = threads.max(threads_prompt);
        if most > MAX_THREADS {
            return Err(Error::TooManyThreads { threads: most });
        }
        let team = Team::new(most).map_err(|source| Error::Threads {
            threads: most,
            source,
        })?;
        Ok(Compute {
            ready,
            threads: threads.min(team.threads()),
            threads_prompt: threads_prompt.min(team.threads()),
            scratch: gemm::Scratch::new(team.threads()),
            second: Vec::new(),
            attention: AttentionScratch::default(),
            team,
        })
    }

    /// Threads for generation.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Threads for prompts.
    pub fn threads_prompt(&self) -> usize {
        self.threads_prompt
    }

    /// The instruction set.
    pub fn isa(&self) -> &'static Isa {
        self.ready.isa()
    }

    /// The instruction set, with proof that this CPU has it.
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// The float instructions that go with the instruction set, for [`crate::ops`].
    pub fn floats(&self) -> Floats {
        self.ready.floats()
    }

    /// Calls `f` once for every number below `tasks`, on at most `limit` threads.
    pub(crate) fn share(&self, limit: usize, tasks: usize, f: impl Fn(usize) + Sync) {
        self.team.for_each(limit, tasks, |_, index| f(index));
    }

    fn threads_for(&self, n: usize) -> usize {
        if n <= FEW_COLUMNS {
            self.threads
        } else {
            self.threads_prompt
        }
    }

    /// Several products of one input: `x` holds `n` vectors, each as wide as every matrix has columns.
    ///
    /// # Panics
    /// If lengths don't agree; matrices are expected to have passed [`Matrix::new`].
    pub fn matmul(&mut self, x: &[f32], n: usize, products: &mut [Product<'_>]) {
        for product in &*products {
            assert_eq!(x.len(), n * product.weights.cols(), "input of a product");
            assert_eq!(
                product.out.len(),
                n * product.weights.rows(),
                "output of a product"
            );
        }
        if n == 0 {
            return;
        }
        let limit = self.threads_for(n);
        let hands = Hands {
            ready: self.ready,
            team: &self.team,
            limit,
        };
        gemm::products(hands, &mut self.scratch, x, n, products);
    }

    /// As [`Compute::matmul`], but each product has `n` vectors of its own: `x` holds those of the first, then those of the
    /// second, and so on.
    ///
    /// # Panics
    /// As [`Compute::matmul`].
    pub fn matmul_each(&mut self, x: &[f32], n: usize, products: &mut [Product<'_>]) {
        let mut inputs = 0;
        for product in &*products {
            inputs += n * product.weights.cols();
            assert_eq!(
                product.out.len(),
                n * product.weights.rows(),
                "output of a product"
            );
        }
        assert_eq!(x.len(), inputs, "inputs of products");
        if n == 0 {
            return;
        }
        let limit = self.threads_for(n);
        let hands = Hands {
            ready: self.ready,
            team: &self.team,
            limit,
        };
        gemm::products_of_each(hands, &mut self.scratch, x, n, products);
    }

    /// `out = activation(gate x) * (up x)`: the first half of a gated feed-forward.
    ///
    /// # Panics
    /// As [`Compute::matmul`].
    pub fn gated_matmul(
        &mut self,
        x: &[f32],
        n: usize,
        gate: Matrix<'_>,
        up: Matrix<'_>,
        activation: Activation,
        out: &mut [f32],
    ) {
        let mut second = std::mem::take(&mut self.second);
        if second.len() < out.len() {
            second.resize(out.len(), 0.0);
        }
        let other = &mut second[..out.len()];
        let mut products = [
            Product {
                weights: gate,
                out: &mut *out,
            },
            Product {
                weights: up,
                out: &mut *other,
            },
        ];
        self.matmul(x, n, &mut products);
        let rows = out.len();
        let mut grids = [Grid::new(out, rows, 8192)];
        let limit = self.threads_for(n);
        let other = &*other;
        let with = self.floats();
        self.team.strips(limit, &mut grids, |_, mut strip| {
            let up = &other[strip.first()..][..strip.rows()];
            ops::gated(with, activation, strip.column(0), up);
        });
        self.second = second;
    }

    /// Rows of a matrix as floats: the embedding of token ids. A row that the matrix doesn't have is zero.
    pub fn rows(&self, matrix: Matrix<'_>, ids: &[u32], out: &mut [f32]) {
        for (&id, out) in ids.iter().zip(out.chunks_exact_mut(matrix.cols())) {
            let id = id as usize;
            if id < matrix.rows() {
                matrix.quant().dequantize(matrix.row_range(id, 1), out);
            } else {
                out.fill(0.0);
            }
        }
    }

    /// Calls `f` once for every number below `tasks`, on the threads for prompts.
    pub fn parallel(&self, tasks: usize, f: impl Fn(usize) + Sync) {
        self.share(self.threads_prompt, tasks, f);
    }

    /// Cuts `out` into pieces of `piece` values and calls `f(first, values)` for each, `first` being the index of the
    /// piece's first value, on the threads for prompts.
    pub fn pieces(&self, piece: usize, out: &mut [f32], f: impl Fn(usize, &mut [f32]) + Sync) {
        let limit = self.threads_prompt;
        let rows = out.len();
        let grid = Grid::new(out, rows, piece.max(1));
        self.team.strips(limit, &mut [grid], |_, mut strip| {
            f(strip.first(), strip.column(0))
        });
    }

    /// Cuts each of the `n` rows of `out` into pieces of `piece` values (heads), and calls `f(number, rows)` for each piece,
    /// which it has of all rows.
    pub fn heads(
        &self,
        n: usize,
        piece: usize,
        out: &mut [f32],
        f: impl Fn(usize, &mut dyn Output) + Sync,
    ) {
        let rows = out.len() / n.max(1);
        let grid = Grid::new(out, rows, piece.max(1));
        let limit = self.threads_for(n);
        self.team.strips(limit, &mut [grid], |_, mut strip| {
            f(strip.first() / piece.max(1), &mut strip);
        });
    }

    /// `out = softmax(q · keys) · values` for `n` queries at consecutive positions, see [`Attention::run`].
    ///
    /// # Panics
    /// As [`Attention::run`].
    pub fn attention(&mut self, attention: &Attention<'_>, q: &[f32], n: usize, out: &mut [f32]) {
        let limit = self.threads_for(n);
        let team = &self.team;
        let parallel =
            |tasks: usize, f: &(dyn Fn(usize) + Sync)| team.for_each(limit, tasks, |_, i| f(i));
        attention.run(
            self.ready.floats(),
            &mut self.attention,
            &parallel,
            q,
            n,
            out,
        );
    }

    /// The scores of blocks of the cache for `n` queries.
    ///
    /// # Panics
    /// As [`BlockScores::run`].
    pub fn block_scores(&self, scores: &BlockScores<'_>, q: &[f32], n: usize, out: &mut [f32]) {
        let limit = self.threads_for(n);
        let team = &self.team;
        let parallel =
            |tasks: usize, f: &(dyn Fn(usize) + Sync)| team.for_each(limit, tasks, |_, i| f(i));
        scores.run(self.ready.floats(), &parallel, q, n, out);
    }
}
