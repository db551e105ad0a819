//! Noise XX as three messages: the asking side's, the answer, and the last, which rides on the first packets.

use std::fmt;

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::noise::{HANDSHAKE, HANDSHAKE_PROLOGUE, builder};
use super::packet_key::{Opener, Sealer};
use super::{Entropy, KeyPair, PublicKey, Seed};
use crate::wire::FINISH_BYTES;

/// An ephemeral key in the clear; what follows is the payload.
const FIRST_OVERHEAD_BYTES: usize = 32;

/// An ephemeral key, a static key with its tag, and the payload's tag.
const SECOND_OVERHEAD_BYTES: usize = 96;

/// What a handshake comes to: who the other side is, and the keys of both directions.
#[derive(Debug)]
pub struct Session {
    /// Whose secret the other side has shown to have.
    pub remote: PublicKey,
    /// For what we send.
    pub sealer: Sealer,
    /// For what comes.
    pub opener: Opener,
}

/// A message does not verify, or names nobody. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeError;

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the handshake's message does not verify")
    }
}

impl std::error::Error for HandshakeError {}

/// The asking side, until the answer.
pub struct Initiator {
    state: HandshakeState,
    /// All that the state follows from, beside our keys: see [`Initiator::begin_again`].
    seed: Seed,
    payload: Vec<u8>,
}

impl Initiator {
    /// Begins: the first message carries `payload`, which everybody can read and nobody change unnoticed.
    pub fn begin(keys: &KeyPair, entropy: &mut Entropy, payload: &[u8]) -> (Self, Vec<u8>) {
        let seed = entropy.split();
        let (state, message) = first(keys, &seed, payload);
        (Self { state, seed, payload: payload.to_vec() }, message)
    }

    /// Waits for another answer to the same first message, after one that verified and was not wanted.
    pub fn begin_again(&mut self, keys: &KeyPair) {
        self.state = first(keys, &self.seed, &self.payload).0;
    }

    /// Reads the answer; its payload, and the third message. After an error the handshake waits for a better answer; after success
    /// it is used up, unless it is begun again. `keys` are those that it began with.
    pub fn finish(
        &mut self,
        keys: &KeyPair,
        message: &[u8],
    ) -> Result<(Session, Vec<u8>, [u8; FINISH_BYTES]), HandshakeError> {
        let result = self.read(message);
        if result.is_err() {
            // A message that failed half-way may have left something behind.
            self.begin_again(keys);
        }
        result
    }

    fn read(&mut self, message: &[u8]) -> Result<(Session, Vec<u8>, [u8; FINISH_BYTES]), HandshakeError> {
        let mut payload = vec![0; message.len()];
        let length = self.state.read_message(message, &mut payload).map_err(|_| HandshakeError)?;
        payload.truncate(length);
        let remote = remote_key(&self.state)?;
        let mut last = [0; FINISH_BYTES];
        let length = self.state.write_message(&[], &mut last).map_err(|_| HandshakeError)?;
        debug_assert_eq!(length, FINISH_BYTES);
        Ok((session(&mut self.state, remote), payload, last))
    }
}

/// The granting side, until the third message.
pub struct Responder {
    state: HandshakeState,
    /// All that the state follows from, beside our keys: see [`Responder::finish`].
    seed: Seed,
    first: Vec<u8>,
    payload: Vec<u8>,
}

impl Responder {
    /// Reads a first message and its payload. Costs nothing but a hash.
    pub fn read(
        keys: &KeyPair,
        entropy: &mut Entropy,
        message: &[u8],
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        let seed = entropy.split();
        let mut state = start(keys, &seed, false);
        let mut payload = vec![0; message.len()];
        let length = state.read_message(message, &mut payload).map_err(|_| HandshakeError)?;
        payload.truncate(length);
        Ok((Self { state, seed, first: message.to_vec(), payload: Vec::new() }, payload))
    }

    /// Writes the answer; only the asking side can read `payload`. Three multiplications on the curve.
    pub fn answer(&mut self, payload: &[u8]) -> Vec<u8> {
        self.payload = payload.to_vec();
        let mut message = vec![0; SECOND_OVERHEAD_BYTES + payload.len()];
        // It is our turn, and the buffer has room for what snow asks.
        let length = self.state.write_message(payload, &mut message).expect("an answer can be written");
        message.truncate(length);
        message
    }

    /// Reads the third message. After an error the handshake waits for a better one; after success it is used up, unless it is begun
    /// again.
    ///
    /// `keys` are those that the handshake began with. snow keeps the cipher of a message that failed half-way, so after a failure
    /// the state is made anew from what it followed from; only what comes from the address that was answered gets here.
    pub fn finish(&mut self, keys: &KeyPair, message: &[u8]) -> Result<Session, HandshakeError> {
        let mut payload = vec![0; message.len()];
        let read = self.state.read_message(message, &mut payload).map_err(|_| HandshakeError);
        // One that verifies and shows nobody's key has used the state up all the same.
        let remote = read.and_then(|_| remote_key(&self.state));
        if remote.is_err() {
            self.begin_again(keys);
        }
        Ok(session(&mut self.state, remote?))
    }

