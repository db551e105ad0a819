//! The peer machine: conversations with other sides, each with its connections, its words and their fates.
//!
//! It turns a user's commands into chat and chat into events. Every message that it accepted ends in exactly one of delivered,
//! failed and unknown, told once; or it is kept for the next run, and that is told once. It must never show the same message twice, and never say "delivered" without the receiver's
//! own receipt.

pub mod again;
mod command;
mod conversation;
mod event;
mod incoming;
mod keys;
mod membership;
mod outgoing;
pub mod shown;
pub mod trust;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

pub use again::{Kept, OutboxChange, Repeats};
pub use command::{Command, CommandError, ConversationId, Destination, Id, Trusted};
pub use event::{CloseReason, Event, FailReason, Incoming, KeyNews, KeyOwner, Quote};
pub use keys::Named;
pub use membership::{MAX_SEEN_LETTERS, latest_letters};
pub use membership::{MemberEvent, Membership, Refusal, RelayMemory, RoomWish, SeenLetter};

use crate::arq;
use crate::chat::{Party, is_nick};
use crate::endpoint::{self, Endpoint, EndpointConfig, Handle, Protection};
use crate::machine::{Path, Transmit};
use crate::random::Random;
use crate::secure::Entropy;
use crate::time::{Instant, Now};
use crate::wire::ConnectionId;
use again::Outbox;
use conversation::Conversation;
use shown::Shown;
use trust::Trust;

/// The most addresses of one name that are tried at once.
pub const MAX_CANDIDATES: usize = 8;

/// What a peer is started with.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// The name shown to others.
    pub nick: Option<String>,
    /// The port that the socket is bound to, for the address fields of messages.
    pub local_port: u16,
    /// After this many messages every further one is refused, in words that say so: for a receiver that wants no more.
    pub message_limit: Option<u64>,
    /// How long to go on saying hello before a conversation is given up as unanswered.
    pub connect_timeout: Duration,
    /// The letters that were shown last in earlier runs, as [`Peer::poll_seen_letter`] told them.
    pub seen_letters: Vec<SeenLetter>,
    /// Whose keys are known. Of use only where the endpoint is sealed.
    pub trust: Trust,
    /// How words without a receipt are said again to those who remember; None: they are not. Of use only where the endpoint is
    /// sealed.
    pub repeats: Option<Repeats>,
    /// Whether to tell others that what was shown is remembered, so that they may say things again: false for a program that
    /// shows nothing to anybody.
    pub remembers: bool,
    /// What was shown in earlier runs.
    pub shown: Shown,
    /// How the layers below behave. Its `connect_timeout` is replaced by the one above.
    pub endpoint: EndpointConfig,
}

impl Default for PeerConfig {
    fn default() -> Self {
        let endpoint = EndpointConfig::default();
        Self {
            nick: None,
            local_port: 0,
            message_limit: None,
            seen_letters: Vec::new(),
            connect_timeout: endpoint.connect_timeout,
            trust: Trust::default(),
            repeats: None,
            remembers: true,
            shown: Shown::default(),
            endpoint,
        }
    }
}

/// Why a peer wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A conversation that is closing has waited long enough for its receipts.
    Goodbye,
    /// A relay that was lost is to be tried again, or given up.
    Reconnect,
    /// Somebody whom words wait for is to be called again, or given up.
    Again,
    /// Only another key than the known one has answered for long enough.
    WrongKey,
    /// The endpoint's own reason.
    Endpoint(endpoint::Reason),
}

impl Reason {
    /// A word for traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Reconnect => "reconnect",
            Self::Again => "again",
            Self::WrongKey => "wrong_key",
            Self::Endpoint(reason) => reason.name(),
        }
    }
}

