//! A node that is a whole peer at a hall's relay, with a user who follows the script and, when refused, tries again.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::chatter;
use super::deed::{Audience, Deed};
use super::disk::token_of;
use super::node::{Estate, Fate, Node, Report, Wish, text};
use super::scenario::{Action, AttendeePlan, NAMES, Place, ROOMS};
use crate::chat::{EVERYONE, MessageId, News, RefusalCode, Request};
use crate::endpoint::Endpoint;
use crate::machine::{Path, Transmit};
use crate::peer::{
    Command, ConversationId, Destination, Event, Id, MemberEvent, Membership, Named, Peer, Refusal,
    RelayMemory, RoomWish, SeenLetter,
};
use crate::random::{Random, keyed_draw};
use crate::time::{Instant, Now};

/// A peer and its user.
#[derive(Debug)]
pub struct Attendee {
    peer: Peer,
    /// Its place in the scenario, which is who it is.
    node: usize,
    hall: SocketAddr,
    plan: AttendeePlan,
    diary: Diary,
    /// How far it was shown, which is stored now and then.
    latest: RelayMemory,
    store_at: Option<Instant>,
    relay: Option<ConversationId>,
    is_in: bool,
    inside: BTreeSet<String>,
    /// What the user does by and by.
    chores: BTreeSet<(Instant, Chore)>,
    /// Whom an answer would go to.
    last_from: Option<Audience>,
    random: Random,
    /// Whether its user named the hall's address since that was last reported.
    has_named: bool,
    deeds: Vec<Deed>,
}

/// What an attendee knows after a restart.
#[derive(Clone, Debug)]
pub struct Diary {
    is_wanted: bool,
    nick: String,
    rooms: BTreeSet<String>,
    memory: RelayMemory,
    /// Sealed letters that were shown.
    pub(super) letters: Vec<SeenLetter>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    Attend,
    EnterAs(String),
    Join(String),
}

impl Diary {
    /// Of somebody who has never been anywhere.
    fn new(plan: &AttendeePlan) -> Self {
        Self {
            is_wanted: false,
            nick: NAMES[plan.name % NAMES.len()].to_owned(),
            rooms: ROOMS.iter().take(plan.rooms).map(|room| (*room).to_owned()).collect(),
            memory: RelayMemory::default(),
            letters: Vec::new(),
        }
    }
}

impl Attendee {
    /// The user of `peer`, who goes on where the diary ends.
    pub fn new(
        peer: Peer,
        node: usize,
        hall: SocketAddr,
        plan: AttendeePlan,
        diary: Option<Diary>,
        seed: u64,
        now: Now,
    ) -> Self {
        let diary = diary.unwrap_or_else(|| Diary::new(&plan));
        let mut attendee = Self {
            peer,
            node,
            hall,
            plan,
            latest: diary.memory.clone(),
            store_at: None,
            relay: None,
            is_in: false,
            inside: BTreeSet::new(),
            chores: BTreeSet::new(),
            last_from: None,
            random: Random::from_seed(seed),
            has_named: false,
            deeds: diary.rooms.iter().map(|room| wished(room, true)).collect(),
            diary,
        };
        if attendee.diary.is_wanted {
            attendee.chores.insert((now.instant, Chore::Attend));
        }
        attendee
    }

    fn attend(&mut self, now: Now) {
        (self.diary.is_wanted, self.has_named) = (true, true);
        let rooms = self.diary.rooms.iter().map(|room| RoomWish {
            room: room.clone(),
            history: self.plan.history,
            password: None,
        });
        let membership = Membership {
            nick: self.diary.nick.clone(),
            token: token_of(self.node),
            rooms: rooms.collect(),
            memory: self.latest.clone(),
            patience: self.plan.patience,
            keep_calling: false,
        };
        let attend = Command::Attend { addresses: vec![self.hall], named: Named::default(), membership };
        match self.peer.handle_command(now, attend) {
            Ok(Id::Conversation(id)) => self.relay = Some(id),
            Ok(_) => {}
            Err(error) => self.deeds.push(Deed::Told { what: chatter::word_of(error) }),
        }
    }

    fn ask(&mut self, now: Now, request: Request) -> Option<MessageId> {
        match self.peer.handle_command(now, Command::Ask { relay: self.relay?, request }) {
            Ok(Id::Message(id)) => Some(id),
            Ok(_) => None,
            Err(error) => {
                self.deeds.push(Deed::Told { what: chatter::word_of(error) });
                None
            }
        }
    }

    fn say(&mut self, now: Now, to: Audience, text: String) {
        let Some(relay) = self.relay else { return };
        let command = match &to {
            Audience::Relay => Command::Echo { to: relay, text: text.clone() },
            Audience::Room(room) => {
                Command::Say { to: Destination::Room { relay, room: room.clone() }, text: text.clone() }
            }
            Audience::Everyone => Command::Say { to: Destination::Everyone { relay }, text: text.clone() },
            Audience::Member(nick) => {
                Command::Say { to: Destination::Member { relay, nick: nick.clone() }, text: text.clone() }
            }
        };
        self.command(now, command, to, text);
    }

