//! Scripts: visitors by hand around a relay, on a perfect link, with a ledger in memory.

mod alike;
mod guarded;
mod sealed;

use super::*;
use crate::arq::{Closed, SendOptions};
use crate::chat::{
    Change, MessageId, Moderation, News, Party, Receipt, Request, Said, Say, Sealed, Words, stream,
};
use crate::endpoint::EndpointConfig;
use crate::ledger::{LedgerError, LedgerErrorKind, MemoryLedger};
use crate::secure::{Secret, Stretch, StretchCost};

const TOKEN: &str = "0123456789abcdef-";

/// A relay, its ledger, and those who come.
struct Hall {
    now: Now,
    relay: Relay,
    ledger: MemoryLedger,
    /// What the ledger answers instead of doing anything.
    trouble: Option<LedgerError>,
    /// Jobs that the ledger has not come to, while it is slow.
    waiting: Option<Vec<ledger::Job>>,
    /// Passwords that nobody has come to, while that is slow.
    stretching: Option<Vec<(u64, Stretch)>>,
    visitors: Vec<Visitor>,
    records: Vec<String>,
}

struct Visitor {
    endpoint: Endpoint,
    handle: Handle,
    address: SocketAddr,
    next: u32,
    /// Whether it takes what it is sent.
    reads: bool,
    /// Whether nothing reaches it.
    is_deaf: bool,
    seen: Vec<String>,
    /// The sealed letters among them.
    letters: Vec<Sealed>,
    /// Why something was refused, in words.
    reasons: Vec<String>,
}

fn relay_address() -> SocketAddr {
    ([10, 0, 0, 1], 6100).into()
}

impl Hall {
    fn new() -> Self {
        Self::with(RelayConfig { admin_secret: Some("open sesame".to_owned()), ..RelayConfig::default() })
    }

    fn with(config: RelayConfig) -> Self {
        let now = Now {
            instant: Instant::from_nanos(1_000_000_000),
            wall: WallTime::from_unix_micros(1_795_262_400_000_000),
        };
        let ledger = MemoryLedger::new("log1".to_owned(), 1 << 20);
        let relay = Relay::new(config, ledger.foundation(), 1, now);
        Self {
            now,
            relay,
            ledger,
            trouble: None,
            waiting: None,
            stretching: None,
            visitors: Vec::new(),
            records: Vec::new(),
        }
    }

    /// Kills the relay, and starts another on what its ledger holds. Those who were there know nothing of it.
    fn restart(&mut self) {
        let config = RelayConfig { admin_secret: Some("open sesame".to_owned()), ..RelayConfig::default() };
        self.relay = Relay::new(config, self.ledger.foundation(), 2, self.now);
    }

    /// Somebody connects.
    fn come(&mut self) -> usize {
        self.come_with(EndpointConfig::default())
    }

    /// Somebody connects who takes only so much.
    fn come_with(&mut self, config: EndpointConfig) -> usize {
        let index = self.visitors.len();
        let number = u8::try_from(index + 2).unwrap();
        let mut endpoint = Endpoint::new(config, 100 + index as u64);
        let handle = endpoint.connect(self.now, &[Path::to(relay_address())], None).unwrap();
        let address = ([10, 0, 0, number], 6000).into();
        self.visitors.push(Visitor {
            endpoint,
            handle,
            address,
            next: 1,
            reads: true,
            is_deaf: false,
            seen: Vec::new(),
            letters: Vec::new(),
            reasons: Vec::new(),
        });
        self.run();
        index
    }

    /// Somebody connects and enters.
    fn enter(&mut self, nick: &str) -> usize {
        let index = self.come();
        self.ask(index, enter(nick, nick));
        index
    }

    /// Somebody connects, enters and joins a room; what that brings is not looked at.
    fn join(&mut self, nick: &str, room: &str) -> usize {
        let index = self.enter(nick);
        self.ask(index, join(room));
        self.seen(index);
        index
    }

    fn ask(&mut self, visitor: usize, ask: Request) {
        let id = self.fresh_id(visitor);
        self.say(visitor, stream::WORDS, party(None, None), Said::Request { id, ask });
    }

    fn line(&mut self, visitor: usize, room: &str, text: &str) {
        let id = self.fresh_id(visitor);
        self.words(visitor, id, party(Some(room), None), text);
    }

    fn letter(&mut self, visitor: usize, nick: &str, text: &str) {
        let id = self.fresh_id(visitor);
        self.words(visitor, id, party(None, Some(nick)), text);
    }

    fn words(&mut self, visitor: usize, id: MessageId, to: Party, text: &str) {
        let words =
            Words { id, text: text.into(), sealed: None, is_echo: false, reply_to: None, place: None };
        self.say(visitor, stream::WORDS, to, Said::Words(words));
    }

