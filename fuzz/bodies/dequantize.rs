//! Any bytes as blocks of any type: they unpack without a panic, codes stay in their range, and where codes, scales
//! and mins are finite they are the same values as the reference dequantization. Any floats quantize to blocks that
//! dequantize to finite values.

use gristmill_kernels::QUANTS;

pub fn run(data: &[u8]) {
    let Some((&selector, rest)) = data.split_first() else {
        return;
    };
    let quant = QUANTS[selector as usize % QUANTS.len()];
    let count = (rest.len() / quant.block_bytes()).min(16);
    let blocks = &rest[..count * quant.block_bytes()];
    let mut values = vec![0.0; count * quant.block_elements()];
    quant.dequantize(blocks, &mut values);
    if let Some(codes) = quant.codes() {
        let groups = values.len() / codes.group();
        let mut unpacked = vec![0i8; values.len()];
        let (mut scales, mut mins) = (vec![0f32; groups], vec![0f32; groups]);
        codes.unpack(blocks, &mut unpacked, &mut scales, &mut mins);
        for (i, &code) in unpacked.iter().enumerate() {
            assert!(
                codes.range().0 <= code && code <= codes.range().1,
                "{}: code {code}",
                quant.name()
            );
            let group = i / codes.group();
            let value = scales[group] * f32::from(code) - mins[group];
            if value.is_finite() {
                let size = scales[group].abs() * 127.0 + mins[group].abs();
                let difference = (value - values[i]).abs();
                assert!(
                    difference <= 1e-5 * size,
                    "{}: {value} and {}",
                    quant.name(),
                    values[i]
                );
            }
        }
    }
    let Some(quantize) = quant.quantize() else {
        return;
    };
    let mut floats: Vec<f32> = rest
        .chunks_exact(4)
        .take(2 * quant.block_elements())
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    // Scales are halves, so values beyond a half's range have no scale; within it the result is finite.
    for value in &mut floats {
        *value = value.clamp(-60000.0, 60000.0);
    }
    floats.truncate(floats.len() / quant.block_elements() * quant.block_elements());
    let mut blocks = vec![0; floats.len() / quant.block_elements() * quant.block_bytes()];
    quantize(&floats, None, &mut blocks);
    let mut back = vec![0.0; floats.len()];
    quant.dequantize(&blocks, &mut back);
    if quant.codes().is_some() {
        assert!(
            back.iter().all(|v| v.is_finite()),
            "{}: {floats:?} became {back:?}",
            quant.name()
        );
    }
}
