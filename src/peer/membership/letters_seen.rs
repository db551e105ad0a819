//! Which sealed letters were shown: what makes one known that a relay brings again at another position (UC-LETTER-007).
//!
//! It holds names and no texts, and never more than [`MAX_SEEN`] of them. The relay with the most loses first, and there the sender
//! with the most, the oldest: neither a relay nor a sender can have others' letters shown twice by bringing many.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ring::digest;

use crate::chat::MessageId;
use crate::secure::PublicKey;

/// What names a letter. Nobody finds another letter, sender or relay with the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeenLetter {
    /// Of the relay's key, the first bytes of SHA-256.
    relay: [u8; GROUP_BYTES],
    /// Of relay and sender.
    sender: [u8; GROUP_BYTES],
    /// Of relay, sender and id.
    letter: [u8; LETTER_BYTES],
}

/// Two relays, or senders, with the same would share what is remembered of them, and no more.
const GROUP_BYTES: usize = 8;
/// Half of SHA-256.
const LETTER_BYTES: usize = 16;

/// As many as a person gets in years, in 320 KB. An older one that a relay brings again is shown again.
pub const MAX_SEEN: usize = 10_000;

impl SeenLetter {
    /// Its bytes in a file.
    pub const BYTES: usize = 2 * GROUP_BYTES + LETTER_BYTES;

    fn new(relay: PublicKey, sender: PublicKey, id: &MessageId) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(relay.as_bytes());
        let of_relay = first(&context);
        context.update(sender.as_bytes());
        let of_sender = first(&context);
        context.update(id.as_str().as_bytes());
        Self { relay: of_relay, sender: of_sender, letter: first(&context) }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..GROUP_BYTES].copy_from_slice(&self.relay);
        bytes[GROUP_BYTES..2 * GROUP_BYTES].copy_from_slice(&self.sender);
        bytes[2 * GROUP_BYTES..].copy_from_slice(&self.letter);
        bytes
    }

    /// The letter with these bytes.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        let (mut relay, mut sender, mut letter) = ([0; GROUP_BYTES], [0; GROUP_BYTES], [0; LETTER_BYTES]);
        relay.copy_from_slice(&bytes[..GROUP_BYTES]);
        sender.copy_from_slice(&bytes[GROUP_BYTES..2 * GROUP_BYTES]);
        letter.copy_from_slice(&bytes[2 * GROUP_BYTES..]);
        Self { relay, sender, letter }
    }
}

/// The first bytes of what was put into a digest up to now.
fn first<const N: usize>(context: &digest::Context) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&context.clone().finish().as_ref()[..N]);
    bytes
}

/// The letters that were shown.
#[derive(Clone, Debug, Default)]
pub(in crate::peer) struct SeenLetters {
    known: BTreeSet<SeenLetter>,
    /// By relay and by sender, the oldest first, each with the how-manieth it was of all.
    by_relay: BTreeMap<[u8; GROUP_BYTES], OfRelay>,
    /// Who has how many, to find who has the most.
    sizes: BTreeSet<(usize, [u8; GROUP_BYTES])>,
    next: u64,
    /// What is to be written down, in the order in which it was shown.
    changes: VecDeque<SeenLetter>,
}

#[derive(Clone, Debug, Default)]
struct OfRelay {
    by_sender: BTreeMap<[u8; GROUP_BYTES], VecDeque<(u64, SeenLetter)>>,
    sizes: BTreeSet<(usize, [u8; GROUP_BYTES])>,
    count: usize,
}

impl OfRelay {
    fn push(&mut self, number: u64, letter: SeenLetter) {
        let letters = self.by_sender.entry(letter.sender).or_default();
        self.sizes.remove(&(letters.len(), letter.sender));
        letters.push_back((number, letter));
        self.sizes.insert((letters.len(), letter.sender));
        self.count += 1;
    }

    fn pop(&mut self) -> Option<SeenLetter> {
        let (size, sender) = self.sizes.pop_last()?;
        let (_, oldest) = self.by_sender.get_mut(&sender)?.pop_front()?;
        self.count -= 1;
        if size > 1 {
            self.sizes.insert((size - 1, sender));
        } else {
            self.by_sender.remove(&sender);
        }
        Some(oldest)
    }
}

impl SeenLetters {
    /// Those of earlier runs, oldest first.
    pub(in crate::peer) fn new(seen: Vec<SeenLetter>) -> Self {
        let mut letters = Self::default();
        seen.into_iter().for_each(|letter| _ = letters.add(letter));
        letters.changes.clear();
        letters
    }

    /// A letter is about to be shown; tells whether it is new.
    pub(super) fn note(&mut self, relay: PublicKey, sender: PublicKey, id: &MessageId) -> bool {
        self.add(SeenLetter::new(relay, sender, id))
    }

