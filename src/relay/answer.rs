//! What the ledger did, and how it goes on from there.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::session::{Asked, Phase, SeatState};
use super::{Relay, What};
use crate::chat::{Moderation, News, Receipt, RefusalCode};
use crate::endpoint::Handle;
use crate::ledger::{
    self, Answer, Draft, Entry, Holder, Identity, LedgerError, LetterFate, LogKey, Reply, Request,
};
use crate::secure::{Secret, Stretched};
use crate::time::{Now, WallTime};

/// What a job was for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Somebody comes in.
    Enter { handle: Handle },
    /// A member takes another name.
    Rename { handle: Handle, request: Asked, nick: String },
    /// A member wants into a room.
    Join { handle: Handle, request: Asked, wish: JoinWish },
    /// Where a seat's cursor begins, and the log's last position when it was taken.
    Seek { handle: Handle, room: u64, head: u64 },
    /// A line, and when the ledger was asked to store it.
    Line { handle: Handle, draft: Arc<Draft>, at: WallTime },
    /// A letter, and the same.
    Letter { handle: Handle, draft: Arc<Draft>, at: WallTime },
    /// A letter's receiver gave its receipt. No handle: it is asked for once more, and nobody waits for it.
    Settle { handle: Option<Handle>, letter: (Identity, u64), fate: LetterFate },
    /// Lines for a cursor that is behind what is in memory. `head` was the log's last position when it was asked for.
    Page { handle: Handle, log: LogKey, head: u64 },
    /// Letters that waited too long.
    Expire,
    /// A room that nobody would miss.
    Forget,
    /// Something was changed that the member asked for; the log tells it in these words.
    Save { handle: Handle, request: Asked, what: What, change: Change },
    /// Who held a name, for an invitation or an operator.
    Holder { handle: Handle, request: Asked, then: Then },
    /// Every room.
    Rooms { handle: Handle, request: Asked },
    /// The end of the log, which is not the ledger's.
    LogTail { handle: Handle, request: Asked },
    /// A password, which is not the ledger's either.
    Password { handle: Handle, request: Asked, purpose: Purpose },
}

/// What was changed, and who is told once it is stored.
#[derive(Debug)]
pub(super) enum Change {
    /// A ban, or the end of one: it holds at once, whether it can be stored or not.
    Ban,
    /// What a room is like; it holds once it is stored.
    Room { kept: Box<ledger::Room>, news: RoomNews },
}

/// Who is told of a room's change.
#[derive(Debug)]
pub(super) enum RoomNews {
    /// Nobody.
    None,
    /// Everybody in it: its topic.
    Topic { by: String },
    /// Somebody who is let in.
    Invitation { guest: Identity, by: String },
}

/// What a name's holder was asked for.
#[derive(Debug)]
pub(super) enum Then {
    Invite { room: u64 },
    Moderate(Moderation),
    TellKey { nick: String },
}

/// How somebody wants to join a room.
#[derive(Debug)]
pub(super) struct JoinWish {
    pub(super) name: String,
    pub(super) after: Option<u64>,
    pub(super) history: Option<u64>,
    pub(super) password: Option<Secret>,
    /// What that password was found to be the right one for.
    pub(super) proven: Option<Stretched>,
}

/// What a password was said for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// To join a room, whose password is kept so. An attempt was charged to `home`, and to whoever asked.
    Join { wish: JoinWish, against: Stretched, identity: Identity, home: IpAddr },
    /// To be a room's from now on, with what else was said of it.
    Guard { room: u64, invite_only: Option<bool>, hidden: Option<bool> },
}

impl Relay {
    pub(super) fn handle_answer(&mut self, now: Now, answer: Answer) {
        let Some(pending) = self.jobs.remove(&answer.ticket) else {
            return;
        };
        let asker = pending.asker();
        if let Err(error) = &answer.result {
            self.tell_trouble(now, error);
        }
        if pending.is_the_members()
            && let Some(session) = asker.and_then(|handle| self.sessions.at_mut(&handle))
        {
            session.jobs = session.jobs.saturating_sub(1);
        }
        self.go_on(now, answer.ticket, pending, answer.result);
        if let Some(handle) = asker {
            self.read(now, handle);
        }
    }

