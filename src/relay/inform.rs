//! Who is there, and where.

use super::Relay;
use super::deliver::attendance;
use super::session::{Asked, Member, Session};
use crate::chat::{Attendance, News, RefusalCode, RoomInfo, room_name};
use crate::endpoint::Handle;
use crate::ledger;
use crate::secure::PublicKey;
use crate::time::Now;

/// Members that one answer lists. More than a person reads; a program that wants them all is a member of the rooms.
const MAX_LISTED: usize = 1_000;

/// Rooms that one answer lists.
pub(super) const MAX_ROOMS: usize = 1_000;

impl Relay {
    pub(super) fn hear_who(&mut self, now: Now, handle: Handle, asked: &Asked, room: Option<&str>) {
        let number = match room {
            None => None,
            Some(room) => {
                let name = room_name(room);
                let number = name.and_then(|name| self.room_numbers.get(&name).copied());
                let number = number.filter(|&number| self.may_see(handle, number));
                if number.is_none() {
                    let reason = "nobody is in a room of that name";
                    return self.refuse(now, handle, asked, RefusalCode::NoSuchRoom, reason);
                }
                number
            }
        };
        let (members, count) = match number.and_then(|number| self.rooms.get(&number)) {
            Some(room) => {
                let handles = room.members.iter().take(MAX_LISTED);
                let rows = handles.filter_map(|whom| self.row(now, handle, *whom, Some(room.kept.number)));
                (rows.collect(), room.members.len() as u64)
            }
            None => {
                let handles = self.by_identity.values().take(MAX_LISTED);
                let rows = handles.filter_map(|whom| self.row(now, handle, *whom, None));
                (rows.collect::<Vec<_>>(), self.by_identity.len() as u64)
            }
        };
        let room = room.and_then(room_name);
        self.tell(now, handle, News::Who { re: asked.0.clone(), room, members, count });
        self.take(now, handle, &asked.0, asked.1);
    }

    /// Whose key a name stands for, there or not (UC-LETTER-004).
    pub(super) fn tell_key(
        &mut self,
        now: Now,
        handle: Handle,
        asked: &Asked,
        nick: String,
        key: Option<PublicKey>,
    ) {
        let Some(key) = key else {
            let reason = format!("{nick} was here in the clear, and has no key");
            return self.refuse(now, handle, asked, RefusalCode::NoKey, &reason);
        };
        self.tell(now, handle, News::Key { re: asked.0.clone(), nick, key });
        self.take(now, handle, &asked.0, asked.1);
    }

    fn row(&self, now: Now, asker: Handle, whom: Handle, room: Option<u64>) -> Option<Attendance> {
        let session: &Session = self.sessions.at(&whom)?;
        let member: &Member = session.member()?;
        let since = room.and_then(|room| member.seat(room)).map_or(member.since, |seat| seat.since);
        let mut row = attendance(member, session.address, since, self.operators.contains(&member.identity));
        row.idle_s = Some(now.instant.since(session.last_said).as_secs());
        row.rooms = member
            .seats
            .iter()
            .filter(|seat| self.may_see(asker, seat.room))
            .filter_map(|seat| self.rooms.get(&seat.room))
            .map(|room| room.kept.name.clone())
            .collect();
        row.rooms.sort();
        Some(row)
    }

    /// Whether somebody may know of a room.
    fn may_see(&self, asker: Handle, number: u64) -> bool {
        let Some(member) = self.sessions.member(asker) else {
            return false;
        };
        self.rooms.get(&number).is_some_and(|room| self.may_know(member, &room.kept))
    }

    pub(super) fn may_know(&self, member: &Member, room: &ledger::Room) -> bool {
        !room.is_hidden
            || member.seat(room.number).is_some()
            || room.owner == member.identity
            || room.invited.contains(&member.identity)
            || self.operators.contains(&member.identity)
    }

    pub(super) fn tell_rooms(&mut self, now: Now, handle: Handle, asked: &Asked, rooms: &[ledger::Room]) {
        let Some(member) = self.sessions.member(handle) else {
            return;
        };
        // Those with somebody in them first, then what else the ledger told.
        let open = self.rooms.values().map(|room| &room.kept);
        let empty = rooms.iter().filter(|room| !self.rooms.contains_key(&room.number));
        let rows = open.chain(empty).filter(|room| self.may_know(member, room)).map(|room| RoomInfo {
            room: room.name.clone(),
            count: self.rooms.get(&room.number).map_or(0, |open| open.members.len() as u64),
            topic: room.topic.clone(),
            password: room.password.is_some(),
            invite_only: room.is_invite_only,
            hidden: room.is_hidden,
        });
        let mut rows: Vec<RoomInfo> = rows.collect();
        // The lively ones first, and those that nobody is in after them.
        rows.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.room.cmp(&b.room)));
        rows.truncate(MAX_ROOMS);
        self.tell(now, handle, News::Rooms { re: asked.0.clone(), rooms: rows });
        self.take(now, handle, &asked.0, asked.1);
    }
}
