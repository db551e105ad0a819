//! What there is to show, whatever it is shown with: who is there, what became of our messages, whom a plain line goes to.
//!
//! It turns the peer's events into [`Notice`]s and never words them. It keeps no text beyond a preview, so a long run does not
//! grow.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::filter;
use super::notice::{Arrival, Member, Notice, Outgoing, Party, Presence, Receiver, Way};
use super::relay::{RelayNotice, RelayState};
use crate::chat::{EVERYONE, MessageId};
use crate::peer::{ConversationId, Destination, Event, FailReason, Incoming};
use crate::time::WallTime;

/// Enough to tell one message from another, and to fit a line with the rest of the sentence.
const PREVIEW_COLUMNS: usize = 32;

/// Conversations that ended and are still listed; enough for `/who` to be of use after a bad day.
const MAX_GONE: usize = 64;

/// How many of our messages ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The other side has them.
    pub delivered: u64,
    /// Nobody answered, or the connection ended before they left.
    pub unsent: u64,
    /// Another key answered than the known one, so they did not leave.
    pub mistrusted: u64,
    /// The other side refused them.
    pub refused: u64,
    /// Nobody knows.
    pub unknown: u64,
    /// They go again after the next start.
    pub kept: u64,
}

/// The state behind every front end.
#[derive(Debug, Default)]
pub struct Model {
    contacts: BTreeMap<ConversationId, Contact>,
    outgoing: BTreeMap<MessageId, Pending>,
    echoes: BTreeMap<MessageId, ConversationId>,
    receiver: Option<Destination>,
    receiver_is_chosen: bool,
    /// Whether the user was told of the receiver, which waits until a room was joined.
    receiver_is_told: bool,
    last_sender: Option<Sender>,
    relay: Option<RelayState>,
    tally: Tally,
    /// Whether commands can be typed.
    has_commands: bool,
    /// Whether keys that are learned end with the run.
    forgets_keys: bool,
    /// How many texts were given up before the peer had them, which gives them their names.
    not_sent: u64,
    notices: VecDeque<Notice>,
}

#[derive(Debug)]
struct Contact {
    party: Party,
    presence: Presence,
    since: WallTime,
}

#[derive(Debug)]
struct Pending {
    to: Destination,
    preview: String,
    /// The relay has it in safe keeping, which is all that can be waited for.
    is_held: bool,
}

/// Whoever wrote last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Whom an answer reaches.
    pub to: Destination,
    /// Who it was.
    pub party: Party,
}

impl Model {
    /// The state behind a front end where commands can be typed.
    pub fn with_commands() -> Self {
        Self { has_commands: true, ..Self::default() }
    }

    /// Notes that there is no profile to keep keys in.
    pub const fn forget_keys(&mut self) {
        self.forgets_keys = true;
    }

    /// Takes over what the peer tells.
    pub fn handle_event(&mut self, event: Event, wall: WallTime) {
        match event {
            Event::Connected { .. }
            | Event::Renamed { .. }
            | Event::Silent { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. } => self.follow_presence(event, wall),
            Event::Key { owner, address, news } => {
                let (can_type, is_lasting) = (self.has_commands, !self.forgets_keys);
                self.notices.push_back(Notice::Key { owner, address, news, can_type, is_lasting });
            }
            Event::Message(incoming) => self.receive(incoming, wall),
            Event::Echoed { id, conversation, text, rtt } => {
                self.echoes.remove(&id);
                let from = self.party(conversation);
                self.notices.push_back(Notice::Echoed { id, from, text, rtt });
            }
            Event::Delivered { id, rtt } => {
                self.settle(id, |tally| &mut tally.delivered, |message| Notice::Delivered { message, rtt });
            }
            Event::Failed { id, reason } => {
                self.echoes.remove(&id);
                let column: fn(&mut Tally) -> &mut u64 = match reason {
                    FailReason::NoAnswer | FailReason::NotSent => |tally| &mut tally.unsent,
                    FailReason::WrongKey | FailReason::OtherKey { .. } => |tally| &mut tally.mistrusted,
                    FailReason::Refused { .. } => |tally| &mut tally.refused,
                };
                self.settle(id, column, |message| Notice::Failed { message, reason });
            }
            // What a relay keeps is in good hands: its fate is the relay's to know, and no longer ours.
            Event::Unknown { id } if self.outgoing.get(&id).is_some_and(|pending| pending.is_held) => {
                self.outgoing.remove(&id);
            }
            Event::Unknown { id } => {
                self.echoes.remove(&id);
                self.settle(id, |tally| &mut tally.unknown, |message| Notice::Unknown { message });
            }
            Event::Kept { id } => {
                self.settle(id, |tally| &mut tally.kept, |message| Notice::Kept { message });
            }
            Event::Waiting { conversation, address, count } => {
                self.meet(conversation, address, None, Presence::Awaited, wall);
                let party = self.party(conversation);
                self.notices.push_back(Notice::Waiting { party, count });
            }
            Event::Held { id } => self.hold(id),
            Event::Member { event, .. } => {
                let notices = self.relay.as_mut().map(|relay| relay.handle(event));
                self.notices.extend(notices.into_iter().flatten());
                self.leave_lost_room();
                self.tell_receiver();
            }
            // Only whoever was refused waits for this.
            Event::Writable { .. } => {}
        }
    }

