//! Moving cursors: from the logs to the connections, as much as each of them takes.

use std::sync::Arc;
use std::time::Duration;

use super::Relay;
use super::answer::Pending;
use super::room::{News as Missed, Room};
use super::session::{Letters, Member, Seat, SeatState};
use super::tail::{After, Cursor};
use crate::arq::SendOptions;
use crate::chat::{Attendance, Change, News, Party, RefusalCode, Said, stream};
use crate::endpoint::{Endpoint, Handle};
use crate::ledger::{Entry, Identity, LetterFate, LogKey, Request};
use crate::time::Now;

/// What a connection may hold of what a member is sent. The rest stays in the log (UC-RELAY-017). Enough for half a megabyte a
/// second at a quarter of a second's round trip.
const QUEUE_BYTES: usize = 128 * 1024;
/// The same in messages.
const QUEUE_MESSAGES: usize = 1_024;

/// What is read from the ledger at once. Half a queue: it fits when it comes.
const PAGE_BYTES: usize = QUEUE_BYTES / 2;
/// The same in entries.
const PAGE_ENTRIES: usize = QUEUE_MESSAGES / 2;

/// How long lines are gathered at most, under load. Nobody notices a millisecond, and in it a busy room says what fills a packet.
const GATHERING_TIME: Duration = Duration::from_millis(1);

/// Presence messages under way to one member. The next one waits and tells all that happened meanwhile.
const PRESENCE_UNDER_WAY: usize = 4;

/// Members that a list names; of more, only the number is told (UC-RELAY-008). As many as anybody reads, and short enough that a
/// thousand members who come at once can all be told.
pub(super) const LISTED: usize = 256;

impl Relay {
    /// Has members hear what was said, a while after the last time or at once if that is over: a line that comes alone waits for
    /// nothing, and of many that come together a packet carries as many as fit.
    pub(super) fn spread_if_due(&mut self, now: Now) {
        if !self.grown.is_empty() && self.spread_at <= now.instant {
            self.spread_at = now.instant + GATHERING_TIME;
            self.is_spreading = true;
            self.spread(now);
        }
    }

    /// All that members were to hear has left. Lines are gathered from here on: in a large room that alone takes about as long as they
    /// wait for company, and they would find none.
    pub(super) fn end_spreading(&mut self, now: Now) {
        if std::mem::take(&mut self.is_spreading) {
            self.spread_at = now.instant + GATHERING_TIME;
        }
    }

    /// Moves the cursors over what was said since the last time: of each member once, however many lines there are.
    pub(super) fn spread(&mut self, now: Now) {
        while let Some(log) = self.grown.pop_first() {
            let readers: Vec<Handle> = match log {
                LogKey::Everyone => self.by_identity.values().copied().collect(),
                LogKey::Room(number) => {
                    let Some(room) = self.rooms.get(&number) else { continue };
                    room.members.iter().copied().collect()
                }
                LogKey::Mailbox(_) => continue,
            };
            for handle in readers {
                self.pump(now, handle);
            }
        }
    }