    /// Whether it was shown, as far as is remembered.
    pub(super) fn contains(&self, relay: PublicKey, sender: PublicKey, id: &MessageId) -> bool {
        self.known.contains(&SeenLetter::new(relay, sender, id))
    }

    fn add(&mut self, letter: SeenLetter) -> bool {
        if !self.known.insert(letter) {
            return false;
        }
        let of_relay = self.by_relay.entry(letter.relay).or_default();
        self.sizes.remove(&(of_relay.count, letter.relay));
        of_relay.push(self.next, letter);
        self.sizes.insert((of_relay.count, letter.relay));
        self.next += 1;
        if self.known.len() > MAX_SEEN {
            self.forget_one();
        }
        // Nobody may be there to keep it.
        if self.changes.len() == MAX_SEEN {
            self.changes.pop_front();
        }
        self.changes.push_back(letter);
        true
    }

    fn forget_one(&mut self) {
        let Some((size, relay)) = self.sizes.pop_last() else { return };
        let Some(of_relay) = self.by_relay.get_mut(&relay) else { return };
        if let Some(oldest) = of_relay.pop() {
            self.known.remove(&oldest);
        }
        if size > 1 {
            self.sizes.insert((size - 1, relay));
        } else {
            self.by_relay.remove(&relay);
        }
    }

    /// The next one that is to be kept on disk.
    pub(in crate::peer) fn poll_change(&mut self) -> Option<SeenLetter> {
        self.changes.pop_front()
    }

    /// All of them, oldest first.
    fn all(&self) -> Vec<SeenLetter> {
        let senders = self.by_relay.values().flat_map(|of_relay| of_relay.by_sender.values());
        let mut all: Vec<(u64, SeenLetter)> = senders.flatten().copied().collect();
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, letter)| letter).collect()
    }
}

/// Those of a file's letters, oldest first, that still count.
pub fn latest_letters(letters: Vec<SeenLetter>) -> Vec<SeenLetter> {
    SeenLetters::new(letters).all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::KeyPair;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret([number; 32]).public()
    }

    fn id(number: usize) -> MessageId {
        MessageId::new("run", number as u64)
    }

    // UC-LETTER-007
    #[test]
    fn a_letter_is_known_by_its_relay_its_sender_and_its_id_after_a_restart_too() {
        let mut letters = SeenLetters::default();
        assert!(letters.note(key(1), key(2), &id(1)));
        assert!(!letters.note(key(1), key(2), &id(1)));
        for (relay, sender, number) in [(2, 2, 1), (1, 3, 1), (1, 2, 2)] {
            assert!(letters.note(key(relay), key(sender), &id(number)));
        }
        let written: Vec<SeenLetter> = std::iter::from_fn(|| letters.poll_change()).collect();
        assert_eq!(written.len(), 4);
        assert!(letters.contains(key(1), key(2), &id(1)) && !letters.contains(key(3), key(2), &id(1)));
        let read = written.iter().map(|letter| SeenLetter::from_bytes(letter.to_bytes())).collect();
        let mut again = SeenLetters::new(read);
        assert_eq!(again.poll_change(), None);
        assert!(!again.note(key(1), key(2), &id(1)) && !again.note(key(1), key(3), &id(1)));
        assert!(again.note(key(1), key(2), &id(3)));
        assert_eq!(again.all()[..4], written);
        assert_eq!(again.poll_change(), again.all().last().copied(), "the others are on disk");
    }

    // UC-LETTER-007
    #[test]
    fn who_brings_the_most_is_forgotten_first() {
        let mut letters = SeenLetters::default();
        letters.note(key(1), key(3), &id(0));
        letters.note(key(2), key(3), &id(0));
        for number in 0..2 * MAX_SEEN {
            letters.note(key(2), key(4), &id(number));
        }
        assert_eq!(letters.all().len(), MAX_SEEN);
        assert_eq!(std::iter::from_fn(|| letters.poll_change()).count(), MAX_SEEN, "bounded without a disk");
        assert!(!letters.note(key(1), key(3), &id(0)), "another relay's");
        assert!(!letters.note(key(2), key(3), &id(0)), "another sender's");
        assert!(!letters.note(key(2), key(4), &id(2 * MAX_SEEN - 1)));
        assert!(letters.note(key(2), key(4), &id(0)), "the oldest of many");
        // Under many keys a relay forgets its own alone.
        for number in 0..=u8::MAX {
            (0..100).for_each(|letter| _ = letters.note(key(2), key(number), &id(100_000 + letter)));
        }
        assert!(!letters.note(key(1), key(3), &id(0)));
    }
}
