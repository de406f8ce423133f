//! Which kernel computes a product: by the type of the weights and the number of columns.

use crate::isa::{Ready, ReadyTile};
use crate::product::FEW_COLUMNS;
use crate::quant::QuantType;

/// How a product is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Blocks of the file are unpacked in registers and multiplied at once.
    FusedDot,
    /// Rows are unpacked to 8-bit codes, then multiplied.
    UnpackedDot,
    /// Slabs of rows are unpacked to 8-bit codes, interleaved, and multiplied with all columns.
    Tile {
        /// Rows of a slab.
        rows: usize,
        /// Columns whose sums are in registers together.
        columns: usize,
    },
    /// The weights are floats, and so are the activations.
    Floats,
}

/// The tile for a type and a number of columns, unless the dots are better or there is none.
pub(crate) fn tile(ready: Ready, quant: &QuantType, columns: usize) -> Option<ReadyTile> {
    let format = quant.codes.as_ref()?;
    ready.tile(format).filter(|_| columns > FEW_COLUMNS)
}

/// How weights of this type are multiplied with this many columns.
pub fn path(ready: Ready, quant: &QuantType, columns: usize) -> Path {
    if quant.codes.is_none() {
        Path::Floats
    } else if let Some(tile) = tile(ready, quant, columns) {
        Path::Tile {
            rows: tile.rows(),
            columns: tile.columns(),
        }
    } else if ready.multiplies_blocks(quant) {
        Path::FusedDot
    } else {
        Path::UnpackedDot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{ISAS, QUANTS};

    #[test]
    fn every_type_has_a_path_on_every_set() {
        for ready in ISAS.iter().filter_map(|isa| isa.ready()) {
            for quant in QUANTS {
                let (one, many) = (path(ready, quant, 1), path(ready, quant, 512));
                assert_eq!(one == Path::Floats, quant.codes.is_none());
                assert_eq!(one == Path::Floats, many == Path::Floats);
                assert!(!matches!(one, Path::Tile { .. }));
                if let Some(tile) = tile(ready, quant, 512) {
                    let (rows, columns) = (tile.rows(), tile.columns());
                    assert_eq!(many, Path::Tile { rows, columns });
                }
            }
        }
    }
}
