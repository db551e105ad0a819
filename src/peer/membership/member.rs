//! What a member knows of its relay, across reconnects: how far it is in, its rooms, and how far it was shown their logs.
//!
//! Plain bookkeeping. It must never move a cursor back, except where a log's positions became void.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::letters::NameKeys;
use super::outbox::{Content, Entry, Outbox, Target, Text};
use super::{Membership, RelayMemory, RoomWish};
use crate::chat::{MAX_RUN_BYTES, MAX_RUNS, MessageId, Request};
use crate::endpoint::Handle;
use crate::peer::CloseReason;
use crate::random::Random;
use crate::secure::Secret;
use crate::time::{Instant, WallTime};

/// One membership.
#[derive(Debug)]
pub(in crate::peer) struct Member {
    /// The name that we have at the relay, or ask for.
    pub(super) nick: String,
    /// Every name of this run, the latest last: a line is ours if it has an id of ours and one of them.
    own_nicks: VecDeque<String>,
    pub(super) token: String,
    pub(super) patience: Option<Duration>,
    pub(super) keep_calling: bool,
    pub(super) memory: RelayMemory,
    /// The connections on which we said who we are, which comes before everything else.
    pub(super) introduced: Vec<Handle>,
    /// The connection to be a member on, once it is open.
    pub(super) connection: Option<Handle>,
    pub(super) phase: Phase,
    pub(super) rooms: Vec<Room>,
    pub(super) outbox: Outbox,
    /// Whose keys names stand for, as the relay told on this connection.
    pub(super) keys: NameKeys,
    /// Our own requests on this connection that have no receipt.
    pub(super) asked: BTreeMap<MessageId, OwnRequest>,
    /// The user's wish for another name that the next entry answers.
    pub(super) enter_for: Option<MessageId>,
    /// Whether the relay ever let us in.
    pub(super) has_entered: bool,
    /// The relay's clock when it let us in: letters stored before are history.
    pub(super) entered_at: WallTime,
    /// The last message to everyone when it let us in.
    pub(super) everyone_head: u64,
    pub(super) reconnect: Reconnect,
    /// Whether we said goodbye.
    pub(super) is_closing: bool,
}

/// How far in we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To ask for entry as soon as there is an open connection.
    Outside,
    /// Asked.
    Entering,
    /// Refused: another name may help.
    Refused,
    /// In.
    Inside,
}

/// What we asked because of what we are, and not because the user did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OwnRequest {
    Enter,
    Join { room: String },
    Key { nick: String },
}

/// A room that we are, were, or want to be in.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    pub(super) password: Option<Secret>,
    /// How many earlier lines to show at the first join.
    pub(super) history: Option<u64>,
    /// Whether to join it again after a reconnect.
    pub(super) is_wish: bool,
    pub(super) is_in: bool,
    /// Whether we were in it before, in this run.
    pub(super) was_in: bool,
    /// The request to join it that the relay has not answered.
    pub(super) asked: Option<MessageId>,
    /// How far it was shown in this run; None: nothing was.
    pub(super) cursor: Option<u64>,
    /// The last line when we joined.
    pub(super) head: u64,
}

/// How a relay that was lost, or somebody whom words wait for, is tried again.
#[derive(Debug)]
pub(in crate::peer) struct Reconnect {
    attempts: u32,
    /// When to try next.
    pub(in crate::peer) retry_at: Option<Instant>,
    /// Since when we have not been in.
    pub(in crate::peer) lost_at: Option<Instant>,
    /// How the last connection or attempt ended.
    pub(in crate::peer) reason: CloseReason,
}

/// Names of one run that are remembered as ours.
const MAX_OWN_NICKS: usize = 16;

