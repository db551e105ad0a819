//! Randomness with a seed: a generator for identifiers and the simulator, and a keyed draw for the bad link.
//!
//! Nothing here asks the operating system; a program's seed comes from `io`. The algorithms are named and fixed, so that a seed
//! repeats the same run on every platform and in every later version: xoshiro256++ and SplitMix64 (Blackman and Vigna, 2018).

/// A seeded generator, xoshiro256++. Not for keys: its output predicts its state.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator whose whole future follows from `seed`.
    pub fn from_seed(seed: u64) -> Self {
        let mut key = seed;
        let mut next = || {
            key = key.wrapping_add(GOLDEN);
            finalize(key)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias of the multiplication is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        scale(self.next_u64(), bound)
    }

    /// A number of the closed range, which may be given in either order.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let (low, high) = (low.min(high), low.max(high));
        low.saturating_add(self.below((high - low).saturating_add(1)))
    }

    /// True in `ppm` of a million cases.
    pub fn chance_ppm(&mut self, ppm: u32) -> bool {
        self.below(1_000_000) < u64::from(ppm)
    }
}

/// One draw that depends on nothing but `words`: the same words give the same 64 bits, and any other words unrelated ones.
/// The bad link uses it so that one more datagram does not shift the fate of all later ones.
pub fn keyed_draw(words: &[u64]) -> u64 {
    words.iter().fold(GOLDEN, |state, word| {
        finalize(state.wrapping_add(GOLDEN) ^ finalize(word.wrapping_add(GOLDEN)))
    })
}

/// Maps 64 random bits to a number below `bound`.
pub fn scale(bits: u64, bound: u64) -> u64 {
    // The product of two 64-bit numbers has its upper half below `bound`, so the cast keeps the value.
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// 2^64 divided by the golden ratio: SplitMix64's increment.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
fn finalize(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_and_xoshiro_match_the_reference_for_seed_zero() {
        // SplitMix64 from 0 gives 0xe220a8397b1dcdaf first: the reference's published value.
        assert_eq!(finalize(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Random::from_seed(0).next_u64(), 0x5317_5d61_490b_23df);
    }

    #[test]
    fn below_covers_its_range_and_nothing_else() {
        let mut random = Random::from_seed(7);
        let mut seen = [0_u32; 5];
        for _ in 0..5_000 {
            seen[usize::try_from(random.below(5)).unwrap()] += 1;
        }
        assert!(seen.iter().all(|count| (800..1_200).contains(count)), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn keyed_draws_differ_in_every_word_and_repeat() {
        assert_eq!(keyed_draw(&[1, 2, 3]), keyed_draw(&[1, 2, 3]));
        assert_ne!(keyed_draw(&[1, 2, 3]), keyed_draw(&[1, 3, 2]));
        assert_ne!(keyed_draw(&[0]), keyed_draw(&[0, 0]));
        let hits = (0..100_000).filter(|n| scale(keyed_draw(&[9, *n]), 1_000_000) < 200_000).count();
        assert!((19_500..20_500).contains(&hits), "{hits}");
    }
}
