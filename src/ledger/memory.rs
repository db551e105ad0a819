//! A ledger that forgets everything with the program.
//!
//! Its answers are the reference: the database must give the same. Unlike the database it lets the oldest go when it holds too
//! much, and with a line goes the memory that it was said. It must never look at a clock: whatever is stored is as old as its job.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::names::{NameBook, Named};
use super::{
    Answer, Ban, Draft, Entry, Foundation, Holder, Identity, Job, LedgerError, LedgerErrorKind, LetterFate,
    LetterInfo, LogKey, MailboxBounds, Proof, Reply, Request, Room, Run, folded,
};
use crate::chat::{MessageId, RefusalCode, mixes_scripts, numbered};
use crate::secure::PublicKey;
use crate::time::WallTime;

/// What an entry costs beside its texts: without it a million empty lines would count as nothing.
const ENTRY_BYTES: usize = 256;

/// Everything in memory. A clone is a snapshot.
#[derive(Clone, Debug)]
pub struct MemoryLedger {
    log_id: String,
    runs: Vec<Run>,
    most_bytes: usize,

    /// The number of the last identity.
    last_identity: u64,
    people: BTreeMap<Proof, Identity>,
    keys: BTreeMap<Identity, PublicKey>,
    /// Who held a name last.
    names: NameBook<Bearer>,

    /// The head in them is not kept.
    rooms: NameBook<Room>,
    /// By the folded name or address.
    bans: BTreeMap<String, Ban>,

    /// The last position of all.
    last_pos: u64,
    entries: BTreeMap<u64, Kept>,
    /// What can be read of each log, by position: lines, and the letters that are open.
    logs: BTreeMap<LogKey, BTreeSet<u64>>,
    /// The last position that a room's or everyone's log ever had.
    heads: BTreeMap<LogKey, u64>,
    positions: BTreeMap<(Identity, MessageId), u64>,
    /// What may go when there is too much: everything but open letters, whose number has a bound of its own.
    dispensable: BTreeSet<u64>,
    /// What the dispensable entries cost.
    bytes: usize,
    /// What the open letters cost.
    letter_bytes: usize,
}

/// Whose a name is.
#[derive(Clone, Debug)]
struct Bearer {
    identity: Identity,
    /// The name as it was written.
    name: String,
}

impl Named for Bearer {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for Room {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Something at a position.
#[derive(Clone, Debug)]
struct Kept {
    log: LogKey,
    stored_at: WallTime,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    /// A line, or a letter that is open.
    Whole(Arc<Draft>),
    /// A letter that was settled.
    Settled { letter: LetterInfo, fate: LetterFate, at: WallTime },
}

impl Kept {
    fn cost(&self) -> usize {
        ENTRY_BYTES
            + match &self.body {
                Body::Whole(draft) => draft.text_bytes(),
                Body::Settled { .. } => 0,
            }
    }

    fn name(&self) -> (Identity, &MessageId) {
        match &self.body {
            Body::Whole(draft) => (draft.author, &draft.id),
            Body::Settled { letter, .. } => (letter.author, &letter.id),
        }
    }
}

impl MemoryLedger {
    /// An empty ledger. Its lines take at most `most_bytes` bytes, then the oldest go.
    pub const fn new(log_id: String, most_bytes: usize) -> Self {
        Self {
            log_id,
            runs: Vec::new(),
            most_bytes,
            last_identity: 0,
            people: BTreeMap::new(),
            keys: BTreeMap::new(),
            names: NameBook::new(),
            rooms: NameBook::new(),
            bans: BTreeMap::new(),
            last_pos: 0,
            entries: BTreeMap::new(),
            logs: BTreeMap::new(),
            heads: BTreeMap::new(),
            positions: BTreeMap::new(),
            dispensable: BTreeSet::new(),
            bytes: 0,
            letter_bytes: 0,
        }
    }

    /// Another run begins, as on a disk that is found again. One that stored nothing is forgotten.
    pub fn begin_run(&mut self, id: String) {
        self.runs.pop_if(|last| last.start == self.last_pos);
        self.runs.push(Run { id, start: self.last_pos });
    }

    /// What a relay that begins on this ledger has to know.
    pub fn foundation(&self) -> Foundation {
        Foundation {
            log_id: self.log_id.clone(),
            runs: self.runs.clone(),
            everyone_head: self.head(LogKey::Everyone),
            bans: self.bans.values().cloned().collect(),
        }
    }

