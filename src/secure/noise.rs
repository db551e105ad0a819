//! Noise as this project uses it: which patterns, and where snow gets its parts from.

use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver, RingResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, Error};

use super::{Entropy, Seed};

/// The handshake of a connection (UC-SEAL-001).
pub(super) const HANDSHAKE: &str = "Noise_XX_25519_AESGCM_SHA256";

/// One message to somebody who is not there.
pub(super) const LETTER: &str = "Noise_X_25519_AESGCM_SHA256";

/// What both sides put under their handshake: another protocol or another version cannot complete it with us (UC-SEAL-002).
pub(super) const HANDSHAKE_PROLOGUE: &[u8] = b"udpchat 1";

/// A builder whose randomness follows from `seed`.
pub(super) fn builder(pattern: &str, seed: Seed) -> Builder<'static> {
    // The names are constants that snow knows; the tests build each of them.
    let params: NoiseParams = pattern.parse().expect("a pattern that snow knows");
    Builder::with_resolver(params, Box::new(Resolver { seed }))
}

/// X25519 as snow's builder would take it.
pub(super) fn x25519() -> Box<dyn Dh> {
    DefaultResolver.resolve_dh(&DHChoice::Curve25519).expect("snow was built with X25519")
}

/// Ciphers and hashes from ring, X25519 from curve25519-dalek (ring's own takes no key that outlives one use), and randomness from
/// a seed.
struct Resolver {
    seed: Seed,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Seeded(Entropy::from_seed(self.seed.clone()))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        RingResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        RingResolver.resolve_cipher(choice)
    }
}

struct Seeded(Entropy);

impl Random for Seeded {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill(dest);
        Ok(())
    }
}
