//! What a sealed endpoint makes its keys with, and whatever else nobody must foresee.
//!
//! This module must never keep what something was made from: see [`Entropy`].

use std::sync::Arc;

use super::{Endpoint, Handle, Protection};
use crate::secure::{Entropy, KeyPair, PublicKey};
use crate::time::Now;
use crate::wire::Mode;

/// Who we are, and where our secrets come from.
#[derive(Debug)]
pub(super) struct Sealing {
    pub(super) keys: Arc<KeyPair>,
    /// For cookies once, then for handshakes, one step for each, so that the simulator can follow.
    pub(super) entropy: Entropy,
    /// For everything else.
    secrets: Entropy,
}

impl Sealing {
    /// The generator forgets the seed at its first step, and so must everybody: that is why it is taken. None in the clear.
    pub(super) fn new(protection: Protection) -> Option<Self> {
        match protection {
            Protection::Clear => None,
            Protection::Sealed { keys, seed } => {
                let mut entropy = Entropy::from_seed(seed);
                let secrets = Entropy::from_seed(entropy.split());
                Some(Self { keys, entropy, secrets })
            }
        }
    }
}

impl Endpoint {
    /// Fresh bytes of the system's randomness, which nobody outside can know: the keys of all later handshakes depend on them too
    /// (UC-SEAL-015). In the clear there are none.
    pub fn stir(&mut self, now: Now, fresh: &[u8; 32]) {
        self.half_open.remove_expired(now.instant);
        if let Some(sealing) = &mut self.sealing {
            sealing.entropy.stir(fresh);
            sealing.secrets.stir(&sealing.entropy.split());
        }
    }

    /// What a new connection draws its challenges from. Whoever knows all our ids knows what they were drawn from, so where there is
    /// a secret nothing that must not be foreseen comes from there (UC-PATH-003).
    pub(super) fn secrets(&mut self) -> Entropy {
        if let Some(sealing) = &mut self.sealing {
            return Entropy::from_seed(sealing.secrets.split());
        }
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.random.next_u64().to_le_bytes());
        Entropy::from_seed(seed)
    }

    /// Whose secret the other side of a connection has shown to have; None in the clear, and before the handshake.
    pub fn remote_key(&self, handle: Handle) -> Option<PublicKey> {
        self.connection(handle)?.remote_key()
    }

    /// Who this side is; None in the clear.
    pub fn local_key(&self) -> Option<PublicKey> {
        self.sealing.as_ref().map(|sealing| sealing.keys.public())
    }

    pub(super) const fn mode(&self) -> Mode {
        if self.sealing.is_some() { Mode::Sealed } else { Mode::Clear }
    }
}