    /// A letter's receiver has it.
    fn confirm(&mut self, visitor: usize, id: &str, pos: u64) {
        let receipt = Receipt { pos: Some(pos), ..Receipt::taken(message_id(id), self.now.wall) };
        self.say(visitor, stream::RECEIPTS, party(None, None), Said::Receipt(receipt));
    }

    fn say(&mut self, visitor: usize, stream: u32, to: Party, said: Said<'_>) {
        let from = party(None, Some("whoever"));
        let body = Say { from, to, at: self.now.wall, said }.encode();
        let visitor = &mut self.visitors[visitor];
        visitor.endpoint.submit(visitor.handle, stream, body, SendOptions::default()).unwrap();
        self.run();
    }

    fn fresh_id(&mut self, visitor: usize) -> MessageId {
        let number = self.visitors[visitor].next;
        self.visitors[visitor].next += 1;
        message_id(&format!("{}-{number}", char::from(b'a' + u8::try_from(visitor).unwrap())))
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now.instant + duration;
        while self.now.instant < end {
            self.now = self.now.after(Duration::from_millis(100));
            self.relay.handle_timeout(self.now);
            for visitor in &mut self.visitors {
                visitor.endpoint.handle_timeout(self.now);
            }
            self.run();
        }
    }

    /// Until nobody has anything to do at this moment.
    fn run(&mut self) {
        let mut buffer = Vec::new();
        loop {
            let mut is_quiet = true;
            while let Some(event) = self.relay.poll_event() {
                is_quiet = false;
                match event {
                    Event::Job(job) if self.waiting.is_some() => {
                        self.waiting.iter_mut().for_each(|jobs| jobs.push(job.clone()));
                    }
                    Event::Job(job) => {
                        let answer = match &self.trouble {
                            Some(error) => ledger::Answer { ticket: job.ticket, result: Err(error.clone()) },
                            None => self.ledger.apply(&job),
                        };
                        self.relay.handle_command(self.now, Command::Answer(answer));
                    }
                    Event::Stretch { ticket, stretch } => match &mut self.stretching {
                        Some(waiting) => waiting.push((ticket, stretch)),
                        None => self.stretch(ticket, &stretch),
                    },
                    Event::Log(record) => self.records.push(record.what.to_string()),
                    Event::LogWanted { ticket, lines } => {
                        let from = self.records.len().saturating_sub(lines);
                        let lines = Ok(self.records[from..].to_vec());
                        self.relay.handle_command(self.now, Command::LogTail { ticket, lines });
                    }
                    Event::ShuttingDown => self.records.push("shutting down".to_owned()),
                }
            }
            while let Some(transmit) = self.relay.poll_transmit(self.now, &mut buffer) {
                is_quiet = false;
                // To nobody: the last one of that address is meant.
                let reached =
                    |visitor: &&mut Visitor| visitor.address == transmit.path.remote && !visitor.is_deaf;
                if let Some(visitor) = self.visitors.iter_mut().rev().find(reached) {
                    let datagram = &mut buffer[..transmit.length];
                    visitor.endpoint.handle_datagram(self.now, Path::to(relay_address()), datagram);
                }
            }
            for visitor in &mut self.visitors {
                while let Some(transmit) = visitor.endpoint.poll_transmit(self.now, &mut buffer) {
                    is_quiet = false;
                    let datagram = &mut buffer[..transmit.length];
                    self.relay.handle_datagram(self.now, Path::to(visitor.address), datagram);
                }
                visitor.follow();
            }
            if is_quiet {
                return;
            }
        }
    }

    /// The ledger does what waits, and is slow no longer.
    fn catch_up(&mut self) {
        for job in self.waiting.take().unwrap_or_default() {
            let answer = self.ledger.apply(&job);
            self.relay.handle_command(self.now, Command::Answer(answer));
        }
        self.run();
    }

    fn stretch(&mut self, ticket: u64, stretch: &Stretch) {
        let outcome = stretch.carry_out(StretchCost::LEAST);
        self.relay.handle_command(self.now, Command::Stretched { ticket, outcome });
    }

    /// Passwords that wait are stretched, and those that follow from it; how many waited at once.
    fn stretch_all(&mut self) -> Vec<usize> {
        let mut counts = Vec::new();
        while let Some(waiting) = self.stretching.replace(Vec::new()).filter(|waiting| !waiting.is_empty()) {
            counts.push(waiting.len());
            for (ticket, stretch) in waiting {
                self.stretch(ticket, &stretch);
                self.run();
            }
        }
        self.stretching = None;
        counts
    }

    /// What a visitor saw since the last call.
    fn seen(&mut self, visitor: usize) -> Vec<String> {
        std::mem::take(&mut self.visitors[visitor].seen)
    }