    fn command(&mut self, now: Now, command: Command, to: Audience, text: String) {
        match self.peer.handle_command(now, command) {
            Ok(Id::Message(id)) => self.deeds.push(Deed::Spoke { id, to, text }),
            Ok(_) => {}
            Err(error) => self.deeds.push(Deed::Told { what: chatter::word_of(error) }),
        }
    }

    fn report(&mut self, reports: &mut Vec<Report>) {
        if std::mem::take(&mut self.has_named) {
            reports.push(Report::Named { to: self.hall });
        }
        reports.extend(self.deeds.drain(..).map(Report::Deed));
    }

    /// Some time from now, as people take it.
    fn soon(&mut self, now: Now) -> Instant {
        now.instant + Duration::from_micros(self.random.between(500_000, PAUSE_US))
    }

    fn do_chores(&mut self, now: Now) {
        while let Some((at, chore)) = self.chores.pop_first() {
            if at > now.instant {
                self.chores.insert((at, chore));
                return;
            }
            match chore {
                Chore::Attend if self.diary.is_wanted && self.relay.is_none() => self.attend(now),
                Chore::EnterAs(nick) if !self.is_in => _ = self.ask(now, Request::Rename { nick }),
                Chore::Join(room) if self.diary.rooms.contains(&room) && !self.inside.contains(&room) => {
                    _ = self.ask(now, join(room));
                }
                _ => {}
            }
        }
    }

    fn store(&mut self) {
        self.store_at = None;
        self.diary.memory.clone_from(&self.latest);
        self.deeds.push(Deed::Noted);
    }

    fn hear(&mut self, now: Now, event: Event) {
        let fate = |id, fate| Deed::Fate { id, fate };
        let deed = match event {
            Event::Message(incoming) => {
                self.last_from = match (&incoming.room, &incoming.nick) {
                    (Some(room), _) if room != EVERYONE => Some(Audience::Room(room.clone())),
                    (_, Some(nick)) => Some(Audience::Member(nick.clone())),
                    (_, None) => None,
                };
                let (id, nick) = (incoming.id, incoming.nick);
                Deed::Shown { id, nick, room: incoming.room, text: incoming.text }
            }
            Event::Echoed { id, text, .. } => Deed::Echoed { id, text },
            Event::Delivered { id, .. } => fate(id, Fate::Delivered),
            Event::Failed { id, reason } => fate(id, Fate::Failed(reason)),
            Event::Unknown { id } => fate(id, Fate::Unknown),
            Event::Held { id } => Deed::Held { id },
            Event::Member { event, .. } => return self.hear_member(now, event),
            Event::Closed { reason, .. } => {
                self.lose();
                self.relay = None;
                if self.diary.is_wanted {
                    let at = self.soon(now);
                    self.chores.insert((at, Chore::Attend));
                }
                Deed::Left { why: reason.to_string() }
            }
            Event::Connected { .. } => Deed::Told { what: "connected" },
            Event::Renamed { .. } => Deed::Told { what: "relay-renamed" },
            Event::Silent { .. } => Deed::Told { what: "silent" },
            Event::Resumed { .. } => Deed::Told { what: "resumed" },
            Event::Writable { .. } => Deed::Told { what: "writable" },
            Event::Kept { .. } | Event::Waiting { .. } => Deed::Told { what: "waiting" },
            Event::Key { .. } => Deed::Told { what: "key" },
        };
        self.deeds.push(deed);
    }

    fn hear_member(&mut self, now: Now, event: MemberEvent) {
        let deed = match event {
            MemberEvent::Entered { nick, is_return, .. } => {
                self.is_in = true;
                // It may have lost the relay and found it again without a word between.
                self.inside.clear();
                self.diary.nick.clone_from(&nick);
                let log = self.latest.log.as_deref().and_then(|log| log.parse().ok()).unwrap_or(0);
                if is_return {
                    self.deeds.push(Deed::Told { what: "returned" });
                }
                Deed::Entered { nick, log }
            }
            MemberEvent::NotEntered(refusal) => self.stay_outside(now, refusal),
            MemberEvent::Joined { room, .. } => {
                self.inside.insert(room.clone());
                Deed::Joined { room }
            }
            MemberEvent::NotJoined { room, .. } => {
                let at = self.soon(now);
                self.chores.insert((at, Chore::Join(room)));
                Deed::Told { what: "not-joined" }
            }
            MemberEvent::Parted { room } => {
                self.inside.remove(&room);
                Deed::Parted { room }
            }
            MemberEvent::News(News::Renamed { before, nick }) if before == self.diary.nick => {
                self.diary.nick.clone_from(&nick);
                Deed::Called { nick }
            }
            MemberEvent::Done { result: Ok(()), .. } => Deed::Told { what: "done" },
            MemberEvent::Done { result: Err(_), .. } => Deed::Told { what: "not-done" },
            MemberEvent::Reconnecting { .. } => {
                self.lose();
                Deed::Lost
            }
            MemberEvent::Came { .. } => Deed::Told { what: "came" },
            MemberEvent::Went { .. } => Deed::Told { what: "went" },
            MemberEvent::Roster { .. } => Deed::Told { what: "roster" },
            MemberEvent::SharedKey { .. } => Deed::Told { what: "shared-key" },
            MemberEvent::LetterRefused { .. } => Deed::Told { what: "letter-refused" },
            MemberEvent::News(_) => Deed::Told { what: "other-news" },
        };
        self.deeds.push(deed);
    }