    /// Does one job.
    pub fn apply(&mut self, job: &Job) -> Answer {
        Answer { ticket: job.ticket, result: self.carry_out(job.at, &job.request) }
    }

    fn carry_out(&mut self, at: WallTime, request: &Request) -> Result<Reply, LedgerError> {
        Ok(match request {
            Request::Enter { proof, nick } => self.enter(proof, nick),
            Request::TakeName { identity, nick } => {
                self.refusal(Some(*identity), nick).unwrap_or_else(|| self.take_name(*identity, nick))
            }
            Request::FindHolder { nick } => Reply::Holder(self.holder(nick)),
            Request::OpenRoom { name, creator } => self.open_room(name, *creator),
            Request::SaveRoom(room) => self.save_room(room),
            Request::ForgetRoom { number } => self.forget_room(*number),
            Request::ListRooms { most } => Reply::Rooms(self.rooms.values().take(*most).cloned().collect()),
            Request::AppendLine { log, draft } => self.append_line(at, *log, draft)?,
            Request::AppendLetter { nick, draft, bounds } => self.append_letter(at, nick, draft, *bounds),
            Request::Read { log, after, most_bytes, most_entries } => {
                Reply::Page { entries: self.page(*log, *after, *most_bytes, *most_entries) }
            }
            Request::Seek { log, newest } => Reply::Sought { after: self.seek(*log, *newest) },
            Request::Settle { mailbox, pos, fate } => {
                Reply::Settled { letter: self.settle(at, *mailbox, *pos, *fate) }
            }
            Request::Expire { before } => Reply::Expired { letters: self.expire(at, *before) },
            Request::Ban(ban) => {
                self.bans.insert(folded(&ban.who), ban.clone());
                Reply::Done
            }
            Request::Unban { who } => {
                self.bans.remove(&folded(who));
                Reply::Done
            }
        })
    }

    // Names.

    fn enter(&mut self, proof: &Proof, nick: &str) -> Reply {
        let known = self.people.get(proof).copied();
        if let Some(refusal) = self.refusal(known, nick) {
            return refusal;
        }
        let identity = known.unwrap_or_else(|| self.add_person(proof));
        self.take_name(identity, nick)
    }

    fn add_person(&mut self, proof: &Proof) -> Identity {
        self.last_identity += 1;
        let identity = Identity(self.last_identity);
        self.people.insert(proof.clone(), identity);
        if let Proof::Key(key) = proof {
            self.keys.insert(identity, *key);
        }
        identity
    }

    fn bearer(&self, nick: &str) -> Option<Identity> {
        self.names.get(nick).map(|bearer| bearer.identity)
    }

    fn holder(&self, nick: &str) -> Option<Holder> {
        let identity = self.bearer(nick)?;
        Some(Holder { identity, key: self.keys.get(&identity).copied() })
    }

    fn take_name(&mut self, identity: Identity, nick: &str) -> Reply {
        let before = self.names.insert(Bearer { identity, name: nick.to_owned() });
        Reply::Entered {
            identity,
            is_stranger: before.is_some_and(|before| before.identity != identity),
            has_letters: self.logs.contains_key(&LogKey::Mailbox(identity)),
        }
    }

    /// Why somebody may not take a name: it looks like another one's, or like several languages, and is not its own.
    fn refusal(&self, taker: Option<Identity>, nick: &str) -> Option<Reply> {
        let Some(other) = self.resembled(taker, nick) else {
            let is_own = taker.is_some() && self.bearer(nick) == taker;
            return (!is_own && mixes_scripts(nick)).then_some(Reply::NameMixes);
        };
        let mut free = numbered(Reply::stem(nick, &other.name)).filter(|name| {
            self.bearer(name).is_none_or(|bearer| Some(bearer) == taker)
                && self.resembled(taker, name).is_none()
        });
        Some(Reply::NameResembles { other: other.name.clone(), free: free.next() })
    }

    /// The name of somebody else that a name looks like. What its taker's own looks like already is none of it.
    fn resembled(&self, taker: Option<Identity>, nick: &str) -> Option<&Bearer> {
        let is_own = taker.is_some() && self.bearer(nick) == taker;
        self.names.resembling(nick, is_own).find(|other| Some(other.identity) != taker)
    }

    // Rooms.