    #[track_caller]
    fn check(&mut self, visitor: usize, expected: &[&str]) {
        assert_eq!(self.seen(visitor), expected);
    }
}

impl Visitor {
    fn follow(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            if let endpoint::Event::Connection { event: arq::Event::Closed(closed), .. } = event {
                self.seen.push(match closed {
                    Closed::ByPeer { code, reason } => format!("closed {code}: {reason}"),
                    other => format!("closed {other:?}"),
                });
            }
        }
        while self.reads {
            let next = self.endpoint.take(self.handle, stream::RECEIPTS);
            let Some(received) = next.or_else(|| self.endpoint.take(self.handle, stream::WORDS)) else {
                return;
            };
            let say = Say::decode(&received.body).unwrap();
            if let Said::Words(Words { sealed: Some(sealed), .. }) = &say.said {
                self.letters.push(sealed.clone());
            }
            if !matches!(say.said, Said::Introduce { .. }) {
                self.seen.push(describe(&say));
                if let Said::Receipt(Receipt { ack: false, reason: Some(reason), .. }) = &say.said {
                    self.reasons.push(reason.to_string());
                }
            }
        }
    }
}

fn message_id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn party(room: Option<&str>, nick: Option<&str>) -> Party {
    let (room, nick) = (room.map(str::to_owned), nick.map(str::to_owned));
    Party { nick, room, ip: [10, 0, 0, 1].into(), port: 6100 }
}

fn enter(nick: &str, who: &str) -> Request {
    let token = format!("{TOKEN}{who}");
    Request::Enter {
        nick: nick.to_owned(),
        token,
        log: None,
        runs: Vec::new(),
        letters_after: 0,
        everyone_after: None,
    }
}

fn join(room: &str) -> Request {
    Request::Join { room: room.to_owned(), after: None, history: None, password: None }
}

fn describe(say: &Say<'_>) -> String {
    match &say.said {
        Said::Receipt(Receipt { id, ack: true, held, pos, .. }) => {
            let at = pos.map(|pos| format!(" at {pos}")).unwrap_or_default();
            format!("{} {id}{at}", if *held { "held" } else { "ok" })
        }
        Said::Receipt(Receipt { id, code, suggestion, .. }) => {
            let code = code.map_or("-", |code| code.as_str());
            let suggestion = suggestion.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("no {id}: {code}{suggestion}")
        }
        Said::Words(words) => {
            let from = say.from.nick.as_deref().unwrap_or("-");
            let to = say.to.room.as_deref().or(say.to.nick.as_deref()).unwrap_or("-");
            let text = if words.sealed.is_some() { "sealed" } else { &words.text };
            format!("{from} to {to}: {text} @{}", words.place.map_or(0, |place| place.pos))
        }
        Said::News(news) => describe_news(news),
        other => format!("{other:?}"),
    }
}

fn describe_news(news: &News) -> String {
    let names = |members: &[crate::chat::Attendance]| {
        let names: Vec<&str> = members.iter().filter_map(|member| member.party.nick.as_deref()).collect();
        names.join(",")
    };
    match news {
        News::Entered { nick, operator, .. } => {
            format!("in as {nick}{}", if *operator { " (op)" } else { "" })
        }
        News::Room { room, head, members, count, .. } => {
            format!("{room} head {head}: {} ({count})", names(members))
        }
        News::Presence { room, changes } => {
            let changes = changes.iter().map(|change| match change {
                Change::Joined { member, stranger } => {
                    let warning = if *stranger { " (stranger)" } else { "" };
                    format!("+{}{warning}", member.party.nick.as_deref().unwrap_or("-"))
                }
                Change::Left { nick, reason } => format!("-{nick} ({reason})"),
                Change::Missed { members, count } => format!("now {} ({count})", names(members)),
            });
            format!("{room} {}", changes.collect::<Vec<_>>().join(" "))
        }
        News::Who { members, count, .. } => {
            let rows = members.iter().map(|member| {
                format!("{}[{}]", member.party.nick.as_deref().unwrap_or("-"), member.rooms.join(" "))
            });
            format!("who {} ({count})", rows.collect::<Vec<_>>().join(" "))
        }
        News::Rooms { rooms, .. } => {
            let rows: Vec<String> =
                rooms.iter().map(|room| format!("{}({})", room.room, room.count)).collect();
            format!("rooms {}", rows.join(" "))
        }
        News::Renamed { before, nick } => format!("{before} is {nick}"),
        News::Topic { room, text, by } => format!("{room} is about {text} says {by}"),
        News::Invited { room, by } => format!("invited to {room} by {by}"),
        News::Removed { room, by, reason } => format!("out of {room:?} by {by}: {reason}"),
        News::Remark { text } => text.clone(),
        News::Closing { reason } => format!("closing: {reason}"),
        News::Key { nick, key, .. } => format!("the key of {nick} is {key}"),
        News::Bans { bans, .. } => {
            format!("bans {}", bans.iter().map(|ban| ban.who.as_str()).collect::<Vec<_>>().join(" "))
        }
        News::Log { lines, .. } => format!("log {lines:?}"),
    }
}

