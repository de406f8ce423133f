//! Rotary position embedding (arXiv:2104.09864): pairs of a head's elements are turned by an angle that grows with the
//! position.
//!
//! [`RopeTable`] computes the cosines and sines of a batch's positions once ([`RopeTable::prepare`]); all heads and all
//! layers with the same base then share them ([`RopeTable::apply`]). Angles are computed in f64: a position's values
//! depend on nothing but the position, so a batch and single steps agree bit for bit.

/// Which elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// (0, 1), (2, 3), …: LLaMA's own files as GGUF holds them ("normal").
    Interleaved,
    /// (0, d/2), (1, d/2 + 1), …: "NeoX".
    Halves,
}

/// YaRN (arXiv:2309.00071): fast dimensions keep their frequency, slow ones are interpolated, with a ramp between.
#[derive(Clone, Copy, Debug)]
pub struct Yarn {
    /// Context length of the original training (`rope.scaling.original_context_length`).
    pub original_context: usize,
    /// Weight of the ramp, 1 for plain YaRN; 0 turns it off.
    pub extrapolation: f32,
    /// Turns within the original context beyond which a dimension is left alone (32).
    pub beta_fast: f32,
    /// Turns below which it is fully interpolated (1).
    pub beta_slow: f32,
}

impl Yarn {
    /// The paper's parameters.
    pub fn new(original_context: usize) -> Yarn {
        Yarn {
            original_context,
            extrapolation: 1.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
        }
    }
}

/// Which pairs turn by which part of a position of several: time, height, width and an extra one (M-RoPE, arXiv:2409.12191).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RopeSections {
    /// Pairs of each part (`rope.dimension_sections`), not all of them zero. Beyond their sum they begin again.
    pub lengths: [usize; 4],
    /// Time, height and width take turns pair by pair, each as often as its length says (Qwen 3-VL); else the parts
    /// follow each other (Qwen 2-VL). Pairs that are then left turn by the extra part if it has a length, else by time.
    pub interleaved: bool,
}

impl RopeSections {
    /// The part that a pair turns by.
    fn part(&self, pair: usize) -> usize {
        let lengths = self.lengths;
        let mut place = pair % lengths.iter().sum::<usize>().max(1);
        if self.interleaved {
            return match (place % 3, lengths[3]) {
                (part, _) if place < 3 * lengths[part] => part,
                (_, 0) => 0,
                _ => 3,
            };
        }
        for (part, length) in lengths.into_iter().enumerate() {
            if place < length {
                return part;
            }
            place -= length;
        }
        0
    }
}

/// What determines the angles.
#[derive(Clone, Copy, Debug)]
pub struct RopeOptions<'a> {
    /// Elements of a head that are rotated, even; the rest of the head stays (`rope.dimension_count`).
    pub dimensions: usize,
    /// Which elements pair up.
    pub pairing: RopePairing,
    /// The base of the frequencies (`rope.freq_base`, 10,000 unless told).
    pub base: f32,
    /// Factor on all positions: 1 / `rope.scaling.factor` for linear and YaRN scaling, else 1.
    pub scale: f32,
    /// YaRN on top of `scale`.
    pub yarn: Option<Yarn>,
    /// Factor on cosines and sines (`rope.scaling.attn_factor`, 1 unless told). YaRN multiplies it by
    /// `1 + 0.1 ln(1 / scale)` on its own where `scale` is below 1.
    pub magnitude: f32,
    /// Divisors of the frequencies, one a pair (the tensor `rope_freqs.weight`; LLaMA 3, Phi 3).
    pub factors: Option<&'a [f32]>,
    /// Positions of several parts.
    pub sections: Option<RopeSections>,
}

