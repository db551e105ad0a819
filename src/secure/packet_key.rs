//! The keys of one direction of a connection: sealing and opening packets in place, and the change to the next key.
//!
//! AES-256-GCM (NIST SP 800-38D) with the packet number as nonce, which is never used twice, and everything before the ciphertext
//! as associated data (UC-SEAL-006). Each epoch's key follows from the one before by Noise's rekey function and not the other way
//! round, so what was said in earlier epochs stays closed to whoever takes the memory of a running program.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::time::Instant;

/// One epoch lasts for no more packets than this (UC-SEAL-009): NIST's bound on what one key seals is far away (2^32 packets), and
/// RFC 9001, section 6.6 allows 2^23 of any length.
const EPOCH_PACKETS: u64 = 1 << 20;

/// Nor longer than this: what was said ten minutes ago stays closed even if the program's memory is taken now.
const EPOCH_TIME: Duration = Duration::from_secs(600);

/// How long the key before is kept for packets that come late: longer than any packet is under way.
const PREVIOUS_KEPT: Duration = Duration::from_secs(30);

/// How long one key seals, from its first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLife {
    /// The most packets.
    pub packets: u64,
    /// The longest time.
    pub time: Duration,
}

impl Default for KeyLife {
    fn default() -> Self {
        Self { packets: EPOCH_PACKETS, time: EPOCH_TIME }
    }
}

/// Seals what one side sends.
pub struct Sealer {
    key: Key,
    epoch: u64,
    /// The first packet number of this epoch.
    first_number: u64,
    /// When its first packet was sealed.
    began_at: Option<Instant>,
    life: KeyLife,
}

/// Opens what the other side sends.
pub struct Opener {
    /// The current epoch's.
    current: Key,
    epoch: u64,
    /// The key before, until when.
    previous: Option<Box<(Key, Option<Instant>)>>,
    /// The key after, once somebody claimed to use it.
    next: Option<Box<Key>>,
}

/// The key of an epoch. What ring makes of it takes half a kilobyte and a fraction of a microsecond, so it is kept while much is said,
/// and made for each packet otherwise: most of a relay's connections are silent.
struct Key {
    secret: Zeroizing<[u8; 32]>,
    made: Option<Box<LessSafeKey>>,
    /// How often it was made since the last rest.
    makings: u32,
}

/// As often a key is made for one packet until it is kept: more often than a member needs to come in, and to be silent until the next
/// rest.
const MOST_MAKINGS: u32 = 16;

/// Why a packet cannot be read. Nothing was changed but the packet's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Its epoch is neither the current one nor one beside it.
    Epoch,
    /// It was not sealed with this key, or was changed on the way.
    Seal,
}

impl Sealer {
    pub(super) fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { key: Key::new(secret), epoch: 0, first_number: 1, began_at: None, life: KeyLife::default() }
    }

    /// From now on a key lasts no longer than this.
    pub const fn set_life(&mut self, life: KeyLife) {
        self.life = life;
    }

    /// The epoch that the next packet is sealed in.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Changes the key if it is time, before packet `next_number`; `acked` is the newest packet that the other side has. The other
    /// side must have read one packet of this epoch, or it would be two behind (UC-SEAL-008). Tells whether such an ack is wanting.
    pub fn advance_if_due(&mut self, now: Instant, next_number: u64, acked: u64) -> bool {
        let began_at = *self.began_at.get_or_insert(now);
        let is_due = next_number >= self.first_number + self.life.packets || now >= began_at + self.life.time;
        let is_read = acked >= self.first_number;
        if is_due && is_read {
            self.advance(now, next_number);
        }
        is_due && !is_read
    }

    /// Changes the key now.
    fn advance(&mut self, now: Instant, next_number: u64) {
        self.key = self.key.following();
        self.epoch += 1;
        self.first_number = next_number;
        self.began_at = Some(now);
    }

    /// Gives back what was made of the key: nothing is sealed for a while.
    pub fn rest(&mut self) {
        self.key.rest();
    }

    /// Seals what follows `clear_bytes` of a packet and appends the tag.
    pub fn seal(&mut self, number: u64, packet: &mut Vec<u8>, clear_bytes: usize) {
        self.seal_behind(number, packet, 0..clear_bytes);
    }

    /// The same for the last of several packets in a buffer, whose clear part is at `clear`.
    pub fn seal_behind(&mut self, number: u64, packets: &mut Vec<u8>, clear: Range<usize>) {
        let (before, secret) = packets.split_at_mut(clear.end);
        let aad = Aad::from(&before[clear.start..]);
        let tag = self.key.with(|key| key.seal_in_place_separate_tag(nonce(number), aad, secret));
        // Only what is longer than 64 GiB cannot be sealed.
        packets.extend_from_slice(tag.expect("a packet is short").as_ref());
    }
}

