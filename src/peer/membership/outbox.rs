//! What a member said or asked and has no outcome yet, in order: it outlives the connections that carry it.
//!
//! A relay tells the same words by their id, so what is open when a connection dies is said again on the next one, and nothing is
//! done twice. This module must never forget an entry without handing it out: each is somebody's outcome.

use std::collections::{BTreeMap, BTreeSet};

use crate::chat::{MessageId, Request, Sealed, folded};
use crate::endpoint::Handle;
use crate::peer::Quote;
use crate::peer::outgoing::{MAX_WAITING, MAX_WAITING_BYTES};
use crate::secure::PublicKey;
use crate::time::{Instant, WallTime};

/// Everything without an outcome, by the numbers that their ids end in.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    numbers: BTreeMap<MessageId, u64>,
    /// Those that are not on the present connection.
    waiting: BTreeSet<u64>,
    bytes: usize,
    held: usize,
    /// Whether the front end was refused for want of room.
    pub(super) is_blocked: bool,
    /// Whether the connection's queue is full: nothing more goes out until it says that there is room.
    pub(super) is_stalled: bool,
}

/// One thing without an outcome.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: MessageId,
    pub(super) at: WallTime,
    pub(super) since: Instant,
    pub(super) content: Content,
    /// The connection that it is on.
    pub(super) sent_on: Option<Handle>,
    /// Whether it went out on an earlier connection: the relay may have it.
    pub(super) was_sent: bool,
    /// Whether the relay keeps it for an absent receiver.
    pub(super) is_held: bool,
}

/// Words, or a request of the user's.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Words(Text),
    Request(Ask),
}

/// Words on their way to or through a relay.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) to: Target,
    pub(super) text: String,
    pub(super) is_echo: bool,
    pub(super) reply_to: Option<Quote>,
    /// Of a letter: what it was sealed to, for the relay with that key.
    pub(super) sealed: Option<(PublicKey, Sealed)>,
}

/// For whom words are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The relay itself: an echo.
    Relay,
    Room(String),
    Member(String),
    Everyone,
}

/// A request of the user's.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) request: Request,
    /// The relay says that it is done, and what it brings is still on its way.
    pub(super) is_acked: bool,
    /// What it brings has come.
    pub(super) has_news: bool,
}

impl Entry {
    /// Whether the relay may have it.
    pub(super) const fn may_have_arrived(&self) -> bool {
        self.was_sent || self.sent_on.is_some()
    }

    fn bytes(&self) -> usize {
        match &self.content {
            Content::Words(Text { text, reply_to, .. }) => {
                text.len() + reply_to.as_ref().map_or(0, |quote| quote.text.len())
            }
            Content::Request(_) => 0,
        }
    }

    /// Whether it asks to leave that room.
    pub(super) fn is_part_of(&self, name: &str) -> bool {
        let Content::Request(ask) = &self.content else { return false };
        matches!(&ask.request, Request::Part { room, .. } if room == name)
    }

    /// Whether it asks to join that room.
    pub(super) fn is_join_of(&self, name: &str) -> bool {
        let Content::Request(ask) = &self.content else { return false };
        matches!(&ask.request, Request::Join { room, .. } if room == name)
    }

    /// The member that it is a letter to.
    pub(super) fn receiver(&self) -> Option<&str> {
        match &self.content {
            Content::Words(Text { to: Target::Member(nick), .. }) => Some(nick),
            _ => None,
        }
    }

    fn is_for_room(&self, name: &str) -> bool {
        matches!(&self.content, Content::Words(Text { to: Target::Room(room), .. }) if room == name)
    }
}

impl Outbox {
    /// Whether `bytes` more may wait.
    pub(super) fn has_room(&self, bytes: usize) -> bool {
        self.entries.len() < MAX_WAITING && self.bytes.saturating_add(bytes) <= MAX_WAITING_BYTES
    }

