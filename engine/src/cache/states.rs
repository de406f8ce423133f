//! What sequences know of their past: pages of keys and values, shared by sequences with the same beginning, and the fixed
//! states of recurrent layers. Everything is counted in positions; which tokens were there is the caller's.
//! Flows in: the keys and values of a pass. Flows out: views for the attention kernel.

use std::ops::Range;

use gristmill_kernels::attention::{CacheRows, PAGE};

use super::pages::{Pool, Table};
use super::store::Store;
use super::{CacheId, CacheShape, CacheType, FixedId, FixedShape, FixedState, FixedStates, Moment};
use crate::error::Error;
use crate::stream::{Reading, Writing, damaged};

/// For how many sequences of what length there is room.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Sequences at the same time.
    pub sequences: usize,
    /// Positions of each.
    pub positions: usize,
    /// Positions that a pass adds at most.
    pub batch: usize,
    /// Of these, guesses that may be taken back: they must not have displaced anything.
    pub guesses: usize,
    /// Storage of keys.
    pub keys: CacheType,
    /// Storage of values.
    pub values: CacheType,
}

impl Room {
    /// Positions that are remembered by layers with a window.
    fn remembered(&self, window: Option<usize>) -> usize {
        // While a batch of b tokens is evaluated, its first one still looks back over window - 1 older positions.
        window.map_or(self.positions, |w| {
            self.positions
                .min(w.saturating_add(self.batch).saturating_sub(1))
        })
    }

    /// Pages that a sequence holds at most of such layers.
    fn pages(&self, window: Option<usize>) -> usize {
        let all = self.positions.div_ceil(PAGE);
        let held = self.remembered(window).saturating_add(self.guesses);
        all.min(held.div_ceil(PAGE) + 1)
    }

    /// Bytes of a cache of this shape for all sequences.
    pub fn bytes(&self, shape: &CacheShape) -> u64 {
        let pages = (self.sequences as u64).saturating_mul(self.pages(shape.window) as u64);
        let rows = pages.saturating_mul((PAGE * shape.heads) as u64);
        let values = match shape.latent {
            true => 0,
            false => self.values.row_bytes(shape.value_length),
        };
        rows.saturating_mul((self.keys.row_bytes(shape.key_length) + values) as u64)
    }
}

/// One layer's keys and values, of all sequences.
#[derive(Debug)]
struct Cache {
    shape: CacheShape,
    /// Which of the reaches.
    reach: usize,
    keys: Store,
    values: Option<Store>,
}

/// Caches that look back equally far have the same pages.
#[derive(Debug)]
struct Reach {
    window: Option<usize>,
    remembered: usize,
    pool: Pool,
}

/// The past of one sequence; an empty one waits for a sequence to be opened.
#[derive(Debug)]
struct Past {
    is_open: bool,
    /// By reach.
    tables: Vec<Table>,
    fixed: FixedStates,
    /// The most positions that were held since it was empty, guesses that were taken back left aside.
    longest: usize,
    /// Of a past that was restored: the oldest position from which what was restored lets it go on.
    oldest: usize,
}

/// The states of all sequences. A sequence is named by a small number, as it is opened.
#[derive(Debug)]
pub struct States {
    caches: Vec<Cache>,
    reaches: Vec<Reach>,
    sequences: Vec<Past>,
}

/// What the attention kernel reads.
#[derive(Clone, Copy)]
pub struct CacheView<'a> {
    /// By position / [`PAGE`].
    pub pages: &'a [u32],
    /// Keys.
    pub keys: CacheRows<'a>,
    /// Values.
    pub values: CacheRows<'a>,
    /// Elements from a value row to the next.
    pub value_stride: usize,
}

