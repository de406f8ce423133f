//! EXAONE 4: norms of what each part gives, and layers with a window that alone know positions.

use super::gated::{layer, rotated};
use super::{Architecture, Builder};
use crate::error::Error;
use crate::layers::{Attention, HeadNorms};

pub static EXAONE4: Architecture = Architecture::new("exaone4", "EXAONE 4", exaone4);

/// Norms behind each part; the model of 64 layers alone has windows, and rotary positions only there.
fn exaone4(b: &mut Builder<'_>) -> Result<(), Error> {
    let layer = layer(Attention {
        norms: HeadNorms::Weighted,
        ..rotated(b)?
    })
    .norms_behind();
    if b.layers().len() != 64 {
        return b.repeat(|_| layer);
    }
    b.repeat_rotated_in_windows(layer, 4)
}
