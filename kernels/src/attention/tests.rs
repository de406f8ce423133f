//! Attention against its definition in f64, over cache types, shapes, windows, batches and threads.

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
    capacity: usize,
    first: usize,
    n: usize,
    window: Option<usize>,
    softcap: Option<f32>,
    causal: bool,
    sinks: bool,
    slopes: bool,
    kinds: (&'static str, &'static str),
}

const PLAIN: Case = Case {
    heads: 6,
    kv_heads: 2,
    key_dim: 64,
    value_dim: 64,
    capacity: 600,
    first: 100,
    n: 1,
    window: None,
    softcap: None,
    causal: true,
    sinks: false,
    slopes: false,
    kinds: ("f32", "f32"),
};

/// A filled cache and queries for a case.
struct Setup {
    case: Case,
    keys: Stored,
    values: Stored,
    read_keys: Vec<f32>,
    read_values: Vec<f32>,
    q: Vec<f32>,
    sinks: Vec<f32>,
    slopes: Vec<f32>,
}

impl Setup {
    fn new(case: Case) -> Setup {
        let rows = case.kv_heads * case.capacity;
        let (keys, read_keys) = Stored::new(case.kinds.0, &values(rows * case.key_dim, 1));
        let (stored, read_values) = Stored::new(case.kinds.1, &values(rows * case.value_dim, 2));
        let mut q = values(case.n * case.heads * case.key_dim, 3);
        q.iter_mut().for_each(|q| *q *= 8.0);
        Setup {
            case,
            keys,
            values: stored,
            read_keys,
            read_values,
            q,
            sinks: values(case.heads, 4),
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
            scale: 1.0 / (c.key_dim as f32).sqrt(),
            softcap: c.softcap,
            window: c.window,
            causal: c.causal,
            first_position: c.first,
            capacity: c.capacity,
            keys: self.keys.rows(),
            values: self.values.rows(),
            sinks: c.sinks.then_some(&self.sinks),
            slopes: c.slopes.then_some(&self.slopes),
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
                    .filter(|k| c.window.is_none_or(|w| position.abs_diff(*k) < w))
                    .collect();
                let row = |k: &usize| kv_head * c.capacity + k % c.capacity;
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
                    let value = |k: &usize| f64::from(self.read_values[row(k) * c.value_dim + d]);
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
        capacity: 3100,
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
fn a_ring_wraps_around() {
    for first in [0, 60, 127, 128, 1000, 1023] {
        for n in [1, 9, 65] {
            let case = Case {
                capacity: 128,
                window: Some(64),
                first,
                n,
                kinds: ("f16", "q8_0"),
                ..PLAIN
            };
            Setup::new(case).check(&format!("ring at {first}, {n}"));
        }
    }
}

#[test]
#[should_panic(expected = "the cache has forgotten a key")]
fn a_forgotten_key_is_an_error() {
    Setup::new(Case {
        capacity: 100,
        first: 90,
        n: 20,
        ..PLAIN
    })
    .run(Floats::PORTABLE, 1);
}

#[test]
fn threads_do_not_change_a_bit() {
    for floats in Floats::all() {
        for n in [1, 4, 16, 100] {
            for window in [None, Some(50)] {
                let setup = Setup::new(Case {
                    n,
                    window,
                    first: 480,
                    kinds: ("f16", "f16"),
                    ..PLAIN
                });
                let one = setup.run(floats, 1);
                for threads in [2, 3, 5] {
                    assert_eq!(
                        one,
                        setup.run(floats, threads),
                        "{n} queries, {threads} threads"
                    );
                }
            }
        }
    }
}

#[test]
fn batches_do_not_change_a_bit() {
    // Around the place where the chunk length changes (2048), too.
    for (first, capacity, window) in [
        (0, 600, None),
        (100, 600, None),
        (190, 600, Some(70)),
        (2040, 2100, None),
        (500, 128, Some(60)),
    ] {
        for (heads, kv_heads) in [(6, 2), (3, 3), (8, 1)] {
            let case = Case {
                heads,
                kv_heads,
                n: 16,
                first,
                capacity,
                window,
                kinds: ("f16", "q8_0"),
                ..PLAIN
            };
            let all = Setup::new(case);
            for floats in Floats::all() {
                let together = all.run(floats, 1);
                for batch in [1, 3, 4] {
                    let mut apart = Vec::new();
                    for start in (0..16).step_by(batch) {
                        let n = batch.min(16 - start);
                        let mut some = Setup::new(Case {
                            n,
                            first: first + start,
                            ..case
                        });
                        let row = heads * case.key_dim;
                        some.q = all.q[start * row..(start + n) * row].to_vec();
                        apart.extend(some.run(floats, 2));
                    }
                    assert_eq!(
                        together,
                        apart,
                        "batches of {batch} at {first}, {}",
                        floats.name()
                    );
                }
            }
        }
    }
}

#[test]
fn long_prompts_do_not_depend_on_their_split() {
    let all = Setup::new(Case {
        n: 200,
        kinds: ("f16", "f16"),
        ..PLAIN
    });
    for floats in Floats::all() {
        let together = all.run(floats, 1);
        let mut apart = Vec::new();
        for (start, n) in [(0, 70), (70, 17), (87, 113)] {
            let mut some = Setup::new(Case {
                n,
                first: PLAIN.first + start,
                ..all.case
            });
            some.q = all.q[start * 384..(start + n) * 384].to_vec();
            apart.extend(some.run(floats, 1));
        }
        assert_eq!(together, apart);
    }
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
                    let at = (head * case.capacity + bad) * 64;
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
