//! Randomness for keys: a generator whose whole future follows from 32 secret bytes.
//!
//! The system is asked once, at the program's start, by `io`; the simulator seeds it as it likes. ChaCha20 with 20 rounds: who
//! sees some of its output cannot tell the rest.

use std::fmt;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A generator fit for keys.
#[derive(Clone)]
pub struct Entropy(ChaCha20Rng);

impl Entropy {
    /// A generator whose future follows from `seed`, which must be as secret as any key made from it.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// A seed for another generator, which tells nothing of this one.
    pub fn split(&mut self) -> [u8; 32] {
        self.bytes()
    }

    /// Random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entropy(secret)")
    }
}
