//! Attention against its definition in f64, over cache types, shapes, windows, batches and threads.

mod bits;
mod blocks;

use super::*;
use crate::isa::float::Floats;
use half::f16;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Deterministic values in -1 ..= 1.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut x = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            (x >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// The owner of cache rows.
enum Stored {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Q8_0(Vec<u8>),
}

impl Stored {
    /// Stores `x` and gives back what is read from it, too.
    fn new(kind: &str, x: &[f32]) -> (Stored, Vec<f32>) {
        match kind {
            "f32" => (Stored::F32(x.to_vec()), x.to_vec()),
            "f16" => {
                let half: Vec<f16> = x.iter().map(|x| f16::from_f32(*x)).collect();
                let back = half.iter().map(|h| h.to_f32()).collect();
                (Stored::F16(half), back)
            }
            _ => {
                let (mut bytes, mut back) = (Vec::new(), Vec::new());
                for block in x.chunks(32) {
                    let top = block.iter().fold(0f32, |a, b| a.max(b.abs()));
                    let scale = f16::from_f32(top / 127.0);
                    bytes.extend(scale.to_le_bytes());
                    for x in block {
                        let code = (x / scale.to_f32()).round().clamp(-127.0, 127.0) as i8;
                        bytes.push(code as u8);
                        back.push(f32::from(code) * scale.to_f32());
                    }
                }
                (Stored::Q8_0(bytes), back)
            }
        }
    }

    fn rows(&self) -> CacheRows<'_> {
        match self {
            Stored::F32(x) => CacheRows::F32(x),
            Stored::F16(x) => CacheRows::F16(x),
            Stored::Q8_0(x) => CacheRows::Q8_0(x),
        }
    }
}

#[derive(Clone, Copy)]
struct Case {
    heads: usize,
    kv_heads: usize,
    key_dim: usize,
    value_dim: usize,
    /// Pages of the cache; what a query sees no more has none.
    pages: usize,
    first: usize,
    n: usize,
    /// Values are the beginnings of keys.
    latent: bool,
    chunk: Option<usize>,
    window: Option<usize>,
    softcap: Option<f32>,
    causal: bool,
    sinks: bool,
    slopes: bool,
    /// Positions of a block, of which queries see about every second one.
    blocks: Option<usize>,
    kinds: (&'static str, &'static str),
}

const PLAIN: Case = Case {
    heads: 6,
    kv_heads: 2,
    key_dim: 64,
    value_dim: 64,
    pages: 3,
    first: 100,
    n: 1,
    latent: false,
    chunk: None,
    window: None,
    softcap: None,
    causal: true,
    sinks: false,
    slopes: false,
    blocks: None,
    kinds: ("f32", "f32"),
};

impl Case {
    fn block_count(&self) -> usize {
        let size = self.blocks.unwrap_or(usize::MAX);
        (self.first + self.n).div_ceil(size)
    }
}

/// A filled cache and queries for a case.
struct Setup {
    case: Case,
    keys: Stored,
    values: Stored,
    read_keys: Vec<f32>,
    read_values: Vec<f32>,
    /// In an order of their own.
    pages: Vec<u32>,
    q: Vec<f32>,
    sinks: Vec<f32>,
    slopes: Vec<f32>,
    /// `[query][kv_head][block]`.
    chosen: Vec<bool>,
}

impl Setup {
    fn new(case: Case) -> Setup {
        let rows = case.kv_heads * case.pages * PAGE;
        let (keys, read_keys) = Stored::new(case.kinds.0, &values(rows * case.key_dim, 1));
        let (stored, read_values) = Stored::new(case.kinds.1, &values(rows * case.value_dim, 2));
        let mut q = values(case.n * case.heads * case.key_dim, 3);
        q.iter_mut().for_each(|q| *q *= 8.0);
        let oldest = case
            .window
            .map_or(0, |w| (case.first + 1).saturating_sub(w));
        let oldest = oldest.max(case.chunk.map_or(0, |c| case.first / c * c)) / PAGE;
        let used = (case.first + case.n).div_ceil(PAGE) - oldest;
        let page = |number: usize| ((used - 1 - number + case.pages / 2) % case.pages) as u32;
        let pages = std::iter::repeat_n(u32::MAX, oldest).chain((0..used).map(page));
        Setup {
            pages: pages.collect(),
            case,
            keys,
            values: stored,
            read_keys,
            read_values,
            q,
            sinks: values(case.heads, 4),
            chosen: values(case.n * case.kv_heads * case.block_count(), 5)
                .iter()
                .enumerate()
                // Block 1 always, so that every query of these tests sees something.
                .map(|(at, x)| *x > 0.0 || at % case.block_count() == 1)
                .collect(),
            slopes: (0..case.heads).map(|h| 0.5f32.powi(h as i32 + 1)).collect(),
        }
    }