impl States {
    /// Room for sequences of layers with these shapes. Its memory is reserved here, and taken as positions are written.
    pub fn new(caches: &[CacheShape], fixed: &[FixedShape], room: Room) -> Self {
        let mut reaches: Vec<Reach> = Vec::new();
        let mut with_reach =
            |window: Option<usize>| match reaches.iter().position(|reach| reach.window == window) {
                Some(reach) => reach,
                None => {
                    reaches.push(Reach {
                        window,
                        remembered: room.remembered(window),
                        pool: Pool::new(room.sequences * room.pages(window)),
                    });
                    reaches.len() - 1
                }
            };
        let caches = caches.iter().map(|&shape| {
            let pages = room.sequences * room.pages(shape.window);
            let store = |kind, width| Store::new(kind, shape.heads, pages, width);
            Cache {
                shape,
                reach: with_reach(shape.window),
                keys: store(room.keys, shape.key_length),
                values: (!shape.latent).then(|| store(room.values, shape.value_length)),
            }
        });
        let caches = caches.collect();
        let table = |reach: &Reach| Table::new(room.pages(reach.window));
        let sequences = (0..room.sequences).map(|_| Past {
            is_open: false,
            tables: reaches.iter().map(table).collect(),
            fixed: FixedStates::new(fixed),
            longest: 0,
            oldest: 0,
        });
        Self {
            sequences: sequences.collect(),
            caches,
            reaches,
        }
    }

    /// A new, empty sequence, if there is room for one.
    pub fn open(&mut self) -> Option<usize> {
        let free = self.sequences.iter().position(|past| !past.is_open)?;
        self.sequences[free].is_open = true;
        Some(free)
    }

    /// A sequence that goes on from where another one is, if there is room for one. Pages are shared until one of the two
    /// writes to them.
    pub fn fork(&mut self, of: usize) -> Option<usize> {
        let new = self.open()?;
        let [past, from] = self.sequences.get_disjoint_mut([new, of]).ok()?;
        (past.longest, past.oldest) = (from.longest, from.oldest);
        past.fixed.become_like(&from.fixed);
        let tables = past.tables.iter_mut().zip(&mut self.reaches);
        for ((table, reach), from) in tables.zip(&from.tables) {
            from.share(&mut reach.pool, table);
        }
        Some(new)
    }

    /// Ends a sequence.
    pub fn release(&mut self, sequence: usize) {
        self.clear(sequence);
        self.sequences[sequence].is_open = false;
    }

    /// Makes room for a pass over `positions`, of which the first `certain` will stay. [`Error::Pages`] if there is none.
    pub fn reserve(
        &mut self,
        sequence: usize,
        positions: Range<usize>,
        certain: usize,
    ) -> Result<(), Error> {
        let Self {
            reaches,
            caches,
            sequences,
            ..
        } = self;
        let past = &mut sequences[sequence];
        past.longest = past.longest.max(positions.start + certain);
        let tables = past.tables.iter_mut().zip(reaches).enumerate();
        for (number, (table, reach)) in tables {
            let oldest = match reach.window {
                None => 0,
                Some(_) => past.longest.saturating_sub(reach.remembered),
            };
            let reserved = table.reserve(&mut reach.pool, positions.clone(), oldest, |from, to| {
                for cache in caches.iter_mut().filter(|cache| cache.reach == number) {
                    cache.keys.copy_page(from, to);
                    if let Some(values) = &mut cache.values {
                        values.copy_page(from, to);
                    }
                }
            });
            reserved.ok_or(Error::Pages(positions.end))?;
        }
        Ok(())
    }

    /// Positions up to `positions` will stay, even if they were guesses.
    pub fn accept(&mut self, sequence: usize, positions: usize) {
        let past = &mut self.sequences[sequence];
        past.longest = past.longest.max(positions);
    }

    /// Writes the keys and values of `n` positions from `first` on, position by position. Values that are beginnings of keys
    /// are left aside.
    pub fn write(
        &mut self,
        cache: CacheId,
        sequence: usize,
        (first, n): (usize, usize),
        keys: &[f32],
        values: &[f32],
    ) {
        let past = &self.sequences[sequence];
        let cache = &mut self.caches[cache.0];
        let pages = past.tables[cache.reach].pages();
        cache.keys.write(pages, first, n, keys);
        if let Some(store) = &mut cache.values {
            store.write(pages, first, n, values);
        }
    }

