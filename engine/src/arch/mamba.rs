//! Mamba (arXiv:2312.00752) and Mamba 2 (arXiv:2405.21060), and nothing beside.

use super::layer::ATTN_NORM;
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Mamba, Mamba2, Step};

pub static MAMBA: Architecture = Architecture::new("mamba", "Mamba, Falcon Mamba", mamba);
pub static MAMBA2: Architecture = Architecture::new("mamba2", "Mamba 2, Mamba Codestral", mamba2);

fn mamba(b: &mut Builder<'_>) -> Result<(), Error> {
    for layer in b.layers() {
        let mamba = b.between(layer, ATTN_NORM, Mamba)?;
        b.step(Step::new([mamba]));
    }
    Ok(())
}

fn mamba2(b: &mut Builder<'_>) -> Result<(), Error> {
    for layer in b.layers() {
        let mamba = b.between(layer, ATTN_NORM, Mamba2)?;
        b.step(Step::new([mamba]));
    }
    Ok(())
}