impl Member {
    pub(super) fn new(membership: Membership) -> Self {
        let Membership { nick, token, rooms, memory, patience, keep_calling } = membership;
        let mut member = Self {
            own_nicks: VecDeque::from([nick.clone()]),
            nick,
            token,
            patience,
            keep_calling,
            memory,
            introduced: Vec::new(),
            connection: None,
            phase: Phase::Outside,
            rooms: Vec::new(),
            outbox: Outbox::default(),
            keys: NameKeys::new(),
            asked: BTreeMap::new(),
            enter_for: None,
            has_entered: false,
            entered_at: WallTime::default(),
            everyone_head: 0,
            reconnect: Reconnect::default(),
            is_closing: false,
        };
        member.wish_for(rooms);
        member
    }

    /// Adds rooms to join; those that are known stay as they are.
    pub(super) fn wish_for(&mut self, wishes: Vec<RoomWish>) {
        for RoomWish { room, history, password } in wishes {
            match self.room_mut(&room) {
                Some(known) => known.is_wish = true,
                None => self.rooms.push(Room { is_wish: true, ..Room::new(room, history, password) }),
            }
        }
    }

    pub(super) fn room(&self, name: &str) -> Option<&Room> {
        self.rooms.iter().find(|room| room.name == name)
    }

    pub(super) fn room_mut(&mut self, name: &str) -> Option<&mut Room> {
        self.rooms.iter_mut().find(|room| room.name == name)
    }

    pub(super) fn forget_room(&mut self, name: &str) {
        self.rooms.retain(|room| room.name != name);
    }

    /// The request to be let in.
    pub(super) fn enter(&self) -> Request {
        Request::Enter {
            nick: self.nick.clone(),
            token: self.token.clone(),
            log: self.memory.log.clone(),
            runs: self.memory.runs.clone(),
            letters_after: self.memory.letters_after,
            everyone_after: self.memory.everyone_after,
        }
    }

    /// The request to be in a room: what was missed if anything was ever shown, or as much as the user wants.
    pub(super) fn join(&self, room: &Room) -> Request {
        let remembered = self.memory.rooms.get(&room.name).copied();
        // Whoever was in it and lost the relay before the first of the earlier lines came does without those, and not without
        // what was said since.
        let since = Some(room.head).filter(|&head| room.history.is_some() && head > 0);
        let after = room.cursor.or(remembered.filter(|_| room.history.is_none())).or(since);
        let history = room.history.filter(|_| after.is_none());
        Request::Join { room: room.name.clone(), after, history, password: room.password.clone() }
    }

    /// A request of the user's as it travels: a join that names no history asks for what was missed.
    pub(super) fn fill_in(&self, request: &Request) -> Request {
        match request {
            Request::Join { room, after: None, history: None, password } => {
                let shown = self.room(room).and_then(|room| room.cursor);
                let after = shown.or_else(|| self.memory.rooms.get(room).copied());
                Request::Join { room: room.clone(), after, history: None, password: password.clone() }
            }
            other => other.clone(),
        }
    }

    /// Whether something may go out now that we are in: words to a room, and what changes it, wait until we are in it, or know that
    /// we are not to be. A password that overtook the joining would be refused, and the words after it said in an open room.
    pub(super) fn may_send(&self, entry: &Entry) -> bool {
        match &entry.content {
            Content::Words(Text { to: Target::Room(name), .. }) => self.is_settled_about(name),
            Content::Request(ask) => match &ask.request {
                Request::Join { room, .. } | Request::Part { room, .. } => self.is_next_for(room, &entry.id),
                Request::Guard { room, .. } | Request::Topic { room, .. } | Request::Invite { room, .. } => {
                    self.is_settled_about(room)
                }
                _ => true,
            },
            Content::Words(_) => true,
        }
    }

    /// Whether we are in a room, or know that we are not to be.
    fn is_settled_about(&self, name: &str) -> bool {
        let is_to_come = || self.outbox.entries().any(|other| other.is_join_of(name));
        self.room(name)
            .is_none_or(|room| room.is_in || !room.is_wish && room.asked.is_none() && !is_to_come())
    }