    fn open_room(&mut self, name: &str, creator: Option<Identity>) -> Reply {
        if let Some(room) = self.rooms.get(name) {
            return Reply::Room(Some(self.with_head(room)));
        }
        let Some(owner) = creator else { return Reply::Room(None) };
        if let Some(other) = self.rooms.resembling(name, false).next() {
            return Reply::RoomResembles(self.with_head(other));
        }
        if mixes_scripts(name) {
            return Reply::NameMixes;
        }
        let room = Room {
            number: self.rooms.values().map(|room| room.number).max().unwrap_or(0) + 1,
            name: name.to_owned(),
            owner,
            topic: String::new(),
            password: None,
            is_invite_only: false,
            is_hidden: false,
            invited: Vec::new(),
            head: 0,
        };
        self.rooms.insert(room.clone());
        Reply::Room(Some(self.with_head(&room)))
    }

    fn forget_room(&mut self, number: u64) -> Reply {
        if self.head(LogKey::Room(number)) == 0 {
            self.rooms.retain(|room| room.number != number || !room.is_plain());
        }
        Reply::Done
    }

    fn save_room(&mut self, room: &Room) -> Reply {
        if let Some(kept) = self.rooms.values_mut().find(|kept| kept.number == room.number) {
            *kept = Room { name: kept.name.clone(), head: 0, ..room.clone() };
        }
        Reply::Done
    }

    fn with_head(&self, room: &Room) -> Room {
        Room { head: self.head(LogKey::Room(room.number)), ..room.clone() }
    }

    fn head(&self, log: LogKey) -> u64 {
        self.heads.get(&log).copied().unwrap_or(0)
    }

    // Storing.

    fn append_line(&mut self, at: WallTime, log: LogKey, draft: &Arc<Draft>) -> Result<Reply, LedgerError> {
        if matches!(log, LogKey::Mailbox(_)) {
            return Err(LedgerError::not_a_line());
        }
        if let Some(duplicate) = self.duplicate(draft) {
            return Ok(duplicate);
        }
        let pos = self.store(at, log, draft);
        self.heads.insert(log, pos);
        self.dispense(pos);
        Ok(Reply::Appended { log, pos, is_duplicate: false, fate: None })
    }

    fn append_letter(
        &mut self,
        at: WallTime,
        nick: &str,
        draft: &Arc<Draft>,
        bounds: MailboxBounds,
    ) -> Reply {
        if let Some(duplicate) = self.duplicate(draft) {
            return duplicate;
        }
        let holder = self.holder(nick);
        let Some(reader) = holder.filter(|holder| draft.is_readable_by(*holder)) else {
            return Reply::Holder(holder);
        };
        let log = LogKey::Mailbox(reader.identity);
        let (letters, bytes) = self.mailbox_size(log);
        if letters + 1 > bounds.letters || bytes + draft.text_bytes() as u64 > bounds.bytes {
            return Reply::MailboxFull;
        }
        // All mailboxes together may take as much as all lines.
        if self.letter_bytes + ENTRY_BYTES + draft.text_bytes() > self.most_bytes {
            return Reply::MailboxFull;
        }
        self.letter_bytes += ENTRY_BYTES + draft.text_bytes();
        let pos = self.store(at, log, draft);
        Reply::Appended { log, pos, is_duplicate: false, fate: None }
    }

    fn duplicate(&self, draft: &Draft) -> Option<Reply> {
        let pos = *self.positions.get(&(draft.author, draft.id.clone()))?;
        let kept = self.entries.get(&pos)?;
        let fate = match kept.body {
            Body::Whole(_) => None,
            Body::Settled { fate, .. } => Some(fate),
        };
        Some(Reply::Appended { log: kept.log, pos, is_duplicate: true, fate })
    }

    fn store(&mut self, at: WallTime, log: LogKey, draft: &Arc<Draft>) -> u64 {
        self.last_pos += 1;
        let pos = self.last_pos;
        self.positions.insert((draft.author, draft.id.clone()), pos);
        self.logs.entry(log).or_default().insert(pos);
        self.entries.insert(pos, Kept { log, stored_at: at, body: Body::Whole(Arc::clone(draft)) });
        pos
    }

    /// An entry may go from now on; if there is too much, the oldest of those go at once.
    fn dispense(&mut self, pos: u64) {
        self.bytes += self.entries.get(&pos).map_or(0, Kept::cost);
        self.dispensable.insert(pos);
        while self.bytes > self.most_bytes {
            let Some(oldest) = self.dispensable.first().copied() else { return };
            self.forget(oldest);
        }
    }

