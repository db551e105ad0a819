//! Shown once, as it was said, to those whom it was for.

use std::collections::BTreeMap;

use super::deed_of;
use crate::ledger::{LogKey, folded};
use crate::sim::check::{Checker, Invariant, Seen};
use crate::sim::deed::{Audience, Deed};
use crate::sim::ghost::Ghost;
use crate::sim::minutes::{is_log_of, room_of};
use crate::sim::scenario::Scenario;
use crate::time::Instant;

/// Nothing twice, nothing invented, nothing changed, nothing before it is stored.
#[derive(Debug)]
pub(super) struct ShownOnce;

impl Checker for ShownOnce {
    fn invariant(&self) -> Invariant {
        Invariant::ShownOnce
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match deed_of(seen) {
            Some(Deed::Shown { id, room, text, .. }) => {
                let speech = minutes.words.get(id).ok_or_else(|| format!("nobody said {id}"))?;
                if speech.text != *text || room_of(&speech.to) != room.as_deref() {
                    return Err(format!("{id} was shown in {room:?} as {text:?}; it is {speech:?}"));
                }
                let place = minutes.places.get(id).ok_or_else(|| format!("{id} is not stored"))?;
                if minutes.attendees.get(&node).is_some_and(|attendee| attendee.was_shown(*place)) {
                    return Err(format!("{id} at {place:?} was shown before"));
                }
                Ok(())
            }
            Some(Deed::Echoed { id, text }) => {
                let speech = minutes.words.get(id).ok_or_else(|| format!("nobody said {id}"))?;
                let is_right = speech.text == *text && speech.to == Audience::Relay && speech.node == node;
                if !is_right || speech.is_echoed {
                    return Err(format!("{id} came back as {text:?}; it is {speech:?}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Words are in one log, the one that they are for; lines are shown to those who were in the room, letters to their receiver.
#[derive(Debug, Default)]
pub(super) struct Private {
    /// Whether letters are sealed.
    are_sealed: bool,
    /// The name of each room of each ledger.
    rooms: BTreeMap<(u64, u64), String>,
}

impl Private {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let are_sealed = scenario.nodes.iter().any(|node| node.is_sealed);
        Self { are_sealed, ..Self::default() }
    }

    fn check_stored(&mut self, deed: &Deed, ghost: &Ghost) -> Result<(), String> {
        let minutes = &ghost.minutes;
        let Deed::Stored { key, id, text, room, to, author, is_sealed, .. } = deed else { return Ok(()) };
        let speech = minutes.words.get(id).ok_or_else(|| format!("nobody said {id}"))?;
        let must_be_sealed = self.are_sealed && matches!(speech.to, Audience::Member(_));
        if *is_sealed != must_be_sealed {
            return Err(format!("{id} was stored, sealed: {is_sealed}; it is {speech:?}"));
        }
        // Of what is sealed the relay may keep no word.
        let may_be_read = if must_be_sealed { "" } else { &speech.text };
        if may_be_read != text || room_of(&speech.to) != room.as_deref() || !is_log_of(*key, &speech.to) {
            return Err(format!("{id} was stored in {key:?} for {room:?}, {to:?}; it is {speech:?}"));
        }
        let by = minutes.identities.get(&(minutes.ledger, *author));
        if by != Some(&speech.node) {
            return Err(format!("{id} was stored as {by:?}'s; it is {speech:?}"));
        }
        match (key, &speech.to) {
            (LogKey::Room(number), Audience::Room(name)) => {
                let known = self.rooms.entry((minutes.ledger, *number)).or_insert_with(|| name.clone());
                if known == name { Ok(()) } else { Err(format!("{id} for {name} was stored in {known}")) }
            }
            (LogKey::Mailbox(identity), Audience::Member(name)) => {
                let holder = minutes.holders.get(&(minutes.ledger, folded(name)));
                if holder == Some(identity) {
                    Ok(())
                } else {
                    Err(format!("{id} for {name} went to {identity:?}, and {holder:?} has the name"))
                }
            }
            _ => Ok(()),
        }
    }
}

impl Checker for Private {
    fn invariant(&self) -> Invariant {
        Invariant::Private
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match deed_of(seen) {
            Some(deed @ Deed::Stored { .. }) => self.check_stored(deed, ghost),
            Some(Deed::Shown { id, room: None, .. }) => match minutes.receiver(id) {
                Some(receiver) if receiver == node => Ok(()),
                receiver => Err(format!("{id} is a letter to {receiver:?}")),
            },
            Some(Deed::Shown { id, room: Some(room), .. }) => {
                let attendee = minutes.attendees.get(&node);
                let was_there = attendee.is_some_and(|attendee| attendee.ever_in.contains(room));
                let is_for_all = minutes.words.get(id).is_some_and(|speech| speech.to == Audience::Everyone);
                if was_there || is_for_all {
                    Ok(())
                } else {
                    Err(format!("{id} is of {room}, where it never was"))
                }
            }
            _ => Ok(()),
        }
    }
}