    /// Whether a wish to join or to leave a room may go out: the one before it is answered. Its answer and what it brings may
    /// overtake each other, and the relay may still be looking the room up.
    pub(super) fn is_next_for(&self, name: &str, wish: &MessageId) -> bool {
        let first = self.outbox.entries().find(|other| other.is_join_of(name) || other.is_part_of(name));
        let asked = self.room(name).and_then(|room| room.asked.as_ref());
        let is_joining = asked.is_some_and(|asked| self.outbox.number(asked).is_none());
        !is_joining && first.is_none_or(|first| first.id == *wish)
    }

    /// The relay is asked to let us into a room.
    pub(super) fn note_join(&mut self, number: u64) {
        let Some(Content::Request(ask)) = self.outbox.entry(number).map(|entry| &entry.content) else {
            return;
        };
        let Request::Join { room: name, .. } = &ask.request else { return };
        let asked = self.outbox.entry(number).map(|entry| entry.id.clone());
        if let Some(room) = self.rooms.iter_mut().find(|room| room.name == *name) {
            room.asked = asked;
        }
    }

    /// We are in a room no longer; it is forgotten unless it is to be joined again.
    pub(super) fn leave_room(&mut self, name: &str) {
        if self.outbox.entries().any(|entry| entry.is_join_of(name)) {
            if let Some(room) = self.room_mut(name) {
                (room.is_in, room.is_wish) = (false, false);
            }
        } else {
            self.forget_room(name);
        }
    }

    /// The name that the relay gives us.
    pub(super) fn go_by(&mut self, nick: String) {
        if self.own_nicks.len() == MAX_OWN_NICKS && !self.own_nicks.contains(&nick) {
            self.own_nicks.pop_front();
        }
        if !self.own_nicks.contains(&nick) {
            self.own_nicks.push_back(nick.clone());
        }
        self.nick = nick;
    }

    /// Whether words came from this very run: they are shown as said, and not as heard (UC-RELAY-025). Somebody else
    /// could use ids like ours, and the relay says whose they are.
    pub(super) fn is_own(&self, run: &str, id: &MessageId, nick: Option<&str>) -> bool {
        let is_ours = id.as_str().strip_prefix(run).is_some_and(|rest| rest.starts_with('-'));
        is_ours && nick.is_some_and(|nick| self.own_nicks.iter().any(|own| own == nick))
    }

    /// The positions of another log mean nothing in this one. Tells whether it is another one.
    pub(super) fn follow_log(&mut self, log: String) -> bool {
        if self.memory.log.as_ref() == Some(&log) {
            return false;
        }
        let had_one = self.memory.log.is_some();
        self.memory = RelayMemory { log: Some(log), ..RelayMemory::default() };
        for room in &mut self.rooms {
            (room.cursor, room.head) = (None, 0);
        }
        had_one
    }

    /// What the relay's ledger had above `last` is not in it any more: other entries are there, or will be (UC-RELAY-029).
    pub(super) fn forget_after(&mut self, last: u64) {
        let RelayMemory { letters_after, everyone_after, rooms, letters_refused, .. } = &mut self.memory;
        let known = rooms.values_mut().chain(everyone_after.as_mut()).chain([letters_after]);
        let known = known
            .chain(self.rooms.iter_mut().flat_map(|room| room.cursor.iter_mut().chain([&mut room.head])));
        for pos in known {
            *pos = last.min(*pos);
        }
        letters_refused.retain(|&pos, _| pos <= last);
    }

    /// Remembers the runs that the relay tells, within bounds: it is a stranger.
    pub(super) fn note_runs(&mut self, runs: Vec<String>) {
        let is_fit = runs.len() <= MAX_RUNS && runs.iter().all(|run| run.len() <= MAX_RUN_BYTES);
        self.memory.runs = if is_fit { runs } else { Vec::new() };
    }

    /// How far a room has been shown, in this run and for the next one.
    pub(super) fn move_cursor(&mut self, room: &str, pos: u64) {
        if let Some(room) = self.room_mut(room) {
            room.cursor = Some(pos);
        }
        match self.memory.rooms.get_mut(room) {
            Some(shown) => *shown = pos.max(*shown),
            None => {
                self.memory.rooms.insert(room.to_owned(), pos);
            }
        }
    }

