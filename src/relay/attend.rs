//! Being in rooms: joining, leaving, and what members may change about them.

use super::answer::{Change, JoinWish, Pending, Purpose, RoomNews, Then};
use super::deliver::{self, attendance};
use super::inform::MAX_ROOMS;
use super::room::Room;
use super::session::{Asked, Member, SeatState};
use super::tail::Cursor;
use super::{Relay, What};
use crate::chat::{
    self, MAX_REMARK_BYTES, MAX_SECRET_BYTES, News, Receipt, RefusalCode, Request, cut, room_name,
};
use crate::endpoint::Handle;
use crate::ledger::{self, Identity, LogKey};
use crate::secure::{Secret, Stretched};
use crate::time::Now;

/// The most earlier lines that are counted back for one member. The ledger walks over each of them.
const MAX_NEWEST: u64 = 100_000;

/// Whether somebody may come into a room.
enum Door {
    /// Yes.
    Open,
    /// If what they say is the password that is kept so.
    Locked(Stretched),
}

impl Relay {
    /// A member, or a guest, asks for something: one receipt, whatever comes of it (UC-RELAY-003).
    pub(super) fn hear_request(&mut self, now: Now, handle: Handle, asked: Asked, request: Request) {
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.last_said = now.instant;
        }
        if let Request::Enter { nick, token, log, runs, everyone_after, .. } = request {
            let proof = self.proof_by(handle, token);
            let card = super::enter::Card { nick, proof, log, runs, everyone_after };
            return self.hear_enter(now, handle, asked, card);
        }
        if self.sessions.member(handle).is_none() {
            return self.refuse(now, handle, &asked, RefusalCode::NotEntered, "enter the relay first");
        }
        match request {
            Request::Enter { .. } => {}
            Request::Join { room, after, history, password } => {
                let Some(name) = room_name(&room) else {
                    return self.refuse_room_name(now, handle, &asked);
                };
                let wish = JoinWish { name, after, history, password, proven: None };
                self.hear_join(now, handle, asked, wish);
            }
            Request::Part { room, reason } => {
                self.hear_part(now, handle, &asked, &room, &reason.unwrap_or_default());
            }
            Request::Rename { nick } => self.hear_rename(now, handle, asked, nick),
            Request::Topic { room, text } => self.hear_topic(now, handle, asked, &room, &text),
            Request::Invite { room, nick } => {
                let Some(number) = self.own_room(now, handle, &asked, &room) else { return };
                let pending = Pending::Holder { handle, request: asked, then: Then::Invite { room: number } };
                self.ask_for(now, handle, ledger::Request::FindHolder { nick }, pending);
            }
            Request::Guard { room, password, invite_only, hidden } => {
                self.hear_guard(now, handle, asked, &room, (password, invite_only, hidden));
            }
            Request::Who { room } => self.hear_who(now, handle, &asked, room.as_deref()),
            Request::Rooms => {
                let pending = Pending::Rooms { handle, request: asked };
                let request = ledger::Request::ListRooms { most: MAX_ROOMS };
                self.ask_for(now, handle, request, pending);
            }
            Request::Key { nick } => {
                let pending =
                    Pending::Holder { handle, request: asked, then: Then::TellKey { nick: nick.clone() } };
                self.ask_for(now, handle, ledger::Request::FindHolder { nick }, pending);
            }
            Request::Authorize { secret } => self.hear_authorize(now, handle, &asked, &secret),
            Request::Moderate(action) => self.hear_moderation(now, handle, asked, action),
        }
    }

    fn refuse_room_name(&mut self, now: Now, handle: Handle, asked: &Asked) {
        let reason =
            "a room's name has 1 to 32 visible characters after its #, without spaces, commas, # and *";
        self.refuse(now, handle, asked, RefusalCode::BadName, reason);
    }

    pub(super) fn hear_join(&mut self, now: Now, handle: Handle, asked: Asked, wish: JoinWish) {
        let Some(member) = self.sessions.member(handle) else {
            return;
        };
        let identity = member.identity;
        if self.room_numbers.contains_key(&wish.name) {
            return self.finish_join(now, handle, &asked, wish);
        }
        let request = ledger::Request::OpenRoom { name: wish.name.clone(), creator: Some(identity) };
        self.ask_for(now, handle, request, Pending::Join { handle, request: asked, wish });
    }

    /// A room that the ledger told of, unless somebody is in it already.
    pub(super) fn open_room(&mut self, room: ledger::Room) {
        if !self.rooms.contains_key(&room.number) {
            self.room_numbers.insert(room.name.clone(), room.number);
            self.rooms.insert(room.number, Room::new(room));
        }
    }

    pub(super) fn finish_join(&mut self, now: Now, handle: Handle, asked: &Asked, wish: JoinWish) {
        let number = self.room_numbers.get(&wish.name).copied();
        let result = number
            .ok_or((RefusalCode::NoSuchRoom, "there is no such room"))
            .and_then(|number| Ok((number, self.check_join(handle, number, &wish)?)));
        match result {
            Ok((number, Door::Open)) => self.sit_down(now, handle, number, &wish),
            Ok((number, Door::Locked(against))) => {
                self.forget_room_if_empty(now, Some(number));
                return self.try_password(now, handle, asked, wish, against);
            }
            Err((RefusalCode::Password, _)) => {
                self.forget_room_if_empty(now, number);
                return self.refuse_without_password(now, handle, asked);
            }
            Err((code, reason)) => {
                self.forget_room_if_empty(now, number);
                return self.refuse(now, handle, asked, code, reason);
            }
        }
        self.take(now, handle, &asked.0, asked.1);
        self.pump(now, handle);
    }

    /// Whether somebody may come in: the guards (UC-RELAY-015).
    fn check_join(
        &self,
        handle: Handle,
        number: u64,
        wish: &JoinWish,
    ) -> Result<Door, (RefusalCode, &'static str)> {
        let Some(member) = self.sessions.member(handle) else {
            return Err((RefusalCode::NotEntered, "enter the relay first"));
        };
        let Some(room) = self.rooms.get(&number).map(|room| &room.kept) else {
            return Err((RefusalCode::NoSuchRoom, "there is no such room"));
        };
        let others = member.seats.iter().filter(|seat| seat.room != number).count();
        if others >= self.config.limits.rooms_per_member {
            let reason = "you are in as many rooms as one may be; leave one first";
            return Err((RefusalCode::TooMany, reason));
        }
        let is_welcome = room.owner == member.identity
            || room.invited.contains(&member.identity)
            || self.operators.contains(&member.identity)
            || member.seat(number).is_some();
        if is_welcome {
            return Ok(Door::Open);
        }
        if room.is_invite_only {
            return Err((RefusalCode::InviteOnly, "only the invited may join this room"));
        }
        match (&room.password, &wish.password) {
            (None, _) => Ok(Door::Open),
            (Some(against), Some(_)) if wish.proven.as_ref() == Some(against) => Ok(Door::Open),
            (Some(_), Some(tried)) if tried.len() > MAX_SECRET_BYTES => {
                Err((RefusalCode::TooLong, "a password may have 128 bytes"))
            }
            (Some(against), Some(_)) => Ok(Door::Locked(against.clone())),
            (Some(_), None) => Err((RefusalCode::Password, "the room has a password")),
        }
    }

    /// Gives a member its seat, and a cursor where its wish says: behind what is known (UC-RELAY-012), or as much history as it
    /// wants (UC-RELAY-011).
    fn sit_down(&mut self, now: Now, handle: Handle, number: u64, wish: &JoinWish) {
        let Some(head) = self.rooms.get(&number).map(|room| room.tail.head()) else { return };
        let Some(session) = self.sessions.at(&handle) else { return };
        let address = session.address;
        let Some(member) = session.member() else { return };
        if member.sits_in(number) {
            // It gets the lines already, from where it asked for them first.
            return self.tell_room(now, handle, number, head);
        }
        let known = wish.after.filter(|_| member.knows_log).map(|after| after.min(head));
        let seek =
            if known.is_none() { wish.history.filter(|&newest| newest > 0 && newest < head) } else { None };
        let seek = seek.map(|newest| newest.min(MAX_NEWEST));
        let after = known.unwrap_or(if wish.history == Some(0) { head } else { 0 });
        let state = match seek {
            None => SeatState::Taken,
            Some(newest) => {
                let request = ledger::Request::Seek { log: LogKey::Room(number), newest };
                let pending = Pending::Seek { handle, room: number, head };
                SeatState::Seeking(self.ask_for(now, handle, request, pending))
            }
        };
        let operator = self.identity_of(handle).is_some_and(|identity| self.operators.contains(&identity));
        let Some(room) = self.rooms.get_mut(&number) else { return };
        let Some(member) = self.sessions.member_mut(handle) else { return };
        let was_seated = member.seat(number).is_some();
        let mut seat = deliver::seat(room, now, Cursor::at(after), state);
        if let Some(before) = member.seat(number) {
            seat.since = before.since;
        }
        member.seats.retain(|seat| seat.room != number);
        if !was_seated {
            let joined = attendance(member, address, now.wall, operator);
            // Its own coming is no news to a member: it begins after it.
            seat.presence = room.note(chat::Change::Joined { member: joined, stranger: member.is_stranger });
        }
        // Most members sit in one room for good.
        member.seats.reserve_exact(1);
        member.seats.push(seat);
        let nick = member.nick.clone();
        room.members.insert(handle);
        let name = room.kept.name.clone();
        let neighbours: Vec<Handle> = room.members.iter().copied().collect();
        self.tell_room(now, handle, number, head);
        if !was_seated {
            self.log(now, What::Joined { room: name, nick });
            for neighbour in neighbours {
                self.pump(now, neighbour);
            }
        }
    }

    fn tell_room(&mut self, now: Now, handle: Handle, number: u64, head: u64) {
        let Some(room) = self.rooms.get(&number) else { return };
        let (members, count) = self.attendance(room);
        let (room, topic) = (room.kept.name.clone(), room.kept.topic.clone());
        self.tell(now, handle, News::Room { room, head, topic, members, count });
    }

    fn hear_part(&mut self, now: Now, handle: Handle, asked: &Asked, room: &str, reason: &str) {
        let Some(number) = self.own_room(now, handle, asked, room) else { return };
        // Whoever is muted goes without a word.
        let is_muted = self.identity_of(handle).is_some_and(|identity| self.is_muted(now, identity));
        self.unseat(now, handle, number, if is_muted { "" } else { cut(reason, MAX_REMARK_BYTES) });
        self.take(now, handle, &asked.0, asked.1);
    }

    /// Takes a member out of one room.
    pub(super) fn unseat(&mut self, now: Now, handle: Handle, number: u64, reason: &str) {
        // What was said before is for it too.
        self.spread(now);
        let member = self.sessions.member_mut(handle);
        let Some(member) = member else { return };
        let nick = member.nick.clone();
        if let Some(index) = member.seats.iter().position(|seat| seat.room == number) {
            let seat = member.seats.remove(index);
            self.empty_seats(now, handle, &nick, &[seat], reason);
        }
    }

    /// The room of that name that the asker is in, or a refusal.
    pub(super) fn own_room(&mut self, now: Now, handle: Handle, asked: &Asked, room: &str) -> Option<u64> {
        let number = room_name(room).and_then(|name| self.room_numbers.get(&name).copied());
        let member = self.sessions.member(handle);
        let number = number.filter(|&number| member.is_some_and(|member| member.sits_in(number)));
        if number.is_none() {
            self.refuse(now, handle, asked, RefusalCode::NotJoined, "you are not in that room");
        }
        number
    }

    fn hear_topic(&mut self, now: Now, handle: Handle, asked: Asked, room: &str, text: &str) {
        let Some(number) = self.own_room(now, handle, &asked, room) else { return };
        let Some(room) = self.rooms.get(&number) else { return };
        if self.identity_of(handle).is_some_and(|identity| self.is_muted(now, identity)) {
            return self.refuse(now, handle, &asked, RefusalCode::Muted, "an operator muted you");
        }
        let text = cut(text, MAX_REMARK_BYTES);
        let room = ledger::Room { topic: text.to_owned(), ..room.latest() };
        let news = RoomNews::Topic { by: self.name_of(handle) };
        self.save_room(now, handle, asked, room, format!("set the topic: {text}"), news);
    }

    fn hear_guard(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        room: &str,
        (password, invite_only, hidden): (Option<Secret>, Option<bool>, Option<bool>),
    ) {
        let Some(number) = self.own_room(now, handle, &asked, room) else { return };
        if !self.may_guard(handle, number) {
            return self.refuse_to_guard(now, handle, &asked);
        }
        match password {
            Some(password) if password.len() > MAX_SECRET_BYTES => {
                let reason = "a password may have 128 bytes";
                self.refuse(now, handle, &asked, RefusalCode::TooLong, reason);
            }
            Some(password) if !password.is_empty() => {
                let purpose = Purpose::Guard { room: number, invite_only, hidden };
                self.keep_password(handle, asked, password, purpose);
            }
            password => {
                let kept = password.map(|_| None);
                self.guard(now, handle, asked, number, (kept, invite_only, hidden));
            }
        }
    }

    fn may_guard(&self, handle: Handle, number: u64) -> bool {
        let identity = self.identity_of(handle);
        let owner = self.rooms.get(&number).map(|room| room.kept.owner);
        identity.is_some_and(|identity| owner == Some(identity) || self.operators.contains(&identity))
    }

    fn refuse_to_guard(&mut self, now: Now, handle: Handle, asked: &Asked) {
        let reason = "only the one who made the room, or an operator, may do that";
        self.refuse(now, handle, asked, RefusalCode::Forbidden, reason);
    }

    /// Changes who may come in, the password too if it is there: to none, or to one that is stretched.
    pub(super) fn guard(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        number: u64,
        (password, invite_only, hidden): (Option<Option<Stretched>>, Option<bool>, Option<bool>),
    ) {
        // While a password was stretched, its owner may have gone, or lost the right.
        if !self.may_guard(handle, number) {
            return self.refuse_to_guard(now, handle, &asked);
        }
        let Some(room) = self.rooms.get(&number) else {
            return self.refuse(now, handle, &asked, RefusalCode::NoSuchRoom, "there is no such room");
        };
        let mut room = room.latest();
        room.password = password.unwrap_or(room.password);
        room.is_invite_only = invite_only.unwrap_or(room.is_invite_only);
        room.is_hidden = hidden.unwrap_or(room.is_hidden);
        let action = format!(
            "guards it: password {}, invited only {}, hidden {}",
            yes(room.password.is_some()),
            yes(room.is_invite_only),
            yes(room.is_hidden)
        );
        self.save_room(now, handle, asked, room, action, RoomNews::None);
    }

    /// A room that would be new, and would be taken for another one (UC-RELAY-028).
    pub(super) fn refuse_look_alike(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        name: &str,
        other: &ledger::Room,
    ) {
        let member = self.sessions.member(handle);
        let other = member.filter(|member| self.may_know(member, other)).map(|_| other.name.clone());
        let like = other.as_deref().unwrap_or("another room");
        let reason = format!(
            "{name} looks like {like}, which is there already; join that, or choose a name that differs more"
        );
        let receipt = Receipt {
            code: Some(RefusalCode::LookAlike),
            suggestion: other.map(Into::into),
            ..Receipt::refused(asked.0, asked.1, reason)
        };
        self.receipt(now, handle, receipt);
    }

    /// Lets somebody into a room for the invited.
    pub(super) fn invite(&mut self, now: Now, handle: Handle, asked: Asked, number: u64, guest: Identity) {
        /// More than any room has members who must be named.
        const MAX_INVITED: usize = 4_096;
        let Some(room) = self.rooms.get(&number) else {
            return self.refuse(now, handle, &asked, RefusalCode::NoSuchRoom, "there is no such room");
        };
        let mut room = room.latest();
        if !room.invited.contains(&guest) {
            if room.invited.len() >= MAX_INVITED {
                let reason = "as many are invited to this room as may be";
                return self.refuse(now, handle, &asked, RefusalCode::TooMany, reason);
            }
            room.invited.push(guest);
        }
        let news = RoomNews::Invitation { guest, by: self.name_of(handle) };
        self.save_room(now, handle, asked, room, "invited somebody".to_owned(), news);
    }

    fn save_room(
        &mut self,
        now: Now,
        handle: Handle,
        asked: Asked,
        room: ledger::Room,
        action: String,
        news: RoomNews,
    ) {
        if let Some(open) = self.rooms.get_mut(&room.number) {
            open.begin_change(room.clone());
        }
        let what = What::Room { room: room.name.clone(), nick: self.name_of(handle), action };
        let change = Change::Room { kept: Box::new(room.clone()), news };
        let pending = Pending::Save { handle, request: asked, what, change };
        self.ask_for(now, handle, ledger::Request::SaveRoom(room), pending);
    }

    /// A room that nobody is in is the ledger's alone; and one that nobody would miss not even that.
    pub(super) fn forget_room_if_empty(&mut self, now: Now, number: Option<u64>) {
        let Some(number) = number else { return };
        if self.rooms.get(&number).is_none_or(|room| !room.members.is_empty()) {
            return;
        }
        let Some(room) = self.rooms.remove(&number) else { return };
        self.room_numbers.remove(&room.kept.name);
        // Whoever the ledger is opening it for now would sit in a room that is not there.
        let is_awaited = |pending: &Pending| {
            matches!(pending, Pending::Join { wish, .. } if wish.name == room.kept.name)
                || matches!(pending, Pending::Save { change: Change::Room { kept, .. }, .. } if kept.number == number)
        };
        if room.tail.head() == 0 && room.kept.is_plain() && !self.jobs.values().any(is_awaited) {
            let _ = self.ask(now, ledger::Request::ForgetRoom { number }, Pending::Forget);
        }
    }

    pub(super) fn name_of(&self, handle: Handle) -> String {
        self.sessions.at(&handle).and_then(|session| session.nick()).unwrap_or_default().to_owned()
    }

    pub(super) fn identity_of(&self, handle: Handle) -> Option<Identity> {
        let member: &Member = self.sessions.at(&handle)?.member()?;
        Some(member.identity)
    }
}

const fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Whether two secrets are the same, in a time that depends on their lengths alone.
pub(super) fn is_same_secret(right: &str, tried: &str) -> bool {
    let difference = right.bytes().zip(tried.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b));
    right.len() == tried.len() && difference == 0
}