    /// Notes that a conversation was begun, or found again.
    pub fn opened(&mut self, conversation: ConversationId, address: SocketAddr, wall: WallTime) {
        let gone = self.presence(conversation).is_none_or(|presence| presence == Presence::Gone);
        if gone {
            self.meet(conversation, address, None, Presence::Awaited, wall);
        }
    }

    /// Notes that we are, or will be, a member of a relay.
    pub fn attend(&mut self, relay: RelayState) {
        self.relay = Some(relay);
    }

    /// The relay that we are at.
    pub const fn relay(&self) -> Option<&RelayState> {
        self.relay.as_ref()
    }

    /// The same, to note what was asked.
    pub const fn relay_mut(&mut self) -> Option<&mut RelayState> {
        self.relay.as_mut()
    }

    /// Notes that the peer took a message, or an echo, which is still open when it was delivered: it has to come back.
    pub fn sent(&mut self, id: MessageId, to: Destination, text: &str, is_echo: bool) {
        let preview = filter::shorten(text, PREVIEW_COLUMNS);
        let message = Outgoing { id: id.clone(), to: self.shown(&to), preview: preview.clone() };
        self.notices.push_back(Notice::Sent { message, text: text.to_owned(), is_echo });
        if is_echo {
            self.echoes.insert(id.clone(), to.conversation());
        }
        self.outgoing.insert(id, Pending { to, preview, is_held: false });
    }

    /// Notes that a message of an earlier run goes again.
    pub fn sent_again(&mut self, id: MessageId, to: Destination, text: &str) {
        let preview = filter::shorten(text, PREVIEW_COLUMNS);
        let message = Outgoing { id: id.clone(), to: self.shown(&to), preview: preview.clone() };
        self.notices.push_back(Notice::SentAgain { message, text: text.to_owned() });
        self.outgoing.insert(id, Pending { to, preview, is_held: false });
    }

    /// Notes that a text will not be given to the peer any more.
    pub fn not_sent(&mut self, to: Destination, text: &str) {
        self.not_sent += 1;
        let id = MessageId::new("unsent", self.not_sent);
        self.sent(id.clone(), to, text, false);
        self.settle(
            id,
            |tally| &mut tally.unsent,
            |message| Notice::Failed { message, reason: FailReason::NotSent },
        );
    }

    /// Adds something to show that no event told.
    pub fn tell(&mut self, notice: Notice) {
        self.notices.push_back(notice);
    }

    /// The next thing to show.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Whom a plain line goes to.
    pub const fn receiver(&self) -> Option<&Destination> {
        self.receiver.as_ref()
    }

    /// Has plain lines go to somebody whom the user named, and says so if that is new.
    pub fn choose_receiver(&mut self, to: impl Into<Destination>) {
        self.receiver_is_chosen = true;
        self.set_receiver(to.into());
    }

    /// Has plain lines go nowhere until somebody is named again.
    pub fn forget_receiver(&mut self) {
        self.receiver = None;
        self.receiver_is_chosen = true;
    }

    /// Has plain lines go to whoever wrote last to us alone, unless the user chose a receiver, or the one found so is still
    /// there. Nobody speaks to a room by accident.
    pub fn adopt_receiver(&mut self) {
        let is_there = |to: &Destination| {
            self.presence(to.conversation()).is_some_and(|presence| presence != Presence::Gone)
        };
        let is_settled = self.receiver_is_chosen || self.receiver.as_ref().is_some_and(is_there);
        let is_private = |to: &Destination| matches!(to, Destination::Peer(_) | Destination::Member { .. });
        let sender = self.last_sender.as_ref().map(|sender| &sender.to);
        if let Some(sender) = sender.filter(|to| !is_settled && is_private(to) && is_there(to)) {
            self.set_receiver(sender.clone());
        }
    }

