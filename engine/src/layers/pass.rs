//! One pass through a model: rows of one or several sequences, each row a token at a position. What a layer does to a row
//! depends on the row and its own sequence's past, never on the other rows.

use gristmill_gguf::Gguf;
use gristmill_kernels::ops::{self, RopeTable};
use gristmill_kernels::{Compute, FEW_COLUMNS};

use crate::cache::States;

/// What a layer may use while a pass goes through the model.
pub struct Pass<'a> {
    /// The file, for the bytes of the weights.
    pub gguf: &'a Gguf,
    /// The threads and their kernels.
    pub compute: &'a mut Compute,
    /// The past of all sequences.
    pub states: &'a mut States,
    /// The sequences that rows belong to, in the rows' order.
    pub runs: &'a [Run],
    /// What is known of each row.
    pub rows: &'a [Row],
    /// Rotations of the rows' positions, by [`RopeId`](super::RopeId) and [`Row::index`].
    pub ropes: &'a [RopeTable],
    /// The inputs of all layers, by [`Row::index`].
    pub inputs: &'a mut [f32],
    /// Rows that one layer leaves to those after it.
    pub left: &'a mut [f32],
    /// Scratch for what adapters add.
    pub spare: &'a mut Vec<f32>,
    /// Number of rows.
    pub n: usize,
}

/// Rows of one sequence, at consecutive positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Which sequence.
    pub sequence: usize,
    /// The first of its rows.
    pub row: usize,
    /// Number of rows.
    pub n: usize,
    /// Position of the first.
    pub first: usize,
}

impl Run {
    /// Its part of `rows` of `width` values.
    pub fn of<'x>(&self, rows: &'x [f32], width: usize) -> &'x [f32] {
        &rows[self.row * width..][..self.n * width]
    }

    /// Its part of `rows` of `width` values.
    pub fn of_mut<'x>(&self, rows: &'x mut [f32], width: usize) -> &'x mut [f32] {
        &mut rows[self.row * width..][..self.n * width]
    }
}

/// A token of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where it is in its sequence.
    pub position: usize,
    /// Where it is for rotations: by time, height, width and an extra part, all the same in a text.
    pub parts: [usize; 4],
    /// Its number among all rows that the pass began with.
    pub index: usize,
}

/// Values of a piece of work that is worth handing to another thread.
const PIECE: usize = 16 * 1024;

impl Pass<'_> {
    /// Calls `f` with every row of `out` and its number, on all threads if the pass is a prompt's.
    pub(super) fn each_row(
        &self,
        width: usize,
        out: &mut [f32],
        f: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let all = |first: usize, rows: &mut [f32]| {
            for (row, out) in (first / width..).zip(rows.chunks_exact_mut(width)) {
                f(row, out);
            }
        };
        if self.n <= FEW_COLUMNS {
            all(0, out);
        } else {
            self.compute.pieces(PIECE.next_multiple_of(width), out, all);
        }
    }

    /// `x += y`, both rows of `width` values.
    pub(super) fn add(&self, width: usize, x: &mut [f32], y: &[f32]) {
        let with = self.compute.floats();
        self.each_row(width, x, |row, x| {
            ops::add(with, x, &y[row * width..][..width]);
        });
    }
}