    fn stay_outside(&mut self, now: Now, refusal: Refusal) -> Deed {
        // It may have been in, on a connection that the relay knows nothing of any more.
        self.lose();
        self.deeds.push(Deed::Lost);
        let at = self.soon(now);
        let (what, nick) = match refusal.code {
            RefusalCode::NameTaken => ("name-taken", refusal.suggestion),
            _ => ("not-entered", None),
        };
        let nick = nick.unwrap_or_else(|| self.diary.nick.clone());
        self.chores.insert((at, Chore::EnterAs(nick)));
        Deed::Told { what }
    }

    fn lose(&mut self) {
        self.is_in = false;
        self.inside.clear();
    }

    fn audience(&self, to: Place) -> Audience {
        match to {
            Place::Room(room) => Audience::Room(ROOMS[room % ROOMS.len()].to_owned()),
            Place::Everyone => Audience::Everyone,
            Place::Name(name) => Audience::Member(NAMES[name % NAMES.len()].to_owned()),
            Place::Relay => Audience::Relay,
        }
    }

    fn act_on(&mut self, now: Now, action: &Action, key: u64) {
        match action {
            Action::Attend if self.relay.is_none() => self.attend(now),
            Action::Attend => self.diary.is_wanted = true,
            Action::Leave => {
                self.diary.is_wanted = false;
                if let Some(conversation) = self.relay {
                    // A conversation that is over needs no goodbye.
                    let _ = self.peer.handle_command(now, Command::Close { conversation });
                }
            }
            Action::Speak { to, length, count } => {
                for number in 0..u64::from(*count) {
                    self.say(now, self.audience(*to), text(keyed_draw(&[key, number]), *length));
                }
            }
            Action::Reply { length } => {
                if let Some(to) = self.last_from.clone().filter(|_| self.relay.is_some()) {
                    let text = text(key, *length);
                    self.command(now, Command::Reply { text: text.clone() }, to, text);
                }
            }
            Action::Join { room } => {
                let room = ROOMS[*room % ROOMS.len()].to_owned();
                if self.diary.rooms.insert(room.clone()) {
                    self.deeds.push(wished(&room, true));
                    _ = self.ask(now, join(room));
                }
            }
            Action::Part { room } => {
                let room = ROOMS[*room % ROOMS.len()].to_owned();
                if self.diary.rooms.remove(&room) {
                    self.deeds.push(wished(&room, false));
                    _ = self.ask(now, Request::Part { room, reason: None });
                }
            }
            Action::Rename { name } => {
                let nick = NAMES[*name % NAMES.len()].to_owned();
                _ = self.ask(now, Request::Rename { nick });
            }
            Action::Shutdown => {
                self.diary.is_wanted = false;
                // Shutting down is never refused.
                let _ = self.peer.handle_command(now, Command::Shutdown);
            }
            _ => {}
        }
    }
}

/// The longest that a user waits before trying again, in microseconds.
const PAUSE_US: u64 = 3_000_000;

/// The longest that a user waits before trying again.
pub const LONGEST_PAUSE: Duration = Duration::from_micros(PAUSE_US);

fn wished(room: &str, is_wish: bool) -> Deed {
    Deed::Wished { room: room.to_owned(), is_wish }
}

const fn join(room: String) -> Request {
    Request::Join { room, after: None, history: None, password: None }
}

impl Node for Attendee {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.peer.handle_datagram(now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        if self.store_at.is_some_and(|at| at <= now.instant) {
            self.store();
        }
        self.peer.handle_timeout(now);
        self.do_chores(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.peer.poll_transmit(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let peer = self.peer.poll_timeout().map(|(at, _)| at);
        let chore = self.chores.first().map(|(at, _)| *at);
        [peer, chore, self.store_at].into_iter().flatten().min()
    }

    fn follow(&mut self, now: Now, reports: &mut Vec<Report>) {
        let mut events = Vec::new();
        while let Some(event) = self.peer.poll_event() {
            events.push(event);
        }
        let mut is_changed = false;
        while let Some((_, memory)) = self.peer.poll_memory() {
            (self.latest, is_changed) = (memory, true);
        }
        for event in events {
            self.hear(now, event);
        }
        self.diary.letters.extend(std::iter::from_fn(|| self.peer.poll_seen_letter()));
        if is_changed && self.plan.store_every.is_zero() {
            self.store();
        } else if is_changed && self.store_at.is_none() {
            self.store_at = Some(now.instant + self.plan.store_every);
        }
        self.report(reports);
    }

    fn act(&mut self, now: Now, wish: &Wish<'_>, reports: &mut Vec<Report>) {
        self.act_on(now, wish.action, wish.key);
        self.report(reports);
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
        Estate::Diary(Box::new(self.diary.clone()))
    }
}