/// A peer: many conversations on one socket.
#[derive(Debug)]
pub struct Peer {
    config: PeerConfig,
    endpoint: Endpoint,
    conversations: BTreeMap<ConversationId, Conversation>,
    by_handle: BTreeMap<Handle, ConversationId>,
    /// Attempts of ours that are under way.
    dialled: BTreeSet<Handle>,
    trust: Trust,
    shown: Shown,
    outbox: Outbox,
    /// The conversations in which words wait for the other side to be found again.
    lost: BTreeSet<ConversationId>,
    by_address: BTreeMap<SocketAddr, ConversationId>,
    next_conversation: u64,
    /// Names this run in message ids and introductions.
    run: String,
    next_message: u64,
    /// The last message that came, from anyone: what a reply answers.
    last_received: Option<(Destination, Quote)>,
    events: VecDeque<Event>,
    /// Messages that were given to the front end.
    messages_shown: u64,
    /// Messages that came again after they had been shown.
    messages_repeated: u64,
    shutting_down: bool,
    /// Receipts that came: a part of progress.
    receipts_received: u64,
    /// Messages of the layer below that said nothing, or answered nothing.
    unreadable: u64,
    /// For the pauses between attempts to reach a relay.
    random: Random,
    /// The memberships whose memory changed since it was asked for.
    changed_memories: BTreeSet<ConversationId>,
    /// What seals and opens letters; None in the clear.
    seal: Option<membership::Seal>,
    seen_letters: membership::SeenLetters,
    /// The last memories of memberships that ended, until they are asked for.
    last_memories: BTreeMap<ConversationId, RelayMemory>,
}

impl Peer {
    /// How long a closing conversation waits for its last receipts, before the connection's own flush.
    const GOODBYE: Duration = Duration::from_secs(3);

    /// A peer without conversations; its ids follow from `seed`.
    pub fn new(mut config: PeerConfig, seed: u64, _now: Now) -> Self {
        config.nick = config.nick.filter(|nick| is_nick(nick));
        config.endpoint.connect_timeout = config.connect_timeout;
        let seal = split_seal(&mut config.endpoint.protection);
        let seen_letters = membership::SeenLetters::new(std::mem::take(&mut config.seen_letters));
        let mut random = Random::from_seed(seed);
        // 41 random bits tell runs apart, like connections; the eight characters are readable.
        let run = ConnectionId::random(&mut random).to_string();
        Self {
            endpoint: Endpoint::new(config.endpoint.hand_over(), random.next_u64()),
            trust: std::mem::take(&mut config.trust),
            shown: std::mem::take(&mut config.shown),
            outbox: Outbox::default(),
            lost: BTreeSet::new(),
            config,
            conversations: BTreeMap::new(),
            by_handle: BTreeMap::new(),
            dialled: BTreeSet::new(),
            by_address: BTreeMap::new(),
            next_conversation: 1,
            run,
            next_message: 1,
            last_received: None,
            events: VecDeque::new(),
            messages_shown: 0,
            messages_repeated: 0,
            shutting_down: false,
            receipts_received: 0,
            unreadable: 0,
            random,
            changed_memories: BTreeSet::new(),
            last_memories: BTreeMap::new(),
            seal,
            seen_letters,
        }
    }

    /// Fresh bytes of the system's randomness; see [`Endpoint::stir`]. Letters' keys depend on them too.
    pub fn stir(&mut self, now: Now, fresh: &[u8; 32]) {
        let mut source = Entropy::from_seed(*fresh);
        self.endpoint.stir(now, &source.split());
        if let Some(seal) = &mut self.seal {
            seal.stir(&source.split());
        }
    }

