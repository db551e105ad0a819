//! Whose key is known: what the decision about a key is made from, and the decision itself.
//!
//! Three kinds of things are known by a key: an address as the user typed it, a member's name at a relay, and the name that
//! somebody gave who called us. The first key that is met is trusted (UC-KEY-008); another one is told and changes nothing until
//! the user accepts it (UC-KEY-009). What is to be kept on disk goes out through [`Trust::poll_change`].
//!
//! It must never learn a key by itself in the place of another one, and never forget a typed address because of strangers.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::folded;
use crate::secure::PublicKey;
use crate::time::WallTime;

/// Addresses that a person ever typed; whoever types more has no use for the oldest.
const MAX_ADDRESSES: usize = 1_024;
/// Members of relays; more than a person writes letters to. Strangers can write to us under any number of names, so these never
/// give way to others: beyond the limit a new one is met as new each time.
const MAX_MEMBERS: usize = 4_096;
/// Callers, whose names cost them nothing: the oldest give way.
const MAX_CALLERS: usize = 1_024;
/// Keys that wait to be accepted; a person looks at a few.
const MAX_SEEN: usize = 256;

/// What a key is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownBy {
    /// `host:port` as the user typed it, in lower case. A port that a system chose by itself is never one.
    Address(String),
    /// A member of a relay.
    Member {
        /// The relay's key.
        relay: PublicKey,
        /// The name, folded.
        name: String,
    },
    /// Somebody who called us.
    Caller {
        /// The name that it gave itself, folded.
        name: String,
    },
}

impl KnownBy {
    /// An address as it was typed.
    pub fn address(typed: &str) -> Self {
        Self::Address(typed.to_lowercase())
    }

    /// A member of the relay that has this key.
    pub fn member(relay: PublicKey, name: &str) -> Self {
        Self::Member { relay, name: folded(name) }
    }

    /// Somebody who called us.
    pub fn caller(name: &str) -> Self {
        Self::Caller { name: folded(name) }
    }
}

/// A key, and what is remembered with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey {
    /// The key.
    pub key: PublicKey,
    /// The name that its owner gave itself last, exactly as it came.
    pub nick: Option<String>,
    /// When the key was met here first, or accepted.
    pub since: WallTime,
    /// Where its owner was last.
    pub address: Option<String>,
}

/// What meeting a key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Nothing was known: this key is, from now on.
    New,
    /// It is the known one.
    Known {
        /// Since when.
        since: WallTime,
    },
    /// Another one is known, and stays so until [`Trust::accept`].
    Changed(KnownKey),
}

/// What calling us under a name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Neither the key nor the name was known: they are, from now on.
    New,
    /// The key is known, perhaps by another name, and the name is nobody else's.
    Known(KnownKey),
    /// The name is another key's, and not this one's as well.
    Other(KnownKey),
}

/// An entry was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was known before.
    pub before: Option<KnownKey>,
    /// The key from now on.
    pub key: PublicKey,
}

/// What was seen in the place of a known key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenKey {
    latest: PublicKey,
    /// What the user looked at: the first one that was told, or the one that was compared since. Whoever comes between the look
    /// and the word is not meant by it.
    shown: PublicKey,
}

impl SeenKey {
    /// The first one, which is told at once.
    pub const fn new(key: PublicKey) -> Self {
        Self { latest: key, shown: key }
    }

    /// The one that came last.
    pub const fn latest(self) -> PublicKey {
        self.latest
    }

    /// One came, perhaps another one.
    pub const fn note(&mut self, key: PublicKey) {
        self.latest = key;
    }

    /// The user looks at the one that came last.
    pub const fn show(&mut self) -> PublicKey {
        self.shown = self.latest;
        self.latest
    }

    /// What the user may accept; None: another one came since the user looked.
    pub fn acceptable(self) -> Option<PublicKey> {
        (self.latest == self.shown).then_some(self.latest)
    }
}

/// Every key that is known.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    known: BTreeMap<KnownBy, KnownKey>,
    /// What was seen in place of a known key, until it is accepted.
    seen: BTreeMap<KnownBy, SeenKey>,
    /// What is to be kept on disk and was not asked for yet.
    changed: BTreeSet<KnownBy>,
}

impl Trust {
    /// Knows what was known in earlier runs.
    pub fn new(known: impl IntoIterator<Item = (KnownBy, KnownKey)>) -> Self {
        Self { known: known.into_iter().collect(), ..Self::default() }
    }