    /// Lets a dispensable entry go.
    fn forget(&mut self, pos: u64) {
        self.dispensable.remove(&pos);
        let Some(kept) = self.entries.remove(&pos) else { return };
        self.bytes -= kept.cost();
        self.hide(kept.log, pos);
        let (author, id) = kept.name();
        self.positions.remove(&(author, id.clone()));
    }

    /// Takes an entry from what can be read of its log.
    fn hide(&mut self, log: LogKey, pos: u64) {
        if let Some(readable) = self.logs.get_mut(&log) {
            readable.remove(&pos);
            if readable.is_empty() {
                self.logs.remove(&log);
            }
        }
    }

    /// How many letters are open in a mailbox, and the bytes of their texts.
    fn mailbox_size(&self, log: LogKey) -> (u64, u64) {
        let drafts = self.readable(log, 0).map(|(_, _, draft)| draft.text_bytes() as u64);
        drafts.fold((0, 0), |(letters, bytes), more| (letters + 1, bytes + more))
    }

    // Reading.

    fn readable(&self, log: LogKey, after: u64) -> impl Iterator<Item = (u64, &Kept, &Arc<Draft>)> {
        let first = after.saturating_add(1);
        let positions = self.logs.get(&log).into_iter().flat_map(move |readable| readable.range(first..));
        positions.filter_map(|pos| {
            let kept = self.entries.get(pos)?;
            match &kept.body {
                Body::Whole(draft) => Some((*pos, kept, draft)),
                Body::Settled { .. } => None,
            }
        })
    }

    fn page(&self, log: LogKey, after: u64, most_bytes: usize, most_entries: usize) -> Vec<Entry> {
        let mut bytes = 0_usize;
        let mut entries = Vec::new();
        for (pos, kept, draft) in self.readable(log, after).take(most_entries) {
            bytes = bytes.saturating_add(draft.text_bytes());
            if bytes > most_bytes && !entries.is_empty() {
                break;
            }
            entries.push(Entry { pos, stored_at: kept.stored_at, draft: Arc::clone(draft) });
        }
        entries
    }

    fn seek(&self, log: LogKey, newest: u64) -> u64 {
        let Ok(newest) = usize::try_from(newest) else { return 0 };
        self.logs.get(&log).and_then(|readable| readable.iter().rev().nth(newest)).copied().unwrap_or(0)
    }

    // Letters come to an end.

    fn settle(&mut self, at: WallTime, mailbox: Identity, pos: u64, fate: LetterFate) -> Option<LetterInfo> {
        let log = LogKey::Mailbox(mailbox);
        let kept = self.entries.get_mut(&pos).filter(|kept| kept.log == log)?;
        let Body::Whole(draft) = &kept.body else { return None };
        let letter = LetterInfo { author: draft.author, id: draft.id.clone(), sent_at: draft.sent_at, pos };
        self.letter_bytes -= ENTRY_BYTES + draft.text_bytes();
        kept.body = Body::Settled { letter: letter.clone(), fate, at };
        self.hide(log, pos);
        self.dispense(pos);
        Some(letter)
    }

    fn expire(&mut self, at: WallTime, before: WallTime) -> Vec<LetterInfo> {
        let old: Vec<u64> =
            self.dispensable.iter().copied().filter(|pos| self.was_settled(*pos, before)).collect();
        for pos in old {
            self.forget(pos);
        }
        let is_mailbox = |log: &LogKey| matches!(log, LogKey::Mailbox(_));
        let open = self.logs.iter().filter(|(log, _)| is_mailbox(log)).flat_map(|(_, readable)| readable);
        let mut late: Vec<(u64, LogKey)> = open
            .filter_map(|pos| self.entries.get(pos).map(|kept| (*pos, kept)))
            .filter(|(_, kept)| kept.stored_at < before)
            .map(|(pos, kept)| (pos, kept.log))
            .collect();
        late.sort_unstable();
        let fate = LetterFate::Refused(RefusalCode::Expired);
        let settled = late.into_iter().filter_map(|(pos, log)| match log {
            LogKey::Mailbox(mailbox) => self.settle(at, mailbox, pos, fate),
            LogKey::Everyone | LogKey::Room(_) => None,
        });
        settled.collect()
    }

