//! What is said of a model whose results are not numbers. Flows in: logits or hidden states, then the tensors of its files. Flows out: an
//! error with the name of the first tensor that holds what is no number, if there is one.

use gristmill_gguf::Gguf;

use crate::error::Error;
use crate::model::Model;

/// Fails if one of a model's results is not a number.
pub(crate) fn check(model: &Model, results: &[f32]) -> Result<(), Error> {
    // All of them, and no early end: so it takes vectors of them.
    if !results.iter().fold(false, |found, x| found | x.is_nan()) {
        return Ok(());
    }
    let tensor = model.files().find_map(first_damaged);
    Err(Error::NotNumbers { tensor })
}

/// The first tensor with a value that is infinite or not a number.
fn first_damaged(file: &Gguf) -> Option<String> {
    let is_damaged = |data: &[u8], id: u32| {
        let Some(quant) = gristmill_kernels::quant(id) else {
            return false;
        };
        let mut values = vec![0.0; quant.block_elements()];
        data.chunks_exact(quant.block_bytes()).any(|block| {
            quant.dequantize(block, &mut values);
            values.iter().any(|value| !value.is_finite())
        })
    };
    let mut tensors = file.tensors().iter();
    let damaged = tensors.find(|tensor| is_damaged(file.data(tensor), tensor.tensor_type().id()));
    damaged.map(|tensor| tensor.name().to_owned())
}