    /// What a cache keeps for each position.
    pub fn shape(&self, cache: CacheId) -> CacheShape {
        self.caches[cache.0].shape
    }

    /// Views for the attention kernel.
    pub fn view(&self, cache: CacheId, sequence: usize) -> CacheView<'_> {
        let cache = &self.caches[cache.0];
        CacheView {
            pages: self.sequences[sequence].tables[cache.reach].pages(),
            keys: cache.keys.rows(),
            values: cache.values.as_ref().unwrap_or(&cache.keys).rows(),
            value_stride: match cache.values {
                Some(_) => cache.shape.value_length,
                None => cache.shape.key_length,
            },
        }
    }

    /// A recurrent layer's state.
    pub fn fixed(&self, state: FixedId, sequence: usize) -> &FixedState {
        &self.sequences[sequence].fixed.states()[state.0]
    }

    /// Keeps the fixed states as they are now, to go back to.
    pub fn mark(&mut self, sequence: usize, moment: Moment) {
        self.sequences[sequence].fixed.keep(moment);
    }

    /// The fixed states have seen `tokens` more.
    pub fn advance(&mut self, sequence: usize, tokens: usize) {
        self.sequences[sequence].fixed.advance(tokens);
    }

    /// A pass was broken off: what the fixed states have seen is not known.
    pub fn lose(&mut self, sequence: usize) {
        self.sequences[sequence].fixed.lose();
    }

    /// Brings the fixed states back to where no more than `held` positions were seen, and says which positions of those held
    /// are to be fed again: all of them, where windows have forgotten what the first of these would need.
    pub fn rewind(&mut self, sequence: usize, held: usize) -> Range<usize> {
        let again = self.sequences[sequence].fixed.rewind(held);
        if again.is_empty() || again.start >= self.oldest(sequence) {
            return again;
        }
        self.clear(sequence);
        0..held
    }

    /// The oldest position from which a sequence could go on.
    fn oldest(&self, sequence: usize) -> usize {
        let past = &self.sequences[sequence];
        let oldest = self.reaches.iter().map(|reach| reach.oldest(past.longest));
        oldest.fold(past.oldest, usize::max)
    }

    /// Forgets the positions from `positions` on; or says from which one it could go on at the earliest, where a window has
    /// forgotten what the next token would need.
    pub fn truncate(&mut self, sequence: usize, positions: usize) -> Result<(), usize> {
        let past = &self.sequences[sequence];
        let oldest = self.oldest(sequence);
        // Recurrent layers go on from a copy of their states, which may be of an earlier position.
        if past.fixed.restart(positions) < oldest {
            return Err(oldest);
        }
        let past = &mut self.sequences[sequence];
        for (table, reach) in past.tables.iter_mut().zip(&mut self.reaches) {
            table.truncate(&mut reach.pool, positions);
        }
        Ok(())
    }

    /// Back to the beginning.
    pub fn clear(&mut self, sequence: usize) {
        let past = &mut self.sequences[sequence];
        for (table, reach) in past.tables.iter_mut().zip(&mut self.reaches) {
            table.truncate(&mut reach.pool, 0);
        }
        past.fixed.clear();
        (past.longest, past.oldest) = (0, 0);
    }

    /// Writes what a sequence of `held` positions knows: the oldest position from which it could go on (u64); for each cache,
    /// of each position that a token there or later looks at, the keys and then the values of all heads; the fixed states,
    /// which must have seen `held`.
    pub(crate) fn save(
        &self,
        sequence: usize,
        held: usize,
        out: &mut Writing<'_>,
    ) -> Result<(), Error> {
        let (past, oldest) = (&self.sequences[sequence], self.oldest(sequence));
        out.number(oldest)?;
        let mut bytes = Vec::new();
        for cache in &self.caches {
            let pages = past.tables[cache.reach].pages();
            for position in self.reaches[cache.reach].first(oldest)..held {
                bytes.clear();
                cache.keys.read_bytes(pages, position, &mut bytes);
                if let Some(values) = &cache.values {
                    values.read_bytes(pages, position, &mut bytes);
                }
                out.bytes(&bytes)?;
            }
        }
        past.fixed.save(out)
    }

    /// Takes over what was saved of a sequence of `held` positions, by an engine of the same model with the same storage of
    /// keys and values. The sequence must be empty, and is of no use after an error.
    pub(crate) fn restore(
        &mut self,
        sequence: usize,
        held: usize,
        from: &mut Reading<'_>,
    ) -> Result<(), Error> {
        let oldest = from.number()?;
        if oldest > held {
            return Err(damaged());
        }
        let past = &mut self.sequences[sequence];
        (past.longest, past.oldest) = (held, oldest);
        // Passes may be shorter here than where it was saved: less is then remembered.
        let kept = |reach: &Reach| {
            let forgotten = held.saturating_sub(reach.remembered);
            reach
                .window
                .map_or(0, |_| reach.first(oldest).max(forgotten))
        };
        for (table, reach) in past.tables.iter_mut().zip(&mut self.reaches) {
            let first = kept(reach);
            table.skip(first / PAGE);
            let reserved = table.reserve(&mut reach.pool, first..held, 0, |_, _| {});
            reserved.ok_or(Error::Pages(held))?;
        }
        let mut bytes = Vec::new();
        for cache in &mut self.caches {
            let (reach, pages) = (&self.reaches[cache.reach], past.tables[cache.reach].pages());
            let key_bytes = cache.keys.position_bytes();
            let values = cache.values.as_ref().map_or(0, Store::position_bytes);
            bytes.resize(key_bytes + values, 0);
            for position in reach.first(oldest)..held {
                from.bytes(&mut bytes)?;
                if position < kept(reach) {
                    continue;
                }
                let (keys, values) = bytes.split_at(key_bytes);
                cache.keys.write_bytes(pages, position, keys);
                if let Some(store) = &mut cache.values {
                    store.write_bytes(pages, position, values);
                }
            }
        }
        past.fixed.restore(held, from)
    }
}

