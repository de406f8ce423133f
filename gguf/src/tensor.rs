//! Tensor infos: read, checked one by one (name, type, shape, size), then together (bounds, overlaps).

use crate::cursor::{Cursor, Fault};
use crate::error::{Error, ErrorKind, Place};
use crate::types::{REMOVED_TYPES, TENSOR_TYPES, TensorType};

/// GGUF's limit on dimensions.
pub(crate) const MOST_DIMENSIONS: usize = 4;

/// Name, type, shape and place of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    pub(crate) name: Box<str>,
    pub(crate) tensor_type: TensorType,
    pub(crate) dims: [u64; MOST_DIMENSIONS],
    pub(crate) dim_count: u8,
    pub(crate) part: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

impl TensorInfo {
    /// The tensor's name, for example `blk.0.attn_q.weight`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How its elements are packed.
    pub fn tensor_type(&self) -> TensorType {
        self.tensor_type
    }

    /// Dimensions in GGUF order: `dims()[0]` is the length of a row, which lies contiguous in memory. A matrix that
    /// takes `cols` inputs to `rows` outputs is `[cols, rows]`.
    pub fn dims(&self) -> &[u64] {
        &self.dims[..self.dim_count.into()]
    }

    /// Length of a row: the first dimension (1 for a scalar).
    pub fn row_length(&self) -> u64 {
        self.dims[0]
    }

    /// Rows: the product of all further dimensions.
    pub fn rows(&self) -> u64 {
        self.elements() / self.dims[0].max(1)
    }

    /// Elements: the product of all dimensions.
    pub fn elements(&self) -> u64 {
        self.dims.iter().product()
    }

    /// Bytes of its data.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Which file of a split model holds the data, from 0.
    pub fn part(&self) -> usize {
        self.part as usize
    }

    /// Where in that file the data start.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

/// The least a tensor info takes in the file: empty name, no dimensions.
pub(crate) fn least_bytes(cursor: &Cursor<'_>) -> usize {
    cursor.size_bytes() + 4 + 4 + 8
}

/// Reads one info; its `offset` is still relative to the data section.
pub(crate) fn read(
    cursor: &mut Cursor<'_>,
    index: u64,
    alignment: u64,
) -> Result<TensorInfo, Error> {
    let mut place = Place::Tensor { index, name: None };
    let offset = cursor.position();
    let name = match cursor.string("tensor name", "tensor name length") {
        Ok("") => Err(Fault {
            offset,
            kind: ErrorKind::Empty {
                what: "tensor name",
            },
        }),
        other => other,
    }
    .map_err(|fault| fault.at(place.clone()))?;
    if let Place::Tensor { name: known, .. } = &mut place {
        *known = Some(name.to_owned());
    }
    read_rest(cursor, name, alignment).map_err(|fault| fault.at(place))
}

fn read_rest(cursor: &mut Cursor<'_>, name: &str, alignment: u64) -> Result<TensorInfo, Fault> {
    let offset = cursor.position();
    let found = cursor.u32("number of dimensions of a tensor info")?;
    if found as usize > MOST_DIMENSIONS {
        return Err(Fault {
            offset,
            kind: ErrorKind::DimensionCount {
                found,
                most: MOST_DIMENSIONS as u32,
            },
        });
    }
    let count = found as usize;
    let mut dims = [1; MOST_DIMENSIONS];
    let dims_offset = cursor.position();
    for dim in &mut dims[..count] {
        *dim = cursor.size("dimensions of a tensor info")?;
    }
    let type_offset = cursor.position();
    let id = cursor.u32("type of a tensor info")?;
    let offset_offset = cursor.position();
    let data_offset = cursor.u64("offset of a tensor info")?;

    let tensor_type = TensorType::from_id(id).ok_or_else(|| Fault {
        offset: type_offset,
        kind: unknown_type(id),
    })?;
    let bytes = size(tensor_type, &dims[..count]).map_err(|kind| Fault {
        offset: dims_offset,
        kind,
    })?;
    if !data_offset.is_multiple_of(alignment) {
        return Err(Fault {
            offset: offset_offset,
            kind: ErrorKind::OffsetMisaligned {
                found: data_offset,
                alignment,
            },
        });
    }
    Ok(TensorInfo {
        name: name.into(),
        tensor_type,
        dims,
        dim_count: count as u8,
        part: 0,
        offset: data_offset,
        bytes,
    })
}

fn unknown_type(id: u32) -> ErrorKind {
    match REMOVED_TYPES.iter().find(|(removed, _)| *removed == id) {
        Some(&(id, name)) => ErrorKind::TypeRemoved { id, name },
        None => ErrorKind::TypeUnknown {
            id,
            highest: TENSOR_TYPES.last().map_or(0, |t| t.id()),
        },
    }
}

/// Bytes of a tensor of this type and shape, if the two go together.
pub(crate) fn size(tensor_type: TensorType, dims: &[u64]) -> Result<u64, ErrorKind> {
    if let Some(index) = dims.iter().position(|&d| d == 0) {
        return Err(ErrorKind::DimensionZero {
            index,
            dims: dims.to_vec(),
        });
    }
    let overflow = || ErrorKind::DimensionsOverflow {
        dims: dims.to_vec(),
        type_name: tensor_type.name(),
    };
    let row = dims.first().copied().unwrap_or(1);
    let elements = dims
        .iter()
        .try_fold(1u64, |product, &d| product.checked_mul(d))
        .filter(|&n| i64::try_from(n).is_ok())
        .ok_or_else(overflow)?;
    if !row.is_multiple_of(tensor_type.block_elements() as u64) {
        return Err(ErrorKind::RowLength {
            row,
            type_name: tensor_type.name(),
            block: tensor_type.block_elements(),
        });
    }
    tensor_type
        .bytes_of(elements)
        .filter(|&n| i64::try_from(n).is_ok())
        .ok_or_else(overflow)
}

/// Makes the offsets absolute and checks that every tensor lies inside the file.
pub(crate) fn place_in_file(
    tensors: &mut [TensorInfo],
    data_start: u64,
    file_bytes: u64,
) -> Result<(), Error> {
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let start = data_start.checked_add(tensor.offset);
        match start.and_then(|s| s.checked_add(tensor.bytes)) {
            Some(end) if end <= file_bytes => tensor.offset += data_start,
            _ => {
                let kind = ErrorKind::OutOfFile {
                    found: tensor.offset,
                    data_start,
                    bytes: tensor.bytes,
                    file_bytes,
                };
                return Err(Error::new(place(index, tensor), start, kind));
            }
        }
    }
    Ok(())
}

/// Refuses tensors that share bytes.
pub(crate) fn check_overlaps(tensors: &[TensorInfo]) -> Result<(), Error> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&i| tensors[i].offset);
    for pair in order.windows(2) {
        let (before, after) = (&tensors[pair[0]], &tensors[pair[1]]);
        let end = before.offset + before.bytes;
        if end > after.offset {
            let kind = ErrorKind::Overlap {
                other: before.name.to_string(),
                other_end: end,
            };
            return Err(Error::new(place(pair[1], after), Some(after.offset), kind));
        }
    }
    Ok(())
}

pub(crate) fn place(index: usize, tensor: &TensorInfo) -> Place {
    Place::Tensor {
        index: index as u64,
        name: Some(tensor.name.to_string()),
    }
}