    fn set_receiver(&mut self, to: Destination) {
        if self.receiver.replace(to.clone()).as_ref() != Some(&to) {
            self.receiver_is_told = false;
        }
        self.tell_receiver();
    }

    fn tell_receiver(&mut self) {
        let Some(to) = self.receiver.as_ref().filter(|_| !self.receiver_is_told) else { return };
        let is_outside = match (to, &self.relay) {
            (Destination::Room { room, .. }, Some(relay)) => !relay.is_in(room),
            _ => false,
        };
        if !is_outside {
            let shown = self.shown(to);
            self.notices.push_back(Notice::Receiver(shown));
            self.receiver_is_told = true;
        }
    }

    /// A line for a room that we were put out of, or left, must not go where it is refused, nor anywhere else.
    fn leave_lost_room(&mut self) {
        if let (Some(Destination::Room { room, .. }), Some(relay)) = (&self.receiver, &self.relay)
            && relay.is_member()
            && !relay.is_or_will_be_in(room)
        {
            self.receiver = None;
        }
    }

    /// Whom `/reply` answers.
    pub const fn last_sender(&self) -> Option<&Sender> {
        self.last_sender.as_ref()
    }

    /// Somebody whom words go to, as shown.
    pub fn shown(&self, to: &Destination) -> Receiver {
        match to {
            Destination::Peer(conversation) => Receiver::Peer(self.party(*conversation)),
            Destination::Room { room, .. } => Receiver::Room(room.clone()),
            Destination::Member { nick, .. } => Receiver::Member(nick.clone()),
            Destination::Everyone { .. } => Receiver::Everyone,
        }
    }

    /// The other side of a conversation.
    pub fn party(&self, conversation: ConversationId) -> Party {
        let known = self.contacts.get(&conversation).map(|contact| contact.party.clone());
        // The peer names no conversation that it did not tell of before; this keeps a mistake there from being a panic here.
        known.unwrap_or(Party { address: ([0, 0, 0, 0], 0).into(), nick: None })
    }

    /// Whether the other side is there; None for a conversation that nobody told of.
    pub fn presence(&self, conversation: ConversationId) -> Option<Presence> {
        self.contacts.get(&conversation).map(|contact| contact.presence)
    }

    /// The conversations with somebody who goes by this name, those that ended not counted.
    pub fn named<'a>(&'a self, nick: &'a str) -> impl Iterator<Item = ConversationId> + 'a {
        let matches = move |contact: &Contact| {
            contact.presence != Presence::Gone && contact.party.nick.as_deref() == Some(nick)
        };
        self.contacts
            .iter()
            .filter(move |(_, contact)| matches(contact))
            .map(|(&conversation, _)| conversation)
    }

    /// The conversation with whoever is at an address, if it has not ended.
    pub fn at(&self, address: SocketAddr) -> Option<ConversationId> {
        let open = |contact: &Contact| contact.presence != Presence::Gone && contact.party.address == address;
        self.contacts.iter().find(|(_, contact)| open(contact)).map(|(&conversation, _)| conversation)
    }

    /// Everybody we talk to or talked to.
    pub fn roster(&self) -> Vec<Member> {
        let member = |contact: &Contact| Member {
            party: contact.party.clone(),
            presence: contact.presence,
            since: contact.since,
        };
        self.contacts.values().map(member).collect()
    }

    /// How the messages ended whose outcome is known.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How many messages have no outcome yet. One that a relay keeps may have none for days, and is not waited for.
    pub fn pending(&self) -> usize {
        self.outgoing.values().filter(|pending| !pending.is_held).count()
    }

    /// How many of our messages a relay keeps.
    pub fn held(&self) -> usize {
        self.outgoing.len() - self.pending()
    }

    /// How many echoes may still come back.
    pub fn pending_echoes(&self) -> usize {
        self.echoes.len()
    }

