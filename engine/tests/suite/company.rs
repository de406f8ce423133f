//! Company changes nothing: the logits of a token depend on its own sequence alone, to the bit, whoever shares its passes,
//! whether tokens are fed or their rows, however sequences were forked, cut, saved, released and opened before. Models of each kind, against fresh contexts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::common::{self, Feeding, Fixture};
use gristmill_engine::{
    CacheType, ContextOptions, Engine, Error, Feed, Input, Logits, Model, ROW, SequenceId,
};
use gristmill_gguf::Gguf;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const SEQUENCES: usize = 5;

/// Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Action {
    /// A pass with a few tokens for some of the sequences.
    Pass(Vec<(usize, Vec<u32>)>),
    /// Many tokens for one of them.
    Feed(usize, Vec<u32>),
    Fork(usize),
    Truncate(usize, usize),
    Release(usize),
    /// Saves it, and goes on with what was restored.
    Save(usize),
    Open,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let some = |most| prop::collection::vec(0..100u32, 1..most);
    let pass = prop::collection::vec((0..SEQUENCES, some(9)), 1..=SEQUENCES);
    prop::collection::vec(
        prop_oneof![
            6 => pass.prop_map(Action::Pass),
            2 => (0..SEQUENCES, some(60)).prop_map(|(which, ids)| Action::Feed(which, ids)),
            2 => (0..SEQUENCES).prop_map(Action::Fork),
            2 => (0..SEQUENCES, 0..300usize).prop_map(|(which, to)| Action::Truncate(which, to)),
            1 => (0..SEQUENCES).prop_map(Action::Release),
            1 => (0..SEQUENCES).prop_map(Action::Save),
            2 => Just(Action::Open),
        ],
        1..24,
    )
}

fn options() -> ContextOptions {
    ContextOptions {
        context_length: Some(300),
        batch: 24,
        cache_keys: CacheType::F16,
        ..common::exact(2)
    }
}

/// The logits after each token of a text, from a fresh context.
struct Alone {
    model: Arc<Model>,
    known: HashMap<Vec<u32>, Vec<f32>>,
}

impl Alone {
    fn after(&mut self, tokens: &[u32]) -> &[f32] {
        self.known.entry(tokens.to_vec()).or_insert_with(|| {
            let mut context = self.model.context(&options()).unwrap();
            context.feed(tokens, Logits::Last).unwrap().to_vec()
        })
    }
}

/// An engine, and what its sequences must hold.
struct Driven {
    engine: Engine,
    texts: Vec<(SequenceId, Vec<u32>)>,
    /// The same, as the engine shows it.
    shown: Vec<Vec<u32>>,
    takes_rows: bool,
}

/// What is fed for these tokens: half of the time, their rows.
enum Fed<'a> {
    Tokens(&'a [u32]),
    Rows(Vec<f32>),
}

impl Fed<'_> {
    fn input(&self) -> Input<'_> {
        match self {
            Fed::Tokens(ids) => Input::Tokens(ids),
            Fed::Rows(values) => Input::Rows(values),
        }
    }
}

impl Driven {
    fn check(&mut self, alone: &mut Alone, which: usize, row: &[f32]) -> Result<(), TestCaseError> {
        let (_, text) = &self.texts[which];
        let same = common::same_bits(row, alone.after(text));
        prop_assert!(same, "sequence {which} of {} tokens", text.len());
        Ok(())
    }

