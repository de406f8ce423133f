//! The simplest functions: a single matrix, a factor, and what is given as it is.

use gristmill_kernels::ops;

use super::{Cost, Linear, Mixer, Pass};
use crate::error::Error;
use crate::load::{LayerTensors, Part};

/// A square matrix of this name.
#[derive(Debug, Clone, Copy)]
pub struct Matrix(pub &'static str);

impl Part for Matrix {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let width = at.width();
        Ok(Box::new(Product(at.linear(self.0, width, width)?)))
    }
}

struct Product(Linear);

impl Mixer for Product {
    fn scratch(&self, _: usize) -> usize {
        0
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        self.0.cost()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], _: &mut [f32]) {
        pass.linear(&self.0, x, out);
    }
}

/// A factor, the tensor of this name.
#[derive(Debug, Clone, Copy)]
pub struct Factor(pub &'static str);

impl Part for Factor {
    fn load(self, at: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        let factor = at.vector(&format!("{}.weight", self.0), 1)?;
        Ok(Box::new(Scaled(factor[0])))
    }
}

struct Scaled(f32);

impl Mixer for Scaled {
    fn scratch(&self, _: usize) -> usize {
        0
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }

    fn forward(&self, pass: &mut Pass<'_>, x: &[f32], out: &mut [f32], _: &mut [f32]) {
        out.copy_from_slice(x);
        ops::scale(pass.compute.floats(), out, self.0);
    }
}

/// What it is given.
#[derive(Debug, Clone, Copy)]
pub struct Identity;

impl Part for Identity {
    fn load(self, _: &mut LayerTensors<'_, '_>) -> Result<Box<dyn Mixer>, Error> {
        Ok(Box::new(self))
    }
}

impl Mixer for Identity {
    fn scratch(&self, _: usize) -> usize {
        0
    }

    fn is_local(&self) -> bool {
        true
    }

    fn cost(&self) -> Cost {
        Cost::default()
    }

    fn forward(&self, _: &mut Pass<'_>, x: &[f32], out: &mut [f32], _: &mut [f32]) {
        out.copy_from_slice(x);
    }
}
