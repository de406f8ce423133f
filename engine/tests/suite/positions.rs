//! Rows with positions of several parts, as a picture's have them.

use std::sync::Arc;

use crate::common::{self, Fixture};
use gristmill_engine::{ContextOptions, Engine, Error, Feed, Input, Logits, Model, SequenceId};
use gristmill_gguf::Gguf;

/// Models whose positions have parts, one after another or in turns.
const WITH_PARTS: &[&str] = &[
    "glm4-dense",
    "glm4moe-moe",
    "hunyuan_vl-dense",
    "paddleocr-moe",
    "qwen2vl-dense",
    "qwen35-real",
    "qwen35moe-real",
    "qwen3vl-dense",
    "qwen3vlmoe-moe",
];

fn model(name: &str) -> Arc<Model> {
    Model::from_gguf(Gguf::from_bytes(Fixture::named(name).expand()).unwrap()).unwrap()
}

fn options() -> ContextOptions {
    ContextOptions {
        batch: 5,
        ..common::exact(2)
    }
}

/// A picture of three by four rows between two texts: ids for all of them, and the picture's positions.
struct Talk {
    before: Vec<u32>,
    picture: Vec<u32>,
    positions: Vec<[u32; 4]>,
    after: Vec<u32>,
}

impl Talk {
    fn new() -> Talk {
        let ids = |range: std::ops::Range<u32>| range.map(|i| (i * i + 3 * i + 7) % 100).collect();
        let cell = |cell: u32| [6, 6 + cell / 4, 6 + cell % 4, 0];
        Talk {
            before: ids(0..6),
            picture: ids(20..32),
            positions: (0..12).map(cell).collect(),
            after: ids(40..49),
        }
    }
}