    fn attention(&self) -> Attention<'_> {
        let c = self.case;
        Attention {
            heads: c.heads,
            kv_heads: c.kv_heads,
            key_dim: c.key_dim,
            value_dim: c.value_dim,
            value_stride: if c.latent { c.key_dim } else { c.value_dim },
            scale: 1.0 / (c.key_dim as f32).sqrt(),
            softcap: c.softcap,
            chunk: c.chunk,
            window: c.window,
            causal: c.causal,
            first_position: c.first,
            pages: &self.pages,
            keys: self.keys.rows(),
            values: if c.latent {
                self.keys.rows()
            } else {
                self.values.rows()
            },
            sinks: c.sinks.then_some(&self.sinks),
            slopes: c.slopes.then_some(&self.slopes),
            chosen: c.blocks.map(|size| Chosen {
                size,
                count: c.block_count(),
                blocks: &self.chosen,
            }),
        }
    }

    /// The definition.
    fn exact(&self) -> Vec<f64> {
        let c = self.case;
        let mut out = Vec::new();
        for query in 0..c.n {
            let position = c.first + query;
            for head in 0..c.heads {
                let kv_head = head / (c.heads / c.kv_heads);
                let q = &self.q[(query * c.heads + head) * c.key_dim..][..c.key_dim];
                let seen: Vec<usize> = (0..c.first + c.n)
                    .filter(|k| !c.causal || *k <= position)
                    .filter(|k| c.chunk.is_none_or(|chunk| *k >= position / chunk * chunk))
                    .filter(|k| {
                        let row = (query * c.kv_heads + kv_head) * c.block_count();
                        c.blocks.is_none_or(|size| self.chosen[row + k / size])
                    })
                    .filter(|k| c.window.is_none_or(|w| position.abs_diff(*k) < w))
                    .collect();
                let row = |k: &usize| {
                    let page = self.pages[k / PAGE] as usize;
                    (page * c.kv_heads + kv_head) * PAGE + k % PAGE
                };
                let scores: Vec<f64> = seen
                    .iter()
                    .map(|k| {
                        let key = &self.read_keys[row(k) * c.key_dim..][..c.key_dim];
                        let dot: f64 = q
                            .iter()
                            .zip(key)
                            .map(|(a, b)| f64::from(*a) * f64::from(*b))
                            .sum();
                        let mut score = dot / (c.key_dim as f64).sqrt();
                        if let Some(cap) = c.softcap {
                            score = f64::from(cap) * (score / f64::from(cap)).tanh();
                        }
                        if c.slopes {
                            score -= f64::from(self.slopes[head]) * position.abs_diff(*k) as f64;
                        }
                        score
                    })
                    .collect();
                let mut total: f64 = scores.iter().map(|s| s.exp()).sum();
                if c.sinks {
                    total += f64::from(self.sinks[head]).exp();
                }
                for d in 0..c.value_dim {
                    let value = |k: &usize| {
                        f64::from(if c.latent {
                            self.read_keys[row(k) * c.key_dim + d]
                        } else {
                            self.read_values[row(k) * c.value_dim + d]
                        })
                    };
                    out.push(
                        seen.iter()
                            .zip(&scores)
                            .map(|(k, s)| s.exp() / total * value(k))
                            .sum(),
                    );
                }
            }
        }
        out
    }

    fn run(&self, floats: Floats, threads: usize) -> Vec<f32> {
        let mut out = vec![f32::NAN; self.case.n * self.case.heads * self.case.value_dim];
        let parallel = |tasks: usize, f: &(dyn Fn(usize) + Sync)| on_threads(threads, tasks, f);
        self.attention().run(
            floats,
            &mut AttentionScratch::default(),
            &parallel,
            &self.q,
            self.case.n,
            &mut out,
        );
        out
    }

    /// The same queries in calls of at most `batch`, over the same cache. (Only with `causal`: otherwise a query sees those
    /// of its call.)
    fn run_in_batches(&self, floats: Floats, threads: usize, batch: usize) -> Vec<f32> {
        let c = self.case;
        let (q_row, out_row) = (c.heads * c.key_dim, c.heads * c.value_dim);
        let mut out = vec![f32::NAN; c.n * out_row];
        let parallel = |tasks: usize, f: &(dyn Fn(usize) + Sync)| on_threads(threads, tasks, f);
        let mut scratch = AttentionScratch::default();
        for start in (0..c.n).step_by(batch) {
            let n = batch.min(c.n - start);
            let whole = self.attention();
            let blocks = |chosen: Chosen<'_>| c.kv_heads * chosen.count;
            let attention = Attention {
                first_position: c.first + start,
                chosen: whole.chosen.map(|chosen| Chosen {
                    blocks: &self.chosen[start * blocks(chosen)..(start + n) * blocks(chosen)],
                    ..chosen
                }),
                ..whole
            };
            let q = &self.q[start * q_row..(start + n) * q_row];
            let out = &mut out[start * out_row..(start + n) * out_row];
            attention.run(floats, &mut scratch, &parallel, q, n, out);
        }
        out
    }

    /// However the queries are shared out to calls, and these to threads, a query's bits are the same; so are those of the
    /// two sets with fused multiply-adds.
    fn check_bits(&self, what: &str) {
        let bits = |out: Vec<f32>| out.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
        let mut fused = None;
        for floats in Floats::all() {
            let name = floats.name();
            let want = bits(self.run(floats, 1));
            assert!(want == bits(self.run(floats, 3)), "{what}, {name}, threads");
            if self.case.causal {
                for batch in [1, 2, 5, 16, 17, 33] {
                    let got = bits(self.run_in_batches(floats, 1 + batch % 2, batch));
                    assert!(want == got, "{what}, {name}, batches of {batch}");
                }
            }
            if floats != Floats::PORTABLE {
                let first = fused.get_or_insert_with(|| want.clone());
                assert!(*first == want, "{what}, {name}, not as the other set");
            }
        }
    }

    /// Compares every instruction set with the definition.
    fn check(&self, what: &str) {
        let want = self.exact();
        let size: f64 = want.iter().map(|w| w * w).sum();
        for floats in Floats::all() {
            let got = self.run(floats, 1);
            let error: f64 = got
                .iter()
                .zip(&want)
                .map(|(g, w)| (f64::from(*g) - w).powi(2))
                .sum();
            assert!(
                error / size < 1e-11,
                "{what}, {}: NMSE {:.2e}",
                floats.name(),
                error / size
            );
        }
    }
}

