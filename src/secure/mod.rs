//! Who somebody is, and how what is said is sealed: key pairs, the Noise handshake, packet keys, cookies, sealed letters.
//!
//! Everything here takes bytes and randomness and gives bytes; `spec/11-sealing.md` is the rule. The handshake is Noise XX
//! (noiseprotocol.org, revision 34) by the crate `snow`; packets are sealed by `ring`, because their heads travel in the clear and
//! must be authenticated with them, which snow's own transport cannot do.
//!
//! This module must never ask the system for randomness, never show a secret in a log, and never let bytes that do not verify
//! change what it keeps.

mod cookie;
mod entropy;
mod handshake;
mod key;
mod letter;
mod noise;
mod packet_key;
mod password;
mod secret;
mod words;

pub use cookie::CookieMint;
pub use entropy::{Entropy, Seed};
pub use handshake::{HandshakeError, Initiator, Responder, Session};
pub use key::{BadKey, KeyPair, PublicKey};
pub use letter::{LETTER_OVERHEAD_BYTES, Letter, LetterError, MAX_LETTER_BYTES};
pub use packet_key::{KeyLife, OpenError, Opener, Sealer};
pub use password::{Salt, Stretch, StretchCost, StretchOutcome, Stretched, stretch};
pub use secret::Secret;
pub use words::{comparison_words, key_words};
