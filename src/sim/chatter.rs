//! A node that is a whole peer, with a user who follows the script.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::node::{Estate, Fate, Node, Report, Wish, text};
use super::scenario::{Action, Moment};
use crate::chat::MessageId;
use crate::endpoint::Endpoint;
use crate::machine::{Path, Transmit};
use crate::peer::shown::Shown;
use crate::peer::{
    CloseReason, Command, CommandError, ConversationId, Event, Id, Kept, Named, OutboxChange, Peer,
};
use crate::random::keyed_draw;
use crate::secure::PublicKey;
use crate::time::{Instant, Now};

/// A disk that outlives the program: what is to be said again, and what was shown.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    outbox: Vec<Kept>,
    shown: Vec<(PublicKey, MessageId)>,
}

impl Shelf {
    /// What was shown in earlier runs.
    pub fn shown(&self) -> Shown {
        Shown::new(self.shown.iter().cloned())
    }

    fn write(&mut self, change: OutboxChange) -> Report {
        match change {
            OutboxChange::Keep(kept) => {
                let id = kept.id.clone();
                match self.outbox.iter_mut().find(|other| other.id == id) {
                    Some(place) => *place = kept,
                    None => self.outbox.push(kept),
                }
                Report::Kept { id, is_kept: true }
            }
            OutboxChange::Drop(id) | OutboxChange::Confirm(id) => {
                self.outbox.retain(|kept| kept.id != id);
                Report::Kept { id, is_kept: false }
            }
        }
    }
}

/// A peer and its user.
#[derive(Debug)]
pub struct Chatter {
    peer: Peer,
    /// Who is at the other end, by a conversation that was opened or heard of.
    conversations: BTreeMap<ConversationId, SocketAddr>,
    /// Whom the last message came from.
    last_from: Option<SocketAddr>,
    /// The disk of one that says things again.
    shelf: Option<Shelf>,
    /// When its program is to be killed.
    falls_before: Option<Moment>,
    has_fallen: bool,
    /// What was to be reported at the start.
    beginning: Vec<Report>,
}

impl Chatter {
    /// A user of `peer`, who forgets everything with the program.
    pub const fn new(peer: Peer) -> Self {
        Self {
            peer,
            conversations: BTreeMap::new(),
            last_from: None,
            shelf: None,
            falls_before: None,
            has_fallen: false,
            beginning: Vec::new(),
        }
    }

    /// One whose program finds what the one before it had written down, and says that again first.
    pub fn with_shelf(peer: Peer, shelf: Shelf, now: Now) -> Self {
        let mut chatter = Self::new(peer);
        let mut left: Vec<(String, PublicKey, Vec<Kept>)> = Vec::new();
        for kept in &shelf.outbox {
            match left.iter_mut().find(|(to, key, _)| (to, *key) == (&kept.to, kept.key)) {
                Some((_, _, words)) => words.push(kept.clone()),
                None => left.push((kept.to.clone(), kept.key, vec![kept.clone()])),
            }
        }
        chatter.shelf = Some(shelf);
        for (to, key, words) in left {
            let Ok(address) = to.parse() else { continue };
            let named = Named { address: None, key: Some(key) };
            let open = Command::Open { addresses: vec![address], named };
            // What finds no room stays where it is, for the next start.
            let Ok(Id::Conversation(conversation)) = chatter.peer.handle_command(now, open) else { continue };
            chatter.conversations.insert(conversation, address);
            // The user of the run before named it, or whoever has that key called from there.
            chatter.beginning.push(Report::Named { to: address });
            let ids: Vec<MessageId> = words.iter().map(|kept| kept.id.clone()).collect();
            if chatter.peer.handle_command(now, Command::Repeat { to: conversation, words }).is_ok() {
                chatter.beginning.extend(ids.into_iter().map(|id| Report::SaidAgain { id, conversation }));
            }
        }
        chatter
    }

    /// Whether the program is killed now, with something to lose.
    fn falls(&mut self, before: Moment, has_something: bool) -> bool {
        self.has_fallen |= has_something && self.falls_before == Some(before);
        self.has_fallen
    }