    /// What is known.
    pub fn known(&self, by: &KnownBy) -> Option<&KnownKey> {
        self.known.get(by)
    }

    /// The key that must answer; None: any will do, and is the known one from then on.
    pub fn expected(&self, by: &KnownBy) -> Option<PublicKey> {
        self.known(by).map(|known| known.key)
    }

    /// A key was proved by whoever is at `by`.
    pub fn meet(
        &mut self,
        at: WallTime,
        by: &KnownBy,
        key: PublicKey,
        nick: Option<&str>,
        address: Option<&str>,
    ) -> Meeting {
        let Some(known) = self.known.get_mut(by) else {
            let nick = nick.map(str::to_owned);
            self.learn(by, KnownKey { key, nick, since: at, address: address.map(str::to_owned) });
            return Meeting::New;
        };
        if known.key != key {
            let known = known.clone();
            self.note_seen(by.clone(), key);
            return Meeting::Changed(known);
        }
        let before = known.clone();
        known.nick = nick.map(str::to_owned).or(known.nick.take());
        known.address = address.map(str::to_owned).or(known.address.take());
        if *known != before {
            self.changed.insert(by.clone());
        }
        if matches!(by, KnownBy::Address(_)) {
            // The right one is there after all. Of a member it may be an old letter that comes late.
            self.seen.remove(by);
        }
        Meeting::Known { since: before.since }
    }

    /// Somebody called us, proved a key, and gives itself a name. A known name under another key is a warning and no more: names
    /// are free to everybody.
    pub fn call(&mut self, at: WallTime, name: &str, key: PublicKey, address: Option<&str>) -> Call {
        let by = KnownBy::caller(name);
        // First of all: nobody gets around the warning by having called under another name before.
        if let Some(other) = self.holder_besides(name, key).cloned() {
            self.note_seen(by, key);
            return Call::Other(other);
        }
        // Under several entries it is the one of that name that says most.
        let of_key = || self.in_person().filter(|known| known.key == key);
        if let Some(known) = of_key().find(|it| is_called(it, name)).or_else(|| of_key().next()).cloned() {
            return Call::Known(known);
        }
        let (nick, address) = (Some(name.to_owned()), address.map(str::to_owned));
        self.learn(&by, KnownKey { key, nick, since: at, address });
        Call::New
    }

    /// Whose name it is, if it is another key's and not this one's as well.
    pub fn holder_besides(&self, name: &str, key: PublicKey) -> Option<&KnownKey> {
        let mut holders = self.in_person().filter(|known| is_called(known, name));
        let first = holders.next()?;
        (first.key != key && holders.all(|known| known.key != key)).then_some(first)
    }

    /// A key was seen where another one is known. Nothing changes but what [`Trust::accept`] would accept.
    pub fn note_wrong(&mut self, by: &KnownBy, seen: PublicKey) {
        if self.known.contains_key(by) {
            self.note_seen(by.clone(), seen);
        }
    }

    /// What was seen in the place of the known key.
    pub fn seen(&self, by: &KnownBy) -> Option<SeenKey> {
        self.seen.get(by).copied()
    }

    /// The user looks at what was seen.
    pub fn show_seen(&mut self, by: &KnownBy) -> Option<PublicKey> {
        self.seen.get_mut(by).map(SeenKey::show)
    }

    /// The user says that the key that was seen is the right one. None: none was, or another one since the user looked.
    pub fn accept(&mut self, at: WallTime, by: &KnownBy) -> Option<Accepted> {
        let key = self.seen(by)?.acceptable()?;
        Some(self.pin(at, by, key))
    }

    /// The user says which key is the right one.
    pub fn pin(&mut self, at: WallTime, by: &KnownBy, key: PublicKey) -> Accepted {
        self.seen.remove(by);
        let before = self.known.get(by).cloned();
        if before.as_ref().is_none_or(|before| before.key != key) {
            let nick = match by {
                KnownBy::Caller { name } | KnownBy::Member { name, .. } => Some(name.clone()),
                KnownBy::Address(_) => None,
            };
            let nick = before.as_ref().and_then(|before| before.nick.clone()).or(nick);
            self.learn(by, KnownKey { key, nick, since: at, address: None });
        }
        Accepted { before, key }
    }

    /// The next entry that is to be kept on disk as it is now.
    pub fn poll_change(&mut self) -> Option<(KnownBy, KnownKey)> {
        loop {
            let by = self.changed.pop_first()?;
            if let Some(known) = self.known.get(&by) {
                return Some((by, known.clone()));
            }
        }
    }

