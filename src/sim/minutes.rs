//! The ghost state of a gathering: what was said, what was stored, who was shown what.
//!
//! Kept from deeds alone, in the order in which they were seen; no machine is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::deed::{Audience, Deed};
use super::node::Fate;
use super::scenario::{NodeKind, Scenario};
use crate::chat::{EVERYONE, MessageId};
use crate::ledger::{Identity, LogKey, folded};

/// A log of a ledger: the ledger's number, and which of its logs.
pub type Log = (u64, LogKey);

/// Everything that the harness knows of a gathering.
#[derive(Debug, Default)]
pub struct Minutes {
    /// Everything that attendees said.
    pub words: BTreeMap<MessageId, Speech>,
    /// The ledger that the hall has now.
    pub ledger: u64,
    /// Everything that was stored, by ledger and position.
    pub stored: BTreeMap<(u64, u64), Line>,
    /// Where words are stored.
    pub places: BTreeMap<MessageId, (u64, u64)>,
    /// Who is who in a ledger.
    pub identities: BTreeMap<(u64, Identity), usize>,
    /// Whose letters to a name are, in a ledger.
    pub holders: BTreeMap<(u64, String), Identity>,
    /// The members' names, as the relay logs them.
    pub admitted: BTreeMap<String, usize>,
    /// One for each attendee.
    pub attendees: BTreeMap<usize, Attendance>,
    next_words: u64,
}

/// Something that an attendee said.
#[derive(Clone, Debug)]
pub struct Speech {
    /// Whose.
    pub node: usize,
    /// In which life.
    pub life: u32,
    /// The how-manieth of all.
    pub number: u64,
    /// For whom.
    pub to: Audience,
    /// What.
    pub text: String,
    /// What its author was told in the end.
    pub fate: Option<Fate>,
    /// Whether its author was told that it waits for its receiver.
    pub is_held: bool,
    /// Whom it was shown to.
    pub shown_to: BTreeSet<usize>,
    /// Whether the relay returned it.
    pub is_echoed: bool,
    /// Whether the disk ever said no to it.
    pub was_rejected: bool,
}

/// Something that was stored.
#[derive(Clone, Debug)]
pub struct Line {
    /// In which log.
    pub key: LogKey,
    /// Which words.
    pub id: MessageId,
}

/// How an attendee is doing, as it knows itself.
#[derive(Clone, Debug, Default)]
pub struct Attendance {
    /// Whether rooms are shown anew at every start.
    pub repeats_rooms: bool,
    /// The name, while it is in.
    pub nick: Option<String>,
    /// The ledger that it was let in on.
    pub ledger: u64,
    /// The rooms that it is in, and the last position of all when it came in for the first time in this life.
    pub rooms: BTreeMap<String, u64>,
    /// The rooms that it wants to be in.
    pub wishes: BTreeSet<String>,
    /// The rooms that it was ever in.
    pub ever_in: BTreeSet<String>,
    /// Since which position it is to get what is said to everyone, in which ledger.
    pub everyone_since: Option<(u64, u64)>,
    /// What it was shown, in order.
    shown: Vec<(u64, u64)>,
    is_shown: BTreeSet<(u64, u64)>,
    last: BTreeMap<Log, u64>,
    first_in: BTreeMap<String, u64>,
    noted: (usize, Option<(u64, u64)>),
}

impl Minutes {
    /// Nobody has come yet.
    pub fn new(scenario: &Scenario) -> Self {
        let mut minutes = Self::default();
        for (index, node) in scenario.nodes.iter().enumerate() {
            if let NodeKind::Attendee(plan) = node.kind {
                minutes.attendees.entry(index).or_default().repeats_rooms = plan.history.is_some();
            }
        }
        minutes
    }

    /// Somebody was started anew.
    pub fn restart(&mut self, node: usize) {
        if node == 0 {
            self.admitted.clear();
        } else if let Some(attendee) = self.attendees.get_mut(&node) {
            let noted = attendee.noted;
            attendee.shown.truncate(noted.0);
            attendee.everyone_since = noted.1;
            (attendee.nick, attendee.wishes) = (None, BTreeSet::new());
            attendee.rooms.clear();
            attendee.first_in.clear();
            attendee.recount(&self.stored);
        }
    }

    /// The last position of the present ledger.
    pub fn head(&self) -> u64 {
        self.stored
            .range(..=(self.ledger, u64::MAX))
            .next_back()
            .map_or(0, |(&(ledger, pos), _)| if ledger == self.ledger { pos } else { 0 })
    }

    /// Where words are in the log that they were stored in.
    pub fn place(&self, id: &MessageId) -> Option<(Log, u64)> {
        let &(ledger, pos) = self.places.get(id)?;
        let line = self.stored.get(&(ledger, pos))?;
        Some(((ledger, line.key), pos))
    }

    /// Whom a stored letter is for.
    pub fn receiver(&self, id: &MessageId) -> Option<usize> {
        match self.place(id)? {
            ((ledger, LogKey::Mailbox(identity)), _) => self.identities.get(&(ledger, identity)).copied(),
            _ => None,
        }
    }