    /// Sends one member what there is for it, as far as its connection has room.
    pub(super) fn pump(&mut self, now: Now, handle: Handle) {
        self.flush_receipts(handle);
        let mut stalled = self.flush_outbox(handle);
        while !stalled {
            if !self.has_room(handle) {
                stalled = true;
                break;
            }
            match self.next_step(now, handle) {
                Step::Send(body) => _ = self.submit(handle, body),
                Step::SendLetter(mailbox, pos, body) => {
                    if self.submit(handle, body).is_none() {
                        self.refuse_letter(now, handle, mailbox, pos);
                    }
                }
                Step::SendPresence(body) => {
                    let options = SendOptions::default();
                    let seq = self.endpoint.submit(handle, stream::WORDS, body, options).ok();
                    let member = self.sessions.member_mut(handle);
                    if let (Some(seq), Some(member)) = (seq, member) {
                        member.presence_under_way.push(seq);
                    }
                }
                Step::Read(log, after, head) => {
                    let (most_bytes, most_entries) = (PAGE_BYTES, PAGE_ENTRIES);
                    let request = Request::Read { log, after, most_bytes, most_entries };
                    let ticket = self.ask(now, request, Pending::Page { handle, log, head });
                    if let Some(cursor) = self.cursor_mut(handle, log) {
                        cursor.reading = Some(ticket);
                    }
                }
                Step::Again => {}
                Step::Nothing => break,
            }
        }
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.is_stalled = stalled || !session.receipts.is_empty();
        }
    }

    /// Something that was sent has arrived: there may be room again.
    pub(super) fn note_settled(&mut self, now: Now, handle: Handle) {
        if self.sessions.at(&handle).is_some_and(|session| session.is_stalled) {
            self.pump(now, handle);
            self.read(now, handle);
        }
    }

    /// A message of presence has its fate: what happened meanwhile may be told.
    pub(super) fn note_presence(&mut self, now: Now, handle: Handle, stream: u32, seq: u64) {
        let Some(member) = self.sessions.member_mut(handle).filter(|_| stream == stream::WORDS) else {
            return;
        };
        let before = member.presence_under_way.len();
        member.presence_under_way.retain(|under_way| *under_way != seq);
        if member.presence_under_way.len() < before {
            self.pump(now, handle);
            self.read(now, handle);
        }
    }

    /// Sends news that waited; true if some still do.
    fn flush_outbox(&mut self, handle: Handle) -> bool {
        while self.has_room(handle) {
            let session = self.sessions.at_mut(&handle);
            let Some(body) = session.and_then(|session| session.outbox.front()).map(Arc::clone) else {
                return false;
            };
            if let Some(session) = self.sessions.at_mut(&handle) {
                session.outbox.pop();
            }
            self.submit(handle, body);
        }
        self.sessions.at(&handle).is_some_and(|session| !session.outbox.is_empty())
    }

    fn has_room(&self, handle: Handle) -> bool {
        has_room(&self.endpoint, handle)
    }

    pub(super) fn submit(&mut self, handle: Handle, body: Arc<[u8]>) -> Option<u64> {
        send_quietly(&mut self.endpoint, handle, body)
    }

    /// The next thing for one member, whose connection has room.
    fn next_step(&mut self, now: Now, handle: Handle) -> Step {
        let is_closing = self.closing.is_some();
        let Some(member) = self.sessions.member_mut(handle) else {
            return Step::Nothing;
        };
        let may_tell_presence = member.presence_under_way.len() < PRESENCE_UNDER_WAY;
        // One page for each member, however many logs it is behind in; and none for nobody.
        let may_read = !is_closing && !member.has_page();
        for index in 0..member.seats.len() {
            let seat = &mut member.seats[index];
            let Some(room) = self.rooms.get_mut(&seat.room) else { continue };
            if matches!(seat.state, SeatState::Kept(_)) {
                continue;
            }
            if may_tell_presence && seat.presence != room.change_count() {
                return self.presence(now, handle, index);
            }
            let endpoint = &mut self.endpoint;
            let send = |body: &Arc<[u8]>| {
                let has_room = has_room(endpoint, handle);
                if has_room {
                    send_quietly(endpoint, handle, Arc::clone(body));
                }
                has_room
            };
            if seat.state == SeatState::Taken && seat.cursor.walk(&room.tail, send) > 0 {
                return Step::Again;
            }
            if seat.state == SeatState::Taken
                && let Some(step) = next_of(&mut seat.cursor, LogKey::Room(seat.room), &room.tail, may_read)
            {
                return step;
            }
        }
        if let Some(step) = next_of(&mut member.everyone, LogKey::Everyone, &self.everyone, may_read) {
            return step;
        }
        next_letter(member, may_read)
    }

    /// A letter is longer than its receiver takes any: it never comes, and its author must not wait for it.
    fn refuse_letter(&mut self, now: Now, handle: Handle, mailbox: Identity, pos: u64) {
        let fate = LetterFate::Refused(RefusalCode::TooLong);
        let pending = Pending::Settle { handle: Some(handle), letter: (mailbox, pos), fate };
        self.ask_for(now, handle, Request::Settle { mailbox, pos, fate }, pending);
    }

    /// How far a member is in a log that it gets.
    fn cursor_mut(&mut self, handle: Handle, log: LogKey) -> Option<&mut Cursor> {
        let member = self.sessions.at_mut(&handle)?.member_mut()?;
        match log {
            LogKey::Everyone => Some(&mut member.everyone),
            LogKey::Room(room) => member.seat_mut(room).map(|seat| &mut seat.cursor),
            LogKey::Mailbox(_) => Some(&mut member.letters.cursor),
        }
    }

    /// What a seat's member has not been told of who is there.
    fn presence(&mut self, now: Now, handle: Handle, index: usize) -> Step {
        let Some(seat) = self.sessions.at(&handle).and_then(|session| session.member()?.seats.get(index))
        else {
            return Step::Nothing;
        };
        let (number, after) = (seat.room, seat.presence);
        let Some(room) = self.rooms.get(&number) else {
            return Step::Nothing;
        };
        let count = room.change_count();
        let body = match room.encoded_after(after) {
            Some(body) => body,
            None => {
                let changes = match room.changes_after(after) {
                    Missed::None => Vec::new(),
                    Missed::Changes(changes) => changes,
                    Missed::TooMany => {
                        let (members, count) = self.attendance(room);
                        vec![Change::Missed { members, count }]
                    }
                };
                let name = room.kept.name.clone();
                let news = News::Presence { room: name.clone(), changes };
                self.encode_for_all(now.wall, Some(&name), Said::News(news))
            }
        };
        if let Some(room) = self.rooms.get_mut(&number) {
            room.keep_encoded(after, &body);
        }
        let member = self.sessions.member_mut(handle);
        if let Some(seat) = member.and_then(|member| member.seats.get_mut(index)) {
            seat.presence = count;
        }
        Step::SendPresence(body)
    }

    /// Who is in a room, not all of many, and how many.
    pub(super) fn attendance(&self, room: &Room) -> (Vec<Attendance>, u64) {
        let members = room.members.iter().filter_map(|handle| {
            let session = self.sessions.at(handle)?;
            let member = session.member()?;
            let seat = member.seat(room.kept.number)?;
            Some(attendance(member, session.address, seat.since, self.operators.contains(&member.identity)))
        });
        (members.take(LISTED).collect(), room.members.len() as u64)
    }

    /// The ledger read some of a log. If the member has left its seat meanwhile, and perhaps taken another, the page is nobody's.
    pub(super) fn finish_page(
        &mut self,
        now: Now,
        ticket: u64,
        handle: Handle,
        log: LogKey,
        head: u64,
        entries: Option<Vec<Entry>>,
    ) {
        let Some(cursor) = self.cursor_mut(handle, log).filter(|cursor| cursor.reading == Some(ticket))
        else {
            return;
        };
        cursor.reading = None;
        // What could not be read is tried again when there is something new; until then the member is behind.
        let Some(entries) = entries else { return };
        if entries.is_empty() {
            // There is nothing up to where the log ended when it was asked for.
            cursor.after = cursor.after.max(head);
            let member = self.sessions.member_mut(handle);
            if let Some(member) = member.filter(|_| matches!(log, LogKey::Mailbox(_))) {
                member.letters.is_behind = false;
            }
        } else {
            cursor.page = entries.iter().map(|entry| (entry.pos, Self::encode_entry(entry))).collect();
        }
        self.pump(now, handle);
    }

    /// A letter for somebody who is here. If others wait before it, it waits with them.
    pub(super) fn deliver_letter(&mut self, now: Now, handle: Handle, pos: u64, body: Arc<[u8]>) {
        let Some(member) = self.sessions.member_mut(handle) else {
            return;
        };
        let letters = &mut member.letters;
        // One that is being read for is told by the page that is read after it.
        if letters.is_behind || letters.cursor.has_page() {
            letters.is_behind = true;
        } else {
            letters.cursor.page.push_back((pos, body));
        }
        self.pump(now, handle);
    }
}