    /// The connection is gone: we are in no room, and nothing that was asked will be answered.
    pub(super) fn lose(&mut self, handle: Handle) {
        self.connection = None;
        self.phase = Phase::Outside;
        self.asked.clear();
        self.keys.clear();
        self.outbox.lose(handle);
        for room in &mut self.rooms {
            (room.is_in, room.asked) = (false, None);
        }
        for entry in self.outbox.entries() {
            if let Content::Request(ask) = &entry.content
                && let Request::Join { room: name, .. } = &ask.request
                && let Some(room) = self.rooms.iter_mut().find(|room| room.name == *name)
            {
                room.asked = Some(entry.id.clone());
            }
        }
        self.rooms.retain(|room| room.is_wish || room.asked.is_some());
    }

    /// Whether the relay's own word on something is awaited.
    pub(in crate::peer) fn is_awaiting(&self) -> bool {
        !self.asked.is_empty() || self.phase == Phase::Inside && self.outbox.awaited() > 0
    }

    /// What has no outcome, letters that the relay holds not counted.
    pub(in crate::peer) fn pending(&self) -> usize {
        self.outbox.awaited()
    }

    /// Whether waiting longer would change nothing: all is answered, or nothing will be while we are refused.
    pub(in crate::peer) fn is_settled(&self) -> bool {
        self.outbox.awaited() == 0 || self.phase == Phase::Refused
    }

    /// Whether we are in all rooms that we want, and were shown what had been said before; or refused.
    pub(in crate::peer) fn is_caught_up(&self) -> bool {
        let is_shown = |room: &Room| room.is_in && room.cursor.unwrap_or(0) >= room.head;
        match self.phase {
            Phase::Refused => true,
            Phase::Inside => self.rooms.iter().filter(|room| room.is_wish).all(is_shown),
            Phase::Outside | Phase::Entering => false,
        }
    }

    /// When to try again, or to give up.
    pub(in crate::peer) fn poll_timeout(&self) -> Option<Instant> {
        self.reconnect.retry_at.into_iter().chain(self.end_of_patience()).min()
    }

    pub(super) fn end_of_patience(&self) -> Option<Instant> {
        Some(self.reconnect.lost_at? + self.patience?)
    }

    /// How far the relay's logs have been shown.
    pub(in crate::peer) const fn memory(&self) -> &RelayMemory {
        &self.memory
    }

    /// We said goodbye: whatever ends the connection now is no loss.
    pub(in crate::peer) const fn set_closing(&mut self) {
        self.is_closing = true;
    }

    /// An attempt is under way.
    pub(in crate::peer) const fn set_retried(&mut self) {
        self.reconnect.retry_at = None;
    }
}

impl Room {
    pub(super) const fn new(name: String, history: Option<u64>, password: Option<Secret>) -> Self {
        Self {
            name,
            password,
            history,
            is_wish: false,
            is_in: false,
            was_in: false,
            asked: None,
            cursor: None,
            head: 0,
        }
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { attempts: 0, retry_at: None, lost_at: None, reason: CloseReason::NoAnswer { hint: None } }
    }
}

impl Reconnect {
    /// The first pause: a relay that only lost a connection is there at once.
    const FIRST: Duration = Duration::from_millis(250);
    /// The longest: a person who sees the relay come back should not wait longer.
    const LONGEST: Duration = Duration::from_secs(15);

    /// The next pause: twice the last one, and a quarter more or less, so that a thousand members do not come back at once.
    pub(in crate::peer) fn next_delay(&mut self, random: &mut Random) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.attempts.min(16)).min(Self::LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        let share_ppm = random.between(750_000, 1_250_000);
        doubled * u32::try_from(share_ppm).unwrap_or(1_000_000) / 1_000_000
    }

    /// We are in.
    pub(in crate::peer) const fn succeed(&mut self) {
        (self.attempts, self.retry_at, self.lost_at) = (0, None, None);
    }
}