fn on_threads(threads: usize, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let task = next.fetch_add(1, Ordering::Relaxed);
                    if task >= tasks {
                        break;
                    }
                    f(task);
                }
            });
        }
    });
}

#[test]
fn few_and_many_queries_agree_with_the_definition() {
    for n in [1, 2, 5, 16, 17, 40, 133] {
        Setup::new(Case { n, ..PLAIN }).check(&format!("{n} queries"));
        Setup::new(Case {
            n,
            first: 0,
            ..PLAIN
        })
        .check(&format!("{n} queries from the start"));
    }
    // Longer than the first chunk length.
    Setup::new(Case {
        n: 3,
        first: 3000,
        pages: 13,
        ..PLAIN
    })
    .check("a long cache");
}

#[test]
fn all_cache_types() {
    for keys in ["f32", "f16", "q8_0"] {
        for values in ["f32", "f16", "q8_0"] {
            for n in [1, 33] {
                Setup::new(Case {
                    kinds: (keys, values),
                    n,
                    ..PLAIN
                })
                .check(&format!("{keys}/{values}, {n}"));
            }
        }
    }
}

#[test]
fn all_shapes() {
    for (heads, kv_heads, key_dim, value_dim) in [
        (1, 1, 8, 8),
        (4, 4, 80, 80),
        (4, 1, 256, 256),
        (9, 3, 64, 64),
        (16, 1, 32, 48),
        (2, 1, 100, 12),
        (71, 1, 4, 4),
        (3, 3, 192, 128),
    ] {
        for n in [1, 3, 50] {
            let what = format!("{heads} / {kv_heads} heads, {key_dim} / {value_dim}, {n}");
            Setup::new(Case {
                heads,
                kv_heads,
                key_dim,
                value_dim,
                n,
                kinds: ("f16", "f16"),
                ..PLAIN
            })
            .check(&what);
        }
    }
}