    /// One round of the program: it writes down what is about to leave, shows, and writes down what was shown.
    fn round(&mut self, reports: &mut Vec<Report>) {
        reports.append(&mut self.beginning);
        if self.has_fallen {
            return;
        }
        let outbox: Vec<OutboxChange> = std::iter::from_fn(|| self.peer.poll_outbox()).collect();
        let has_changes = !outbox.is_empty();
        if self.falls(Moment::BeforeKeeping, has_changes) {
            return;
        }
        let dropped: Vec<MessageId> = outbox.iter().filter_map(dropped).collect();
        if let Some(shelf) = &mut self.shelf {
            reports.extend(outbox.into_iter().map(|change| shelf.write(change)));
        }
        if self.falls(Moment::BeforeShowing, has_changes) {
            reports.extend(dropped.into_iter().map(|id| Report::Untold { id }));
            return;
        }
        while let Some(event) = self.peer.poll_event() {
            let report = self.report(event);
            reports.push(report);
        }
        let shown: Vec<_> = std::iter::from_fn(|| self.peer.poll_shown()).collect();
        let has_shown = !shown.is_empty();
        if self.falls(Moment::BeforeRemembering, has_shown) {
            reports.extend(shown.into_iter().map(|(_, id)| Report::Unnoted { id }));
            return;
        }
        if let Some(shelf) = &mut self.shelf {
            shelf.shown.extend(shown);
        }
        self.falls(Moment::BeforeSending, has_shown);
    }

    /// The newest conversation with the node at `to`, as a user would go on with it.
    fn conversation(
        &mut self,
        now: Now,
        to: SocketAddr,
        reports: &mut Vec<Report>,
    ) -> Option<ConversationId> {
        let node = super::network::node_of(to);
        let known =
            self.conversations.iter().rev().find(|(_, address)| super::network::node_of(**address) == node);
        if let Some((&id, _)) = known {
            return Some(id);
        }
        reports.push(Report::Named { to });
        match self.peer.handle_command(now, Command::Open { addresses: vec![to], named: Named::default() }) {
            Ok(Id::Conversation(id)) => {
                self.conversations.insert(id, to);
                Some(id)
            }
            Ok(_) => None,
            Err(error) => {
                reports.push(Report::Refused { why: word_of(error) });
                None
            }
        }
    }

    fn say(&mut self, now: Now, command: Command, to: SocketAddr, is_echo: bool, reports: &mut Vec<Report>) {
        let (Command::Say { text, .. } | Command::Echo { text, .. } | Command::Reply { text }) = &command
        else {
            return;
        };
        let conversation = match &command {
            Command::Say { to, .. } => Some(to.conversation()),
            Command::Echo { to, .. } => Some(*to),
            _ => None,
        };
        let text = text.clone();
        match self.peer.handle_command(now, command) {
            Ok(Id::Message(id)) => reports.push(Report::Said { id, to, conversation, text, is_echo }),
            Ok(_) => {}
            Err(error) => reports.push(Report::Refused { why: word_of(error) }),
        }
    }

    fn report(&mut self, event: Event) -> Report {
        let told = |what| Report::Told { what };
        match event {
            Event::Connected { conversation, address, .. } => {
                self.conversations.insert(conversation, address);
                told("connected")
            }
            Event::Message(incoming) => {
                self.last_from = Some(incoming.address);
                let original = incoming.reply_to.map(|quote| (quote.id, quote.text));
                Report::Shown { id: incoming.id, text: incoming.text, original }
            }
            Event::Echoed { id, text, .. } => Report::Echoed { id, text },
            Event::Delivered { id, .. } => Report::Fate { id, fate: Fate::Delivered },
            Event::Failed { id, reason } => Report::Fate { id, fate: Fate::Failed(reason) },
            Event::Unknown { id } => Report::Fate { id, fate: Fate::Unknown },
            Event::Renamed { .. } => told("renamed"),
            Event::Silent { .. } => told("silent"),
            Event::Resumed { .. } => told("resumed"),
            Event::Writable { .. } => told("writable"),
            Event::Held { .. } => told("held"),
            Event::Kept { id } => Report::Fate { id, fate: Fate::Kept },
            Event::Waiting { .. } => told("waiting"),
            Event::Key { .. } => told("key"),
            Event::Member { .. } => told("member"),
            Event::Closed { reason, .. } => told(match reason {
                CloseReason::ByPeer { .. } => "closed-by-peer",
                CloseReason::Fault { .. } => "closed-by-fault",
                CloseReason::Replaced => "closed-replaced",
                CloseReason::ByUs => "closed-by-us",
                CloseReason::NoAnswer { .. } => "closed-no-answer",
                CloseReason::WrongKey { .. } => "closed-wrong-key",
                CloseReason::Silent => "closed-silent",
                CloseReason::Restarted => "closed-restarted",
                CloseReason::Violation { .. } => "closed-violation",
            }),
        }
    }
}