    /// Notes that these tokens follow a sequence, and says what is to be fed for them.
    fn extend<'a>(&mut self, model: &Model, which: usize, ids: &'a [u32]) -> Fed<'a> {
        self.texts[which].1.extend(ids);
        if self.takes_rows && ids.first().is_some_and(|id| id % 2 == 0) {
            self.shown[which].extend(ids.iter().map(|_| ROW));
            return Fed::Rows(common::embedding_rows(model, ids));
        }
        self.shown[which].extend(ids);
        Fed::Tokens(ids)
    }

    fn act(&mut self, alone: &mut Alone, action: &Action) -> Result<(), TestCaseError> {
        let vocab = alone.model.vocab_size();
        let count = self.texts.len();
        match action {
            Action::Open => match self.engine.open() {
                Ok(id) => {
                    self.texts.push((id, Vec::new()));
                    self.shown.push(Vec::new());
                }
                Err(error) => {
                    prop_assert!(matches!(error, Error::Sequences(SEQUENCES)));
                    prop_assert_eq!(count, SEQUENCES);
                }
            },
            _ if count == 0 => {}
            Action::Pass(parts) => {
                let mut feeds: Vec<(usize, &[u32])> = Vec::new();
                let mut room = self.engine.rows();
                for (which, ids) in parts {
                    let which = which % count;
                    let ids = &ids[..ids.len().min(room)];
                    let fits = self.texts[which].1.len() + ids.len() <= 300;
                    if !ids.is_empty() && fits && feeds.iter().all(|&(other, _)| other != which) {
                        room -= ids.len();
                        feeds.push((which, ids));
                    }
                }
                let fed: Vec<(usize, Fed<'_>)> = feeds
                    .iter()
                    .map(|&(which, ids)| (which, self.extend(&alone.model, which, ids)))
                    .collect();
                let pass: Vec<Feed<'_>> = fed
                    .iter()
                    .map(|(which, fed)| Feed {
                        sequence: self.texts[*which].0,
                        input: fed.input(),
                        want: Logits::Last,
                    })
                    .collect();
                let rows = self.engine.pass(&pass).unwrap().to_vec();
                prop_assert_eq!(rows.len(), feeds.len() * vocab);
                for ((which, _), row) in feeds.into_iter().zip(rows.chunks(vocab)) {
                    self.check(alone, which, row)?;
                }
            }
            Action::Feed(which, ids) => {
                let which = which % count;
                let (id, text) = &self.texts[which];
                let (id, ids) = (*id, &ids[..ids.len().min(300 - text.len())]);
                let fed = self.extend(&alone.model, which, ids);
                let fed = self.engine.feed(id, fed.input(), Logits::Last);
                let row = fed.unwrap().to_vec();
                if !ids.is_empty() {
                    self.check(alone, which, &row)?;
                }
            }
            Action::Fork(which) => {
                let (id, text) = &self.texts[which % count];
                match self.engine.fork(*id) {
                    Ok(new) => {
                        let text = text.clone();
                        self.texts.push((new, text));
                        self.shown.push(self.shown[which % count].clone());
                    }
                    Err(error) => prop_assert!(matches!(error, Error::Sequences(SEQUENCES))),
                }
            }
            Action::Truncate(which, to) => {
                let (id, text) = &mut self.texts[which % count];
                let to = to % (text.len() + 1);
                match self.engine.truncate(*id, to) {
                    Ok(()) => {
                        text.truncate(to);
                        self.shown[which % count].truncate(to);
                    }
                    Err(error) => prop_assert!(matches!(error, Error::Truncate { .. }), "refused"),
                }
            }
            Action::Save(which) => {
                let (id, _) = &mut self.texts[which % count];
                let mut saved = Vec::new();
                self.engine.save(*id, &mut saved).unwrap();
                self.engine.release(*id).unwrap();
                *id = self.engine.restore(&saved[..]).unwrap();
            }
            Action::Release(which) => {
                let (id, _) = self.texts.remove(which % count);
                self.shown.remove(which % count);
                self.engine.release(id).unwrap();
                prop_assert!(matches!(self.engine.release(id), Err(Error::Released)));
            }
        }
        for ((id, _), shown) in self.texts.iter().zip(&self.shown) {
            prop_assert_eq!(self.engine.tokens(*id), shown);
        }
        Ok(())
    }
}