    fn go_on(&mut self, now: Now, ticket: u64, pending: Pending, result: Result<Reply, LedgerError>) {
        match (pending, result) {
            (Pending::Enter { handle }, Ok(Reply::Entered { identity, is_stranger, has_letters })) => {
                self.finish_enter(now, handle, identity, is_stranger, has_letters);
            }
            (Pending::Enter { handle }, Ok(reply @ (Reply::NameResembles { .. } | Reply::NameMixes))) => {
                if let Some((request, nick)) = self.fail_enter(now, handle) {
                    self.refuse_name(now, handle, request, &nick, reply);
                }
            }
            (Pending::Enter { handle }, _) => {
                if let Some((request, _)) = self.fail_enter(now, handle) {
                    self.refuse_for_storage(now, handle, &request);
                }
            }
            (Pending::Rename { handle, request, nick }, Ok(Reply::Entered { is_stranger, .. })) => {
                self.finish_rename(now, handle, &request, nick, is_stranger);
            }
            (Pending::Rename { handle, request, nick }, result) => {
                // Another spelling of the name that the member has is no other name.
                if ledger::folded(&self.name_of(handle)) != ledger::folded(&nick) {
                    self.names.free(&nick, handle);
                }
                self.end_renaming(handle);
                match result {
                    Ok(reply @ (Reply::NameResembles { .. } | Reply::NameMixes)) => {
                        self.refuse_name(now, handle, request, &nick, reply);
                    }
                    _ => self.refuse_for_storage(now, handle, &request),
                }
            }
            (Pending::Join { handle, request, wish }, result) => {
                self.go_on_joining(now, handle, request, wish, result);
            }
            (
                pending @ (Pending::Seek { .. }
                | Pending::Line { .. }
                | Pending::Letter { .. }
                | Pending::Settle { .. }
                | Pending::Page { .. }
                | Pending::Expire),
                result,
            ) => self.go_on_in_log(now, ticket, pending, result),
            (Pending::LogTail { .. } | Pending::Password { .. } | Pending::Forget, _) => {}
            (Pending::Save { handle, request, what, change }, result) => {
                self.finish_save(now, change, result.is_ok());
                if result.is_ok() {
                    self.log(now, what);
                    self.take(now, handle, &request.0, request.1);
                } else {
                    self.refuse_for_storage(now, handle, &request);
                }
            }
            (Pending::Holder { handle, request, then }, Ok(Reply::Holder(holder))) => {
                self.go_on_with(now, handle, request, then, holder);
            }
            (Pending::Rooms { handle, request }, Ok(Reply::Rooms(rooms))) => {
                self.tell_rooms(now, handle, &request, &rooms);
            }
            (Pending::Holder { handle, request, .. } | Pending::Rooms { handle, request }, _) => {
                self.refuse_for_storage(now, handle, &request);
            }
        }
    }

    /// A room was asked for, to join it.
    fn go_on_joining(
        &mut self,
        now: Now,
        handle: Handle,
        request: Asked,
        wish: JoinWish,
        result: Result<Reply, LedgerError>,
    ) {
        match result {
            Ok(Reply::Room(Some(room))) => {
                self.open_room(room);
                self.finish_join(now, handle, &request, wish);
            }
            Ok(Reply::RoomResembles(other)) => {
                self.refuse_look_alike(now, handle, request, &wish.name, &other);
            }
            Ok(Reply::NameMixes) => {
                self.refuse(now, handle, &request, RefusalCode::BadName, super::enter::MIXED_NAME);
            }
            _ => self.refuse_for_storage(now, handle, &request),
        }
    }

    /// What a log or a mailbox was asked for.
    fn go_on_in_log(&mut self, now: Now, ticket: u64, pending: Pending, result: Result<Reply, LedgerError>) {
        match (pending, result) {
            (Pending::Seek { handle, room, head }, result) => {
                // Little was wanted: if the ledger cannot tell where that begins, it is less, and not everything.
                let after = if let Ok(Reply::Sought { after }) = result { after } else { head };
                // What was said while the ledger was looking is no history, however little of that is wanted.
                self.finish_seek(now, ticket, handle, room, after.min(head));
            }
            (Pending::Line { handle, draft, at }, Ok(Reply::Appended { log, pos, is_duplicate, .. })) => {
                let entry = Entry { pos, stored_at: at, draft };
                self.finish_line(now, handle, entry, log, is_duplicate);
            }
            (
                Pending::Letter { handle, draft, at },
                Ok(reply @ (Reply::Appended { .. } | Reply::Holder(_) | Reply::MailboxFull)),
            ) => {
                self.finish_letter(now, handle, draft, at, reply);
            }
            (Pending::Line { handle, draft, .. } | Pending::Letter { handle, draft, .. }, _) => {
                self.refuse_for_storage(now, handle, &(draft.id.clone(), draft.sent_at));
            }
            (Pending::Settle { fate, .. }, Ok(Reply::Settled { letter: Some(letter) })) => {
                let request = (letter.id, letter.sent_at);
                self.tell_fate(now, letter.author, request, letter.pos, fate);
            }
            // Settled before.
            (Pending::Settle { .. }, Ok(_)) => {}
            (Pending::Settle { letter, fate, .. }, Err(_)) => self.settle_later(now, letter, fate),
            (Pending::Page { handle, log, head }, result) => {
                let entries = if let Ok(Reply::Page { entries }) = result { Some(entries) } else { None };
                if entries.is_none() {
                    self.try_later(now);
                }
                self.finish_page(now, ticket, handle, log, head, entries);
            }
            (Pending::Expire, Ok(Reply::Expired { letters })) => {
                for letter in letters {
                    let fate = LetterFate::Refused(RefusalCode::Expired);
                    let request = (letter.id, letter.sent_at);
                    self.tell_fate(now, letter.author, request, letter.pos, fate);
                }
            }
            // Letters that waited too long are looked for again in an hour; all others are above.
            _ => {}
        }
    }