    fn was_settled(&self, pos: u64, before: WallTime) -> bool {
        let body = self.entries.get(&pos).map(|kept| &kept.body);
        matches!(body, Some(Body::Settled { at, .. }) if *at < before)
    }
}

impl LedgerError {
    /// The answer to a line for a mailbox.
    pub(crate) fn not_a_line() -> Self {
        let words = "a mailbox takes letters, and this is a line: the relay is at fault".to_owned();
        Self { kind: LedgerErrorKind::Unusable, words }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::chat::{Party, Sealed};
    use crate::ledger::BanTarget;

    const ROOM: LogKey = LogKey::Room(1);
    const BOB: LogKey = LogKey::Mailbox(Identity(2));

    /// Ana is 1 and owns the room 1, bob is 2.
    fn ledger(most_bytes: usize) -> MemoryLedger {
        let mut ledger = MemoryLedger::new("log".to_owned(), most_bytes);
        check(&mut ledger, 0, enter("t-ana", "Ana"), "1");
        check(&mut ledger, 0, enter("t-bob", "bob"), "2");
        let open = Request::OpenRoom { name: "#sala".to_owned(), creator: Some(Identity(1)) };
        check(&mut ledger, 0, open, "#sala 1 of 1, head 0");
        ledger
    }

    /// Does one job at a second of 1970, and compares the answer in short.
    #[track_caller]
    fn check(ledger: &mut MemoryLedger, second: i64, request: Request, expected: &str) {
        let job = Job { ticket: 7, at: WallTime::from_unix_micros(second * 1_000_000), request };
        let answer = ledger.apply(&job);
        assert_eq!(answer.ticket, 7);
        let told = answer.result.map_or_else(|error| error.to_string(), |reply| short(&reply));
        assert_eq!(told, expected, "{:?}", job.request);
    }

    fn short(reply: &Reply) -> String {
        let of_room = |room: &Room| {
            format!("{} {} of {}, head {}{}", room.name, room.number, room.owner.0, room.head, room.topic)
        };
        let of_letter =
            |letter: &LetterInfo| format!("{} by {} at {}", letter.id, letter.author.0, letter.pos);
        match reply {
            Reply::Entered { identity, is_stranger, has_letters } => {
                let stranger = if *is_stranger { ", a stranger" } else { "" };
                format!("{}{stranger}{}", identity.0, if *has_letters { ", letters" } else { "" })
            }
            Reply::NameResembles { other, free } => format!("like {other}, free {free:?}"),
            Reply::NameMixes => "mixes".to_owned(),
            Reply::RoomResembles(room) => format!("like {}", of_room(room)),
            Reply::Holder(holder) => {
                let told = |holder: &Holder| {
                    format!("{}{}", holder.identity.0, holder.key.map_or("", |_| " with a key"))
                };
                holder.as_ref().map_or("nobody".to_owned(), told)
            }
            Reply::Room(room) => room.as_ref().map_or("none".to_owned(), of_room),
            Reply::Rooms(rooms) => rooms.iter().map(of_room).collect::<Vec<_>>().join("; "),
            Reply::Appended { log, pos, is_duplicate, fate } => {
                let again = if *is_duplicate { " again" } else { "" };
                format!("{log:?} {pos}{again}{}", fate.map_or(String::new(), |fate| format!(" {fate:?}")))
            }
            Reply::MailboxFull => "full".to_owned(),
            Reply::Page { entries } => {
                let texts = entries.iter().map(|entry| format!("{} {}", entry.pos, entry.draft.text));
                texts.collect::<Vec<_>>().join("; ")
            }
            Reply::Sought { after } => format!("after {after}"),
            Reply::Settled { letter } => letter.as_ref().map_or("none".to_owned(), of_letter),
            Reply::Expired { letters } => letters.iter().map(of_letter).collect::<Vec<_>>().join("; "),
            Reply::Done => "done".to_owned(),
        }
    }

    fn enter(token: &str, nick: &str) -> Request {
        Request::Enter { proof: Proof::Token(token.to_owned()), nick: nick.to_owned() }
    }

    fn draft(author: u64, id: &str, text: &str) -> Draft {
        Draft {
            author: Identity(author),
            id: MessageId::parse(id).unwrap(),
            nick: "ana".to_owned(),
            address: "10.0.0.1:6000".parse().unwrap(),
            to: Party { nick: None, room: None, ip: IpAddr::V4(Ipv4Addr::LOCALHOST), port: 6100 },
            sent_at: WallTime::from_unix_micros(5),
            text: text.to_owned(),
            sealed: None,
            reply_to: None,
        }
    }

    fn line(log: LogKey, id: &str, text: &str) -> Request {
        Request::AppendLine { log, draft: draft(1, id, text).into() }
    }

    fn letter(nick: &str, id: &str, text: &str) -> Request {
        let bounds = MailboxBounds { letters: 2, bytes: 10 };
        Request::AppendLetter { nick: nick.to_owned(), draft: draft(1, id, text).into(), bounds }
    }

    fn read(log: LogKey, after: u64, most_bytes: usize, most_entries: usize) -> Request {
        Request::Read { log, after, most_bytes, most_entries }
    }

    fn settle(pos: u64) -> Request {
        Request::Settle { mailbox: Identity(2), pos, fate: LetterFate::Delivered }
    }

    fn expire(second: i64) -> Request {
        Request::Expire { before: WallTime::from_unix_micros(second * 1_000_000) }
    }

    fn holder(nick: &str) -> Request {
        Request::FindHolder { nick: nick.to_owned() }
    }

    #[test]
    fn a_name_belongs_to_whoever_took_it_last() {
        let mut ledger = ledger(usize::MAX);
        check(&mut ledger, 1, enter("t-ana", "ANA"), "1");
        check(&mut ledger, 1, enter("t-eva", "aNa"), "3, a stranger");
        check(&mut ledger, 1, holder("ana"), "3");
        check(
            &mut ledger,
            1,
            Request::TakeName { identity: Identity(1), nick: "Bob".to_owned() },
            "1, a stranger",
        );
        check(&mut ledger, 1, holder("bob"), "1");
        check(&mut ledger, 1, holder("nobody"), "nobody");
    }

    #[test]
    fn positions_grow_over_all_logs_and_a_message_has_one() {
        let mut ledger = ledger(usize::MAX);
        check(&mut ledger, 1, line(ROOM, "a-1", "oi"), "Room(1) 1");
        check(&mut ledger, 1, letter("BOB", "a-2", "psst"), "Mailbox(Identity(2)) 2");
        check(&mut ledger, 1, line(LogKey::Everyone, "a-3", "all"), "Everyone 3");
        check(&mut ledger, 1, line(ROOM, "a-4", "tudo"), "Room(1) 4");
        check(&mut ledger, 1, line(LogKey::Everyone, "a-1", "else"), "Room(1) 1 again");
        check(&mut ledger, 1, line(ROOM, "a-2", "psst"), "Mailbox(Identity(2)) 2 again");
        check(&mut ledger, 1, line(BOB, "a-5", "x"), &LedgerError::not_a_line().words);
        check(&mut ledger, 1, read(ROOM, 0, 99, 99), "1 oi; 4 tudo");
        check(&mut ledger, 1, read(ROOM, 1, 99, 99), "4 tudo");
        check(&mut ledger, 1, read(ROOM, 0, 1, 99), "1 oi");
        check(&mut ledger, 1, read(ROOM, 0, 5, 99), "1 oi");
        check(&mut ledger, 1, read(ROOM, 0, 99, 1), "1 oi");
        check(&mut ledger, 1, read(ROOM, u64::MAX, 99, 99), "");
        for (newest, after) in [(0, 4), (1, 1), (2, 0), (u64::MAX, 0)] {
            check(&mut ledger, 1, Request::Seek { log: ROOM, newest }, &format!("after {after}"));
        }
        assert_eq!(ledger.foundation().everyone_head, 3);
    }

    #[test]
    fn a_letter_waits_is_settled_and_its_fate_is_remembered_for_a_while() {
        let mut ledger = ledger(usize::MAX);
        check(&mut ledger, 1, letter("eva", "a-1", "x"), "nobody");
        check(&mut ledger, 1, letter("bob", "a-1", "first"), "Mailbox(Identity(2)) 1");
        check(&mut ledger, 2, letter("bob", "a-2", "second"), "full");
        check(&mut ledger, 2, letter("bob", "a-2", "2nd"), "Mailbox(Identity(2)) 2");
        check(&mut ledger, 2, letter("bob", "a-3", ""), "full");
        check(&mut ledger, 2, enter("t-bob", "bob"), "2, letters");
        check(&mut ledger, 3, settle(1), "a-1 by 1 at 1");
        check(&mut ledger, 3, settle(1), "none");
        check(&mut ledger, 3, read(BOB, 0, 99, 99), "2 2nd");
        check(&mut ledger, 3, Request::Seek { log: BOB, newest: 1 }, "after 0");
        check(&mut ledger, 3, letter("eva", "a-1", "first"), "Mailbox(Identity(2)) 1 again Delivered");
        check(&mut ledger, 4, expire(3), "a-2 by 1 at 2");
        check(&mut ledger, 4, letter("bob", "a-2", ""), "Mailbox(Identity(2)) 2 again Refused(Expired)");
        check(&mut ledger, 5, expire(4), "");
        check(&mut ledger, 5, letter("bob", "a-1", ""), "Mailbox(Identity(2)) 3");
        check(&mut ledger, 5, letter("bob", "a-2", ""), "Mailbox(Identity(2)) 2 again Refused(Expired)");
    }

    #[test]
    fn a_room_keeps_its_number_name_and_head_whatever_is_saved() {
        let mut ledger = ledger(usize::MAX);
        check(&mut ledger, 1, line(ROOM, "a-1", "oi"), "Room(1) 1");
        let open = |name: &str, creator| Request::OpenRoom { name: name.to_owned(), creator };
        check(&mut ledger, 1, open("#nova", None), "none");
        check(&mut ledger, 1, open("#nova", Some(Identity(2))), "#nova 2 of 2, head 0");
        let Reply::Room(Some(room)) = ledger.carry_out(WallTime::default(), &open("#SALA", None)).unwrap()
        else {
            panic!("the room is there");
        };
        let saved = Room { name: "#else".to_owned(), topic: ": math".to_owned(), head: 9, ..room };
        check(&mut ledger, 1, Request::SaveRoom(Room { number: 3, ..saved.clone() }), "done");
        check(&mut ledger, 1, Request::SaveRoom(saved), "done");
        let rooms = "#nova 2 of 2, head 0; #sala 1 of 1, head 0: math";
        check(&mut ledger, 1, Request::ListRooms { most: 9 }, rooms);
        // What has a line is kept, what has nothing is not.
        check(&mut ledger, 1, Request::ForgetRoom { number: 1 }, "done");
        check(&mut ledger, 1, Request::ForgetRoom { number: 2 }, "done");
        check(&mut ledger, 1, Request::ListRooms { most: 9 }, "#sala 1 of 1, head 0: math");
    }

    // UC-RELAY-028
    #[test]
    fn what_looks_like_another_ones_name_is_not_taken() {
        let mut ledger = ledger(usize::MAX);
        let enter_as = |ledger: &mut MemoryLedger, token: &str, nick: &str, expected: &str| {
            check(ledger, 1, enter(token, nick), expected);
        };
        // Both letters а are Cyrillic ones.
        enter_as(&mut ledger, "t-cid", "аnа", "like Ana, free Some(\"Ana-2\")");
        enter_as(&mut ledger, "t-cid", "аnna", "mixes");
        // Nobody came in so far. All of these are Cyrillic.
        enter_as(&mut ledger, "t-cid", "аса", "3");
        enter_as(&mut ledger, "t-dan", "aca", "like аса, free Some(\"aca-2\")");
        enter_as(&mut ledger, "t-dan", "aca-2", "4");
        enter_as(&mut ledger, "t-bob", "аса-2", "like aca-2, free Some(\"аса-2-2\")");
        // The very name is taken with a warning; one's own looks as it likes, unless it begins to look like another's.
        enter_as(&mut ledger, "t-dan", "аса", "4, a stranger");
        enter_as(&mut ledger, "t-dan", "aca", "4");
        enter_as(&mut ledger, "t-dan", "ian", "4");
        enter_as(&mut ledger, "t-eva", "lan", "5");
        enter_as(&mut ledger, "t-dan", "iAn", "4");
        enter_as(&mut ledger, "t-dan", "Ian", "like lan, free Some(\"Ian-2\")");
        let take =
            |identity, nick: &str| Request::TakeName { identity: Identity(identity), nick: nick.to_owned() };
        check(&mut ledger, 1, take(5, "1an"), "5");
        check(&mut ledger, 1, take(4, "IAN-2"), "4");
    }

    // UC-RELAY-028
    #[test]
    fn a_room_that_looks_like_another_is_not_made() {
        let mut ledger = ledger(usize::MAX);
        let open = |name: &str, creator| Request::OpenRoom { name: name.to_owned(), creator };
        check(&mut ledger, 1, open("#sаla", Some(Identity(1))), "like #sala 1 of 1, head 0");
        check(&mut ledger, 1, open("#sаla", None), "none");
        check(&mut ledger, 1, Request::ForgetRoom { number: 1 }, "done");
        check(&mut ledger, 1, open("#sаla", Some(Identity(1))), "mixes");
        check(&mut ledger, 1, open("#аса", Some(Identity(1))), "#аса 1 of 1, head 0");
        check(&mut ledger, 1, open("#aca", Some(Identity(2))), "like #аса 1 of 1, head 0");
    }

    #[test]
    fn a_ban_replaces_the_one_for_the_same_name() {
        let mut ledger = ledger(usize::MAX);
        let ban = |who: &str, reason: &str| Ban {
            who: who.to_owned(),
            target: BanTarget::Identity(Identity(2)),
            until: None,
            by: "ana".to_owned(),
            reason: reason.to_owned(),
        };
        check(&mut ledger, 1, Request::Ban(ban("bob", "noise")), "done");
        check(&mut ledger, 1, Request::Ban(ban("Bob", "more noise")), "done");
        assert_eq!(ledger.foundation().bans, [ban("Bob", "more noise")]);
        check(&mut ledger, 1, Request::Unban { who: "BOB".to_owned() }, "done");
        check(&mut ledger, 1, Request::Unban { who: "BOB".to_owned() }, "done");
        assert_eq!(ledger.foundation().bans, []);
    }

    // UC-RELAY-007
    #[test]
    fn a_key_is_no_token_and_a_letter_is_for_the_key_that_it_is_sealed_for() {
        let mut ledger = ledger(usize::MAX);
        let [bob, eva] = [[b'b'; 32], [b'e'; 32]].map(PublicKey::from_bytes);
        let come = |key, nick: &str| Request::Enter { proof: Proof::Key(key), nick: nick.to_owned() };
        let find = || Request::FindHolder { nick: "BOB".to_owned() };
        check(&mut ledger, 1, enter(&"b".repeat(32), "b"), "3");
        check(&mut ledger, 1, come(bob, "bob"), "4, a stranger");
        check(&mut ledger, 1, come(bob, "bob"), "4");
        check(&mut ledger, 1, find(), "4 with a key");
        let write = |id: &str, to: Option<PublicKey>| {
            let Request::AppendLetter { nick, draft, bounds } = letter("bob", id, "") else { unreachable!() };
            let sealed = to.map(|to| Box::new(Sealed { from: eva, to, message: vec![0; 7].into() }));
            Request::AppendLetter { nick, draft: Draft { sealed, ..Draft::clone(&draft) }.into(), bounds }
        };
        check(&mut ledger, 1, write("a-1", None), "4 with a key");
        check(&mut ledger, 1, write("a-1", Some(eva)), "4 with a key");
        check(&mut ledger, 1, write("a-1", Some(bob)), "Mailbox(Identity(4)) 1");
        // The name goes to somebody else, and the letter stays where it is.
        check(&mut ledger, 2, come(eva, "bob"), "5, a stranger");
        check(&mut ledger, 2, write("a-1", Some(bob)), "Mailbox(Identity(4)) 1 again");
        check(&mut ledger, 2, write("a-2", Some(bob)), "5 with a key");
        check(&mut ledger, 2, enter("t-bob", "bob"), "2, a stranger");
        check(&mut ledger, 2, write("a-2", Some(eva)), "2");
        check(&mut ledger, 2, come(bob, "bob"), "4, a stranger, letters");
    }

    #[test]
    fn the_oldest_lines_go_and_open_letters_stay() {
        let mut ledger = ledger(3 * ENTRY_BYTES);
        check(&mut ledger, 1, letter("bob", "a-1", "stay"), "Mailbox(Identity(2)) 1");
        for (id, text, pos) in [("a-2", "", 2), ("a-3", "", 3), ("a-4", "", 4), ("a-5", "text", 5)] {
            check(&mut ledger, 1, line(ROOM, id, text), &format!("Room(1) {pos}"));
        }
        check(&mut ledger, 1, read(ROOM, 0, 99, 99), "4 ; 5 text");
        check(&mut ledger, 1, read(BOB, 0, 99, 99), "1 stay");
        check(&mut ledger, 1, line(ROOM, "a-2", ""), "Room(1) 6");
        // One that alone is too much goes at once; its position stays the room's head.
        check(&mut ledger, 1, line(ROOM, "a-6", &"x".repeat(3 * ENTRY_BYTES)), "Room(1) 7");
        check(
            &mut ledger,
            1,
            Request::OpenRoom { name: "#sala".to_owned(), creator: None },
            "#sala 1 of 1, head 7",
        );
        check(&mut ledger, 1, read(ROOM, 0, 99, 99), "");
        assert_eq!((ledger.bytes, ledger.positions.len()), (0, 1));
    }
}