// UC-RELAY-005, UC-RELAY-008, UC-RELAY-010
#[test]
fn a_line_reaches_everybody_in_the_room_and_its_author_gets_the_receipt() {
    let mut hall = Hall::new();
    let ana = hall.enter("ana");
    hall.ask(ana, join("Sala"));
    hall.check(ana, &["ok a-1", "in as ana", "ok a-2", "#sala head 0: ana (1)"]);
    let bob = hall.enter("bob");
    hall.ask(bob, join("#sala"));
    hall.check(ana, &["#sala +bob"]);
    hall.check(bob, &["ok b-1", "in as bob", "ok b-2", "#sala head 0: ana,bob (2)"]);
    hall.line(ana, "#sala", "oi");
    hall.check(ana, &["ok a-3 at 1", "ana to #sala: oi @1"]);
    hall.check(bob, &["ana to #sala: oi @1"]);
    hall.ask(bob, Request::Part { room: "#sala".to_owned(), reason: Some("tired".to_owned()) });
    hall.check(bob, &["ok b-3"]);
    hall.check(ana, &["#sala -bob (tired)"]);
    hall.line(ana, "#sala", "still here");
    hall.check(bob, &[]);
}

// UC-RELAY-009
#[test]
fn rooms_are_separate_and_words_need_a_seat() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#a");
    let bob = hall.join("bob", "#b");
    hall.line(ana, "#a", "only here");
    hall.line(bob, "#a", "let me in");
    hall.check(bob, &["no b-3: not-joined"]);
    hall.line(bob, "#nowhere", "?");
    hall.check(bob, &["no b-4: not-joined"]);
    let guest = hall.come();
    hall.line(guest, "#a", "hello?");
    hall.ask(guest, join("#a"));
    hall.check(guest, &["no c-1: not-entered", "no c-2: not-entered"]);
}

// UC-RELAY-006
#[test]
fn a_name_is_one_members_whatever_its_address_and_free_when_left() {
    let mut hall = Hall::new();
    let ana = hall.enter("ana");
    let other = hall.come();
    hall.ask(other, enter("ANA", "somebody else"));
    hall.check(other, &["no b-1: name-taken (ANA-2)"]);
    hall.ask(other, enter("bad name", "somebody else"));
    hall.check(other, &["no b-2: bad-name"]);
    hall.ask(other, enter("ana-2", "somebody else"));
    hall.check(other, &["ok b-3", "in as ana-2"]);
    let now = hall.now;
    let handle = hall.visitors[ana].handle;
    hall.visitors[ana].endpoint.close(now, handle, "done", "");
    hall.run();
    hall.ask(other, Request::Rename { nick: "ana".to_owned() });
    hall.check(other, &["ok b-4", "ana-2 is ana"]);
    let third = hall.enter("bob");
    hall.ask(third, Request::Rename { nick: "Ana".to_owned() });
    hall.seen(third);
    hall.ask(third, join("#sala"));
    hall.ask(other, join("#sala"));
    hall.check(third, &["ok c-3", "#sala head 0: bob (1)", "#sala +ana (stranger)"]);
}

// UC-RELAY-007
#[test]
fn the_same_person_gets_the_name_back_at_once_and_the_room_hears_nothing() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let bob = hall.join("bob", "#sala");
    hall.seen(ana);
    let again = hall.come();
    hall.ask(again, enter("ana", "ana"));
    hall.ask(again, join("#sala"));
    hall.check(again, &["ok c-1", "in as ana", "ok c-2", "#sala head 0: bob,ana (2)"]);
    hall.check(ana, &["closed replaced: you are here on another connection"]);
    hall.check(bob, &[]);
    // A seat that is not taken again is given up.
    let third = hall.come();
    hall.ask(third, enter("ana", "ana"));
    hall.wait(Duration::from_secs(61));
    hall.check(bob, &["#sala -ana (did not come back)"]);
}