fn dropped(change: &OutboxChange) -> Option<MessageId> {
    match change {
        OutboxChange::Drop(id) | OutboxChange::Confirm(id) => Some(id.clone()),
        OutboxChange::Keep(_) => None,
    }
}

impl Node for Chatter {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.peer.handle_datagram(now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.peer.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if self.has_fallen { None } else { self.peer.poll_transmit(now, buffer) }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout().map(|(at, _)| at)
    }

    fn follow(&mut self, _now: Now, reports: &mut Vec<Report>) {
        self.round(reports);
    }

    fn act(&mut self, now: Now, wish: &Wish<'_>, reports: &mut Vec<Report>) {
        match (wish.action, wish.address) {
            (Action::Connect { .. }, Some(to)) => drop(self.conversation(now, to, reports)),
            (Action::Send { message, count, .. }, Some(at)) => {
                for number in 0..u64::from(*count) {
                    let Some(to) = self.conversation(now, at, reports) else { return };
                    let text = text(keyed_draw(&[wish.key, number]), message.length);
                    self.say(now, Command::Say { to: to.into(), text }, at, false, reports);
                }
            }
            (Action::Echo { length, .. }, Some(at)) => {
                let Some(to) = self.conversation(now, at, reports) else { return };
                self.say(now, Command::Echo { to, text: text(wish.key, *length) }, at, true, reports);
            }
            (Action::Reply { length }, _) => {
                let Some(to) = self.last_from else { return };
                self.say(now, Command::Reply { text: text(wish.key, *length) }, to, false, reports);
            }
            (Action::Close { .. }, Some(to)) => {
                let Some(conversation) = self.conversation(now, to, reports) else { return };
                if let Err(error) = self.peer.handle_command(now, Command::Close { conversation }) {
                    reports.push(Report::Refused { why: word_of(error) });
                }
            }
            (Action::Fall { before }, _) if self.shelf.is_some() => self.falls_before = Some(*before),
            (Action::Shutdown, _) => {
                // Shutting down is never refused.
                let _ = self.peer.handle_command(now, Command::Shutdown);
            }
            _ => {}
        }
    }

    fn endpoint(&self) -> &Endpoint {
        self.peer.endpoint()
    }

    fn is_reporting(&self) -> bool {
        false
    }

    fn is_idle(&self) -> bool {
        self.peer.is_idle() && self.peer.pending_messages() == 0
    }

    fn estate(&mut self) -> Estate {
        self.shelf.take().map_or(Estate::Nothing, |shelf| Estate::Shelf(Box::new(shelf)))
    }

    fn has_fallen(&self) -> bool {
        self.has_fallen
    }
}

pub(super) const fn word_of(error: CommandError) -> &'static str {
    match error {
        CommandError::NoConversation => "no-conversation",
        CommandError::NothingToReplyTo => "nothing-to-reply-to",
        CommandError::NoAddress => "no-address",
        CommandError::WouldBlock => "would-block",
        CommandError::TooLong { .. } => "too-long",
        CommandError::TooManyConversations => "too-many-conversations",
        CommandError::ShuttingDown => "shutting-down",
        CommandError::BadNick => "bad-nick",
        CommandError::NoMember => "no-member",
        CommandError::NoPlace => "no-place",
        CommandError::AnotherKeyCame => "another-key-came",
        CommandError::NothingToTrust => "nothing-to-trust",
    }
}