    /// The events that tell who is there.
    fn follow_presence(&mut self, event: Event, wall: WallTime) {
        match event {
            Event::Connected { conversation, address, nick, key } => {
                self.meet(conversation, address, nick, Presence::Here, wall);
                self.tell_presence(
                    conversation,
                    |party| Notice::Connected { party, key },
                    |party| RelayNotice::Reached { party, key },
                );
            }
            Event::Renamed { conversation, before, nick } => {
                if let Some(contact) = self.contacts.get_mut(&conversation) {
                    contact.party.nick = Some(nick);
                    let party = contact.party.clone();
                    self.notices.push_back(Notice::Renamed { party, before });
                }
            }
            Event::Silent { conversation, address } => {
                self.meet(conversation, address, None, Presence::Silent, wall);
                self.tell_presence(conversation, Notice::Silent, RelayNotice::Silent);
            }
            Event::Resumed { conversation, address } => {
                self.meet(conversation, address, None, Presence::Here, wall);
                self.tell_presence(conversation, Notice::Resumed, RelayNotice::Resumed);
            }
            Event::Closed { conversation, address, reason } => {
                self.meet(conversation, address, None, Presence::Gone, wall);
                self.echoes.retain(|_, from| *from != conversation);
                let party = self.party(conversation);
                if let Some(relay) = self.relay.as_mut().filter(|relay| relay.conversation() == conversation)
                {
                    relay.close();
                    self.notices.push_back(Notice::Relay(RelayNotice::Closed { party, reason }));
                } else {
                    self.notices.push_back(Notice::Closed { party, reason });
                }
                self.forget_oldest_gone();
            }
            // The rest is about messages.
            _ => {}
        }
    }

    fn tell_presence(
        &mut self,
        conversation: ConversationId,
        of_peer: impl FnOnce(Party) -> Notice,
        of_relay: impl FnOnce(Party) -> RelayNotice,
    ) {
        let party = self.party(conversation);
        let is_relay = self.relay.as_ref().is_some_and(|relay| relay.conversation() == conversation);
        let notice = if is_relay { Notice::Relay(of_relay(party)) } else { of_peer(party) };
        self.notices.push_back(notice);
    }

    fn meet(
        &mut self,
        conversation: ConversationId,
        address: SocketAddr,
        nick: Option<String>,
        presence: Presence,
        wall: WallTime,
    ) {
        let party = Party { address, nick: None };
        let contact = self.contacts.entry(conversation).or_insert(Contact { party, presence, since: wall });
        contact.party.address = address;
        contact.party.nick = nick.or(contact.party.nick.take());
        if contact.presence != presence {
            contact.presence = presence;
            contact.since = wall;
        }
    }

    fn receive(&mut self, incoming: Incoming, wall: WallTime) {
        let Incoming {
            id,
            conversation,
            room,
            is_relayed,
            is_history,
            is_sealed,
            address,
            nick,
            text,
            sent_at,
            reply_to,
        } = incoming;
        let (relay, party) = (conversation, Party { address, nick: nick.clone() });
        // Nobody answers what nobody said. An answer to something said to all is for its author alone.
        let author = nick.clone().map(|nick| Destination::Member { relay, nick });
        let (to, way) = match (is_relayed, room) {
            (true, Some(room)) if room == EVERYONE => (author, Way::Everyone),
            (true, Some(room)) => {
                let is_only = self.relay.as_ref().is_some_and(RelayState::has_one_room);
                (Some(Destination::Room { relay, room: room.clone() }), Way::Room { room, is_only })
            }
            (true, None) => (author, Way::Letter { is_sealed }),
            (false, _) => {
                self.meet(conversation, address, nick, Presence::Here, wall);
                (Some(conversation.into()), Way::Direct)
            }
        };
        if let Some(to) = to {
            self.last_sender = Some(Sender { to, party: party.clone() });
        }
        let arrival = Arrival { id, from: party, way, is_history, text, sent_at, reply_to };
        self.notices.push_back(Notice::Message(arrival));
    }

    fn hold(&mut self, id: MessageId) {
        if let Some(pending) = self.outgoing.get_mut(&id) {
            pending.is_held = true;
            let (to, preview) = (pending.to.clone(), pending.preview.clone());
            let message = Outgoing { id, to: self.shown(&to), preview };
            self.notices.push_back(Notice::Held { message });
        }
    }

