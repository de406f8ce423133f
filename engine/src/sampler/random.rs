//! Random numbers: xoshiro256++ (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2019), its
//! state filled by splitmix64 from one seed. Integer arithmetic only: the same on every platform.

use std::hash::{BuildHasher, Hasher};

/// A stream of random numbers that its seed determines.
#[derive(Debug, Clone)]
pub struct Random([u64; 4]);

impl Random {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Random {
        let mut state = seed;
        Random(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in [0, 1), a multiple of 2⁻⁵³.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// A seed for a run that asked for none: from the hasher keys that the operating system's randomness fills. It has 32
/// bits, so that it is easy to type again.
pub(super) fn fresh_seed() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
        >> 32
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn reference_stream() {
        // splitmix64 of seed 0 is published with the generator; so is the update rule. First outputs for state 1, 2, 3, 4.
        let mut random = Random([1, 2, 3, 4]);
        let expected = [41943041u64, 58720359, 3588806011781223, 3591011842654386];
        assert_eq!([(); 4].map(|()| random.bits()), expected);
        assert_eq!(Random::new(0).0[0], 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn unit_is_uniform() {
        let mut random = Random::new(7);
        let mut counts = [0u32; 10];
        for _ in 0..100_000 {
            counts[(random.unit() * 10.0) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&count| (9_600..10_400).contains(&count)),
            "{counts:?}"
        );
    }
}
