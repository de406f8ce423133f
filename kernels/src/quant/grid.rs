//! The codebooks of the IQ1, IQ2 and IQ3 types: sets of vectors of 8 (or 4) small numbers, chosen by their designer
//! because weights come near them often. A block stores indices into such a set.
//!
//! Every set is in ascending order of its points, read as numbers whose least significant digit is the first element,
//! so a bitmap says it all. The sets are data of the format (ggml, MIT licence; no rule is known that makes them);
//! the sign table is a rule: seven bits are stored, the eighth makes their number even.
//! In: indices. Out: points; and for quantizers, the point nearest to a vector.

use std::sync::OnceLock;

use super::{grid_tables as tables, spread_bits};

/// A set of vectors with `V` elements.
pub(crate) struct Grid<const V: usize> {
    /// The points, as codes.
    pub points: &'static [[i8; V]],
    levels: &'static [i8],
    search: OnceLock<Search<V>>,
}

/// The points of IQ2_XXS.
pub(crate) static IQ2_XXS_POINTS: [[i8; 8]; 256] = points(tables::IQ2_XXS, IQ2_LEVELS);
/// The points of IQ2_XS.
pub(crate) static IQ2_XS_POINTS: [[i8; 8]; 512] = points(tables::IQ2_XS, IQ2_LEVELS);
/// The points of IQ2_S.
pub(crate) static IQ2_S_POINTS: [[i8; 8]; 1024] = points(tables::IQ2_S, IQ2_LEVELS);
/// The points of IQ3_XXS.
pub(crate) static IQ3_XXS_POINTS: [[i8; 4]; 256] = points(tables::IQ3_XXS, IQ3_XXS_LEVELS);
/// The points of IQ3_S.
pub(crate) static IQ3_S_POINTS: [[i8; 4]; 512] = points(tables::IQ3_S, IQ3_S_LEVELS);
/// The points of both IQ1 types: ternary, in eighths, since each group is shifted by one eighth up or down.
pub(crate) static IQ1_POINTS: [[i8; 8]; 2048] = points(tables::IQ1, IQ1_LEVELS);

pub(super) static IQ2_XXS: Grid<8> = Grid::new(&IQ2_XXS_POINTS, IQ2_LEVELS);
pub(super) static IQ2_XS: Grid<8> = Grid::new(&IQ2_XS_POINTS, IQ2_LEVELS);
pub(super) static IQ2_S: Grid<8> = Grid::new(&IQ2_S_POINTS, IQ2_LEVELS);
pub(super) static IQ3_XXS: Grid<4> = Grid::new(&IQ3_XXS_POINTS, IQ3_XXS_LEVELS);
pub(super) static IQ3_S: Grid<4> = Grid::new(&IQ3_S_POINTS, IQ3_S_LEVELS);
pub(super) static IQ1: Grid<8> = Grid::new(&IQ1_POINTS, IQ1_LEVELS);

/// Magnitudes, roughly 1 : 3 : 5 in units of 8.
pub(crate) const IQ2_LEVELS: &[i8] = &[8, 25, 43];
pub(crate) const IQ3_XXS_LEVELS: &[i8] = &[4, 12, 20, 28, 36, 44, 52, 62];
pub(crate) const IQ3_S_LEVELS: &[i8] = &[1, 3, 5, 7, 9, 11, 13, 15];
const IQ1_LEVELS: &[i8] = &[-8, 0, 8];

/// The set bits of a bitmap (hexadecimal, least significant bit of each byte first) as points: the bit's number, digit
/// by digit, picks levels.
const fn points<const V: usize, const N: usize>(bitmap: &[u8], levels: &[i8]) -> [[i8; V]; N] {
    let mut points = [[0; V]; N];
    let (mut found, mut number) = (0, 0);
    while number < bitmap.len() * 4 {
        // Two hexadecimal digits a byte, the upper one first.
        let digit = bitmap[number / 8 * 2 + 1 - number / 4 % 2];
        let digit = if digit <= b'9' {
            digit - b'0'
        } else {
            digit - b'a' + 10
        };
        if digit >> (number % 4) & 1 == 1 {
            let (mut rest, mut element) = (number, 0);
            while element < V {
                points[found][element] = levels[rest % levels.len()];
                rest /= levels.len();
                element += 1;
            }
            found += 1;
        }
        number += 1;
    }
    assert!(found == N);
    points
}

/// Seven sign bits and the eighth that makes the number of negative elements even.
#[inline(always)]
pub(super) fn even_signs(seven: u8) -> u8 {
    EVEN_SIGNS[usize::from(seven & 127)]
}

