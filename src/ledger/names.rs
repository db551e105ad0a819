//! Things by their names, found by what the names are and by what they look like.
//!
//! It answers as the tables of the database do. This module must never decide which name may be taken.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{folded, likenesses};

/// Something that goes by a name.
pub(super) trait Named {
    /// The name as it was written.
    fn name(&self) -> &str;
}

/// Things by their folded names.
///
/// A relay holds one for each name that was ever taken, so what a name looks like is computed again from the name where it is
/// wanted, and each likeness is one entry of one table.
#[derive(Clone, Debug)]
pub(super) struct NameBook<T> {
    things: BTreeMap<Box<str>, T>,
    /// What a thing looks like, and its folded name.
    likenesses: BTreeSet<(Box<str>, Box<str>)>,
}

impl<T: Named> NameBook<T> {
    pub(super) const fn new() -> Self {
        Self { things: BTreeMap::new(), likenesses: BTreeSet::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.things.get(folded(name).as_str())
    }

    /// In the order of the folded names.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.things.values()
    }

    /// Those must keep their names.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.things.values_mut()
    }

    /// Puts something in, in place of what had that name.
    pub(super) fn insert(&mut self, thing: T) -> Option<T> {
        let key = folded(thing.name()).into_boxed_str();
        let before = self.remove(&key);
        for likeness in likenesses(thing.name()) {
            self.likenesses.insert((likeness.into_boxed_str(), key.clone()));
        }
        self.things.insert(key, thing);
        before
    }

    /// Lets go of what is not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        let gone = self.things.iter().filter(|(_, thing)| !stays(thing)).map(|(key, _)| key.clone());
        for key in gone.collect::<Vec<_>>() {
            self.remove(&key);
        }
    }

    /// What looks like a name and has another one, in the order of the folded names. In a new spelling of a name that is there and
    /// one's own, only what the old spelling did not look like counts.
    pub(super) fn resembling(&self, name: &str, is_own: bool) -> impl Iterator<Item = &T> {
        let own = folded(name);
        let known = self.things.get(own.as_str()).filter(|_| is_own).map(|thing| likenesses(thing.name()));
        let mut wanted = likenesses(name);
        wanted.retain(|likeness| known.as_ref().is_none_or(|known| !known.contains(likeness)));
        let keys: BTreeSet<&str> =
            wanted.into_iter().flat_map(|likeness| self.like(likeness)).filter(|&key| key != own).collect();
        keys.into_iter().filter_map(|key| self.things.get(key))
    }

    /// The folded names of what looks so.
    fn like(&self, likeness: String) -> impl Iterator<Item = &str> {
        let likeness = likeness.into_boxed_str();
        self.likenesses
            .range((likeness.clone(), Box::default())..)
            .take_while(move |(of, _)| *of == likeness)
            .map(|(_, key)| &**key)
    }

    fn remove(&mut self, key: &str) -> Option<T> {
        let thing = self.things.remove(key)?;
        for likeness in likenesses(thing.name()) {
            self.likenesses.remove(&(likeness.into_boxed_str(), key.into()));
        }
        Some(thing)
    }
}