fn has_room(endpoint: &Endpoint, handle: Handle) -> bool {
    endpoint.connection(handle).is_some_and(|connection| {
        let (bytes, messages) = connection.queued();
        connection.is_open() && bytes < QUEUE_BYTES && messages < QUEUE_MESSAGES
    })
}

/// What the other side takes no message of that length of is lost to it alone. Nobody asks for its outcome: there are as many as
/// members and lines.
fn send_quietly(endpoint: &mut Endpoint, handle: Handle, body: Arc<[u8]>) -> Option<u64> {
    let options = SendOptions { is_quiet: true, ..SendOptions::default() };
    endpoint.submit(handle, stream::WORDS, body, options).ok()
}

/// One thing to do for a member.
enum Step {
    Send(Arc<[u8]>),
    SendLetter(Identity, u64, Arc<[u8]>),
    SendPresence(Arc<[u8]>),
    /// It was done.
    Again,
    Read(LogKey, u64, u64),
    Nothing,
}

fn next_of(cursor: &mut Cursor, log: LogKey, tail: &super::tail::Tail, may_read: bool) -> Option<Step> {
    match cursor.next(tail) {
        After::Line(_, body) => Some(Step::Send(body)),
        After::Older => may_read.then(|| Step::Read(log, cursor.after, tail.head())),
        After::Nothing => None,
    }
}

fn next_letter(member: &mut Member, may_read: bool) -> Step {
    let Letters { cursor, is_behind } = &mut member.letters;
    if let Some((pos, body)) = cursor.page.pop_front() {
        cursor.after = pos;
        return Step::SendLetter(member.identity, pos, body);
    }
    if *is_behind && may_read {
        return Step::Read(LogKey::Mailbox(member.identity), cursor.after, cursor.after);
    }
    Step::Nothing
}

/// A member as others see it.
pub(super) fn attendance(
    member: &Member,
    address: std::net::SocketAddr,
    since: crate::time::WallTime,
    operator: bool,
) -> Attendance {
    let party = Party { nick: Some(member.nick.clone()), room: None, ip: address.ip(), port: address.port() };
    Attendance { party, since, rooms: Vec::new(), idle_s: None, operator }
}

/// A seat that was just taken: it has been told of everything so far.
pub(super) fn seat(room: &Room, now: Now, cursor: Cursor, state: SeatState) -> Seat {
    Seat { room: room.kept.number, since: now.wall, cursor, presence: room.change_count(), state }
}
