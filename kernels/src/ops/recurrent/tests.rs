//! What every recurrent operation is held to: a plain model in f64, the same bits however tokens are split into calls, the
//! same bits with AVX2 and AVX-512.

use super::*;
use crate::isa::float::Floats;
use crate::pool::{Grid, Team};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Tokens of a test.
pub const TOKENS: usize = 7;

/// Keys and values of heads: whole vectors, parts of one, both, and the sizes of real models.
pub const HEADS: [(usize, usize); 8] = [
    (1, 1),
    (3, 5),
    (8, 16),
    (17, 33),
    (40, 79),
    (64, 64),
    (128, 128),
    (16, 217),
];

/// Rows of numbers, one for each token, a little apart.
pub struct Values {
    data: Vec<f32>,
    step: usize,
}

impl Values {
    /// Rows of `width` numbers between `-size` and `size`.
    pub fn new(seed: usize, width: usize, size: f32) -> Values {
        let step = width + seed % 3;
        let data = (0..TOKENS * step)
            .map(|i| (i as f32 * 0.737 + seed as f32 * 1.91).sin() * size)
            .collect();
        Values { data, step }
    }

    /// Rows of `width` numbers between 0.05 and 0.95.
    pub fn positive(seed: usize, width: usize) -> Values {
        let mut values = Values::new(seed, width, 0.45);
        values.data.iter_mut().for_each(|x| *x += 0.5);
        values
    }

    /// The rows from a token's on.
    pub fn from(&self, token: usize) -> Rows<'_, f32> {
        Rows {
            data: &self.data[token * self.step..],
            width: self.step,
        }
    }

    /// All rows without their first columns.
    pub fn columns_from(&self, first: usize) -> Rows<'_, f32> {
        Rows {
            data: &self.data[first..],
            width: self.step,
        }
    }

    /// A number of a token.
    pub fn get(&self, token: usize, at: usize) -> f64 {
        self.data[token * self.step + at].into()
    }
}

/// Holds an operation (`run`: those tokens, the state, the output) with outputs of `width` and a state of `state` elements
/// to `model`, which takes the state, a token and its output of zeros.
pub fn check(
    (width, state): (usize, usize),
    model: impl Fn(&mut [f64], usize, &mut [f64]),
    run: impl Fn(Floats, Range<usize>, &mut [f32], &mut dyn Output),
) {
    const GAP: usize = 3;
    let start: Vec<f32> = (0..state).map(|i| (i as f32 * 0.213).cos()).collect();
    let mut want_state: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
    let mut want = vec![0.0; TOKENS * width];
    for (token, out) in want.chunks_exact_mut(width).enumerate() {
        model(&mut want_state, token, out);
    }
    let mut of_avx2 = None;
    for with in Floats::all() {
        let go = |split: &[usize]| {
            let mut state = start.clone();
            let step = width + GAP;
            let mut out = vec![7.0; TOKENS * step];
            let mut first = 0;
            for tokens in split {
                let mut rows = RowsMut {
                    data: &mut out[first * step..],
                    width: step,
                };
                run(with, first..first + tokens, &mut state, &mut rows);
                first += tokens;
            }
            assert_eq!(first, TOKENS);
            (out, state)
        };
        let (out, state) = go(&[TOKENS]);
        let close =
            |got: f32, want: f64| (f64::from(got) - want).abs() < 2e-5 * want.abs().max(1.0);
        for (out, want) in out.chunks_exact(width + GAP).zip(want.chunks_exact(width)) {
            for (got, want) in out.iter().zip(want) {
                assert!(close(*got, *want), "{}: {got}, not {want}", with.name());
            }
            assert_eq!(out[width..], [7.0; GAP]);
        }
        for (got, want) in state.iter().zip(&want_state) {
            assert!(close(*got, *want), "{}: {got}, not {want}", with.name());
        }
        let bits = |(out, state): (Vec<f32>, Vec<f32>)| -> Vec<u32> {
            out.iter().chain(&state).map(|x| x.to_bits()).collect()
        };
        let whole = bits((out, state));
        for split in [&[1; TOKENS][..], &[2, 5], &[4, 0, 1, 2], &[6, 1]] {
            assert!(bits(go(split)) == whole, "{}: {split:?}", with.name());
        }
        if Some(with) == Floats::avx2() {
            of_avx2 = Some(whole);
        } else if let Some(of_avx2) = &of_avx2 {
            assert!(*of_avx2 == whole, "AVX2 and {} differ", with.name());
        }
    }
}

/// [`check`] of an operation on a head with these numbers of keys and values. `run` is given the head, whose tokens are
/// those of one call, and the number of the first of them.
pub fn check_head(
    (keys, values): (usize, usize),
    model: impl Fn(&mut [f64], usize, &mut [f64]),
    run: impl Fn(Floats, Head, usize, &mut [f32], &mut dyn Output),
) {
    check(
        (values, keys * values),
        model,
        |with, tokens, state, out| {
            let head = Head {
                tokens: tokens.len(),
                keys,
                values,
            };
            run(with, head, tokens.start, state, out);
        },
    );
}

/// The inputs of a head with one key and `values` values.
fn linear(values: &[f32]) -> Linear<'_> {
    let one = Rows {
        data: &[1.0; TOKENS],
        width: 1,
    };
    let v = Rows {
        data: values,
        width: values.len() / TOKENS,
    };
    Linear {
        q: one,
        k: one,
        v,
        decay: Decay::Constant(1.0),
    }
}

#[test]
fn heads_of_a_team() {
    let (heads, values) = (3, 5);
    let ones = vec![1.0; TOKENS * values];
    let mut out = vec![0.0; TOKENS * heads * values];
    let team = Team::new(2).unwrap();
    let mut grids = [Grid::new(&mut out, heads * values, values)];
    team.strips(2, &mut grids, |_, mut strip| {
        let head = Head {
            tokens: TOKENS,
            keys: 1,
            values,
        };
        let mut state = vec![(strip.first() / values) as f32; values];
        let with = Floats::best();
        linear_attention(with, head, linear(&ones), &mut state, &mut strip);
    });
    for (token, out) in out.chunks_exact(heads * values).enumerate() {
        for (head, out) in out.chunks_exact(values).enumerate() {
            assert_eq!(out, vec![(head + token + 1) as f32; values]);
        }
    }
}

#[test]
fn wrong_lengths_are_noticed_before_anything_is_written() {
    let ones = vec![1.0; TOKENS * 4];
    // Values of the head, of its state and of its output, and how far rows of the output are apart.
    for (values, of_state, of_out, step) in
        [(5, 5, 35, 5), (4, 3, 28, 4), (4, 4, 27, 4), (4, 4, 28, 3)]
    {
        let (mut state, mut out) = (vec![2.0; of_state], vec![2.0; of_out]);
        let head = Head {
            tokens: TOKENS,
            keys: 1,
            values,
        };
        let mut rows = RowsMut {
            data: &mut out,
            width: step,
        };
        let work = || {
            let with = Floats::best();
            linear_attention(with, head, linear(&ones), &mut state, &mut rows);
        };
        assert!(catch_unwind(AssertUnwindSafe(work)).is_err());
        assert!(state.iter().chain(&out).all(|x| *x == 2.0));
    }
}