impl Opener {
    pub(super) fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { current: Key::new(secret), epoch: 0, previous: None, next: None }
    }

    /// Gives back what was made of the keys: nothing is opened for a while.
    pub fn rest(&mut self) {
        self.current.rest();
        if let Some(previous) = &mut self.previous {
            previous.0.rest();
        }
        // It is made anew when it is needed.
        self.next = None;
    }

    /// The newest epoch that a packet of the other side's was read in.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Opens a packet in place; tells where in it the text is.
    pub fn open(
        &mut self,
        number: u64,
        epoch: u64,
        packet: &mut [u8],
        clear_bytes: usize,
    ) -> Result<Range<usize>, OpenError> {
        let key = if epoch == self.epoch {
            &mut self.current
        } else if epoch + 1 == self.epoch {
            self.previous.as_mut().map(|previous| &mut previous.0).ok_or(OpenError::Epoch)?
        } else if epoch == self.epoch + 1 {
            let current = &mut self.current;
            &mut **self.next.get_or_insert_with(|| Box::new(current.following()))
        } else {
            return Err(OpenError::Epoch);
        };
        let (clear, sealed) = packet.split_at_mut(clear_bytes.min(packet.len()));
        let text = key
            .with(|key| key.open_in_place(nonce(number), Aad::from(&*clear), sealed).map(|text| text.len()));
        let range = clear_bytes..clear_bytes + text.map_err(|_| OpenError::Seal)?;
        if epoch > self.epoch
            && let Some(next) = self.next.take()
        {
            self.previous = Some(Box::new((std::mem::replace(&mut self.current, *next), None)));
            self.epoch = epoch;
        }
        Ok(range)
    }

    /// Forgets the key before, once nothing sealed with it can still be under way.
    pub fn forget_previous(&mut self, now: Instant) {
        if let Some((_, until)) = self.previous.as_deref_mut()
            && *until.get_or_insert(now + PREVIOUS_KEPT) <= now
        {
            self.previous = None;
        }
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(epoch {})", self.epoch)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener(epoch {})", self.epoch)
    }
}

impl Key {
    const fn new(secret: Zeroizing<[u8; 32]>) -> Self {
        Self { secret, made: None, makings: 0 }
    }

    /// Does something with it.
    fn with<T>(&mut self, use_it: impl FnOnce(&LessSafeKey) -> T) -> T {
        if self.made.is_none() {
            // An AES-256 key is any 32 bytes.
            let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*self.secret).expect("32 bytes"));
            self.makings += 1;
            if self.makings <= MOST_MAKINGS {
                return use_it(&key);
            }
            self.made = Some(Box::new(key));
        }
        use_it(self.made.as_ref().expect("it was just made"))
    }

    fn rest(&mut self) {
        (self.made, self.makings) = (None, 0);
    }

    /// The next epoch's, by Noise's rekey: 32 zeros sealed under the last nonce, without the tag (section 11.3 and 4.2 of its
    /// specification).
    fn following(&mut self) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        let sealed =
            self.with(|key| key.seal_in_place_separate_tag(nonce(u64::MAX), Aad::empty(), &mut *secret));
        // Only what is longer than 64 GiB cannot be sealed; the tag is not wanted.
        let _tag = sealed.expect("short");
        // Whoever changes keys says much.
        Self { makings: self.makings, ..Self::new(secret) }
    }
}

/// Four zeros, then the number with its most significant byte first, as Noise makes nonces for AES-GCM. No packet has the last
/// number: they end at 2^53 (UC-WIRE-009).
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SEAL_BYTES;

    fn pair() -> (Sealer, Opener) {
        (Sealer::new(Zeroizing::new([7; 32])), Opener::new(Zeroizing::new([7; 32])))
    }

    fn sealed(sealer: &mut Sealer, number: u64) -> Vec<u8> {
        let mut packet = b"head\ntext".to_vec();
        sealer.seal(number, &mut packet, 5);
        packet
    }

    #[test]
    fn what_is_not_as_it_was_sealed_does_not_open() {
        let (mut sealer, mut opener) = pair();
        let packet = sealed(&mut sealer, 3);
        assert_eq!(packet.len(), 9 + SEAL_BYTES);
        assert_eq!(opener.open(3, 0, &mut packet.clone(), 5), Ok(5..9));
        for bit in 0..8 * packet.len() {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opener.open(3, 0, &mut damaged, 5), Err(OpenError::Seal));
        }
        for length in 0..packet.len() {
            assert_eq!(opener.open(3, 0, &mut packet[..length].to_vec(), 5), Err(OpenError::Seal));
        }
        assert_eq!(opener.open(4, 0, &mut packet.clone(), 5), Err(OpenError::Seal));
        assert_eq!(opener.open(3, 1, &mut packet.clone(), 5), Err(OpenError::Seal));
        assert_eq!(opener.open(3, 2, &mut packet.clone(), 5), Err(OpenError::Epoch));
        assert_eq!(opener.epoch(), 0);
    }

    #[test]
    fn keys_change_without_a_gap_and_the_old_ones_are_forgotten() {
        let (mut sealer, mut opener) = pair();
        let start = Instant::from_nanos(1);
        let old = sealed(&mut sealer, 1);
        sealer.advance(start, 2);
        let new = sealed(&mut sealer, 2);
        assert_eq!(opener.open(2, 1, &mut new.clone(), 5), Ok(5..9));
        assert_eq!(opener.open(1, 0, &mut old.clone(), 5), Ok(5..9), "it came late");
        opener.forget_previous(start);
        opener.forget_previous(start + PREVIOUS_KEPT);
        assert_eq!(opener.open(1, 0, &mut old.clone(), 5), Err(OpenError::Epoch));
        sealer.advance(start, 3);
        sealer.advance(start, 4);
        assert_eq!(opener.open(4, 3, &mut sealed(&mut sealer, 4), 5), Err(OpenError::Epoch));
    }

    #[test]
    fn a_key_is_changed_by_count_and_by_time_and_never_ahead_of_the_other_side() {
        let (mut sealer, _) = pair();
        let start = Instant::from_nanos(1);
        let mut epoch = |now, next, acked| {
            sealer.advance_if_due(now, next, acked);
            sealer.epoch()
        };
        assert_eq!(epoch(start, 1, 0), 0);
        assert_eq!(epoch(start + EPOCH_TIME, 2, 0), 0, "nothing of it was acked");
        assert_eq!(epoch(start + EPOCH_TIME, 3, 2), 1);
        assert_eq!(epoch(start + EPOCH_TIME, EPOCH_PACKETS + 2, 3), 1);
        assert_eq!(epoch(start + EPOCH_TIME, EPOCH_PACKETS + 3, 3), 2);
    }
}