fn all_logits(engine: &mut Engine, id: SequenceId, inputs: &[Input<'_>]) -> Vec<f32> {
    let mut all = Vec::new();
    for &input in inputs {
        all.extend_from_slice(engine.feed(id, input, Logits::All).unwrap());
    }
    all
}

#[test]
fn positions_of_text_are_no_positions() {
    for name in WITH_PARTS {
        let (model, talk) = (model(name), Talk::new());
        let mut engine = Engine::new(&model, &options(), 2).unwrap();
        let ids = [(); 2].map(|()| engine.open().unwrap());
        let rows = common::embedding_rows(&model, &talk.picture);
        let positions: Vec<_> = (6..18).map(|at| [at; 4]).collect();
        let placed = Input::Placed {
            rows: &rows,
            positions: &positions,
        };
        let [one, other] = [Input::Tokens(&talk.picture), placed]
            .map(|picture| [(&talk.before).into(), picture, (&talk.after).into()]);
        let want = all_logits(&mut engine, ids[0], &one);
        let got = all_logits(&mut engine, ids[1], &other);
        assert!(common::same_bits(&got, &want), "{name}");
        for id in ids {
            assert_eq!(engine.next_position(id).unwrap(), 27);
        }
    }
}

/// In pieces and in company, after going back, as a fork and from a file.
#[test]
fn pictures_are_where_they_are_placed_whatever_happened_before() {
    for name in WITH_PARTS {
        let (model, talk) = (model(name), Talk::new());
        let vocab = model.vocab_size();
        let rows = common::embedding_rows(&model, &talk.picture);
        let width = rows.len() / 12;
        let part = |range: std::ops::Range<usize>| Input::Placed {
            rows: &rows[range.start * width..range.end * width],
            positions: &talk.positions[range],
        };
        let (before, after) = (Input::Tokens(&talk.before), Input::Tokens(&talk.after));
        let mut engine = Engine::new(&model, &options(), 3).unwrap();
        let id = engine.open().unwrap();
        let whole = all_logits(&mut engine, id, &[before, part(0..12), after]);
        // Text goes on behind the widest side: 6 + 4, and then the 9 tokens.
        assert_eq!(engine.next_position(id).unwrap(), 19);
        let same = |rows: &[f32], from: usize| {
            let want = &whole[from * vocab..][..rows.len()];
            assert!(common::same_bits(rows, want), "{name}, from {from}");
        };

        // A picture is not what its rows are as text.
        let text = engine.open().unwrap();
        let plain = all_logits(&mut engine, text, &[before, Input::Rows(&rows), after]);
        assert!(!common::same_bits(&plain, &whole), "{name}");
        assert_eq!(plain[..6 * vocab], whole[..6 * vocab]);
        engine.reset(text).unwrap();

        // One by one, with another sequence in the same passes.
        engine.reset(id).unwrap();
        engine.feed(id, before, Logits::None).unwrap();
        for row in 0..12 {
            let feed = |sequence, input| Feed {
                sequence,
                input,
                want: Logits::Last,
            };
            let other = Input::Tokens(&talk.after[row % 9..][..1]);
            let feeds = [feed(text, other), feed(id, part(row..row + 1))];
            same(&engine.pass(&feeds).unwrap()[vocab..], 6 + row);
        }
        engine.release(text).unwrap();

        // Back to the middle of the picture, where text would follow the largest part so far.
        engine.truncate(id, 6 + 7).unwrap();
        assert_eq!(engine.next_position(id).unwrap(), 10);
        let fork = engine.fork(id).unwrap();
        let mut saved = Vec::new();
        engine.save(fork, &mut saved).unwrap();
        let restored = engine.restore(&saved[..]).unwrap();
        for id in [id, fork, restored] {
            let got = all_logits(&mut engine, id, &[part(7..12), after]);
            same(&got, 6 + 7);
        }

        // What was lost in a stop is read again, each row where it was.
        engine.truncate(restored, 6 + 10).unwrap();
        engine.stop_handle().stop();
        let stopped = engine.feed(restored, part(10..12), Logits::None);
        assert!(matches!(stopped, Err(Error::Stopped)), "{name}");
        let got = all_logits(&mut engine, restored, &[part(10..12), after]);
        same(&got, 6 + 10);
    }
}

/// The two orders of sections, by the parts that heads of 128 with sections of 32 pairs never see.
#[test]
fn parts_turn_the_pairs_of_their_sections() {
    // The sixty-four pairs are those of the first two sections, or take turns among the first three.
    for (name, seen) in [
        ("qwen2vl-dense", [true, true, false, false]),
        ("qwen3vl-dense", [true, true, true, false]),
    ] {
        let (model, talk) = (model(name), Talk::new());
        let rows = common::embedding_rows(&model, &talk.picture);
        let mut context = model.context(&options()).unwrap();
        let mut logits = |change: [u32; 4]| {
            context.reset();
            context.feed(&talk.before, Logits::None).unwrap();
            let mut positions = talk.positions.clone();
            // The last row alone, seen from the one before it.
            for (part, more) in positions[11].iter_mut().zip(change) {
                *part += more;
            }
            let picture = Input::Placed {
                rows: &rows,
                positions: &positions,
            };
            context.feed(picture, Logits::Last).unwrap().to_vec()
        };
        let plain = logits([0; 4]);
        for (part, is_seen) in seen.into_iter().enumerate() {
            let mut change = [0; 4];
            change[part] = 3;
            let same = common::same_bits(&logits(change), &plain);
            assert_eq!(same, !is_seen, "{name}, part {part}");
        }
    }
}

#[test]
fn positions_that_cannot_be_are_refused() {
    let positions = [[3; 4]];
    for (name, rows, part) in [
        ("llama-gqa", 1, "no parts"),
        ("qwen2vl-dense", 2, "2 rows have 1"),
    ] {
        let model = model(name);
        let mut context = model.context(&options()).unwrap();
        let placed = Input::Placed {
            rows: &vec![0.5; model.hparams().embedding_length * rows],
            positions: &positions,
        };
        let fed = context.feed(placed, Logits::None).map(<[f32]>::len);
        let error = fed.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
        assert_eq!(context.position(), 0);
    }
}
