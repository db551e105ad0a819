//! How an endpoint behaves, and whether it seals.

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::HandshakeLimits;
use crate::arq::Config;
use crate::secure::{KeyPair, Seed};

/// How an endpoint behaves.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// How its connections behave.
    pub connection: Config,
    /// The most connections, begun from either side. A thousand conversations are more than a person has; a relay sets more. One key
    /// begins a quarter of them at most.
    pub max_connections: usize,
    /// The most half-open entries, of which one neighbourhood has a quarter at most. Each is about three kilobytes; the oldest goes
    /// first. No fewer than the hellos that are answered at once ([`HandshakeLimits`]), or an honest crowd would push itself out. As
    /// many hellos that have done their work are remembered beside, at half a kilobyte each.
    pub max_half_open: usize,
    /// How long hellos are repeated before an attempt is given up.
    pub connect_timeout: Duration,
    /// Whether connections are sealed.
    pub protection: Protection,
    /// How much work strangers may ask for.
    pub handshakes: HandshakeLimits,
    /// The most bytes that the other sides together may make this one hold: messages that wait to be completed or taken, and answers to
    /// them that wait to be taken there. Whoever has most of them then is closed: one connection alone may hold 32 MiB, and a thousand
    /// of them must not. What our own user has to say is not among them, and is refused to nobody because of it.
    pub held_bytes: u64,
}

/// Whether an endpoint's connections are sealed. It neither asks for nor grants any of the other kind.
#[derive(Clone, Default)]
pub enum Protection {
    /// They are not: for learning and testing.
    #[default]
    Clear,
    /// They are.
    Sealed {
        /// Who this side is.
        keys: Arc<KeyPair>,
        /// What all keys of this run are made from. Secret, and never the same for two endpoints. Whoever makes the endpoint keeps
        /// none of it: see [`EndpointConfig::hand_over`].
        seed: Seed,
    },
}

impl EndpointConfig {
    /// The same with the protection, for the endpoint alone. What stays here is for questions about limits: a seed that lay about
    /// for as long as the program runs would tell every key that was ever made from it.
    #[must_use]
    pub fn hand_over(&mut self) -> Self {
        let protection = mem::take(&mut self.protection);
        Self { protection, ..self.clone() }
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clear => f.write_str("Clear"),
            Self::Sealed { keys, .. } => write!(f, "Sealed({keys:?})"),
        }
    }
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            connection: Config::default(),
            max_connections: 1_024,
            max_half_open: 1_024,
            // A person who waits ten seconds has long started to doubt; scripts set their own.
            connect_timeout: Duration::from_secs(10),
            protection: Protection::Clear,
            handshakes: HandshakeLimits::default(),
            // Eight of the longest messages at once, twice; a small machine has as much to spare.
            held_bytes: 256 * 1024 * 1024,
        }
    }
}
