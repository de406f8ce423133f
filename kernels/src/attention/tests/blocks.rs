//! Blocks of positions: those chosen are all that is seen, and the scores by which they are.

use super::*;

#[test]
fn chosen_blocks_are_all_that_is_seen() {
    for (n, first, size, kinds) in [
        (1, 600, 100, ("f32", "f32")),
        (3, 200, 8, ("f16", "f16")),
        (16, 100, 64, ("f32", "f16")),
        (17, 160, 128, ("f16", "f32")),
        (140, 300, 4, ("q8_0", "q8_0")),
    ] {
        let case = Case {
            n,
            first,
            blocks: Some(size),
            kinds,
            softcap: (n == 3).then_some(5.0),
            ..PLAIN
        };
        let setup = Setup::new(case);
        let what = format!("{n} queries from {first}, blocks of {size}");
        setup.check(&what);
        setup.check_bits(&what);
    }
}

#[test]
fn block_scores_are_the_best_products() {
    let (heads, dim) = (3, 40);
    for (n, first_position, size) in [(1, 700, 128), (5, 0, 4), (20, 250, 100), (33, 300, 300)] {
        for kind in ["f32", "f16"] {
            let (keys, read) = Stored::new(kind, &values(3 * PAGE * dim, 1));
            let q = values(n * heads * dim, 2);
            let pages = [2, 0, 1];
            let of = BlockScores {
                heads,
                dim,
                size,
                first_position,
                pages: &pages,
                keys: keys.rows(),
            };
            let count = of.count(n);
            let exact = |block: usize, row: usize| {
                let position = first_position + row / heads;
                let product = |k: usize| {
                    let key = (pages[k / PAGE] as usize * PAGE + k % PAGE) * dim;
                    let pairs = q[row * dim..][..dim].iter().zip(&read[key..]);
                    pairs.map(|(a, b)| f64::from(a * b)).sum::<f64>()
                };
                let seen = (block * size..(block + 1) * size).filter(|k| *k <= position);
                seen.map(product).fold(f64::NEG_INFINITY, f64::max)
            };
            for floats in Floats::all() {
                let mut out = vec![f32::NAN; count * n * heads];
                let parallel = |tasks: usize, f: &(dyn Fn(usize) + Sync)| on_threads(2, tasks, f);
                of.run(floats, &parallel, &q, n, &mut out);
                for (at, score) in out.iter().enumerate() {
                    let want = exact(at / (n * heads), at % (n * heads));
                    let is_near = (f64::from(*score) - want).abs() < 1e-4;
                    let is_none = *score == f32::NEG_INFINITY && want == f64::NEG_INFINITY;
                    assert!(is_near || is_none, "{n} {size} {kind}: {score} not {want}");
                }
            }
        }
    }
}
