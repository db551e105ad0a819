//! Going: by a goodbye, by silence, by an operator's word, or because the same person came back on another connection.

use std::sync::Arc;

use super::answer::Pending;
use super::session::{Member, Phase, Seat, SeatState};
use super::{Closing, Relay, What};
use crate::arq::Closed;
use crate::chat::{Change, News, Said};
use crate::endpoint::Handle;
use crate::time::Now;

impl Relay {
    /// A connection is over: its member leaves every room, and its name is free.
    pub(super) fn forget(&mut self, now: Now, handle: Handle, closed: &Closed) {
        let Some(mut session) = self.sessions.remove(&handle) else {
            return;
        };
        if let Some(at) = session.wake_at.take() {
            self.wakes.remove(&(at, handle));
        }
        let reason = words_for(closed);
        let nick = session.nick().map(str::to_owned);
        self.log(now, What::Disconnected { address: session.address, nick, reason: reason.clone() });
        match session.phase {
            Phase::Guest { .. } | Phase::Leaving => {}
            Phase::Entering(entering) => {
                self.names.free(&entering.nick, handle);
                self.empty_seats(now, handle, &entering.nick, &entering.inherited, &reason);
            }
            Phase::Member(member) => self.dismiss(now, handle, &member, &reason),
        }
    }

    /// A member is none from now on, however long its connection takes to end: nothing more of it is read.
    pub(super) fn send_away(&mut self, now: Now, handle: Handle, reason: &str) {
        // What was said before is for it too.
        self.spread(now);
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        if let Phase::Member(member) = std::mem::replace(&mut session.phase, Phase::Leaving) {
            self.dismiss(now, handle, &member, reason);
        }
    }

    /// A member is no member any more.
    fn dismiss(&mut self, now: Now, handle: Handle, member: &Member, reason: &str) {
        self.names.free(&member.nick, handle);
        if self.by_identity.get(&member.identity) == Some(&handle) {
            self.by_identity.remove(&member.identity);
        }
        self.empty_seats(now, handle, &member.nick, &member.seats, reason);
    }

    /// Ends a connection of a person who is coming back on another one; tells which seats it had. The rooms hear nothing.
    pub(super) fn replace(&mut self, now: Now, ghost: Handle) -> Vec<Seat> {
        let Some(session) = self.sessions.at_mut(&ghost) else {
            return Vec::new();
        };
        let before = std::mem::replace(&mut session.phase, Phase::Leaving);
        let seats = match before {
            Phase::Guest { .. } | Phase::Leaving => Vec::new(),
            Phase::Entering(entering) => {
                self.names.free(&entering.nick, ghost);
                entering.inherited
            }
            Phase::Member(member) => {
                self.names.free(&member.nick, ghost);
                if self.by_identity.get(&member.identity) == Some(&ghost) {
                    self.by_identity.remove(&member.identity);
                }
                member.seats
            }
        };
        for seat in &seats {
            if let Some(room) = self.rooms.get_mut(&seat.room) {
                room.members.remove(&ghost);
            }
        }
        // A program that is still there hears why; one that is not, as is usual, hears nothing, and is not waited for.
        self.endpoint.give_up(now, ghost, "replaced", "you are here on another connection");
        seats
    }

    /// Takes somebody out of rooms, and tells those who stay (UC-RELAY-008).
    pub(super) fn empty_seats(&mut self, now: Now, handle: Handle, nick: &str, seats: &[Seat], reason: &str) {
        for seat in seats {
            let Some(room) = self.rooms.get_mut(&seat.room) else { continue };
            room.members.remove(&handle);
            room.note(Change::Left { nick: nick.to_owned(), reason: reason.to_owned() });
            let name = room.kept.name.clone();
            let neighbours: Vec<Handle> = room.members.iter().copied().collect();
            self.forget_room_if_empty(now, Some(seat.room));
            self.log(now, What::Left { room: name, nick: nick.to_owned(), reason: reason.to_owned() });
            for neighbour in neighbours {
                self.pump(now, neighbour);
            }
        }
    }

    /// Seats of a lost connection that its person did not take again in time.
    pub(super) fn give_up_kept_seats(&mut self, now: Now, handle: Handle) {
        let Some(member) = self.sessions.member_mut(handle) else {
            return;
        };
        let is_over = |seat: &Seat| matches!(seat.state, SeatState::Kept(until) if until <= now.instant);
        let over: Vec<Seat> = member.seats.extract_if(.., |seat| is_over(seat)).collect();
        let next = member.seats.iter().filter_map(|seat| match seat.state {
            SeatState::Kept(until) => Some(until),
            SeatState::Taken | SeatState::Seeking(_) => None,
        });
        let next = next.min();
        let nick = member.nick.clone();
        if let Some(at) = next {
            self.wake_session_at(handle, at);
        }
        self.empty_seats(now, handle, &nick, &over, "did not come back");
    }

    /// Takes in nothing more (UC-RELAY-021). What was said before is stored and confirmed, then everyone is told.
    pub(super) fn shut_down(&mut self, now: Now, reason: String) {
        if self.closing.is_none() {
            self.log(now, What::Relay { text: format!("closing: {reason}") });
            self.closing = Some(Closing { reason, is_told: false });
            self.give_up_passwords(now);
        }
    }

    pub(super) fn finish_closing(&mut self, now: Now) {
        let Some(closing) = self.closing.as_mut().filter(|closing| !closing.is_told) else {
            return;
        };
        // Pages are for nobody any more; what was said is for everybody.
        if self.jobs.values().any(Pending::is_the_members) {
            return;
        }
        closing.is_told = true;
        let reason = closing.reason.clone();
        self.spread(now);
        let news = Said::News(News::Closing { reason: reason.clone() });
        let body = self.encode_for_all(now.wall, None, news);
        for handle in self.sessions.keys().collect::<Vec<_>>() {
            // Behind what is under way, and before what would have followed.
            self.submit(handle, Arc::clone(&body));
            self.endpoint.close(now, handle, "done", &reason);
        }
    }
}

fn words_for(closed: &Closed) -> String {
    match closed {
        Closed::ByUs => "sent away".to_owned(),
        Closed::ByPeer { reason, .. } => reason.clone(),
        Closed::NoAnswer { .. } => "no answer".to_owned(),
        Closed::WrongKey { .. } => "another key answered".to_owned(),
        Closed::Silent => "connection lost: silent for too long".to_owned(),
        Closed::Restarted => "its program was started anew".to_owned(),
        Closed::Violation(violation) => format!("it broke the protocol: {}", violation.rule()),
    }
}
