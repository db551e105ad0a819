//! What a peer knows of one other side, across reconnects.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::again::Again;
use super::membership::Member;
use super::trust::SeenKey;
use super::{Named, Quote};
use crate::chat::MessageId;
use crate::endpoint::{Backlog, Handle};
use crate::secure::PublicKey;
use crate::time::{Instant, WallTime};

/// One other side.
#[derive(Debug)]
pub(super) struct Conversation {
    /// Every address that its name had when it was opened, for a new attempt.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it is, or was last.
    pub(super) address: SocketAddr,
    /// What the user called it.
    pub(super) named: Named,
    /// The key that the other side has proved.
    pub(super) key: Option<PublicKey>,
    /// The key that words of ours went to last.
    pub(super) written_to: Option<PublicKey>,
    /// Another key that answered in its place.
    pub(super) wrong: Option<SeenKey>,
    /// When the attempt to which it answered ends.
    pub(super) wrong_until: Option<Instant>,
    /// The connection that words go out on.
    pub(super) primary: Option<Handle>,
    /// Connections that the other side began while we began ours: words come in on all of them.
    pub(super) others: Vec<Handle>,
    /// The other program's run, as it introduced itself.
    pub(super) run: Option<String>,
    pub(super) nick: Option<String>,
    /// Whether the front end was told that the other side is there.
    pub(super) announced: bool,
    /// Words that wait for the connection to be open.
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) waiting_bytes: usize,
    /// Words without an outcome, waiting ones included.
    pub(super) outgoing: BTreeMap<MessageId, Outgoing>,
    /// Echoes that have not come back, oldest first.
    pub(super) echoes: VecDeque<(MessageId, Instant)>,
    /// Which words a message of the layer below carries.
    pub(super) by_seq: BTreeMap<(Handle, u32, u64), MessageId>,
    /// Receipts that found their connection's queue full; when there are too many, nothing more is read from it.
    pub(super) receipts: BTreeMap<Handle, Backlog>,
    /// Close was asked for: at this time at the latest.
    pub(super) closing_at: Option<Instant>,
    /// Whether the front end was refused for want of room.
    pub(super) blocked: bool,
    /// Words that may have to be said again.
    pub(super) again: Again,
    /// If the other side is a relay that we are, or want to be, a member of.
    pub(super) member: Option<Box<Member>>,
}

/// Words that wait for the connection to be open.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The how-manieth they are in this run.
    pub(super) number: u64,
    pub(super) id: MessageId,
    pub(super) at: WallTime,
    pub(super) text: String,
    pub(super) is_echo: bool,
    pub(super) reply_to: Option<Quote>,
    /// The connections that may have brought them already.
    pub(super) sends: u32,
}

/// Words without an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    /// The how-manieth they are in this run: the order in which outcomes are told when a connection dies.
    pub(super) number: u64,
    pub(super) since: Instant,
    /// The connection that they went out on; None while they wait for one.
    pub(super) sent_on: Option<Handle>,
}

impl Conversation {
    pub(super) fn new(addresses: Vec<SocketAddr>, address: SocketAddr) -> Self {
        Self {
            addresses,
            address,
            named: Named::default(),
            key: None,
            written_to: None,
            wrong: None,
            wrong_until: None,
            primary: None,
            others: Vec::new(),
            run: None,
            nick: None,
            announced: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            outgoing: BTreeMap::new(),
            echoes: VecDeque::new(),
            by_seq: BTreeMap::new(),
            receipts: BTreeMap::new(),
            closing_at: None,
            blocked: false,
            again: Again::default(),
            member: None,
        }
    }

    /// Every connection with the other side.
    pub(super) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.primary.into_iter().chain(self.others.iter().copied())
    }

    /// A connection is gone; if it was the primary one, the first other that `lives` goes on with the conversation. Tells whether it was.
    pub(super) fn remove_connection(&mut self, handle: Handle, lives: impl Fn(Handle) -> bool) -> bool {
        self.others.retain(|other| *other != handle);
        self.receipts.remove(&handle);
        if self.primary != Some(handle) {
            return false;
        }
        // One that the other side began, or that takes the place of this one.
        let heir = self.others.iter().position(|&other| lives(other));
        self.primary = heir.map(|index| self.others.remove(index));
        true
    }

    /// Whether nothing would be lost if the conversation were forgotten.
    pub(super) fn is_over(&self) -> bool {
        let has_no_connection = self.primary.is_none() && self.others.is_empty();
        has_no_connection && self.outgoing.is_empty() && self.member.is_none()
    }

    /// Whether the other side's own word on something is awaited.
    pub(super) fn is_awaiting(&self) -> bool {
        !self.outgoing.is_empty() || self.member.as_ref().is_some_and(|member| member.is_awaiting())
    }

    /// Whether a goodbye has nothing to wait for. A letter that a relay holds waits for somebody else.
    pub(super) fn is_settled(&self) -> bool {
        self.outgoing.is_empty() && self.member.as_ref().is_none_or(|member| member.is_settled())
    }

    /// An echo that never returns is forgotten after some more of them.
    pub(super) fn remember_echo(&mut self, id: MessageId, since: Instant) {
        const MAX_ECHOES: usize = 256;
        if self.echoes.len() == MAX_ECHOES {
            self.echoes.pop_front();
        }
        self.echoes.push_back((id, since));
    }

    /// When the echo was asked for, if it was and had not returned yet.
    pub(super) fn take_echo(&mut self, id: &MessageId) -> Option<Instant> {
        let index = self.echoes.iter().position(|(asked, _)| asked == id)?;
        self.echoes.remove(index).map(|(_, since)| since)
    }

    pub(super) fn push_front(&mut self, words: Waiting) {
        self.waiting_bytes += words.text.len();
        self.waiting.push_front(words);
    }

    pub(super) fn remove_waiting(&mut self, is_wanted: impl Fn(&Waiting) -> bool) {
        self.waiting.retain(|words| !is_wanted(words));
        self.waiting_bytes = self.waiting.iter().map(|words| words.text.len()).sum();
    }

    /// Words whose texts are held, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.waiting_bytes + self.again.bytes()
    }

    pub(super) fn pop_waiting(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        self.waiting_bytes -= waiting.text.len();
        Some(waiting)
    }
}