    /// Waits for another third message, after one that verified and behind which nothing did.
    pub fn begin_again(&mut self, keys: &KeyPair) {
        self.state = start(keys, &self.seed, false);
        let (first, payload) = (std::mem::take(&mut self.first), std::mem::take(&mut self.payload));
        let mut heard = vec![0; first.len()];
        // It could be read before, and the same answer follows from the same seed.
        self.state.read_message(&first, &mut heard).expect("read before");
        self.answer(&payload);
        self.first = first;
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initiator")
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

/// The state that has written its first message, and the message.
fn first(keys: &KeyPair, seed: &Seed, payload: &[u8]) -> (HandshakeState, Vec<u8>) {
    let mut state = start(keys, seed, true);
    let mut message = vec![0; FIRST_OVERHEAD_BYTES + payload.len() + 16];
    // It is our turn, and the buffer has room for what snow asks.
    let length = state.write_message(payload, &mut message).expect("a first message can be written");
    message.truncate(length);
    (state, message)
}

fn start(keys: &KeyPair, seed: &Seed, asks: bool) -> HandshakeState {
    let builder = builder(HANDSHAKE, seed.clone());
    // Both are set once, the key has the right length, and XX needs no other.
    let builder = builder.local_private_key(keys.secret()).expect("set once");
    let builder = builder.prologue(HANDSHAKE_PROLOGUE).expect("set once");
    let state = if asks { builder.build_initiator() } else { builder.build_responder() };
    state.expect("XX needs nothing but a static key")
}

fn remote_key(state: &HandshakeState) -> Result<PublicKey, HandshakeError> {
    let bytes = state.get_remote_static().and_then(|key| key.try_into().ok()).ok_or(HandshakeError)?;
    let key = PublicKey::from_bytes(bytes);
    if key.is_usable() { Ok(key) } else { Err(HandshakeError) }
}

fn session(state: &mut HandshakeState, remote: PublicKey) -> Session {
    let (asking, granting) = state.dangerously_get_raw_split();
    let (asking, granting) = (Zeroizing::new(asking), Zeroizing::new(granting));
    let (ours, theirs) = if state.is_initiator() { (asking, granting) } else { (granting, asking) };
    Session { remote, sealer: Sealer::new(ours), opener: Opener::new(theirs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: u8) -> KeyPair {
        KeyPair::from_secret([secret; 32])
    }

    fn entropy(seed: u8) -> Entropy {
        Entropy::from_seed([seed; 32])
    }

    #[test]
    fn both_sides_learn_each_other_and_share_keys() {
        let (mut asking, first) = Initiator::begin(&keys(1), &mut entropy(1), b"hello");
        assert_eq!(first.len(), FIRST_OVERHEAD_BYTES + 5);
        let (mut granting, heard) = Responder::read(&keys(2), &mut entropy(2), &first).unwrap();
        assert_eq!(heard, b"hello");
        let second = granting.answer(b"welcome");
        assert_eq!(second.len(), SECOND_OVERHEAD_BYTES + 7);
        let (mut ours, heard, third) = asking.finish(&keys(1), &second).unwrap();
        assert_eq!((heard.as_slice(), ours.remote), (&b"welcome"[..], keys(2).public()));
        let mut theirs = granting.finish(&keys(2), &third).unwrap();
        assert_eq!(theirs.remote, keys(1).public());
        for (from, to) in [(&mut ours.sealer, &mut theirs.opener), (&mut theirs.sealer, &mut ours.opener)] {
            let mut packet = b"headtext".to_vec();
            from.seal(7, &mut packet, 4);
            assert_eq!(to.open(7, 0, &mut packet, 4), Ok(4..8));
            assert_eq!(&packet[4..8], b"text");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_changes_nothing() {
        let (mut asking, first) = Initiator::begin(&keys(1), &mut entropy(1), b"hello");
        let (mut granting, _) = Responder::read(&keys(2), &mut entropy(2), &first).unwrap();
        let second = granting.answer(b"welcome");
        for bit in 0..8 * second.len() {
            let mut damaged = second.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The top bit of a coordinate means nothing (RFC 7748, section 5), but it is under the hash.
            assert!(asking.finish(&keys(1), &damaged).is_err(), "bit {bit}");
        }
        for length in 0..second.len() {
            assert!(asking.finish(&keys(1), &second[..length]).is_err());
        }
        let (_, _, third) = asking.finish(&keys(1), &second).unwrap();
        for bit in 0..8 * third.len() {
            let mut damaged = third;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(granting.finish(&keys(2), &damaged).is_err(), "bit {bit}");
        }
        for length in 0..third.len() {
            assert!(granting.finish(&keys(2), &third[..length]).is_err());
        }
        assert!(granting.finish(&keys(2), &third).is_ok());
        for bit in 0..8 * first.len() {
            let mut damaged = first.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The first message proves nothing yet; the answer to a damaged one is of no use to its sender.
            let Ok((mut granting, _)) = Responder::read(&keys(2), &mut entropy(2), &damaged) else {
                continue;
            };
            let (mut asking, _) = Initiator::begin(&keys(1), &mut entropy(1), b"hello");
            assert!(asking.finish(&keys(1), &granting.answer(b"")).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn somebody_in_between_is_seen_as_somebody_else() {
        let (mut asking, first) = Initiator::begin(&keys(1), &mut entropy(1), b"");
        let (mut between, _) = Responder::read(&keys(3), &mut entropy(3), &first).unwrap();
        let (session, ..) = asking.finish(&keys(1), &between.answer(b"")).unwrap();
        assert_eq!(session.remote, keys(3).public());
        let (mut right, _) = Responder::read(&keys(2), &mut entropy(2), &first).unwrap();
        asking.begin_again(&keys(1));
        let (session, ..) = asking.finish(&keys(1), &right.answer(b"")).unwrap();
        assert_eq!(session.remote, keys(2).public());
    }
}
