//! Things by their names, found by what the names are and by what they look like.
//!
//! It answers as the tables of the database do. This module must never decide which name may be taken.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{folded, likenesses};

/// Things by their folded names.
#[derive(Clone, Debug)]
pub(super) struct NameBook<T> {
    things: BTreeMap<String, Named<T>>,
    /// The folded names of what looks like something.
    by_likeness: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Clone, Debug)]
struct Named<T> {
    likenesses: BTreeSet<String>,
    thing: T,
}

impl<T> NameBook<T> {
    pub(super) const fn new() -> Self {
        Self { things: BTreeMap::new(), by_likeness: BTreeMap::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.things.get(&folded(name)).map(|named| &named.thing)
    }

    /// In the order of the folded names.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.things.values().map(|named| &named.thing)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.things.values_mut().map(|named| &mut named.thing)
    }

    /// Puts something in, in place of what had that name.
    pub(super) fn insert(&mut self, name: &str, thing: T) -> Option<T> {
        let key = folded(name);
        let before = self.remove(&key);
        let likenesses = likenesses(name);
        for likeness in &likenesses {
            self.by_likeness.entry(likeness.clone()).or_default().insert(key.clone());
        }
        self.things.insert(key, Named { likenesses, thing });
        before
    }

    /// Lets go of what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        let gone = self.things.iter().filter(|(_, named)| !stays(&named.thing)).map(|(key, _)| key.clone());
        for key in gone.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// What looks like a name and has another one, in the order of the folded names. In a new spelling of a name that is there and
    /// one's own, only what the old spelling did not look like counts.
    pub(super) fn resembling(&self, name: &str, is_own: bool) -> impl Iterator<Item = &T> {
        let own = folded(name);
        let known = self.things.get(&own).filter(|_| is_own).map(|named| &named.likenesses);
        let mut likenesses = likenesses(name);
        likenesses.retain(|likeness| known.is_none_or(|known| !known.contains(likeness)));
        let keys = likenesses.iter().filter_map(|likeness| self.by_likeness.get(likeness)).flatten();
        let keys: BTreeSet<&String> = keys.filter(|key| **key != own).collect();
        keys.into_iter().filter_map(|key| self.things.get(key)).map(|named| &named.thing)
    }

    fn remove(&mut self, key: &str) -> Option<T> {
        let Named { likenesses, thing } = self.things.remove(key)?;
        for likeness in likenesses {
            if let Some(keys) = self.by_likeness.get_mut(&likeness) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_likeness.remove(&likeness);
                }
            }
        }
        Some(thing)
    }
}