    fn settle(
        &mut self,
        id: MessageId,
        column: fn(&mut Tally) -> &mut u64,
        notice: impl FnOnce(Outgoing) -> Notice,
    ) {
        let Some(pending) = self.outgoing.remove(&id) else {
            log::warn!("an outcome was told for message {id}, which has none open");
            return;
        };
        *column(&mut self.tally) += 1;
        let message = Outgoing { id, to: self.shown(&pending.to), preview: pending.preview };
        self.notices.push_back(notice(message));
    }

    fn forget_oldest_gone(&mut self) {
        let receiver = self.receiver.as_ref().map(Destination::conversation);
        let last_sender = self.last_sender.as_ref().map(|sender| sender.to.conversation());
        let relay = self.relay.as_ref().map(RelayState::conversation);
        let needed = |conversation| [receiver, last_sender, relay].contains(&Some(conversation));
        let gone = |(&conversation, contact): (&ConversationId, &Contact)| {
            (contact.presence == Presence::Gone && !needed(conversation))
                .then_some((contact.since, conversation))
        };
        let gone: Vec<_> = self.contacts.iter().filter_map(gone).collect();
        if gone.len() > MAX_GONE
            && let Some((_, oldest)) = gone.into_iter().min()
        {
            self.contacts.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::News;
    use crate::peer::{Command, Id, MemberEvent, Named, Peer, PeerConfig};
    use crate::time::{Instant, Now};

    /// Two conversations as a peer would name them.
    fn conversations() -> [ConversationId; 2] {
        let now = Now { instant: Instant::ZERO, wall: WallTime::default() };
        let mut peer = Peer::new(PeerConfig::default(), 1, now);
        [6001, 6002].map(|port| {
            let addresses = vec![([127, 0, 0, 1], port).into()];
            match peer.handle_command(now, Command::Open { addresses, named: Named::default() }) {
                Ok(Id::Conversation(conversation)) => conversation,
                other => panic!("{other:?}"),
            }
        })
    }

    fn message(conversation: ConversationId, port: u16) -> Event {
        Event::Message(Incoming {
            id: MessageId::new("x", 1),
            conversation,
            room: None,
            is_relayed: false,
            is_history: false,
            is_sealed: false,
            address: ([127, 0, 0, 1], port).into(),
            nick: None,
            text: "hi".to_owned(),
            sent_at: WallTime::default(),
            reply_to: None,
        })
    }

    fn closed(conversation: ConversationId, port: u16) -> Event {
        Event::Closed {
            conversation,
            address: ([127, 0, 0, 1], port).into(),
            reason: crate::peer::CloseReason::Silent,
        }
    }

    #[test]
    fn receiver_that_nobody_chose_follows_whoever_is_there() {
        let [first, second] = conversations();
        let mut model = Model::default();
        model.adopt_receiver();
        assert_eq!(model.receiver(), None);
        for (event, receiver) in [
            (message(first, 6001), first),
            (message(second, 6002), first),
            (closed(first, 6001), second),
            (message(first, 6001), second),
        ] {
            model.handle_event(event, WallTime::default());
            model.adopt_receiver();
            assert_eq!(model.receiver(), Some(&receiver.into()));
        }
    }

    #[test]
    fn receiver_that_was_chosen_stays() {
        let [first, second] = conversations();
        let mut model = Model::default();
        model.choose_receiver(first);
        for event in [message(second, 6002), closed(first, 6001), message(second, 6002)] {
            model.handle_event(event, WallTime::default());
            model.adopt_receiver();
            assert_eq!(model.receiver(), Some(&first.into()));
        }
    }

    #[test]
    fn each_message_is_counted_once() {
        let [to, _] = conversations();
        let mut model = Model::default();
        let ids = [1, 2, 3].map(|number| MessageId::new("x", number));
        for id in &ids {
            model.sent(id.clone(), to.into(), "hi", false);
        }
        let [delivered, failed, unknown] = ids;
        let reason = FailReason::NoAnswer;
        let rtt = std::time::Duration::ZERO;
        for event in [
            Event::Delivered { id: delivered.clone(), rtt },
            Event::Delivered { id: delivered, rtt },
            Event::Failed { id: failed, reason },
            Event::Unknown { id: unknown },
        ] {
            model.handle_event(event, WallTime::default());
        }
        let expected = Tally { delivered: 1, unsent: 1, unknown: 1, ..Tally::default() };
        assert_eq!((model.tally(), model.pending()), (expected, 0));
    }

    #[test]
    fn echo_stays_open_until_it_is_back() {
        let [to, _] = conversations();
        let mut model = Model::default();
        let id = MessageId::new("x", 1);
        model.sent(id.clone(), to.into(), "hi", true);
        let rtt = std::time::Duration::ZERO;
        model.handle_event(Event::Delivered { id: id.clone(), rtt }, WallTime::default());
        assert_eq!((model.pending(), model.pending_echoes()), (0, 1));
        let text = "hi".to_owned();
        model.handle_event(Event::Echoed { id, conversation: to, text, rtt }, WallTime::default());
        assert_eq!(model.pending_echoes(), 0);
    }

    /// A model whose first conversation is with a relay, and that wants to be in two rooms.
    fn member() -> (Model, ConversationId) {
        let [relay, _] = conversations();
        let mut model = Model::default();
        let rooms = ["#sala", "#b"].map(str::to_owned);
        model.attend(RelayState::new(relay, "ana".to_owned(), rooms));
        let nick = "ana".to_owned();
        tell(
            &mut model,
            relay,
            MemberEvent::Entered { nick, motd: None, is_operator: false, is_return: false },
        );
        for room in ["#sala", "#b"] {
            let (room, topic, members) = (room.to_owned(), String::new(), Vec::new());
            tell(&mut model, relay, MemberEvent::Joined { room, topic, members, count: 1, is_return: false });
        }
        (model, relay)
    }

    fn tell(model: &mut Model, relay: ConversationId, event: MemberEvent) {
        model.handle_event(Event::Member { relay, event }, WallTime::default());
    }

    fn relayed(relay: ConversationId, room: Option<&str>) -> Event {
        let Event::Message(incoming) = message(relay, 6002) else { unreachable!() };
        let (room, nick) = (room.map(str::to_owned), Some("bob".to_owned()));
        Event::Message(Incoming { room, nick, is_relayed: true, ..incoming })
    }

    #[test]
    fn room_that_was_left_gets_no_line_and_no_other_does() {
        let (mut model, relay) = member();
        let sala = Destination::Room { relay, room: "#sala".to_owned() };
        model.choose_receiver(sala.clone());
        tell(&mut model, relay, MemberEvent::Parted { room: "#b".to_owned() });
        assert_eq!(model.receiver(), Some(&sala));
        let (room, by, reason) = (Some("#sala".to_owned()), "eve".to_owned(), String::new());
        tell(&mut model, relay, MemberEvent::News(News::Removed { room, by, reason }));
        assert_eq!(model.receiver(), None);
        model.handle_event(relayed(relay, None), WallTime::default());
        model.adopt_receiver();
        assert_eq!(model.receiver(), None, "the user had chosen");
    }

    #[test]
    fn answer_goes_back_where_the_words_came_from() {
        let (mut model, relay) = member();
        let bob = Destination::Member { relay, nick: "bob".to_owned() };
        let sala = Destination::Room { relay, room: "#sala".to_owned() };
        for (room, to) in [(Some("#sala"), &sala), (None, &bob), (Some("#sala"), &sala), (Some("*"), &bob)] {
            model.handle_event(relayed(relay, room), WallTime::default());
            assert_eq!(model.last_sender().map(|sender| &sender.to), Some(to), "{room:?}");
        }
    }

    #[test]
    fn room_is_named_while_there_are_two() {
        let (mut model, relay) = member();
        let way = |model: &mut Model| {
            while model.poll_notice().is_some() {}
            model.handle_event(relayed(relay, Some("#sala")), WallTime::default());
            match model.poll_notice() {
                Some(Notice::Message(Arrival { way: Way::Room { is_only, .. }, .. })) => is_only,
                other => panic!("{other:?}"),
            }
        };
        assert!(!way(&mut model));
        tell(&mut model, relay, MemberEvent::Parted { room: "#b".to_owned() });
        assert!(way(&mut model));
    }

    #[test]
    fn letter_that_a_relay_keeps_is_not_waited_for() {
        let (mut model, relay) = member();
        let id = MessageId::new("x", 1);
        let bob = Destination::Member { relay, nick: "bob".to_owned() };
        model.sent(id.clone(), bob, "hi", false);
        assert_eq!((model.pending(), model.held()), (1, 0));
        model.handle_event(Event::Held { id: id.clone() }, WallTime::default());
        assert_eq!((model.pending(), model.held()), (0, 1));
        model.handle_event(Event::Unknown { id }, WallTime::default());
        assert_eq!((model.held(), model.tally()), (0, Tally::default()));
    }
}