impl RopeOptions<'_> {
    /// Plain rotation of `dimensions` elements.
    pub fn new(dimensions: usize, base: f32, pairing: RopePairing) -> Self {
        RopeOptions {
            dimensions,
            pairing,
            base,
            scale: 1.0,
            yarn: None,
            magnitude: 1.0,
            factors: None,
            sections: None,
        }
    }

    /// Radians per position of every pair, and the magnitude.
    fn frequencies(&self) -> (Vec<f64>, f64) {
        let dimensions = self.dimensions as f64;
        let (base, scale) = (f64::from(self.base), f64::from(self.scale));
        let mut magnitude = f64::from(self.magnitude);
        // The pair whose wave length makes `turns` turns within the original context.
        let pair_of = |context: usize, turns: f32| {
            dimensions * (context as f64 / (f64::from(turns) * std::f64::consts::TAU)).ln()
                / (2.0 * base.ln())
        };
        let ramp = self.yarn.filter(|y| y.extrapolation != 0.0).map(|y| {
            magnitude *= 1.0 + 0.1 * (1.0 / scale).ln().max(0.0);
            let low = pair_of(y.original_context, y.beta_fast).floor().max(0.0);
            let high = pair_of(y.original_context, y.beta_slow)
                .ceil()
                .min(dimensions - 1.0);
            (low, high, f64::from(y.extrapolation))
        });
        let frequencies = (0..self.dimensions / 2)
            .map(|pair| {
                let factor = self.factors.map_or(1.0, |f| f64::from(f[pair]));
                let frequency = base.powf(-2.0 * pair as f64 / dimensions) / factor;
                let kept = ramp.map_or(0.0, |(low, high, weight)| {
                    let slow = ((pair as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                    (1.0 - slow) * weight
                });
                frequency * (scale * (1.0 - kept) + kept)
            })
            .collect();
        (frequencies, magnitude)
    }
}

/// Positions between two anchors, see [`RopeTable::prepare`].
const STRIDE: usize = 64;

/// Cosines and sines for one set of [`RopeOptions`].
pub struct RopeTable {
    dimensions: usize,
    pairing: RopePairing,
    magnitude: f64,
    frequencies: Vec<f64>,
    /// cos and sin of `step * frequency` for steps below `STRIDE`, magnitude not in: `[step][pair]`.
    steps: Vec<(f64, f64)>,
    /// The anchor that `anchor` holds, in strides.
    anchored: Option<usize>,
    anchor: Vec<(f64, f64)>,
    /// By pair: the part of a position that it turns by.
    parts: Vec<usize>,
    /// The prepared positions, then `[position][pair]`.
    positions: Vec<[usize; 4]>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// A table for `options`; nothing is prepared yet.
    ///
    /// # Panics
    /// If `dimensions` is odd or `factors` are fewer than the pairs: callers check model files first.
    pub fn new(options: &RopeOptions<'_>) -> RopeTable {
        assert!(options.dimensions.is_multiple_of(2), "rope rotates pairs");
        assert!(
            options
                .factors
                .is_none_or(|f| f.len() >= options.dimensions / 2),
            "a factor for every pair"
        );
        let (frequencies, magnitude) = options.frequencies();
        let steps = (0..STRIDE)
            .flat_map(|step| frequencies.iter().map(move |f| cos_sin(step as f64 * f)))
            .collect();
        let part = |pair| options.sections.map_or(0, |sections| sections.part(pair));
        RopeTable {
            parts: (0..frequencies.len()).map(part).collect(),
            dimensions: options.dimensions,
            pairing: options.pairing,
            magnitude,
            frequencies,
            steps,
            anchored: None,
            anchor: Vec::new(),
            positions: Vec::new(),
            cos: Vec::new(),
            sin: Vec::new(),
        }
    }

    /// Elements of a head that are rotated.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Computes the angles of a batch's positions; does nothing if they are there already.
    pub fn prepare(&mut self, positions: impl Iterator<Item = usize> + Clone) {
        self.prepare_parts(positions.map(|position| [position; 4]));
    }

    /// The same for positions of several parts: time, height, width and an extra one. Without [`RopeSections`] the first counts.
    pub fn prepare_parts(&mut self, positions: impl Iterator<Item = [usize; 4]> + Clone) {
        if self.positions.iter().copied().eq(positions.clone()) {
            return;
        }
        self.positions.clear();
        self.positions.extend(positions);
        self.cos.clear();
        self.sin.clear();
        for number in 0..self.positions.len() {
            let position = self.positions[number];
            let row = self.cos.len();
            self.set_anchor(position[0]);
            let (cos, sin) = (&mut self.cos, &mut self.sin);
            let turned = turned(&self.anchor, &self.steps, position[0]);
            cos.extend(turned.clone().map(|at| (at.0 * self.magnitude) as f32));
            sin.extend(turned.map(|at| (at.1 * self.magnitude) as f32));
            for part in (1..4).filter(|&part| position[part] != position[0]) {
                self.turn_part(row, part, position[part]);
            }
        }
    }

    /// Gives the pairs of one part the angles of its own position, in the row from `row` on.
    fn turn_part(&mut self, row: usize, part: usize, position: usize) {
        if !self.parts.contains(&part) {
            return;
        }
        self.set_anchor(position);
        let turned = turned(&self.anchor, &self.steps, position);
        for (pair, at) in turned.enumerate() {
            if self.parts[pair] == part {
                self.cos[row + pair] = (at.0 * self.magnitude) as f32;
                self.sin[row + pair] = (at.1 * self.magnitude) as f32;
            }
        }
    }

    /// Brings the anchor to the last multiple of STRIDE up to a position.
    fn set_anchor(&mut self, position: usize) {
        let stride = position / STRIDE;
        if self.anchored != Some(stride) {
            let at = (stride * STRIDE) as f64;
            self.anchor.clear();
            self.anchor
                .extend(self.frequencies.iter().map(|f| cos_sin(at * f)));
            self.anchored = Some(stride);
        }
    }

    /// Rotates the first `dimensions` elements of every head in `heads` (heads of `head_width`, one after the other)
    /// for the position that is number `row` of those that were prepared.
    ///
    /// # Panics
    /// If fewer were prepared or a head is narrower than `dimensions`.
    pub fn apply(&self, row: usize, heads: &mut [f32], head_width: usize) {
        assert!(row < self.positions.len(), "rope: position not prepared");
        assert!(head_width >= self.dimensions && heads.len().is_multiple_of(head_width.max(1)));
        let pairs = self.frequencies.len();
        let row = row * pairs;
        let (cos, sin) = (&self.cos[row..row + pairs], &self.sin[row..row + pairs]);
        for head in heads.chunks_exact_mut(head_width.max(1)) {
            let head = &mut head[..self.dimensions];
            match self.pairing {
                RopePairing::Interleaved => {
                    for ((pair, c), s) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                        (pair[0], pair[1]) = (pair[0] * c - pair[1] * s, pair[0] * s + pair[1] * c);
                    }
                }
                RopePairing::Halves => {
                    let (low, high) = head.split_at_mut(pairs);
                    for (((a, b), c), s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                        (*a, *b) = (*a * c - *b * s, *a * s + *b * c);
                    }
                }
            }
        }
    }
}