#[test]
fn sequences_do_not_see_each_other() {
    for fixture in Fixture::of_each_kind() {
        let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
        let mut runner = TestRunner::new(Config {
            cases: 12,
            failure_persistence: None,
            ..Config::default()
        });
        let outcome = runner.run(&actions(), |actions| {
            let mut alone = Alone {
                model: Arc::clone(&model),
                known: HashMap::new(),
            };
            let engine = Engine::new(&model, &options(), SEQUENCES).unwrap();
            let mut driven = Driven {
                engine,
                texts: Vec::new(),
                shown: Vec::new(),
                takes_rows: fixture.name != "gemma4-e2b",
            };
            driven.act(&mut alone, &Action::Open)?;
            for action in &actions {
                driven.act(&mut alone, action)?;
            }
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", fixture.name);
        }
    }
}

/// Logits of all tokens as one of three sequences, in passes of pieces of uneven lengths.
pub fn logits_in_company(model: &Arc<Model>, tokens: &[u32], options: &ContextOptions) -> Vec<f32> {
    let mut engine = Engine::new(model, options, 3).unwrap();
    let ids = [(); 3].map(|()| engine.open().unwrap());
    let others = [3, 11].map(|turn| {
        let mut other = tokens.to_vec();
        other.rotate_left(turn % tokens.len());
        other
    });
    let (mut all, mut done) = (Vec::new(), [0; 3]);
    for step in 0.. {
        let lengths = [1 + step * 5 % 7, 1 + step * 3 % 4, (step * 2) % 5];
        let mut feeds = Vec::new();
        for (which, text) in [&others[0][..], tokens, &others[1]].into_iter().enumerate() {
            let end = text.len().min(done[which] + lengths[which]);
            feeds.push(Feed {
                sequence: ids[which],
                input: Input::Tokens(&text[done[which]..end]),
                want: if which == 1 {
                    Logits::All
                } else {
                    Logits::Last
                },
            });
            done[which] = end;
        }
        let count = |feed: &Feed<'_>| match feed.input {
            Input::Tokens(ids) => ids.len(),
            _ => panic!("tokens are fed"),
        };
        let before = count(&feeds[0]).min(1) * model.vocab_size();
        let rows = count(&feeds[1]) * model.vocab_size();
        all.extend_from_slice(&engine.pass(&feeds).unwrap()[before..][..rows]);
        if done[1] == tokens.len() {
            break;
        }
    }
    all
}

#[test]
fn a_pass_of_nothing_gives_nothing() {
    for fixture in Fixture::of_each_kind() {
        let model = Model::from_gguf(Gguf::from_bytes(fixture.expand()).unwrap()).unwrap();
        let mut engine = Engine::new(&model, &options(), 2).unwrap();
        let [sequence, other] = [(); 2].map(|()| engine.open().unwrap());
        assert!(engine.pass(&[]).unwrap().is_empty());
        engine.feed(sequence, &[1, 2], Logits::None).unwrap();
        let nothing = [sequence, other].map(|sequence| Feed {
            sequence,
            input: Input::Tokens(&[]),
            want: Logits::All,
        });
        assert!(
            engine.pass(&nothing).unwrap().is_empty(),
            "{}",
            fixture.name
        );
        assert_eq!(engine.tokens(sequence), [1, 2]);
    }
}

/// At every place where a pass of two sequences looks for a stop: both are as they were, and the next pass gives the bits
/// that it would have given.
#[test]
fn a_stop_ends_a_pass_anywhere_and_leaves_sequences_as_they_were() {
    for fixture in Fixture::of_each_kind() {
        let gguf = Gguf::from_bytes(fixture.expand()).unwrap();
        let metadata = gguf.metadata();
        let key = metadata.string("general.architecture").unwrap().to_owned() + ".block_count";
        let layers = metadata.u64(&key).unwrap() as usize;
        let model = Model::from_gguf(gguf).unwrap();
        let tokens = fixture.tokens();
        let mut context = model.context(&options()).unwrap();
        let whole = common::logits(&mut context, &tokens, Feeding::Batch);
        let mut engine = Engine::new(&model, &options(), 2).unwrap();
        let ids = [engine.open().unwrap(), engine.open().unwrap()];
        let halves = [tokens.len() / 2, tokens.len() / 3];
        let feeds = [0, 1].map(|number| Feed {
            sequence: ids[number],
            input: Input::Tokens(&tokens[halves[number]..][..10]),
            want: Logits::All,
        });
        let row = model.vocab_size();
        let want = halves.map(|half| &whole[half * row..][..10 * row]).concat();
        for look in 1.. {
            for (id, half) in ids.into_iter().zip(halves) {
                engine.reset(id).unwrap();
                engine.feed(id, &tokens[..half], Logits::None).unwrap();
            }
            engine.stop_handle().stop_at(look);
            let stopped = match engine.pass(&feeds) {
                Err(Error::Stopped) => true,
                Ok(logits) => {
                    assert!(common::same_bits(logits, &want), "{}", fixture.name);
                    false
                }
                Err(error) => panic!("{}: {error}", fixture.name),
            };
            if !stopped {
                assert!(look > layers, "{}: {look} looks", fixture.name);
                break;
            }
            for (id, half) in ids.into_iter().zip(halves) {
                assert_eq!(engine.tokens(id), &tokens[..half]);
            }
            let logits = engine.pass(&feeds).unwrap();
            assert!(
                common::same_bits(logits, &want),
                "{} after look {look}",
                fixture.name
            );
        }
    }
}