    /// One datagram arrived. The bytes may be changed in place.
    pub fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, path, datagram);
        self.follow_endpoint(now);
    }

    /// The user wants something.
    pub fn handle_command(&mut self, now: Now, command: Command) -> Result<Id, CommandError> {
        let result = match command {
            Command::Open { addresses, named } => self.open(now, addresses, named).map(Id::Conversation),
            Command::Attend { addresses, named, membership } => {
                self.attend(now, addresses, named, membership).map(Id::Conversation)
            }
            Command::Trust { who } => self.trust_seen(now, &who).map(|()| Id::None),
            Command::Learn { known } => {
                known.into_iter().for_each(|(by, known)| self.learn_known(now, by, known));
                Ok(Id::None)
            }
            Command::Say { to, text } => self.say_to(now, to, text, None).map(Id::Message),
            Command::Repeat { to, words } => self.repeat(to, words, now).map(|()| Id::None),
            Command::Ask { relay, request } => self.ask(now, relay, request).map(Id::Message),
            Command::Echo { to, text } if self.is_relay(to) => self.echo_at(now, to, text).map(Id::Message),
            Command::Echo { to, text } => self.say(now, to, text, true, None).map(Id::Message),
            Command::Reply { text } => {
                let (to, quote) = self.last_received.clone().ok_or(CommandError::NothingToReplyTo)?;
                self.say_to(now, to, text, Some(quote)).map(Id::Message)
            }
            Command::Rename { nick } => self.rename(now, nick).map(|()| Id::None),
            Command::Close { conversation } => self.begin_goodbye(now, conversation).map(|()| Id::None),
            Command::Fail { conversation } => {
                self.end_connections(now, conversation, "fault", "connection fault (switch)");
                Ok(Id::None)
            }
            Command::KeepRest => {
                let all: Vec<ConversationId> = self.conversations.keys().copied().collect();
                all.into_iter().for_each(|id| self.keep_rest(id));
                Ok(Id::None)
            }
            Command::GiveUp => {
                self.give_up(now);
                Ok(Id::None)
            }
            Command::Shutdown => {
                self.shutting_down = true;
                for conversation in self.conversations.keys().copied().collect::<Vec<_>>() {
                    self.begin_goodbye(now, conversation)?;
                }
                Ok(Id::None)
            }
        };
        self.follow_endpoint(now);
        result
    }

    /// A deadline passed, or may have.
    pub fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.follow_endpoint(now);
        let due: Vec<ConversationId> = self
            .conversations
            .iter()
            .filter(|(_, conversation)| conversation.closing_at.is_some_and(|at| at <= now.instant))
            .map(|(&id, _)| id)
            .collect();
        for id in due {
            if self.shutting_down {
                self.keep_rest(id);
            }
            self.close_connections(now, id);
        }
        self.call_lost(now);
        self.end_wrong_attempts(now);
        self.retry_relays(now);
        self.follow_endpoint(now);
    }

    /// The next datagram to send, in `buffer` (cleared and filled).
    #[must_use]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buffer)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Message(Incoming { id, conversation, is_relayed: false, .. }) = &event {
            self.shown.hand_out(*conversation, id);
        }
        Some(event)
    }

    /// When to call `handle_timeout` next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let goodbye = self.conversations.values().filter_map(|conversation| conversation.closing_at).min();
        let endpoint = self.endpoint.poll_timeout().map(|(at, reason)| (at, Reason::Endpoint(reason)));
        let members = self.conversations.values().filter_map(|conversation| conversation.member.as_ref());
        let reconnect = members.filter_map(|member| member.poll_timeout()).min();
        let wrong = self.conversations.values().filter_map(|conversation| conversation.wrong_until).min();
        let own = [
            goodbye.map(|at| (at, Reason::Goodbye)),
            reconnect.map(|at| (at, Reason::Reconnect)),
            wrong.map(|at| (at, Reason::WrongKey)),
            self.poll_lost().map(|at| (at, Reason::Again)),
        ];
        own.into_iter().flatten().chain(endpoint).min()
    }

    /// A number that grows whenever another side acknowledged something: for "time without progress".
    pub const fn progress(&self) -> u64 {
        self.endpoint.statistics().bytes_confirmed + self.receipts_received
    }

    /// Messages and requests whose outcome is still open. A letter that a relay holds for its receiver does not count: it may be
    /// days until that one comes.
    pub fn pending_messages(&self) -> usize {
        let at_relays = self.conversations.values().filter_map(|conversation| conversation.member.as_ref());
        let at_relays: usize = at_relays.map(|member| member.pending()).sum();
        self.conversations.values().map(|conversation| conversation.outgoing.len()).sum::<usize>() + at_relays
    }

    /// Whether every relay that we want to be at has let us into our rooms and told what had been said there, or refused.
    pub fn is_caught_up(&self) -> bool {
        self.conversations.values().filter_map(|it| it.member.as_ref()).all(|member| member.is_caught_up())
    }

    /// Whether no connection is left, neither open nor being opened, and no relay is tried again.
    pub fn is_idle(&self) -> bool {
        self.conversations.values().all(Conversation::is_over)
    }

    /// The layer below, for statistics and checkers.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// How far the logs of a relay have been shown, if that changed since the last call: to be kept once it really was shown.
    pub fn poll_memory(&mut self) -> Option<(ConversationId, RelayMemory)> {
        if let Some(last) = self.last_memories.pop_first() {
            return Some(last);
        }
        let id = self.changed_memories.pop_first()?;
        Some((id, self.conversations.get(&id)?.member.as_ref()?.memory().clone()))
    }

    /// Messages that came again after they had been shown, and were not shown again.
    pub const fn repeated_messages(&self) -> u64 {
        self.messages_repeated
    }

    /// The next sealed letter that is to be kept as shown, so that a relay cannot bring it again; to be asked for once every event
    /// was shown, and before anything is sent.
    pub fn poll_seen_letter(&mut self) -> Option<SeenLetter> {
        self.seen_letters.poll_change()
    }

    /// Messages of the layer below that could not be read, or answered nothing.
    pub const fn unreadable_messages(&self) -> u64 {
        self.unreadable
    }

    /// The name that others see.
    pub fn nick(&self) -> Option<&str> {
        self.config.nick.as_deref()
    }

    fn open(
        &mut self,
        now: Now,
        mut addresses: Vec<SocketAddr>,
        named: Named,
    ) -> Result<ConversationId, CommandError> {
        if self.shutting_down {
            return Err(CommandError::ShuttingDown);
        }
        addresses.retain(|&address| is_one_peers(address));
        addresses.truncate(MAX_CANDIDATES);
        let &first = addresses.first().ok_or(CommandError::NoAddress)?;
        if let Some(id) = self.conversation_at(&addresses, &named) {
            self.name_again(now, id, named);
            self.connect_if_needed(now, id)?;
            return Ok(id);
        }
        let id = self.add_conversation(Conversation { named, ..Conversation::new(addresses, first) })?;
        self.connect_if_needed(now, id)?;
        Ok(id)
    }

    fn add_conversation(&mut self, conversation: Conversation) -> Result<ConversationId, CommandError> {
        if self.conversations.len() >= self.config.endpoint.max_connections {
            let over =
                self.conversations.iter().find(|(_, conversation)| conversation.is_over()).map(|(&id, _)| id);
            let id = over.ok_or(CommandError::TooManyConversations)?;
            self.conversations.remove(&id);
            self.by_address.retain(|_, of| *of != id);
        }
        let id = ConversationId(self.next_conversation);
        self.next_conversation += 1;
        for &address in &conversation.addresses {
            // One that the user named, and that may come back, is still to be found where it was.
            let holder = self.by_address.get(&address).and_then(|holder| self.conversations.get(holder));
            let is_kept = conversation.named.address.is_none()
                && holder.is_some_and(|holder| !holder.is_over() || holder.named.address.is_some());
            if !is_kept {
                self.by_address.insert(address, id);
            }
        }
        self.conversations.insert(id, conversation);
        Ok(id)
    }

    /// Begins a connection unless there is one.
    fn connect_if_needed(&mut self, now: Now, id: ConversationId) -> Result<(), CommandError> {
        let conversation = self.conversations.get(&id).ok_or(CommandError::NoConversation)?;
        if conversation.primary.is_some() {
            return Ok(());
        }
        let paths: Vec<Path> = conversation.addresses.iter().copied().map(Path::to).collect();
        let expected = self.expected(conversation);
        let handle = self.endpoint.connect(now, &paths, expected).map_err(|error| match error {
            endpoint::ConnectError::NoAddress => CommandError::NoAddress,
            endpoint::ConnectError::TooMany => CommandError::TooManyConversations,
        })?;
        let conversation = self.conversations.get_mut(&id).ok_or(CommandError::NoConversation)?;
        conversation.primary = Some(handle);
        conversation.wrong_until = None;
        if let Some(member) = &mut conversation.member {
            // A goodbye to a relay goes on while it is tried again.
            member.set_retried();
        } else {
            conversation.closing_at = None;
            conversation.again.set_retried();
        }
        self.by_handle.insert(handle, id);
        self.dialled.insert(handle);
        Ok(())
    }

    fn rename(&mut self, now: Now, nick: String) -> Result<(), CommandError> {
        if !is_nick(&nick) {
            return Err(CommandError::BadNick);
        }
        self.config.nick = Some(nick);
        self.introduce_again(now);
        Ok(())
    }

    /// Tells everybody who we are now.
    fn introduce_again(&mut self, now: Now) {
        let open: Vec<Handle> =
            self.conversations.values().filter_map(|conversation| conversation.primary).collect();
        for handle in open {
            if self.endpoint.connection(handle).is_some_and(arq::Connection::is_open) {
                self.introduce(now, handle);
            }
        }
    }

    /// Waits for the receipts of what was said, then closes.
    fn begin_goodbye(&mut self, now: Now, id: ConversationId) -> Result<(), CommandError> {
        if self.stop_calling(id) {
            return Ok(());
        }
        let conversation = self.conversations.get_mut(&id).ok_or(CommandError::NoConversation)?;
        if conversation.closing_at.is_some() {
            return Ok(());
        }
        if conversation.is_settled() {
            self.close_connections(now, id);
        } else {
            conversation.closing_at = Some(now.instant + Self::GOODBYE);
        }
        Ok(())
    }

    fn close_connections(&mut self, now: Now, id: ConversationId) {
        // A room is told why somebody left it; between two people the goodbye says it all.
        let words = match (self.is_relay(id), self.shutting_down) {
            (true, true) => "quit",
            (true, false) => "left the relay",
            (false, _) => "",
        };
        self.end_connections(now, id, "done", words);
    }

    fn end_connections(&mut self, now: Now, id: ConversationId, code: &'static str, words: &str) {
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return;
        };
        let handles: Vec<Handle> = conversation.handles().collect();
        if handles.is_empty() && conversation.member.is_some() {
            self.end_membership(id, CloseReason::ByUs, &FailReason::NotSent);
            return;
        }
        if let Some(member) = &mut conversation.member {
            member.set_closing();
        }
        conversation.closing_at = None;
        for handle in handles {
            // After the close nothing more is taken for the way, and what was shown is to be confirmed.
            self.send_receipts(id, handle, usize::MAX);
            self.endpoint.close(now, handle, code, words);
        }
    }

    fn give_up(&mut self, now: Now) {
        self.shutting_down = true;
        for id in self.conversations.keys().copied().collect::<Vec<_>>() {
            self.keep_rest(id);
            let handles: Vec<Handle> = self.conversations[&id].handles().collect();
            for handle in handles {
                self.endpoint.give_up(now, handle, "done", "");
                // Now, so that the fates of the layer below come before the one for what has no receipt.
                self.follow_endpoint(now);
                self.settle_sent(id, handle);
            }
            self.fail_waiting(id, &FailReason::NoAnswer);
            self.find_again(id);
            self.settle_outbox(id, &FailReason::NotSent);
            if self.is_relay(id) && self.conversations[&id].primary.is_none() {
                self.end_membership(id, CloseReason::ByUs, &FailReason::NotSent);
            }
        }
    }

    /// Our end of a conversation, as its messages tell it.
    fn local_party(&self, path: Path) -> Party {
        let ip = path.local_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Party { nick: self.config.nick.clone(), room: None, ip, port: self.config.local_port }
    }
}

/// What letters are sealed with. The endpoint's randomness and theirs follow from one seed, and neither tells the other.
fn split_seal(protection: &mut Protection) -> Option<membership::Seal> {
    let Protection::Sealed { keys, seed } = protection else { return None };
    let mut entropy = Entropy::from_seed(seed.clone());
    *seed = entropy.split();
    Some(membership::Seal::new(Arc::clone(keys), entropy))
}

/// Whether an address can be that of one peer: a conversation is between two.
fn is_one_peers(address: SocketAddr) -> bool {
    let ip = address.ip();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// The other end.
fn remote_party(path: Path, nick: Option<String>) -> Party {
    Party { nick, room: None, ip: path.remote.ip(), port: path.remote.port() }
}
