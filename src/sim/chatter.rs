//! A node that is a whole peer, with a user who follows the script.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::node::{Fate, Node, Report, Wish, text};
use super::scenario::Action;
use crate::endpoint::Endpoint;
use crate::machine::{Path, Transmit};
use crate::peer::{CloseReason, Command, CommandError, ConversationId, Event, Id, Named, Peer};
use crate::random::keyed_draw;
use crate::time::{Instant, Now};

/// A peer and its user.
#[derive(Debug)]
pub struct Chatter {
    peer: Peer,
    /// Who is at the other end, by a conversation that was opened or heard of.
    conversations: BTreeMap<ConversationId, SocketAddr>,
    /// Whom the last message came from.
    last_from: Option<SocketAddr>,
}

impl Chatter {
    /// A user of `peer`.
    pub const fn new(peer: Peer) -> Self {
        Self { peer, conversations: BTreeMap::new(), last_from: None }
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
            Event::Kept { .. } => told("kept"),
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

impl Node for Chatter {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.peer.handle_datagram(now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.peer.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.peer.poll_transmit(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout().map(|(at, _)| at)
    }

    fn follow(&mut self, _now: Now, reports: &mut Vec<Report>) {
        while let Some(event) = self.peer.poll_event() {
            let report = self.report(event);
            reports.push(report);
        }
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