    /// Takes note of what happened at a node in its life.
    pub fn record(&mut self, node: usize, life: u32, deed: &Deed) {
        match deed {
            Deed::Opened { log } => self.ledger = *log,
            Deed::Named { identity, node: known, name } => {
                if let Some(node) = known {
                    self.identities.insert((self.ledger, *identity), *node);
                }
                self.holders.insert((self.ledger, name.clone()), *identity);
            }
            Deed::Stored { key, pos, id, .. } => {
                self.stored.insert((self.ledger, *pos), Line { key: *key, id: id.clone() });
                self.places.insert(id.clone(), (self.ledger, *pos));
            }
            Deed::Rejected { id } => {
                if let Some(speech) = self.words.get_mut(id) {
                    speech.was_rejected = true;
                }
            }
            Deed::Admitted { nick, node: Some(node) } => {
                self.admitted.retain(|_, holder| holder != node);
                self.admitted.insert(nick.clone(), *node);
            }
            Deed::Unnamed { node } => self.admitted.retain(|_, holder| holder != node),
            Deed::Renamed { before, nick } => {
                if let Some(holder) = self.admitted.remove(before) {
                    self.admitted.insert(nick.clone(), holder);
                }
            }
            Deed::Dismissed { nick, node } => {
                if self.admitted.get(nick) == node.as_ref() {
                    self.admitted.remove(nick);
                }
            }
            Deed::Spoke { id, to, text } => self.record_speech(node, life, id, to, text),
            Deed::Held { id } => self.change(id, |speech| speech.is_held = true),
            Deed::Echoed { id, .. } => self.change(id, |speech| speech.is_echoed = true),
            Deed::Fate { id, fate } => self.change(id, |speech| speech.fate = Some(fate.clone())),
            Deed::Shown { id, .. } => {
                self.change(id, |speech| _ = speech.shown_to.insert(node));
                if let Some((log, pos)) = self.place(id) {
                    self.attendees.entry(node).or_default().show(log, pos);
                }
            }
            Deed::Admitted { node: None, .. } | Deed::Told { .. } => {}
            _ => self.record_attendance(node, deed),
        }
    }

    fn change(&mut self, id: &MessageId, change: impl FnOnce(&mut Speech)) {
        if let Some(speech) = self.words.get_mut(id) {
            change(speech);
        }
    }

    fn record_speech(&mut self, node: usize, life: u32, id: &MessageId, to: &Audience, text: &str) {
        self.next_words += 1;
        let speech = Speech {
            node,
            life,
            number: self.next_words,
            to: to.clone(),
            text: text.to_owned(),
            fate: None,
            is_held: false,
            shown_to: BTreeSet::new(),
            is_echoed: false,
            was_rejected: false,
        };
        self.words.insert(id.clone(), speech);
    }

    fn record_attendance(&mut self, node: usize, deed: &Deed) {
        let head = self.head();
        let attendee = self.attendees.entry(node).or_default();
        match deed {
            Deed::Entered { nick, log } => {
                attendee.leave();
                attendee.nick = Some(folded(nick));
                if attendee.ledger != *log {
                    attendee.first_in.clear();
                }
                attendee.ledger = *log;
                if attendee.everyone_since.is_none_or(|(ledger, _)| ledger != *log) {
                    attendee.everyone_since = Some((*log, head));
                }
            }
            Deed::Called { nick } => attendee.nick = Some(folded(nick)),
            Deed::Lost => attendee.leave(),
            Deed::Left { .. } => {
                attendee.leave();
                attendee.first_in.clear();
                if attendee.repeats_rooms {
                    attendee.recount(&self.stored);
                }
            }
            Deed::Joined { room } => {
                let first = *attendee.first_in.entry(room.clone()).or_insert(head);
                attendee.rooms.insert(room.clone(), first);
                attendee.ever_in.insert(room.clone());
            }
            Deed::Parted { room } => _ = attendee.rooms.remove(room),
            Deed::Wished { room, is_wish: true } => _ = attendee.wishes.insert(room.clone()),
            Deed::Wished { room, is_wish: false } => _ = attendee.wishes.remove(room),
            Deed::Noted => attendee.noted = (attendee.shown.len(), attendee.everyone_since),
            _ => {}
        }
    }
}

impl Attendance {
    /// Whether it was shown what is at that place, as far as it remembers.
    pub fn was_shown(&self, place: (u64, u64)) -> bool {
        self.is_shown.contains(&place)
    }

    /// The last position of a log that it was shown, as far as it remembers.
    pub fn last(&self, log: Log) -> u64 {
        self.last.get(&log).copied().unwrap_or(0)
    }

    fn show(&mut self, log: Log, pos: u64) {
        self.shown.push((log.0, pos));
        self.is_shown.insert((log.0, pos));
        self.last.insert(log, pos);
    }

    fn leave(&mut self) {
        self.nick = None;
        self.rooms.clear();
    }

    /// After something was forgotten.
    fn recount(&mut self, stored: &BTreeMap<(u64, u64), Line>) {
        let shown = std::mem::take(&mut self.shown);
        self.is_shown.clear();
        self.last.clear();
        let noted = self.noted.0;
        for (index, place) in shown.into_iter().enumerate() {
            let Some(line) = stored.get(&place) else { continue };
            if matches!(line.key, LogKey::Room(_)) && self.repeats_rooms {
                self.noted.0 -= usize::from(index < noted);
            } else {
                self.show((place.0, line.key), place.1);
            }
        }
    }
}

/// Whether an entry for that room or none is in the right log.
pub fn is_log_of(key: LogKey, to: &Audience) -> bool {
    match (key, to) {
        (LogKey::Everyone, Audience::Everyone)
        | (LogKey::Room(_), Audience::Room(_))
        | (LogKey::Mailbox(_), Audience::Member(_)) => true,
        (_, Audience::Relay) => false,
        _ => false,
    }
}

/// The room that words to an audience name.
pub fn room_of(to: &Audience) -> Option<&str> {
    match to {
        Audience::Room(room) => Some(room),
        Audience::Everyone => Some(EVERYONE),
        Audience::Member(_) | Audience::Relay => None,
    }
}