// UC-RELAY-011, UC-RELAY-012
#[test]
fn a_newcomer_gets_what_was_said_and_who_returns_what_was_missed() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    for number in 1..=4 {
        hall.line(ana, "#sala", &number.to_string());
    }
    let lines = |hall: &mut Hall, visitor| -> Vec<String> {
        hall.seen(visitor).into_iter().filter(|line| line.contains('@')).collect()
    };
    let all = ["ana to #sala: 1 @1", "ana to #sala: 2 @2", "ana to #sala: 3 @3", "ana to #sala: 4 @4"];
    let bob = hall.enter("bob");
    hall.ask(bob, join("#sala"));
    assert_eq!(lines(&mut hall, bob), all);
    for (nick, history, expected) in [("cid", 0, &all[4..]), ("dan", 2, &all[2..]), ("eva", 9, &all[..])] {
        let visitor = hall.enter(nick);
        let room = "#sala".to_owned();
        hall.ask(visitor, Request::Join { room, after: None, history: Some(history), password: None });
        assert_eq!(lines(&mut hall, visitor), expected, "{nick}");
    }
    for (log, after, expected) in [("log1", 3, &all[3..]), ("another", 3, &all[..]), ("log1", 99, &all[4..])]
    {
        let visitor = hall.come();
        let (log, nick) = (Some(log.to_owned()), format!("fay{visitor}"));
        let token = format!("{TOKEN}{nick}");
        hall.ask(
            visitor,
            Request::Enter { nick, token, log, runs: Vec::new(), letters_after: 0, everyone_after: None },
        );
        let room = "#sala".to_owned();
        hall.ask(visitor, Request::Join { room, after: Some(after), history: None, password: None });
        assert_eq!(lines(&mut hall, visitor), expected, "{after}");
    }
}

// UC-RELAY-010
#[test]
fn what_is_said_twice_is_stored_once_even_across_a_kill() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    hall.line(ana, "#sala", "once");
    hall.words(ana, message_id("a-3"), party(Some("#sala"), None), "once");
    hall.check(ana, &["ok a-3 at 1", "ana to #sala: once @1", "ok a-3 at 1"]);
    hall.restart();
    let again = hall.come();
    hall.ask(again, enter("ana", "ana"));
    hall.ask(again, join("#sala"));
    hall.seen(again);
    hall.words(again, message_id("a-3"), party(Some("#sala"), None), "once");
    hall.check(again, &["ok a-3 at 1"]);
}

// UC-RELAY-013
#[test]
fn a_letter_waits_for_its_receiver_and_its_author_learns_both() {
    let mut hall = Hall::new();
    let ana = hall.enter("ana");
    hall.letter(ana, "bob", "anybody?");
    hall.check(ana, &["ok a-1", "in as ana", "no a-2: no-such-name"]);
    let bob = hall.enter("bob");
    hall.letter(ana, "BOB", "psst");
    hall.check(bob, &["ok b-1", "in as bob", "ana to BOB: psst @1"]);
    hall.confirm(bob, "a-3", 1);
    hall.check(ana, &["held a-3 at 1", "ok a-3 at 1"]);
    let now = hall.now;
    let handle = hall.visitors[bob].handle;
    hall.visitors[bob].endpoint.close(now, handle, "done", "");
    hall.run();
    hall.letter(ana, "bob", "later");
    hall.letter(ana, "bob", "much later");
    hall.check(ana, &["held a-4 at 2", "held a-5 at 3"]);
    let back = hall.enter("bob");
    hall.check(back, &["ok c-1", "in as bob", "ana to bob: later @2", "ana to bob: much later @3"]);
    hall.confirm(back, "a-4", 2);
    hall.check(ana, &["ok a-4 at 2"]);
    // Said again, it tells its fate and is not delivered again.
    hall.words(ana, message_id("a-4"), party(None, Some("bob")), "later");
    hall.check(ana, &["ok a-4 at 2"]);
    hall.check(back, &[]);
}

// UC-RELAY-013
#[test]
fn a_letter_that_its_receiver_cannot_take_is_refused() {
    let mut hall = Hall::new();
    let ana = hall.enter("ana");
    hall.seen(ana);
    let mut config = EndpointConfig::default();
    config.connection.limits.message_bytes = 10_000;
    let bob = hall.come_with(config);
    hall.ask(bob, enter("bob", "bob"));
    hall.letter(ana, "bob", &"x".repeat(20_000));
    hall.check(ana, &["held a-2 at 1", "no a-2: too-long"]);
    hall.check(bob, &["ok b-1", "in as bob"]);
}

// UC-RELAY-014
#[test]
fn what_is_said_to_everyone_reaches_every_member_once() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#a");
    let bob = hall.join("bob", "#b");
    hall.ask(bob, join("#a"));
    hall.seen(bob);
    let cid = hall.enter("cid");
    hall.seen(cid);
    hall.line(ana, "*", "fire!");
    hall.check(bob, &["ana to *: fire! @1"]);
    hall.check(cid, &["ana to *: fire! @1"]);
}