    /// The operator must know, and once is enough for a while: every line that is said meets the same trouble.
    fn tell_trouble(&mut self, now: Now, error: &LedgerError) {
        const PAUSE: Duration = Duration::from_secs(10);
        if self.next_trouble_at <= now.instant {
            self.next_trouble_at = now.instant + PAUSE;
            let text = format!("the relay could not store or read: {error}");
            self.log(now, What::Trouble { text });
        }
    }

    /// A room's change holds from now on, or does not; and who it concerns is told.
    fn finish_save(&mut self, now: Now, change: Change, is_stored: bool) {
        let Change::Room { kept, news } = change else { return };
        let Some(room) = self.rooms.get_mut(&kept.number) else { return };
        room.finish_change(*kept, is_stored);
        if !is_stored {
            return;
        }
        let name = room.kept.name.clone();
        match news {
            RoomNews::None => {}
            RoomNews::Topic { by } => {
                let text = room.kept.topic.clone();
                let members: Vec<Handle> = room.members.iter().copied().collect();
                self.tell_all(now, &members, Some(&name), News::Topic { room: name.clone(), text, by });
            }
            RoomNews::Invitation { guest, by } => {
                if let Some(&guest) = self.by_identity.get(&guest) {
                    self.tell(now, guest, News::Invited { room: name, by });
                }
            }
        }
    }

    /// Something that nobody asks for again is to be tried again.
    fn try_later(&mut self, now: Now) {
        /// An operator who makes room sees at once that it helped; and a disk in trouble is not asked all the time.
        const PAUSE: Duration = Duration::from_secs(1);
        self.retry_at.get_or_insert(now.instant + PAUSE);
    }

    /// Remembers what became of a letter until the ledger takes it. Its author waits for that, and its receiver has given
    /// its receipt and gives no other before it comes back.
    fn settle_later(&mut self, now: Now, letter: (Identity, u64), fate: LetterFate) {
        /// Of more, the rest comes again when their receivers do.
        const MOST: usize = 4_096;
        if self.unsettled.len() < MOST {
            self.unsettled.insert(letter, fate);
        }
        self.try_later(now);
    }

    /// Asks the ledger again for what it could not do.
    pub(super) fn ask_again(&mut self, now: Now) {
        for ((mailbox, pos), fate) in std::mem::take(&mut self.unsettled) {
            let pending = Pending::Settle { handle: None, letter: (mailbox, pos), fate };
            let _ = self.ask(now, Request::Settle { mailbox, pos, fate }, pending);
        }
        for handle in self.sessions.keys().collect::<Vec<_>>() {
            self.pump(now, handle);
        }
    }

    pub(super) fn refuse_for_storage(&mut self, now: Now, handle: Handle, request: &Asked) {
        let reason = "the relay cannot store it now; its operator has been told";
        self.refuse(now, handle, request, RefusalCode::Storage, reason);
    }

    /// The ledger has a line: from now on everybody may see it, and its author gets the receipt (UC-RELAY-010).
    fn finish_line(&mut self, now: Now, handle: Handle, entry: Entry, log: LogKey, is_duplicate: bool) {
        let Entry { pos, ref draft, .. } = entry;
        let receipt = Receipt { pos: Some(pos), ..Receipt::taken(draft.id.clone(), draft.sent_at) };
        self.receipt(now, handle, receipt);
        if is_duplicate {
            return;
        }
        let room = draft.to.room.clone().unwrap_or_default();
        let what = What::Line { room, nick: draft.nick.clone(), text: draft.text.clone() };
        self.log(now, what);
        let body = Self::encode_entry(&entry);
        let most_bytes = self.tail_bytes();
        match log {
            LogKey::Everyone => self.everyone.push(pos, body, most_bytes),
            LogKey::Room(number) => {
                let Some(room) = self.rooms.get_mut(&number) else { return };
                room.tail.push(pos, body, most_bytes);
            }
            LogKey::Mailbox(_) => return,
        }
        self.grown.insert(log);
    }

