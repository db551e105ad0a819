//! Whose key is known: what the decision about a key is made from, and the decision itself.
//!
//! Three kinds of things are known by a key: an address as the user typed it, a member's name at a relay, and the name that
//! somebody gave who called us. The first key that is met is trusted (UC-KEY-008); another one is told and changes nothing until
//! the user accepts it (UC-KEY-009). What is to be kept on disk goes out through [`Trust::poll_change`].
//!
//! It must never learn a key by itself in the place of another one, never forget a typed address because of strangers, and never
//! say of a key that it is kept if it is not.

mod room;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::chat::folded;
use crate::secure::PublicKey;
use crate::time::WallTime;

pub use room::{MAX_ADDRESSES, MAX_CALLERS, MAX_MEMBERS, MAX_OF_RELAY, make_room};

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

impl KnownKey {
    /// Whether another key takes its place if that one is known elsewhere, by another program of the same user: the one that was
    /// met or accepted later is right. This is the only place that decides it.
    pub fn gives_way_to(&self, other: &Self) -> bool {
        self.since <= other.since
    }

    /// When a key was accepted that takes its place at `at`, so that it gives way to it: its own time may lie ahead, if a clock
    /// was wrong, and the user's word must not be undone by that.
    fn replaced_at(&self, at: WallTime) -> WallTime {
        at.max(WallTime::from_unix_micros(self.since.as_unix_micros().saturating_add(1)))
    }
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
    /// The user named it, wrote to it or compared it: what only strangers did is forgotten before it (UC-KEY-012).
    pub is_chosen: bool,
}

/// What meeting a key means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Nothing was known: this key is, from now on.
    New {
        /// Whether it is; there may be no room for it.
        is_kept: bool,
    },
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
    New {
        /// Whether they are; there may be no room for them.
        is_kept: bool,
    },
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
    /// What was seen in place of a known key, until it is accepted; and the how-manieth it was.
    seen: BTreeMap<KnownBy, (u64, SeenKey)>,
    next_seen: u64,
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

    /// A key was proved by whoever is at `by`. The name that its owner gives itself is kept only if it is nobody else's: with
    /// another's it would be known by that name from then on, and no warning would come any more (UC-KEY-009).
    pub fn meet(
        &mut self,
        at: WallTime,
        by: &KnownBy,
        key: PublicKey,
        nick: Option<&str>,
        address: Option<&str>,
    ) -> Meeting {
        // At a relay names are the relay's to give, and each stands for one key anyway.
        let is_member = matches!(by, KnownBy::Member { .. });
        let nick = nick.filter(|nick| is_member || self.holder_besides(nick, key).is_none());
        let Some(known) = self.known.get_mut(by) else {
            let (nick, address) = (nick.map(str::to_owned), address.map(str::to_owned));
            // An address is known because the user typed it.
            let is_chosen = matches!(by, KnownBy::Address(_));
            let is_kept = self.learn(by, KnownKey { key, nick, since: at, address, is_chosen });
            return Meeting::New { is_kept };
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
        let is_kept = self.learn(&by, KnownKey { key, nick, since: at, address, is_chosen: false });
        Call::New { is_kept }
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
        self.seen.get(by).map(|(_, seen)| *seen)
    }

    /// The user looks at what was seen.
    pub fn show_seen(&mut self, by: &KnownBy) -> Option<PublicKey> {
        self.seen.get_mut(by).map(|(_, seen)| seen.show())
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
            let since = before.as_ref().map_or(at, |before| before.replaced_at(at));
            self.learn(by, KnownKey { key, nick, since, address: None, is_chosen: true });
        }
        self.choose(by);
        Accepted { before, key }
    }

    /// What another program of the same user keeps by now. Of two keys the one that was met or accepted later is right; tells what
    /// was known, if that is another key now.
    pub fn take(&mut self, by: &KnownBy, known: KnownKey) -> Option<KnownKey> {
        let before = self.known.get(by).cloned();
        match &before {
            Some(before) if before.key == known.key || !before.gives_way_to(&known) => return None,
            Some(_) => {}
            None if make_room(&mut self.known, by, known.is_chosen) => {}
            None => return None,
        }
        self.seen.remove(by);
        self.known.insert(by.clone(), known);
        before
    }

    /// The user wrote to whoever is known by this.
    pub fn choose(&mut self, by: &KnownBy) {
        if let Some(known) = self.known.get_mut(by)
            && !std::mem::replace(&mut known.is_chosen, true)
        {
            self.changed.insert(by.clone());
        }
    }

    /// The user wrote to, or compared, whoever has this key, by whatever it is known.
    pub fn choose_key(&mut self, key: PublicKey) {
        for (by, known) in self.known.iter_mut().filter(|(_, known)| known.key == key && !known.is_chosen) {
            known.is_chosen = true;
            self.changed.insert(by.clone());
        }
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

    /// Takes a key for the known one; tells whether there was room for it.
    fn learn(&mut self, by: &KnownBy, key: KnownKey) -> bool {
        let has_room = make_room(&mut self.known, by, key.is_chosen);
        if has_room {
            self.known.insert(by.clone(), key);
            self.changed.insert(by.clone());
        }
        has_room
    }

    /// Keeps what was seen, for [`Trust::accept`]. Names cost a caller nothing, and a member little: they give way first.
    fn note_seen(&mut self, by: KnownBy, key: PublicKey) {
        if let Some((_, seen)) = self.seen.get_mut(&by) {
            return seen.note(key);
        }
        if self.seen.len() >= MAX_SEEN {
            let last = self.seen.iter().max_by_key(|(by, (number, _))| (cheapness(by), Reverse(*number)));
            let Some(last) = last.map(|(by, _)| by.clone()).filter(|last| cheapness(last) >= cheapness(&by))
            else {
                return;
            };
            self.seen.remove(&last);
        }
        self.seen.insert(by, (self.next_seen, SeenKey::new(key)));
        self.next_seen += 1;
    }
}

/// How little it costs a stranger to be known by something.
const fn cheapness(by: &KnownBy) -> u8 {
    match by {
        KnownBy::Address(_) => 0,
        KnownBy::Member { .. } => 1,
        KnownBy::Caller { .. } => 2,
    }
}

/// Whether its owner goes by this name.
fn is_called(known: &KnownKey, name: &str) -> bool {
    known.nick.as_deref().is_some_and(|nick| folded(nick) == folded(name))
}
