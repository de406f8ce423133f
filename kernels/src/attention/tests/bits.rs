//! What changes no bit: threads, batches, and the other heads of a call.

use super::*;

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
    let case = Case { n: 70, ..PLAIN };
    for keys in ["f32", "f16", "q8_0"] {
        for values in ["f32", "f16", "q8_0"] {
            let kinds = (keys, values);
            Setup::new(Case { kinds, ..case }).check_bits(&format!("{keys}/{values}"));
        }
    }
    for (heads, kv_heads) in [(6, 2), (3, 3), (8, 1), (1, 1)] {
        for key_dim in [40, 64, 128] {
            let value_dim = if key_dim == 40 { 72 } else { key_dim };
            let case = Case {
                heads,
                kv_heads,
                key_dim,
                value_dim,
                kinds: ("f16", "f16"),
                ..case
            };
            Setup::new(case).check_bits(&format!("{heads}/{kv_heads} heads of {key_dim}"));
        }
    }
    for window in [1, 7, 31, 65, 100] {
        let window = Some(window);
        Setup::new(Case { window, ..case }).check_bits(&format!("window {window:?}"));
    }
    let sinks = true;
    Setup::new(Case { sinks, ..case }).check_bits("sinks");
    let slopes = true;
    Setup::new(Case { slopes, ..case }).check_bits("slopes");
    let softcap = Some(5.0);
    Setup::new(Case { softcap, ..case }).check_bits("softcap");
    Setup::new(Case {
        slopes,
        softcap,
        sinks,
        chunk: None,
        window: Some(40),
        ..case
    })
    .check_bits("all of them");
    let causal = false;
    for n in [1, 16, 17, 33] {
        for window in [None, Some(20)] {
            let case = Case {
                n,
                window,
                causal,
                ..case
            };
            Setup::new(case).check_bits(&format!("looking ahead, {n}, {window:?}"));
        }
    }
}

#[test]
fn batches_do_not_change_a_bit_of_long_contexts_and_windows() {
    // From the start, where spans become longer (2048), and where old pages are gone.
    for (first, pages, window) in [
        (0, 1, None),
        (2040, 9, None),
        (2590, 11, None),
        (2600, 6, Some(700)),
        (500, 3, Some(60)),
    ] {
        Setup::new(Case {
            n: 70,
            first,
            pages,
            window,
            kinds: ("f16", "q8_0"),
            ..PLAIN
        })
        .check_bits(&format!("from {first}"));
    }
}

/// A query that is computed alone and one that is computed with others of its call see the same: looking ahead, the calls
/// can't be smaller, so the heads are.
#[test]
fn a_head_alone_is_the_head_among_others() {
    for (n, causal) in [(5, true), (16, false), (17, false), (40, false)] {
        let all = Setup::new(Case {
            heads: 4,
            kv_heads: 1,
            n,
            causal,
            ..PLAIN
        });
        for floats in Floats::all() {
            let together = all.run(floats, 1);
            for head in 0..4 {
                let mut alone = Setup::new(Case {
                    heads: 1,
                    kv_heads: 1,
                    ..all.case
                });
                let rows = all.q.chunks_exact(64).skip(head).step_by(4);
                alone.q = rows.flatten().copied().collect();
                let want: Vec<f32> = together
                    .chunks_exact(64)
                    .skip(head)
                    .step_by(4)
                    .flatten()
                    .copied()
                    .collect();
                assert!(alone.run(floats, 1) == want, "{} {n} {head}", floats.name());
            }
        }
    }
}