// UC-RELAY-015
#[test]
fn rooms_can_be_guarded_by_their_owner() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#den");
    let guard = |password: Option<&str>, invite_only, hidden| Request::Guard {
        room: "#den".to_owned(),
        password: password.map(Secret::from),
        invite_only,
        hidden,
    };
    let knock = |password: Option<&str>| Request::Join {
        room: "#den".to_owned(),
        after: None,
        history: None,
        password: password.map(Secret::from),
    };
    hall.ask(ana, guard(Some("cheese"), None, Some(true)));
    let bob = hall.enter("bob");
    hall.seen(bob);
    hall.ask(bob, knock(None));
    hall.ask(bob, knock(Some("ham")));
    hall.ask(bob, Request::Rooms);
    hall.ask(bob, Request::Who { room: None });
    hall.ask(bob, Request::Who { room: Some("#den".to_owned()) });
    let expected = [
        "no b-2: password",
        "no b-3: password",
        "ok b-4",
        "rooms ",
        "ok b-5",
        "who ana[] bob[] (2)",
        "no b-6: no-such-room",
    ];
    hall.check(bob, &expected);
    hall.ask(bob, knock(Some("cheese")));
    hall.check(bob, &["ok b-7", "#den head 0: ana,bob (2)"]);
    hall.ask(bob, guard(Some(""), None, None));
    hall.check(bob, &["no b-8: forbidden"]);
    hall.ask(ana, guard(Some(""), Some(true), None));
    let cid = hall.enter("cid");
    hall.seen(cid);
    hall.ask(cid, join("#den"));
    hall.ask(bob, Request::Invite { room: "#den".to_owned(), nick: "cid".to_owned() });
    hall.ask(cid, join("#den"));
    hall.check(
        cid,
        &["no c-2: invite-only", "invited to #den by bob", "ok c-3", "#den head 0: ana,bob,cid (3)"],
    );
    hall.restart();
    let dan = hall.enter("dan");
    hall.seen(dan);
    hall.ask(dan, join("#den"));
    hall.check(dan, &["no d-2: invite-only"]);
    assert_eq!(hall.relay.room_count(), 0);
}

// UC-RELAY-019, UC-RELAY-020
#[test]
fn operators_kick_ban_and_mute_and_others_do_not() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let bob = hall.join("bob", "#sala");
    let moderate = |action| Request::Moderate(action);
    let kick = |room: Option<&str>| {
        let room = room.map(str::to_owned);
        Request::Moderate(Moderation::Kick { nick: "bob".to_owned(), room, reason: Some("noise".to_owned()) })
    };
    hall.seen(ana);
    hall.ask(ana, kick(None));
    hall.ask(ana, Request::Authorize { secret: "open says me".into() });
    hall.ask(ana, Request::Authorize { secret: "open sesame".into() });
    hall.check(ana, &["no a-3: forbidden", "no a-4: forbidden", "ok a-5", "you are an operator now"]);
    hall.ask(ana, moderate(Moderation::Mute { nick: "bob".to_owned(), seconds: Some(60) }));
    hall.line(bob, "#sala", "loud");
    hall.check(bob, &["an operator muted you: what you say is refused", "no b-3: muted"]);
    hall.wait(Duration::from_secs(61));
    hall.line(bob, "#sala", "quiet");
    hall.check(bob, &["ok b-4 at 1", "bob to #sala: quiet @1"]);
    hall.seen(ana);
    hall.ask(ana, kick(Some("#sala")));
    hall.check(bob, &["out of Some(\"#sala\") by ana: noise"]);
    hall.check(ana, &["ok a-7", "#sala -bob (kicked by ana: noise)"]);
    let ban = Moderation::Ban { who: "bob".to_owned(), seconds: Some(600), reason: None };
    hall.ask(ana, moderate(ban));
    hall.check(bob, &["out of None by ana: banned", "closed removed: kicked by ana: banned"]);
    let again = hall.come();
    hall.ask(again, enter("bobby", "bob"));
    hall.check(again, &["no c-1: banned", "closed removed: banned"]);
    hall.restart();
    let third = hall.come();
    hall.ask(third, enter("bob", "bob"));
    hall.check(third, &["no d-1: banned", "closed removed: banned"]);
    let told = hall.records.join("\n");
    assert!(!told.contains("open sesame") && !told.contains(TOKEN), "no secret is in the log: {told}");
    let actions: Vec<&String> = hall.records.iter().filter(|record| record.starts_with("* ana")).collect();
    assert_eq!(
        actions,
        [
            "* ana gave a wrong admin secret",
            "* ana is an operator now, by the admin secret",
            "* ana muted bob for 60 s",
            "* ana kicked bob out of #sala: noise",
            "* ana banned bob for 600 s: ",
        ]
    );
}