impl Reach {
    /// The first position that tokens from `oldest` on look at.
    fn first(&self, oldest: usize) -> usize {
        self.window
            .map_or(0, |window| (oldest + 1).saturating_sub(window))
    }

    /// The oldest position from which a sequence could go on that was `longest` positions long at most: everything that a
    /// token there looks at is held.
    fn oldest(&self, longest: usize) -> usize {
        match (longest.saturating_sub(self.remembered), self.window) {
            (0, _) | (_, None) => 0,
            (oldest, Some(window)) => oldest + window - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape {
        heads: 2,
        key_length: 32,
        value_length: 64,
        latent: false,
        window: Some(8),
    };
    const ROOM: Room = Room {
        sequences: 2,
        positions: 1000,
        batch: 5,
        guesses: 15,
        keys: CacheType::F32,
        values: CacheType::Q8_0,
    };

    #[test]
    fn windows_hold_fewer_pages() {
        let keys_and_values = 32 * 4 + 64 / 32 * 34;
        let bytes = |pages| (pages * PAGE * 2 * keys_and_values) as u64;
        assert_eq!(ROOM.bytes(&SHAPE), bytes(2 * 2));
        let everything = CacheShape {
            window: None,
            ..SHAPE
        };
        assert_eq!(ROOM.bytes(&everything), bytes(2 * 4));
    }

    #[test]
    fn a_window_says_how_far_back_it_can_go() {
        let mut states = States::new(&[SHAPE], &[], ROOM);
        let sequence = states.open().unwrap();
        let mut held = 0;
        for n in [5, 5, 2, 3] {
            states.reserve(sequence, held..held + n, n).unwrap();
            states.advance(sequence, n);
            held += n;
        }
        // A token at 10 looks at 3 to 9, and 12 positions before the end are remembered; guesses change nothing.
        states.reserve(sequence, 15..30, 0).unwrap();
        assert_eq!(states.truncate(sequence, 9), Err(10));
        assert_eq!(states.truncate(sequence, 10), Ok(()));
        states.accept(sequence, 16);
        assert_eq!(states.truncate(sequence, 10), Err(11));
    }

    fn filled(from: usize, n: usize, width: usize) -> Vec<f32> {
        (from * width..(from + n) * width)
            .map(|x| x as f32)
            .collect()
    }

    #[test]
    fn forks_see_their_own_past() {
        let shape = CacheShape {
            window: None,
            value_length: 32,
            ..SHAPE
        };
        let room = Room {
            values: CacheType::F32,
            ..ROOM
        };
        let fixed = FixedShape {
            parts: 1,
            values: 1,
        };
        let mut states = States::new(&[shape], &[fixed], room);
        let (cache, state) = (CacheId(0), FixedId(0));
        let one = states.open().unwrap();
        states.reserve(one, 0..300, 300).unwrap();
        let rows = filled(0, 300, 64);
        states.write(cache, one, (0, 300), &rows, &rows);
        states.fixed(state, one).part(0)[0] = 1.0;
        let other = states.fork(one).unwrap();
        assert!(states.fork(one).is_none());
        states.reserve(other, 290..291, 1).unwrap();
        let changed = filled(1000, 1, 64);
        states.write(cache, other, (290, 1), &changed, &changed);
        states.fixed(state, other).part(0)[0] = 2.0;
        let key = |states: &States, sequence: usize, position: usize, head: usize| {
            let view = states.view(cache, sequence);
            let CacheRows::F32(keys) = view.keys else {
                panic!("f32 was asked for")
            };
            let page = view.pages[position / PAGE] as usize;
            keys[((page * 2 + head) * PAGE + position % PAGE) * 32]
        };
        assert_eq!(key(&states, one, 290, 1), 290.0 * 64.0 + 32.0);
        assert_eq!(key(&states, other, 290, 1), 1000.0 * 64.0 + 32.0);
        for sequence in [one, other] {
            assert_eq!(key(&states, sequence, 289, 0), 289.0 * 64.0);
        }
        assert_eq!(states.fixed(state, one).part(0)[0], 1.0);
        states.release(one);
        assert_eq!(key(&states, other, 10, 0), 640.0);
        assert_eq!(states.open(), Some(one));
    }

    #[test]
    fn where_a_window_has_forgotten_all_is_read_again() {
        let fixed = FixedShape {
            parts: 1,
            values: 1,
        };
        let mut states = States::new(&[SHAPE], &[fixed], ROOM);
        let sequence = states.open().unwrap();
        let feed = |states: &mut States, first: usize| {
            states.reserve(sequence, first..first + 5, 5).unwrap();
            states.advance(sequence, 5);
        };
        states.mark(sequence, Moment::Turn);
        feed(&mut states, 0);
        feed(&mut states, 5);
        states.mark(sequence, Moment::Turn);
        feed(&mut states, 10);
        // A pass was broken off: from 10 on everything that is looked at is held.
        states.lose(sequence);
        assert_eq!(states.rewind(sequence, 15), 10..15);
        (10..15)
            .step_by(5)
            .for_each(|first| feed(&mut states, first));
        feed(&mut states, 15);
        feed(&mut states, 20);
        states.lose(sequence);
        assert_eq!(states.rewind(sequence, 25), 0..25);
        (0..25)
            .step_by(5)
            .for_each(|first| feed(&mut states, first));
    }
}