    /// Everything that is known, in the order of the file.
    pub fn entries(&self) -> impl Iterator<Item = (&KnownBy, &KnownKey)> {
        self.known.iter()
    }

    /// Who is known by having been met, not by a relay's word.
    fn in_person(&self) -> impl Iterator<Item = &KnownKey> {
        let is_met = |by: &KnownBy| !matches!(by, KnownBy::Member { .. });
        self.known.iter().filter(move |(by, _)| is_met(by)).map(|(_, known)| known)
    }

    fn learn(&mut self, by: &KnownBy, key: KnownKey) {
        if make_room(&mut self.known, by) {
            self.known.insert(by.clone(), key);
            self.changed.insert(by.clone());
        }
    }

    fn note_seen(&mut self, by: KnownBy, key: PublicKey) {
        if let Some(seen) = self.seen.get_mut(&by) {
            return seen.note(key);
        }
        if self.seen.len() >= MAX_SEEN {
            self.seen.pop_first();
        }
        self.seen.insert(by, SeenKey::new(key));
    }
}

/// Whether its owner goes by this name.
fn is_called(known: &KnownKey, name: &str) -> bool {
    known.nick.as_deref().is_some_and(|nick| folded(nick) == folded(name))
}

/// Sees to it that one more entry fits: the oldest of its kind goes, but members stay. Tells whether it does.
pub fn make_room(known: &mut BTreeMap<KnownBy, KnownKey>, by: &KnownBy) -> bool {
    if known.contains_key(by) {
        return true;
    }
    let kind = std::mem::discriminant(by);
    let alike = || known.iter().filter(|(other, _)| std::mem::discriminant(*other) == kind);
    let limit = match by {
        KnownBy::Address(_) => MAX_ADDRESSES,
        KnownBy::Member { .. } => MAX_MEMBERS,
        KnownBy::Caller { .. } => MAX_CALLERS,
    };
    if alike().count() < limit {
        return true;
    }
    if matches!(by, KnownBy::Member { .. }) {
        return false;
    }
    let oldest = alike().min_by_key(|(by, known)| (known.since, (*by).clone())).map(|(by, _)| by.clone());
    oldest.is_some_and(|oldest| known.remove(&oldest).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::KeyPair;

    fn key(number: u8) -> PublicKey {
        KeyPair::from_secret([number; 32]).public()
    }

    fn at(second: i64) -> WallTime {
        WallTime::from_unix_micros(second * 1_000_000)
    }

    fn known(number: u8, nick: Option<&str>, second: i64) -> KnownKey {
        KnownKey { key: key(number), nick: nick.map(str::to_owned), since: at(second), address: None }
    }

    // UC-KEY-008, UC-KEY-009
    #[test]
    fn the_first_key_is_trusted_and_another_one_only_when_it_is_accepted() {
        let mut trust = Trust::default();
        let bob = KnownBy::address("Bob.example:6000");
        assert_eq!(trust.expected(&bob), None);
        assert_eq!(trust.meet(at(1), &bob, key(1), None, None), Meeting::New);
        assert_eq!(
            trust.meet(at(2), &KnownBy::address("bob.EXAMPLE:6000"), key(1), Some("bob"), None),
            Meeting::Known { since: at(1) }
        );
        let first = known(1, Some("bob"), 1);
        assert_eq!(trust.poll_change(), Some((bob.clone(), first.clone())));
        assert_eq!(trust.poll_change(), None);

        assert_eq!(trust.accept(at(3), &bob), None, "nothing was seen");
        assert_eq!(trust.meet(at(3), &bob, key(2), None, None), Meeting::Changed(first.clone()));
        assert_eq!((trust.expected(&bob), trust.poll_change()), (Some(key(1)), None));
        let accepted = Accepted { before: Some(first), key: key(2) };
        assert_eq!(trust.accept(at(4), &bob), Some(accepted));
        assert_eq!(trust.expected(&bob), Some(key(2)));
        assert_eq!(trust.poll_change(), Some((bob.clone(), known(2, Some("bob"), 4))));
        assert_eq!(trust.accept(at(5), &bob), None, "once");
    }

    // UC-KEY-009
    #[test]
    fn only_what_the_user_looked_at_is_accepted() {
        let mut trust = Trust::default();
        let bob = KnownBy::member(key(9), "bob");
        for number in [1, 2, 3] {
            trust.meet(at(1), &bob, key(number), None, None);
        }
        assert_eq!(trust.accept(at(2), &bob), None, "the user was told of another one first");
        assert_eq!(trust.show_seen(&bob), Some(key(3)));
        assert_eq!(trust.accept(at(2), &bob).map(|accepted| accepted.key), Some(key(3)));
        assert_eq!(trust.show_seen(&bob), None);
    }

    #[test]
    fn a_name_at_one_relay_is_not_that_name_at_another() {
        let mut trust = Trust::default();
        let names = [(8, "Ana"), (9, "ana")].map(|(relay, name)| KnownBy::member(key(relay), name));
        assert_eq!(trust.meet(at(1), &names[0], key(1), None, None), Meeting::New);
        assert_eq!(trust.meet(at(1), &names[1], key(2), None, None), Meeting::New);
        assert_eq!(trust.expected(&KnownBy::member(key(8), "ANA")), Some(key(1)));
        assert_eq!(trust.expected(&names[1]), Some(key(2)));
    }

    #[test]
    fn a_caller_is_known_by_its_key_and_a_name_under_another_key_is_a_warning() {
        let mut trust = Trust::default();
        assert_eq!(trust.call(at(1), "bob", key(1), None), Call::New);
        assert_eq!(trust.call(at(2), "bob", key(1), None), Call::Known(known(1, Some("bob"), 1)));
        assert_eq!(trust.call(at(3), "robert", key(1), None), Call::Known(known(1, Some("bob"), 1)));
        assert_eq!(trust.call(at(4), "BOB", key(2), None), Call::Other(known(1, Some("bob"), 1)));
        assert_eq!(trust.expected(&KnownBy::caller("bob")), Some(key(1)));
        trust.accept(at(5), &KnownBy::caller("bob")).unwrap();
        assert_eq!(trust.call(at(6), "bob", key(2), None), Call::Known(known(2, Some("bob"), 5)));
        // Whoever was met at a typed address is known when it calls.
        let cid = KnownBy::address("cid:1");
        trust.meet(at(7), &cid, key(3), Some("cid"), None);
        assert_eq!(trust.call(at(8), "cid", key(3), None), Call::Known(known(3, Some("cid"), 7)));
        assert_eq!(trust.call(at(9), "cid", key(4), None), Call::Other(known(3, Some("cid"), 7)));
        trust.accept(at(10), &KnownBy::caller("cid")).unwrap();
        assert_eq!(trust.call(at(11), "cid", key(4), None), Call::Known(known(4, Some("cid"), 10)));
        assert_eq!(trust.expected(&cid), Some(key(3)), "where it lives is another matter");
    }

    #[test]
    fn a_name_is_another_keys_whatever_else_the_caller_was_called() {
        let mut trust = Trust::default();
        assert_eq!(trust.call(at(1), "bob", key(1), None), Call::New);
        assert_eq!(trust.call(at(2), "eva", key(2), None), Call::New);
        for second in [3, 4] {
            assert_eq!(trust.call(at(second), "Bob", key(2), None), Call::Other(known(1, Some("bob"), 1)));
        }
        assert_eq!(trust.call(at(5), "bob", key(1), None), Call::Known(known(1, Some("bob"), 1)));
        assert_eq!(trust.call(at(6), "eva", key(2), None), Call::Known(known(2, Some("eva"), 2)));
    }

    #[test]
    fn strangers_push_nobody_out_but_strangers() {
        let mut trust = Trust::default();
        let home = KnownBy::address("home:1");
        trust.meet(at(0), &home, key(1), None, None);
        for number in 0..=MAX_CALLERS {
            assert_eq!(trust.call(at(1), &format!("x{number:05}"), numbered(number), None), Call::New);
        }
        assert_eq!(trust.known(&KnownBy::caller("x00000")), None);
        for number in 0..MAX_MEMBERS {
            trust.meet(at(1), &KnownBy::member(key(9), &number.to_string()), key(2), None, None);
        }
        let late = KnownBy::member(key(9), "late");
        for _ in 0..2 {
            assert_eq!(trust.meet(at(2), &late, key(3), None, None), Meeting::New);
        }
        assert_eq!(trust.entries().count(), 1 + MAX_CALLERS + MAX_MEMBERS);
        assert_eq!(trust.expected(&home), Some(key(1)));
    }

    fn numbered(number: usize) -> PublicKey {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        PublicKey::from_bytes(bytes)
    }
}