#[test]
fn values_may_be_the_beginnings_of_keys() {
    for kind in ["f32", "f16", "q8_0"] {
        for (key_dim, value_dim) in [(64, 32), (576, 512), (96, 64)] {
            for n in [1, 16, 70] {
                let case = Case {
                    heads: 4,
                    kv_heads: 1,
                    key_dim,
                    value_dim,
                    latent: true,
                    n,
                    kinds: (kind, kind),
                    ..PLAIN
                };
                Setup::new(case).check(&format!("{kind} {key_dim} / {value_dim}, {n}"));
                Setup::new(case).check_bits(&format!("{kind} {key_dim} / {value_dim}, {n}"));
            }
        }
    }
}

#[test]
fn chunks_hide_what_is_before_them() {
    for chunk in [1, 30, 64, 128, 1000] {
        for n in [1, 16, 70] {
            let case = Case {
                chunk: Some(chunk),
                n,
                ..PLAIN
            };
            Setup::new(case).check(&format!("chunks of {chunk}, {n}"));
            Setup::new(case).check_bits(&format!("chunks of {chunk}, {n}"));
        }
    }
}

#[test]
fn windows_caps_sinks_slopes_and_looking_ahead() {
    for n in [1, 16, 70] {
        for window in [1, 2, 31, 65, 1000] {
            Setup::new(Case {
                window: Some(window),
                n,
                ..PLAIN
            })
            .check(&format!("window {window}, {n}"));
            let ahead = Case {
                window: Some(window),
                causal: false,
                first: 0,
                n,
                ..PLAIN
            };
            Setup::new(ahead).check(&format!("window {window} both ways, {n}"));
        }
        Setup::new(Case {
            softcap: Some(5.0),
            n,
            ..PLAIN
        })
        .check("softcap");
        Setup::new(Case {
            softcap: Some(5.0),
            window: Some(40),
            n,
            ..PLAIN
        })
        .check("softcap in a window");
        Setup::new(Case {
            causal: false,
            first: 0,
            n,
            ..PLAIN
        })
        .check("looking ahead");
        Setup::new(Case {
            sinks: true,
            n,
            ..PLAIN
        })
        .check("sinks");
        Setup::new(Case {
            slopes: true,
            n,
            ..PLAIN
        })
        .check("slopes");
        Setup::new(Case {
            slopes: true,
            causal: false,
            first: 0,
            n,
            ..PLAIN
        })
        .check("slopes both ways");
    }
}

#[test]
fn pages_that_left_the_window_are_gone() {
    for first in [0, 60, 255, 256, 300, 1000, 1023] {
        for n in [1, 9, 65] {
            let case = Case {
                pages: 2,
                window: Some(64),
                first,
                n,
                kinds: ("f16", "q8_0"),
                ..PLAIN
            };
            Setup::new(case).check(&format!("from {first}, {n}"));
        }
    }
}

#[test]
#[should_panic(expected = "the cache has forgotten a key")]
fn a_forgotten_key_is_an_error() {
    let mut setup = Setup::new(Case {
        first: 300,
        n: 20,
        ..PLAIN
    });
    setup.pages[0] = u32::MAX;
    setup.run(Floats::PORTABLE, 1);
}

/// What a query does not see has no part in its result, not even infinity: neither later positions of its tile nor those
/// that have left its window.
#[test]
fn unseen_infinities_stay_unseen() {
    for (window, n) in [(None, 90), (Some(20), 90), (None, 3)] {
        for poison in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            let case = Case {
                first: 7,
                n,
                window,
                ..PLAIN
            };
            let clean = Setup::new(case);
            let mut setup = Setup::new(case);
            let bad = 7 + n / 2;
            if let (Stored::F32(keys), Stored::F32(values)) = (&mut setup.keys, &mut setup.values) {
                for head in 0..case.kv_heads {
                    let page = setup.pages[bad / PAGE] as usize;
                    let at = ((page * case.kv_heads + head) * PAGE + bad % PAGE) * 64;
                    keys[at..][..64].fill(poison);
                    values[at..][..64].fill(poison);
                }
            }
            for floats in Floats::all() {
                let (got, want) = (setup.run(floats, 1), clean.run(floats, 1));
                let row = case.heads * case.value_dim;
                for query in 0..n {
                    let position = 7 + query;
                    let sees = position >= bad && window.is_none_or(|w| position - bad < w);
                    let (got, want) = (&got[query * row..][..row], &want[query * row..][..row]);
                    for (got, want) in got.iter().zip(want) {
                        assert!(
                            sees || (got - want).abs() <= 1e-5,
                            "{poison}, {}, window {window:?}, query {query} of {n}: {got} not {want}",
                            floats.name()
                        );
                    }
                }
            }
        }
    }
}