    /// How much of each log stays in memory: the more rooms, the less of each. What does not stay is read from the ledger.
    fn tail_bytes(&self) -> usize {
        /// An evening's talk of a hundred rooms.
        const ALL_TAILS: usize = 64 * 1024 * 1024;
        (ALL_TAILS / (self.rooms.len() + 1)).min(1024 * 1024)
    }

    /// The ledger has a letter, or knew its fate, or has no place for it (UC-RELAY-013).
    fn finish_letter(
        &mut self,
        now: Now,
        handle: Handle,
        draft: Arc<Draft>,
        stored_at: WallTime,
        reply: Reply,
    ) {
        let request = (draft.id.clone(), draft.sent_at);
        let to = draft.to.nick.clone().unwrap_or_default();
        let (log, pos, fate, is_duplicate) = match reply {
            Reply::Appended { log, pos, is_duplicate, fate } => (log, pos, fate, is_duplicate),
            Reply::MailboxFull => {
                let reason = format!("too many letters are waiting for {to} already");
                return self.refuse(now, handle, &request, RefusalCode::MailboxFull, &reason);
            }
            other => {
                let holder = if let Reply::Holder(holder) = other { holder } else { None };
                let (code, reason) = unreadable(&to, draft.sealed.is_some(), holder);
                return self.refuse(now, handle, &request, code, &reason);
            }
        };
        if let Some(fate) = fate {
            return self.fate_receipt(now, handle, request, pos, fate);
        }
        let held = Receipt { held: true, pos: Some(pos), ..Receipt::taken(request.0, request.1) };
        self.receipt(now, handle, held);
        if is_duplicate {
            return;
        }
        self.log(now, What::Letter { from: draft.nick.clone(), to });
        if let LogKey::Mailbox(receiver) = log
            && let Some(&reader) = self.by_identity.get(&receiver)
        {
            let body = Self::encode_entry(&Entry { pos, stored_at, draft });
            self.deliver_letter(now, reader, pos, body);
        }
    }

    fn finish_seek(&mut self, now: Now, ticket: u64, handle: Handle, room: u64, after: u64) {
        let member = self.sessions.member_mut(handle);
        if let Some(seat) = member.and_then(|member| member.seat_mut(room))
            && seat.state == SeatState::Seeking(ticket)
        {
            seat.cursor.after = after;
            seat.state = SeatState::Taken;
            self.pump(now, handle);
        }
    }

    /// Somebody is not let in; tells what was asked, and under which name.
    fn fail_enter(&mut self, now: Now, handle: Handle) -> Option<(Asked, String)> {
        let session = self.sessions.at_mut(&handle)?;
        let until = now.instant + Self::GUEST_TIME;
        let before = std::mem::replace(&mut session.phase, Phase::Guest { until });
        self.wake_session_at(handle, until);
        let Phase::Entering(entering) = before else { return None };
        self.names.free(&entering.nick, handle);
        self.empty_seats(now, handle, &entering.nick, &entering.inherited, "could not come back");
        Some((entering.request, entering.nick))
    }
}

/// Why a letter has no mailbox.
fn unreadable(to: &str, is_sealed: bool, holder: Option<Holder>) -> (RefusalCode, String) {
    match (holder, is_sealed) {
        (None, _) => (RefusalCode::NoSuchName, format!("nobody was ever called {to} here")),
        (Some(_), false) => (RefusalCode::Unsealed, format!("{to} takes sealed letters only")),
        (Some(Holder { key: None, .. }), true) => {
            (RefusalCode::NoKey, format!("{to} was here in the clear, and has no key"))
        }
        (Some(_), true) => {
            (RefusalCode::ChangedKey, format!("{to} has another key now than the letter is sealed for"))
        }
    }
}

impl Pending {
    /// Who waits for it.
    pub(super) fn asker(&self) -> Option<Handle> {
        match self {
            Self::Enter { handle }
            | Self::Rename { handle, .. }
            | Self::Join { handle, .. }
            | Self::Seek { handle, .. }
            | Self::Line { handle, .. }
            | Self::Letter { handle, .. }
            | Self::Page { handle, .. }
            | Self::Save { handle, .. }
            | Self::Holder { handle, .. }
            | Self::Rooms { handle, .. }
            | Self::LogTail { handle, .. }
            | Self::Password { handle, .. } => Some(*handle),
            Self::Settle { handle, .. } => *handle,
            Self::Expire | Self::Forget => None,
        }
    }

    /// Whether it counts as the member's: everything that it asked for, and not what its cursors need.
    pub(super) const fn is_the_members(&self) -> bool {
        !matches!(self, Self::Page { .. } | Self::Expire | Self::Forget)
    }
}