// UC-RELAY-010, UC-RELAY-017
#[test]
fn what_the_ledger_cannot_store_gets_no_receipt_and_nobody_sees_it() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let bob = hall.join("bob", "#sala");
    hall.seen(ana);
    let full = LedgerError { kind: LedgerErrorKind::Full, words: "the disk is full".to_owned() };
    hall.trouble = Some(full);
    hall.line(ana, "#sala", "lost");
    hall.check(ana, &["no a-3: storage"]);
    hall.ask(ana, Request::Topic { room: "#sala".to_owned(), text: "trouble".to_owned() });
    hall.check(ana, &["no a-4: storage"]);
    hall.check(bob, &[]);
    hall.trouble = None;
    hall.line(ana, "#sala", "kept");
    hall.check(bob, &["ana to #sala: kept @1"]);
    assert!(hall.records.contains(&"! the relay could not store or read: the disk is full".to_owned()));
}

// UC-RELAY-016
#[test]
fn fault_switches_show_each_failure_and_leave_no_trace() {
    let faults = Faults { connect: false, send: true };
    let mut hall = Hall::with(RelayConfig { faults, ..RelayConfig::default() });
    let ana = hall.join("ana", "#sala");
    hall.line(ana, "#sala", "never");
    hall.check(ana, &["no a-3: fault"]);
    let bob = hall.enter("bob");
    hall.ask(bob, join("#sala"));
    hall.check(bob, &["ok b-1", "in as bob", "ok b-2", "#sala head 0: ana,bob (2)"]);
    let faults = Faults { connect: true, send: false };
    let mut hall = Hall::with(RelayConfig { faults, ..RelayConfig::default() });
    let ana = hall.come();
    hall.check(ana, &["closed fault: connection fault: the relay was started with --fault connect"]);
    assert_eq!(
        hall.records,
        ["! 10.0.0.2:6000 refused: connection: connection fault: the relay was started with --fault connect"]
    );
}

// UC-RELAY-018
#[test]
fn the_flood_limit_paces_and_never_refuses() {
    let limits = RelayLimits { flood: Some(Flood { burst: 5, per_second: 10 }), ..RelayLimits::default() };
    let mut hall = Hall::with(RelayConfig { limits, ..RelayConfig::default() });
    let ana = hall.join("ana", "#sala");
    for number in 0..20 {
        hall.line(ana, "#sala", &number.to_string());
    }
    // Two of the five tokens went for entering and joining.
    let mut seen = hall.seen(ana);
    assert_eq!(seen.iter().filter(|line| line.starts_with("ok")).count(), 3);
    hall.wait(Duration::from_secs(2));
    seen.extend(hall.seen(ana));
    let texts: Vec<&str> = seen.iter().filter_map(|line| line.strip_prefix("ana to #sala: ")).collect();
    assert_eq!(texts.len(), 20, "{texts:?}");
    assert!(seen.iter().all(|line| !line.starts_with("no ")));
}

// UC-RELAY-017
#[test]
fn a_member_that_takes_nothing_delays_nobody_and_catches_up_from_the_ledger() {
    let limits = RelayLimits { flood: None, ..RelayLimits::default() };
    let mut hall = Hall::with(RelayConfig { limits, ..RelayConfig::default() });
    let ana = hall.join("ana", "#sala");
    let slow = hall.join("slow", "#sala");
    hall.visitors[slow].reads = false;
    let long = "x".repeat(40_000);
    for _ in 0..12 {
        hall.line(ana, "#sala", &long);
    }
    assert_eq!(hall.seen(ana).iter().filter(|line| line.starts_with("ok")).count(), 12);
    let queued: usize =
        hall.relay.endpoint().connections().map(|(_, connection)| connection.queued().0).sum();
    assert!(queued < 256 * 1024, "{queued}");
    hall.visitors[slow].reads = true;
    hall.wait(Duration::from_secs(2));
    let positions: Vec<String> =
        hall.seen(slow).iter().filter_map(|line| Some(line.rsplit_once('@')?.1.to_owned())).collect();
    assert_eq!(positions, (1..=12).map(|pos| pos.to_string()).collect::<Vec<_>>());
}

// UC-RELAY-018
#[test]
fn words_beside_the_flood_limit_are_not_heard() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let words = |id: &str, is_echo| {
        let text = "sneaky".into();
        Said::Words(Words { id: message_id(id), text, sealed: None, is_echo, reply_to: None, place: None })
    };
    hall.say(ana, stream::RECEIPTS, party(Some("#sala"), None), words("a-8", false));
    hall.say(ana, stream::RECEIPTS, party(None, None), words("a-9", true));
    hall.check(ana, &[]);
    assert_eq!(hall.relay.unreadable_messages(), 2);
}

