//! What a relay knows of one connection: a guest, or a member with its seats and cursors.

use std::net::SocketAddr;

use super::tail::Cursor;
use crate::bucket::Bucket;
use crate::chat::MessageId;
use crate::endpoint::{Backlog, Handle};
use crate::ledger::{Identity, Proof};
use crate::time::{Instant, WallTime};

/// A request's name, and when it was made.
pub(super) type Asked = (MessageId, WallTime);

/// Every connection that may say something, at the place that its handle names: whoever speaks and whoever hears is looked up for
/// every packet.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    places: Vec<Option<(Handle, Box<Session>)>>,
    count: usize,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) address: SocketAddr,
    /// The last time that it said something.
    pub(super) last_said: Instant,
    pub(super) phase: Phase,
    pub(super) bucket: Bucket,
    pub(super) receipt_bucket: Bucket,
    /// Jobs at the ledger for what it said: while there are many, nothing more of it is read.
    pub(super) jobs: usize,
    /// News that wait for room, oldest first.
    pub(super) outbox: Backlog,
    /// Receipts that wait for room.
    pub(super) receipts: Backlog,
    /// Whether more could go out if there were room.
    pub(super) is_stalled: bool,
    /// When it is to be looked at again.
    pub(super) wake_at: Option<Instant>,
}

/// How far somebody has come in.
#[derive(Debug)]
pub(super) enum Phase {
    /// Connected, and nothing more; until this time.
    Guest { until: Instant },
    /// The ledger is looking up who it is.
    Entering(Box<Entering>),
    /// In.
    Member(Box<Member>),
    /// Sent away: nothing of it is read any more, and what it was is gone.
    Leaving,
}

/// Somebody whom the ledger is looking up.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) nick: String,
    pub(super) proof: Proof,
    /// The request, and when it was said.
    pub(super) request: Asked,
    /// The cursors that it came with, if they are of our log.
    pub(super) knows_log: bool,
    /// Positions above it that are known are of entries that this ledger does not have.
    pub(super) void_after: Option<u64>,
    pub(super) everyone_after: Option<u64>,
    /// What a connection of the same person left behind.
    pub(super) inherited: Vec<Seat>,
}

/// Somebody who is in.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) nick: String,
    pub(super) identity: Identity,
    pub(super) proof: Proof,
    /// Whether the name was somebody else's before.
    pub(super) is_stranger: bool,
    pub(super) since: WallTime,
    /// Whether positions that it names are of our log.
    pub(super) knows_log: bool,
    pub(super) seats: Vec<Seat>,
    pub(super) everyone: Cursor,
    pub(super) letters: Letters,
    /// Whether another name is being written down for it: until then nothing more of it is read.
    pub(super) is_renaming: bool,
    /// Whether a password that it said is being stretched: until then nothing more of it is read either.
    pub(super) is_proving: bool,
    /// Presence messages that are under way, by their number in the stream.
    pub(super) presence_under_way: Vec<u64>,
}

/// A member's place in a room.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) room: u64,
    pub(super) since: WallTime,
    pub(super) cursor: Cursor,
    /// The last change of the room's presence that was sent.
    pub(super) presence: u64,
    pub(super) state: SeatState,
}

/// Whether a seat is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SeatState {
    /// Its member gets the room's lines.
    Taken,
    /// Its member is to get them once the ledger has found where to begin: the answer to this ticket.
    Seeking(u64),
    /// A connection of the same person had it: it is kept until this time for the new one to join.
    Kept(Instant),
}

/// The letters to a member.
#[derive(Debug, Default)]
pub(super) struct Letters {
    pub(super) cursor: Cursor,
    /// Whether the mailbox may hold more than was sent.
    pub(super) is_behind: bool,
}

impl Sessions {
    pub(super) fn at(&self, handle: &Handle) -> Option<&Session> {
        let (holder, session) = self.places.get(handle.place())?.as_ref()?;
        (holder == handle).then_some(session)
    }

    pub(super) fn at_mut(&mut self, handle: &Handle) -> Option<&mut Session> {
        let (holder, session) = self.places.get_mut(handle.place())?.as_mut()?;
        (holder == handle).then_some(session)
    }

    pub(super) fn insert(&mut self, handle: Handle, session: Session) {
        if self.places.len() <= handle.place() {
            self.places.resize_with(handle.place() + 1, || None);
        }
        let before = self.places[handle.place()].replace((handle, Box::new(session)));
        self.count += usize::from(before.is_none());
    }

    pub(super) fn remove(&mut self, handle: &Handle) -> Option<Session> {
        let place = self.places.get_mut(handle.place())?;
        let (_, session) = place.take_if(|(holder, _)| holder == handle)?;
        self.count -= 1;
        Some(*session)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Handle, &Session)> {
        self.places.iter().flatten().map(|(handle, session)| (*handle, &**session))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Handle> {
        self.iter().map(|(handle, _)| handle)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Session> {
        self.iter().map(|(_, session)| session)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whoever is in, on that connection.
    pub(super) fn member(&self, handle: Handle) -> Option<&Member> {
        self.at(&handle)?.member()
    }

    pub(super) fn member_mut(&mut self, handle: Handle) -> Option<&mut Member> {
        self.at_mut(&handle)?.member_mut()
    }
}

impl Session {
    pub(super) fn member(&self) -> Option<&Member> {
        match &self.phase {
            Phase::Member(member) => Some(member),
            Phase::Guest { .. } | Phase::Entering(_) | Phase::Leaving => None,
        }
    }

    pub(super) fn member_mut(&mut self) -> Option<&mut Member> {
        match &mut self.phase {
            Phase::Member(member) => Some(member),
            Phase::Guest { .. } | Phase::Entering(_) | Phase::Leaving => None,
        }
    }

    /// The name that it goes by, or is about to.
    pub(super) fn nick(&self) -> Option<&str> {
        match &self.phase {
            Phase::Guest { .. } | Phase::Leaving => None,
            Phase::Entering(entering) => Some(&entering.nick),
            Phase::Member(member) => Some(&member.nick),
        }
    }
}

impl Member {
    pub(super) fn seat(&self, room: u64) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.room == room)
    }

    pub(super) fn seat_mut(&mut self, room: u64) -> Option<&mut Seat> {
        self.seats.iter_mut().find(|seat| seat.room == room)
    }

    /// Whether the ledger reads for it, or what was read waits for room.
    pub(super) fn has_page(&self) -> bool {
        self.everyone.has_page()
            || self.letters.cursor.has_page()
            || self.seats.iter().any(|seat| seat.cursor.has_page())
    }

    /// Whether it is in a room now.
    pub(super) fn sits_in(&self, room: u64) -> bool {
        self.seat(room).is_some_and(|seat| !matches!(seat.state, SeatState::Kept(_)))
    }
}
