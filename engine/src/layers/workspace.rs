//! What passes through a model work with beside its weights and the threads: the past of sequences, rotations, and what rows
//! take with them from layer to layer. Made once, and lent to each pass.

use gristmill_gguf::Gguf;
use gristmill_kernels::Compute;
use gristmill_kernels::ops::RopeTable;

use super::{Decoder, Pass, Row, Run};
use crate::cache::{Room, States};

/// See the head of the file.
pub struct Workspace {
    /// The past of all sequences.
    pub states: States,
    ropes: Vec<RopeTable>,
    inputs: Vec<f32>,
    left: Vec<f32>,
    spare: Vec<f32>,
}

impl Workspace {
    /// For passes of up to `rows` rows at `positions` positions.
    pub fn new(decoder: &Decoder, room: Room, rows: usize, positions: usize) -> Self {
        let ropes = decoder.ropes.iter().map(|rope| rope.table(positions));
        let mut work = Self {
            states: States::new(&decoder.caches, &decoder.fixed, room),
            ropes: ropes.collect(),
            inputs: Vec::new(),
            left: Vec::new(),
            spare: Vec::new(),
        };
        work.grow(decoder, rows);
        work
    }

    /// Makes room for passes of up to `rows` rows.
    pub fn grow(&mut self, decoder: &Decoder, rows: usize) {
        self.inputs.resize(decoder.layer_inputs(rows), 0.0);
        self.left.resize(decoder.left_values(rows), 0.0);
        self.spare.resize(decoder.adapted_values(rows), 0.0);
    }

    /// Makes the rotations those of a pass's rows.
    pub fn turn_to(&mut self, rows: &[Row]) {
        for table in &mut self.ropes {
            table.prepare_parts(rows.iter().map(|row| row.parts));
        }
    }

    /// A pass of all rows that were [turned to](Self::turn_to), or of some of them.
    pub fn pass<'a>(
        &'a mut self,
        gguf: &'a Gguf,
        compute: &'a mut Compute,
        runs: &'a [Run],
        rows: &'a [Row],
    ) -> Pass<'a> {
        Pass {
            gguf,
            compute,
            states: &mut self.states,
            runs,
            rows,
            ropes: &self.ropes,
            inputs: &mut self.inputs,
            left: &mut self.left,
            spare: &mut self.spare,
            n: rows.len(),
        }
    }
}