    /// Adds what comes after everything else; `number` is above all others.
    pub(super) fn push(&mut self, number: u64, entry: Entry) {
        self.bytes += entry.bytes();
        self.numbers.insert(entry.id.clone(), number);
        self.waiting.insert(number);
        self.entries.insert(number, entry);
    }

    /// The first one from `number` on that is not on the present connection.
    pub(super) fn next_waiting(&self, number: u64) -> Option<(u64, &Entry)> {
        let number = *self.waiting.range(number..).next()?;
        self.entries.get(&number).map(|entry| (number, entry))
    }

    /// Which one has that id.
    pub(super) fn number(&self, id: &MessageId) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    pub(super) fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(&number)
    }

    /// Everything, oldest first.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// It is on a connection now.
    pub(super) fn mark_sent(&mut self, number: u64, handle: Handle) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.sent_on = Some(handle);
            self.waiting.remove(&number);
        }
    }

    /// The connection says that none of it left.
    pub(super) fn mark_not_sent(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.sent_on = None;
            self.waiting.insert(number);
        }
    }

    /// The relay keeps it for its receiver; tells whether that is new.
    pub(super) fn mark_held(&mut self, number: u64) -> bool {
        let is_new =
            self.entries.get_mut(&number).is_some_and(|entry| !std::mem::replace(&mut entry.is_held, true));
        self.held += usize::from(is_new);
        is_new
    }

    /// The request, to note what came of it.
    pub(super) fn ask_mut(&mut self, number: u64) -> Option<&mut Ask> {
        match &mut self.entries.get_mut(&number)?.content {
            Content::Request(ask) => Some(ask),
            Content::Words(_) => None,
        }
    }

    /// A connection is gone: what was on it waits for the next one.
    pub(super) fn lose(&mut self, handle: Handle) {
        self.is_stalled = false;
        for (&number, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.sent_on == Some(handle)) {
            entry.sent_on = None;
            entry.was_sent = true;
            if let Content::Request(ask) = &mut entry.content {
                // What it brought may be lost with the connection.
                (ask.is_acked, ask.has_news) = (false, false);
            }
            self.waiting.insert(number);
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.waiting.remove(&number);
        self.numbers.remove(&entry.id);
        self.bytes -= entry.bytes();
        self.held -= usize::from(entry.is_held);
        Some(entry)
    }

    /// Removes those that are wanted, oldest first.
    pub(super) fn remove_where(&mut self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let wanted: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| is_wanted(entry)).map(|(&number, _)| number).collect();
        wanted.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Removes the words to a room that no relay has seen.
    pub(super) fn remove_unsent_to(&mut self, room: &str) -> Vec<Entry> {
        self.remove_where(|entry| !entry.may_have_arrived() && entry.is_for_room(room))
    }

    /// Removes the letters to a member that were never sealed, and so are nowhere else.
    pub(super) fn remove_unsealed_to(&mut self, nick: &str) -> Vec<Entry> {
        self.remove_where(|entry| {
            let Content::Words(Text { to: Target::Member(receiver), sealed: None, .. }) = &entry.content
            else {
                return false;
            };
            !entry.may_have_arrived() && folded(receiver) == folded(nick)
        })
    }

    /// A letter is sealed.
    pub(super) fn keep_sealed(&mut self, number: u64, relay: PublicKey, sealed: Sealed) {
        if let Some(Content::Words(text)) = self.entries.get_mut(&number).map(|entry| &mut entry.content) {
            text.sealed = Some((relay, sealed));
        }
    }

    /// How many wait for the relay's word; one that is held waits for somebody else's.
    pub(super) fn awaited(&self) -> usize {
        self.entries.len() - self.held
    }

    /// After a refusal for want of room: whether there is room again. True once for each refusal.
    pub(super) fn take_relief(&mut self) -> bool {
        let has_room = self.entries.len() <= MAX_WAITING / 4 * 3 && self.bytes <= MAX_WAITING_BYTES / 4 * 3;
        has_room && std::mem::take(&mut self.is_blocked)
    }
}