// UC-RELAY-012
#[test]
fn a_page_for_a_seat_that_was_left_is_nobodys() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    for number in 1..=4 {
        hall.line(ana, "#sala", &number.to_string());
    }
    hall.restart();
    let bob = hall.come();
    let (nick, token, log) = ("bob".to_owned(), format!("{TOKEN}bob"), Some("log1".to_owned()));
    hall.ask(
        bob,
        Request::Enter { nick, token, log, runs: Vec::new(), letters_after: 0, everyone_after: None },
    );
    let again =
        |after| Request::Join { room: "#sala".to_owned(), after: Some(after), history: None, password: None };
    // Somebody else keeps the room open, so that joining it asks the ledger for nothing but the lines.
    hall.join("cid", "#sala");
    hall.waiting = Some(Vec::new());
    hall.ask(bob, again(0));
    hall.ask(bob, Request::Part { room: "#sala".to_owned(), reason: None });
    hall.ask(bob, again(2));
    hall.catch_up();
    let lines: Vec<String> = hall.seen(bob).into_iter().filter(|line| line.contains('@')).collect();
    assert_eq!(lines, ["ana to #sala: 3 @3", "ana to #sala: 4 @4"]);
}

// UC-RELAY-019
#[test]
fn whoever_is_banned_is_not_heard_any_more_though_it_hears_nothing() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let bob = hall.join("bob", "#sala");
    hall.ask(ana, Request::Authorize { secret: "open sesame".into() });
    hall.seen(ana);
    hall.visitors[bob].is_deaf = true;
    let ban = Moderation::Ban { who: "bob".to_owned(), seconds: None, reason: None };
    hall.ask(ana, Request::Moderate(ban));
    hall.ask(bob, join("#sala"));
    hall.line(bob, "#sala", "still here");
    hall.check(ana, &["ok a-4", "#sala -bob (kicked by ana: banned)"]);
    assert_eq!(hall.relay.member_count(), 1);
}

// UC-RELAY-007
#[test]
fn whoever_has_all_rooms_allowed_keeps_them_across_a_reconnect() {
    let limits = RelayLimits { rooms_per_member: 1, ..RelayLimits::default() };
    let mut hall = Hall::with(RelayConfig { limits, ..RelayConfig::default() });
    let ana = hall.join("ana", "#a");
    hall.ask(ana, join("#b"));
    hall.check(ana, &["no a-3: too-many"]);
    let again = hall.come();
    hall.ask(again, enter("ana", "ana"));
    hall.ask(again, join("#a"));
    hall.check(again, &["ok b-1", "in as ana", "ok b-2", "#a head 0: ana (1)"]);
    // What nobody was ever in, or said anything in, is not kept.
    assert_eq!(hall.relay.room_count(), 1);
    let Ok(ledger::Reply::Rooms(rooms)) = hall
        .ledger
        .apply(&ledger::Job { ticket: 0, at: hall.now.wall, request: ledger::Request::ListRooms { most: 9 } })
        .result
    else {
        panic!("rooms are listed");
    };
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["#a"]);
}

// UC-RELAY-021
#[test]
fn an_operator_closes_the_relay_for_everyone() {
    let mut hall = Hall::new();
    let ana = hall.join("ana", "#sala");
    let bob = hall.join("bob", "#sala");
    hall.ask(ana, Request::Authorize { secret: "open sesame".into() });
    hall.seen(ana);
    hall.ask(ana, Request::Moderate(Moderation::Shutdown { reason: None }));
    hall.check(ana, &["ok a-4", "closing: ana closed the relay", "closed done: ana closed the relay"]);
    hall.check(bob, &["closing: ana closed the relay", "closed done: ana closed the relay"]);
    assert!(hall.records.contains(&"shutting down".to_owned()));
    hall.wait(Duration::from_secs(5));
    assert!(hall.relay.is_idle());
}

#[test]
fn a_thousand_members_who_come_and_go_leave_no_trace() {
    let limits = RelayLimits { connections: None, ..RelayLimits::default() };
    let mut hall = Hall::with(RelayConfig { limits, ..RelayConfig::default() });
    for number in 0..200 {
        let visitor = hall.enter(&format!("v{number}"));
        hall.ask(visitor, join(&format!("#room{}", number % 7)));
        let (now, handle) = (hall.now, hall.visitors[visitor].handle);
        hall.visitors[visitor].endpoint.close(now, handle, "done", "");
        hall.run();
        hall.visitors.clear();
        hall.wait(Duration::from_secs(1));
    }
    hall.wait(Duration::from_secs(60));
    let relay = &hall.relay;
    let left = (relay.sessions.len(), relay.by_identity.len(), relay.names.len(), relay.rooms.len());
    assert_eq!(left, (0, 0, 0, 0));
    assert_eq!((relay.jobs.len(), relay.wakes.len(), relay.room_numbers.len()), (0, 0, 0));
    assert_eq!(relay.endpoint().connections().count(), 0);
}