/// Cosines and sines of a position by pair: its angle is that of the anchor plus a step below STRIDE, one complex product
/// instead of a cosine and a sine.
fn turned<'a>(
    anchor: &'a [(f64, f64)],
    steps: &'a [(f64, f64)],
    position: usize,
) -> impl Iterator<Item = (f64, f64)> + Clone + use<'a> {
    let pairs = anchor.len();
    let steps = &steps[position % STRIDE * pairs..][..pairs];
    let products = anchor.iter().zip(steps);
    products.map(|(a, b)| (a.0 * b.0 - a.1 * b.1, a.1 * b.0 + a.0 * b.1))
}

fn cos_sin(angle: f64) -> (f64, f64) {
    let (sin, cos) = angle.sin_cos();
    (cos, sin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.77).sin()).collect()
    }

    /// The definition, one pair at a time in f64.
    fn exact(
        x: &[f32],
        dimensions: usize,
        pairing: RopePairing,
        position: usize,
        frequency: &dyn Fn(usize) -> f64,
    ) -> Vec<f64> {
        let mut out: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        for pair in 0..dimensions / 2 {
            let (a, b) = match pairing {
                RopePairing::Interleaved => (2 * pair, 2 * pair + 1),
                RopePairing::Halves => (pair, pair + dimensions / 2),
            };
            let (sin, cos) = (position as f64 * frequency(pair)).sin_cos();
            (out[a], out[b]) = (
                f64::from(x[a]) * cos - f64::from(x[b]) * sin,
                f64::from(x[a]) * sin + f64::from(x[b]) * cos,
            );
        }
        out
    }

    fn nmse(got: &[f32], want: &[f64]) -> f64 {
        let error: f64 = got
            .iter()
            .zip(want)
            .map(|(g, w)| (f64::from(*g) - w).powi(2))
            .sum();
        error / want.iter().map(|w| w * w).sum::<f64>()
    }

    #[test]
    fn agrees_with_the_definition_up_to_long_positions() {
        for pairing in [RopePairing::Interleaved, RopePairing::Halves] {
            for (dimensions, width, base) in [
                (64, 64, 10_000.0),
                (32, 80, 1_000_000.0),
                (128, 128, 500_000.0),
            ] {
                let mut table = RopeTable::new(&RopeOptions::new(dimensions, base, pairing));
                for position in [0, 1, 63, 64, 1000, 32_767, 131_071] {
                    let mut x = head(2 * width);
                    table.prepare([position].into_iter());
                    table.apply(0, &mut x, width);
                    let frequency =
                        |pair: usize| f64::from(base).powf(-2.0 * pair as f64 / dimensions as f64);
                    for (got, from) in x.chunks(width).zip(head(2 * width).chunks(width)) {
                        let want = exact(from, dimensions, pairing, position, &frequency);
                        assert!(
                            nmse(got, &want) < 1e-13,
                            "{pairing:?} {dimensions} {position}"
                        );
                        assert_eq!(got[dimensions..], from[dimensions..]);
                    }
                }
            }
        }
    }

    #[test]
    fn a_batch_equals_single_positions() {
        let options = RopeOptions::new(64, 10_000.0, RopePairing::Halves);
        let (mut batch, mut single) = (RopeTable::new(&options), RopeTable::new(&options));
        let positions = (50..250).chain([3, 7]).chain(9..60);
        batch.prepare(positions.clone());
        for (row, position) in positions.enumerate() {
            single.prepare([position].into_iter());
            let (mut a, mut b) = (head(64), head(64));
            batch.apply(row, &mut a, 64);
            single.apply(0, &mut b, 64);
            assert_eq!(a, b, "{position}");
        }
    }

    /// Ways to cut 16 pairs, written out: time, height, width and extra.
    const CUTS: [([usize; 4], bool, &str); 5] = [
        ([4, 6, 6, 0], false, "tttthhhhhhwwwwww"),
        ([3, 2, 1, 2], false, "ttthhweettthhwee"),
        ([6, 5, 5, 0], true, "thwthwthwthwthwt"),
        ([5, 3, 2, 6], true, "thwthwtheteeteee"),
        ([8, 4, 4, 0], true, "thwthwthwthwtttt"),
    ];

    #[test]
    fn parts_turn_their_own_pairs() {
        for (lengths, interleaved, letters) in CUTS {
            let options = RopeOptions {
                sections: Some(RopeSections {
                    lengths,
                    interleaved,
                }),
                ..RopeOptions::new(32, 10_000.0, RopePairing::Halves)
            };
            let mut table = RopeTable::new(&options);
            let positions = [[5, 5, 5, 5], [700, 3, 129, 64], [0, 1, 2, 3], [9, 9, 8, 9]];
            table.prepare_parts(positions.into_iter());
            for (row, parts) in positions.into_iter().enumerate() {
                let mut x = head(32);
                table.apply(row, &mut x, 32);
                // The definition turns all pairs by one position: a factor on the frequency makes it another.
                let frequency = |pair: usize| {
                    let letter = letters.as_bytes()[pair];
                    let part = b"thwe".iter().position(|&l| l == letter).unwrap();
                    parts[part] as f64 * 10_000f64.powf(-(pair as f64) / 16.0)
                };
                let want = exact(&head(32), 32, RopePairing::Halves, 1, &frequency);
                assert!(nmse(&x, &want) < 1e-13, "{lengths:?} {parts:?}");
            }
        }
    }

    #[test]
    fn equal_parts_are_one_position() {
        let plain = RopeOptions::new(32, 10_000.0, RopePairing::Halves);
        for (lengths, interleaved, _) in CUTS {
            let sections = RopeSections {
                lengths,
                interleaved,
            };
            let (mut one, mut several) = (
                RopeTable::new(&plain),
                RopeTable::new(&RopeOptions {
                    sections: Some(sections),
                    ..plain
                }),
            );
            one.prepare(0..200);
            several.prepare_parts((0..200).map(|position| [position; 4]));
            assert_eq!((one.cos, one.sin), (several.cos, several.sin));
        }
    }

    #[test]
    fn linear_scaling_and_factors_change_the_frequencies() {
        let factors: Vec<f32> = (0..16).map(|i| 1.0 + i as f32).collect();
        let options = RopeOptions {
            scale: 0.25,
            factors: Some(&factors),
            ..RopeOptions::new(32, 10_000.0, RopePairing::Interleaved)
        };
        let mut table = RopeTable::new(&options);
        table.prepare([777].into_iter());
        let mut x = head(32);
        table.apply(0, &mut x, 32);
        let frequency =
            |pair: usize| 10_000f64.powf(-(pair as f64) / 16.0) * 0.25 / (1.0 + pair as f64);
        assert!(
            nmse(
                &x,
                &exact(&head(32), 32, RopePairing::Interleaved, 777, &frequency)
            ) < 1e-13
        );
    }

    #[test]
    fn yarn_keeps_fast_pairs_and_interpolates_slow_ones() {
        let options = RopeOptions {
            scale: 0.25,
            yarn: Some(Yarn::new(4096)),
            ..RopeOptions::new(128, 10_000.0, RopePairing::Halves)
        };
        let (frequencies, magnitude) = options.frequencies();
        assert!((magnitude - (1.0 + 0.1 * 4f64.ln())).abs() < 1e-12);
        let shorter = RopeOptions {
            scale: 2.0,
            ..options
        };
        assert_eq!(shorter.frequencies().1, 1.0);
        let plain = |pair: usize| 10_000f64.powf(-(pair as f64) / 64.0);
        // 128 ln(4096 / (32 · 2π)) / (2 ln 10000) = 20.9…; with one turn 45.03…: the ramp runs from 20 to 46.
        for (pair, frequency) in frequencies.iter().enumerate() {
            match pair {
                0..=20 => assert_eq!(*frequency, plain(pair)),
                46.. => assert!((frequency / plain(pair) - 0.25).abs() < 1e-12),
                _ => assert!(*frequency < plain(pair) && *frequency > 0.25 * plain(pair)),
            }
        }
        let middle = frequencies[33] / plain(33);
        assert!((middle - (0.25 * 0.5 + 0.5)).abs() < 1e-12, "{middle}");
    }
}