/// A table, since baseline x86 has no instruction to count bits.
static EVEN_SIGNS: [u8; 128] = {
    let mut table = [0; 128];
    let mut seven = 0_u8;
    while seven < 128 {
        table[seven as usize] = seven | (seven.count_ones() as u8 & 1) << 7;
        seven += 1;
    }
    table
};

/// Factors of 1 and -1 for all of [`even_signs`].
#[cfg(target_arch = "x86_64")]
pub(crate) static EVEN_FACTORS: [[i8; 8]; 128] = {
    let mut table = [[1; 8]; 128];
    let mut at = 0;
    while at < 128 * 8 {
        if EVEN_SIGNS[at / 8] >> (at % 8) & 1 == 1 {
            table[at / 8][at % 8] = -1;
        }
        at += 1;
    }
    table
};

/// Eight magnitudes (1 to 127) with signs: bit `i` set makes element `i` negative.
#[inline(always)]
pub(super) fn apply_signs(magnitudes: [i8; 8], signs: u8) -> [i8; 8] {
    // As the bytes of a u64: flipping all bits and adding 1 negates, without a carry since no byte is 0.
    let negative = spread_bits(signs);
    let magnitudes = u64::from_le(bytemuck::cast(magnitudes));
    bytemuck::cast(((magnitudes ^ (negative * 0xFF)) + negative).to_le())
}

/// Eight magnitudes out of two points.
#[inline(always)]
pub(super) fn joined(first: [i8; 4], second: [i8; 4]) -> [i8; 8] {
    bytemuck::cast([first, second])
}

/// How many points near each combination of levels a search looks at.
const NEAR: usize = 16;

/// What a search for the nearest point needs, made at its first use.
struct Search<const V: usize> {
    points: Vec<[f32; V]>,
    /// For every combination of levels (numbered as in the bitmap) the nearest points; only the first counts where
    /// that is the combination itself.
    near: Vec<[u16; NEAR]>,
}

impl<const V: usize> Grid<V> {
    const fn new(points: &'static [[i8; V]], levels: &'static [i8]) -> Grid<V> {
        Grid {
            points,
            levels,
            search: OnceLock::new(),
        }
    }

    /// The point `c` with the least `Σ weight·(value − c − shift)²`, or nearly: the best of those around the values
    /// rounded to levels. Returns its index, `Σ weight·value·(c + shift)` and `Σ weight·(c + shift)²`.
    pub(super) fn nearest(
        &self,
        values: &[f32; V],
        weights: &[f32; V],
        shift: f32,
    ) -> (u16, f32, f32) {
        let search = self.search.get_or_init(|| self.prepare());
        let mut combination = 0;
        for value in values.iter().rev() {
            let above =
                |pair: &[i8]| value - shift > (f32::from(pair[0]) + f32::from(pair[1])) * 0.5;
            let level = self.levels.windows(2).filter(|pair| above(pair)).count();
            combination = combination * self.levels.len() + level;
        }
        let near = &search.near[combination];
        let exact = near[0] == near[1];
        let mut best = (near[0], 0.0, 0.0);
        let mut least = f32::INFINITY;
        for &index in &near[..if exact { 1 } else { NEAR }] {
            let point = &search.points[usize::from(index)];
            let (mut value_code, mut code_code) = (0.0, 0.0);
            for i in 0..V {
                let code = point[i] + shift;
                value_code += weights[i] * values[i] * code;
                code_code += weights[i] * code * code;
            }
            let error = code_code - 2.0 * value_code;
            if error < least {
                least = error;
                best = (index, value_code, code_code);
            }
        }
        best
    }

    fn prepare(&self) -> Search<V> {
        let combinations = self.levels.len().pow(V as u32);
        let mut near = Vec::with_capacity(combinations);
        let mut by_distance: Vec<(u32, u16)> = Vec::with_capacity(self.points.len());
        for combination in 0..combinations {
            let mut corner = [0_i32; V];
            let mut rest = combination;
            for element in &mut corner {
                *element = i32::from(self.levels[rest % self.levels.len()]);
                rest /= self.levels.len();
            }
            by_distance.clear();
            by_distance.extend(self.points.iter().enumerate().map(|(index, point)| {
                let distance = corner
                    .iter()
                    .zip(point)
                    .map(|(a, &b)| (a - i32::from(b)).unsigned_abs().pow(2))
                    .sum();
                (distance, index as u16)
            }));
            by_distance.select_nth_unstable(NEAR - 1);
            by_distance[..NEAR].sort_unstable();
            let exact = by_distance[0].0 == 0;
            near.push(std::array::from_fn(|i| {
                by_distance[if exact { 0 } else { i }].1
            }));
        }
        Search {
            points: self
                .points
                .iter()
                .map(|point| point.map(f32::from))
                .collect(),
            near,
        }
    }
}
