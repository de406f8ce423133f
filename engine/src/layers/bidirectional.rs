//! Attention in both directions: every position of a text sees those before and behind it, all or as far as a window
//! reaches. A text goes through in one pass, so its keys and values are kept no longer than that.

use gristmill_kernels::attention::{Attention as Scores, CacheRows, PAGE};

use super::{Pass, copy};

/// f32 values that [`attend`] takes for texts of up to `rows` positions with `width` values in a row of keys and of values
/// together: whole pages, as the kernel has them.
pub(super) fn values(rows: usize, width: usize) -> usize {
    rows.div_ceil(PAGE).saturating_mul(PAGE * width)
}

/// Attention within each text of the pass, whose rows of queries, keys and values are position-major. `scores` says the
/// shape; `paged` has room for [`values`].
pub(super) fn attend(
    pass: &mut Pass<'_>,
    scores: &Scores<'_>,
    [queries, keys, values]: [&[f32]; 3],
    paged: &mut [f32],
    out: &mut [f32],
) {
    let width = |rows: &[f32]| rows.len() / pass.n;
    let (key, value) = (width(keys), width(values));
    let (query, given) = (width(queries), width(out));
    for run in pass.runs {
        let pages: Vec<u32> = (0..run.n.div_ceil(PAGE) as u32).collect();
        let (text_keys, text_values) = paged.split_at_mut(pages.len() * PAGE * key);
        let text_values = &mut text_values[..pages.len() * PAGE * value];
        to_pages(run.of(keys, key), key, scores.kv_heads, text_keys);
        to_pages(run.of(values, value), value, scores.kv_heads, text_values);
        let scores = Scores {
            pages: &pages,
            keys: CacheRows::F32(text_keys),
            values: CacheRows::F32(text_values),
            ..*scores
        };
        let out = run.of_mut(out, given);
        pass.compute
            .attention(&scores, run.of(queries, query), run.n, out);
    }
}

/// Rows of `width` values into the kernel's order, `[page][head][slot]`.
fn to_pages(rows: &[f32], width: usize, heads: usize, out: &mut [f32]) {
    let length = width / heads;
    for (rows, page) in rows
        .chunks(PAGE * width)
        .zip(out.chunks_exact_mut(PAGE * width))
    {
        for (head, to) in page.chunks_exact_mut(PAGE * length).enumerate() {
            let from = &rows[head * length..];
            copy(rows.len() / width, length, (from, width), (to, length));
        }
    }
}
