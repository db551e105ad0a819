//! Randomness for keys: a generator that forgets how it made what it gave.
//!
//! All of it follows from 32 secret bytes. Each draw is one block of ChaCha20 with 20 rounds under the present key: half of the
//! block is given, the other half is the next key, and the present one is overwritten. So whoever takes the generator out of a
//! program's memory learns what will be drawn and nothing of what was. What will be drawn is out of reach again once bytes that the
//! thief has not seen were stirred in.
//!
//! The system's randomness comes in by seed and by [`Entropy::stir`], from `io`; the simulator seeds it as it likes and stirs
//! nothing. Every 32 bytes or fewer take one step, so who knows the seed can follow.

use std::fmt;
use std::ops::Deref;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

/// How much one step gives, and the length of a key.
const STEP_BYTES: usize = 32;

/// 32 secret bytes that randomness is made from. They are overwritten when they are dropped.
///
/// That covers the place where they are kept. Copies that were on the stack while they were handed over are overwritten by whatever
/// comes next there.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(Zeroizing<[u8; STEP_BYTES]>);

impl From<[u8; STEP_BYTES]> for Seed {
    fn from(bytes: [u8; STEP_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl Deref for Seed {
    type Target = [u8; STEP_BYTES];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(secret)")
    }
}

/// A generator fit for keys.
#[derive(Clone)]
pub struct Entropy {
    key: Seed,
}

impl Entropy {
    /// A generator whose future follows from `seed`, which must be as secret as any key made from it.
    pub fn from_seed(seed: impl Into<Seed>) -> Self {
        Self { key: seed.into() }
    }

    /// A seed for another generator, which tells nothing of this one.
    pub fn split(&mut self) -> Seed {
        let mut seed = Seed::from([0; STEP_BYTES]);
        self.step(&mut *seed.0);
        seed
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number below `bound`; 0 if `bound` is 0. The bias of the multiplication is below `bound` / 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The product of two 64-bit numbers has its upper half below `bound`, so the cast keeps the value.
        ((u128::from(u64::from_le_bytes(self.bytes())) * u128::from(bound)) >> 64) as u64
    }

    /// From here on everything depends on `fresh` too. It is enough that either what was here or `fresh` is unknown to whoever
    /// would guess; bytes that are known take nothing away.
    pub fn stir(&mut self, fresh: &[u8; STEP_BYTES]) {
        for (byte, fresh) in self.key.0.iter_mut().zip(fresh) {
            *byte ^= fresh;
        }
        // The key itself is never what was stirred together, so that it cannot be undone by stirring the same again.
        self.step(&mut []);
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(STEP_BYTES) {
            self.step(chunk);
        }
    }

    /// Gives at most half of a block and takes the other half for its key. The cipher overwrites its own state when it is dropped.
    fn step(&mut self, out: &mut [u8]) {
        let mut cipher = ChaCha20Rng::from_seed(*self.key.0);
        let mut block = [0; 2 * STEP_BYTES];
        cipher.fill_bytes(&mut block);
        let (given, next) = block.split_at(STEP_BYTES);
        out.copy_from_slice(&given[..out.len()]);
        self.key.0.copy_from_slice(next);
        block.zeroize();
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(entropy: &mut Entropy, count: usize) -> Vec<[u8; 32]> {
        (0..count).map(|_| entropy.bytes()).collect()
    }

    /// The published key stream of ChaCha20 under a key of zeros, block 0.
    const ZERO_BLOCK: &str = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
                              da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586";

    #[test]
    fn a_step_is_one_block_of_the_cipher() {
        let mut entropy = Entropy::from_seed([0; 32]);
        let (given, next) = ZERO_BLOCK.split_at(64);
        assert_eq!(data_encoding::HEXLOWER.encode(&entropy.bytes::<32>()), given);
        assert_eq!(data_encoding::HEXLOWER.encode(&*entropy.key), next);
    }

    #[test]
    fn the_same_seed_and_the_same_stirs_give_the_same() {
        let run = || {
            let mut entropy = Entropy::from_seed([1; 32]);
            let mut all = drawn(&mut entropy, 3);
            entropy.stir(&[2; 32]);
            all.extend(drawn(&mut entropy, 3));
            entropy.stir(&[3; 32]);
            all.extend(drawn(&mut entropy, 3));
            all
        };
        assert_eq!(run(), run());
        let all = run();
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), 9, "none comes twice");
    }

    #[test]
    fn what_was_drawn_cannot_be_drawn_from_what_is_left() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let before = entropy.clone();
        let past = drawn(&mut entropy, 4);
        let stolen = entropy.clone();
        // Nothing of what is kept is what was kept, or what was given: the state is the key and nothing else.
        assert_eq!(size_of::<Entropy>(), STEP_BYTES);
        assert_ne!(stolen.key, before.key);
        let future = drawn(&mut stolen.clone(), 1_000);
        assert!(past.iter().all(|bytes| *bytes != *stolen.key && !future.contains(bytes)));
    }

    #[test]
    fn what_will_be_drawn_is_out_of_reach_after_a_stir() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let mut stolen = entropy.clone();
        entropy.stir(&[9; 32]);
        assert!(drawn(&mut entropy, 4).iter().all(|bytes| !drawn(&mut stolen.clone(), 100).contains(bytes)));
        // Nor does stirring the same again lead back.
        entropy = stolen.clone();
        entropy.stir(&[9; 32]);
        entropy.stir(&[9; 32]);
        assert_ne!(entropy.bytes::<32>(), stolen.bytes());
    }

    #[test]
    fn every_started_step_is_one() {
        let (mut short, mut long) = (Entropy::from_seed([1; 32]), Entropy::from_seed([1; 32]));
        let wanted: [u8; 40] = long.bytes();
        let first = short.bytes::<32>();
        let second = short.bytes::<8>();
        assert_eq!(wanted.as_slice(), [first.as_slice(), &second].concat());
        assert_eq!(short.key, long.key);
        assert!((0..1_000).all(|_| short.below(10) < 10) && short.below(0) == 0);
    }
}
