//! The relay machine: a room is a log, a member is a cursor.
//!
//! Whatever is said goes to the ledger first. When the ledger has it, it has a position, its sender gets the receipt, and every
//! member's cursor can move over it; whoever is slow, away or new is behind, and nothing else. This module must never give a receipt
//! for what is not stored, never let one member wait for another, and hold nothing that grows with a member's slowness.
//!
//! `session` is what is known of one connection, `room` of one room; `enter` and `attend` let members in and out of them,
//! `password` finds out who may, `speak` takes what they say, `answer` goes on when the ledger has it, `deliver` moves the cursors, `moderate` and `inform` are the rest of
//! what can be asked.

mod answer;
mod attend;
mod config;
mod deliver;
mod enter;
mod event;
mod inform;
mod leave;
mod moderate;
mod names;
mod password;
mod read;
mod room;
mod runs;
mod session;
mod speak;
mod tail;
mod tell;

#[cfg(test)]
mod tests;

pub use config::{Faults, Flood, RelayConfig, RelayLimits};
pub use event::{Command, Event, Record, What};
pub use password::{MOST_STRETCHES, PasswordStatistics};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::arq;
use crate::bucket::Bucket;
use crate::endpoint::{self, Backlog, Endpoint, Handle};
use crate::ledger::{self, Ban, BanTarget, Foundation, Identity, Job, LetterFate, LogKey};
use crate::machine::{Path, Transmit, neighbourhood};
use crate::random::Random;
use crate::time::{Instant, Now, WallTime};
use crate::wire::ConnectionId;
use answer::Pending;
use names::NameTable;
use password::Passwords;
use room::Room;
use runs::Runs;
use session::{Phase, Session, Sessions};
use tail::Tail;

/// Why a relay wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A member that talked too fast may go on, a guest has waited too long, a kept seat is given up.
    Session,
    /// Lines were gathered for long enough.
    Spread,
    /// Letters may have waited too long.
    Expire,
    /// The ledger could not do something, and may now.
    Retry,
    /// The endpoint's own reason.
    Endpoint(endpoint::Reason),
}

impl Reason {
    /// A word for traces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Spread => "spread",
            Self::Expire => "expire",
            Self::Retry => "retry",
            Self::Endpoint(reason) => reason.name(),
        }
    }
}

/// A relay: many members on one socket (UC-RELAY-001).
#[derive(Debug)]
pub struct Relay {
    config: RelayConfig,
    endpoint: Endpoint,
    /// Names this run in introductions.
    run: String,
    /// Names the ledger that positions are of.
    log_id: String,
    runs: Runs,
    sessions: Sessions,
    names: NameTable,
    by_identity: BTreeMap<Identity, Handle>,
    /// Operators and the muted, by person: a reconnect changes neither.
    operators: BTreeSet<Identity>,
    muted: BTreeMap<Identity, Option<WallTime>>,
    bans: BTreeMap<String, Ban>,
    rooms: BTreeMap<u64, Room>,
    room_numbers: BTreeMap<String, u64>,
    everyone: Tail,
    /// Logs that grew since their members' cursors were moved last.
    grown: BTreeSet<LogKey>,
    /// When they may be moved again.
    spread_at: Instant,
    /// Whether they were moved, and not all that came of it has left.
    is_spreading: bool,
    /// The last moment that was told.
    now: Now,
    /// What the ledger was asked, by ticket.
    jobs: BTreeMap<u64, Pending>,
    next_ticket: u64,
    passwords: Passwords,
    /// Salts.
    random: Random,
    /// How fast addresses connected lately.
    arrivals: BTreeMap<IpAddr, Bucket>,
    wakes: BTreeSet<(Instant, Handle)>,
    expire_at: Instant,
    /// What became of letters that the ledger could not take.
    unsettled: BTreeMap<(Identity, u64), LetterFate>,
    /// When to ask the ledger again for what it could not do.
    retry_at: Option<Instant>,
    events: VecDeque<Event>,
    /// Set while the relay closes: what everyone is told.
    closing: Option<Closing>,
    next_trouble_at: Instant,
    unreadable: u64,
}

#[derive(Debug)]
struct Closing {
    reason: String,
    /// Whether everyone was told: the ledger has done everything that came before.
    is_told: bool,
}

impl Relay {
    /// A guest that never enters is sent away: it holds a place. A person who is asked for another name may think about it.
    const GUEST_TIME: Duration = Duration::from_secs(300);

    /// How often the mailboxes are searched for letters that waited too long; they wait for days.
    const EXPIRE_INTERVAL: Duration = Duration::from_secs(3600);

    /// A relay without members, on what its ledger holds; its ids follow from `seed`.
    pub fn new(mut config: RelayConfig, foundation: Foundation, seed: u64, now: Now) -> Self {
        let mut random = Random::from_seed(seed);
        let run = ConnectionId::random(&mut random).to_string();
        Self {
            endpoint: Endpoint::new(config.endpoint.hand_over(), random.next_u64()),
            config,
            run,
            log_id: foundation.log_id,
            runs: Runs::new(&foundation.runs),
            sessions: Sessions::default(),
            names: NameTable::default(),
            by_identity: BTreeMap::new(),
            operators: BTreeSet::new(),
            muted: BTreeMap::new(),
            bans: foundation.bans.into_iter().map(|ban| (ledger::folded(&ban.who), ban)).collect(),
            rooms: BTreeMap::new(),
            room_numbers: BTreeMap::new(),
            everyone: Tail::new(foundation.everyone_head),
            grown: BTreeSet::new(),
            spread_at: Instant::ZERO,
            is_spreading: false,
            now,
            jobs: BTreeMap::new(),
            next_ticket: 1,
            passwords: Passwords::default(),
            random,
            arrivals: BTreeMap::new(),
            wakes: BTreeSet::new(),
            expire_at: now.instant + Self::EXPIRE_INTERVAL,
            unsettled: BTreeMap::new(),
            retry_at: None,
            events: VecDeque::new(),
            closing: None,
            next_trouble_at: Instant::ZERO,
            unreadable: 0,
        }
    }

    /// Fresh bytes of the system's randomness; see [`Endpoint::stir`].
    pub fn stir(&mut self, now: Now, fresh: &[u8; 32]) {
        self.endpoint.stir(now, fresh);
    }

    /// One datagram arrived. The bytes may be changed in place.
    pub fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.now = now;
        self.endpoint.handle_datagram(now, path, datagram);
        self.follow_endpoint(now);
    }

    /// The outside tells something.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        self.now = now;
        match command {
            Command::Answer(answer) => self.handle_answer(now, answer),
            Command::Stretched { ticket, outcome } => self.handle_stretched(now, ticket, outcome),
            Command::LogTail { ticket, lines } => self.handle_log_tail(now, ticket, lines),
            Command::Reconfigure(limits) => {
                self.endpoint.make_room(limits.most_connections());
                self.config.limits = limits;
            }
            Command::Shutdown { reason } => self.shut_down(now, reason),
        }
        self.finish_closing(now);
        self.follow_endpoint(now);
    }

    /// A deadline passed, or may have.
    pub fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        self.endpoint.handle_timeout(now);
        self.follow_endpoint(now);
        while let Some(&(at, handle)) = self.wakes.first() {
            if at > now.instant {
                break;
            }
            self.wakes.pop_first();
            self.wake(now, handle);
        }
        if self.retry_at.is_some_and(|at| at <= now.instant) {
            self.retry_at = None;
            self.ask_again(now);
        }
        if self.expire_at <= now.instant {
            self.expire_at = now.instant + Self::EXPIRE_INTERVAL;
            let lifetime_us =
                i64::try_from(self.config.limits.letter_lifetime.as_micros()).unwrap_or(i64::MAX);
            let before = WallTime::from_unix_micros(now.wall.as_unix_micros().saturating_sub(lifetime_us));
            let _ = self.ask(now, ledger::Request::Expire { before }, Pending::Expire);
        }
        self.follow_endpoint(now);
    }

    /// The next datagram to send, in `buffer` (cleared and filled).
    #[must_use]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        // Whoever does not ask for events, because the ledger has enough to do, sends all the same.
        self.spread_if_due(now);
        let transmit = self.endpoint.poll_transmit(now, buffer);
        if transmit.is_none() {
            self.end_spreading(now);
        }
        transmit
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        // The ledger has taken whatever there was to take: what was said meanwhile goes to each member in one go.
        if self.events.is_empty() {
            self.spread_if_due(self.now);
        }
        self.events.pop_front()
    }

    /// When to call `handle_timeout` next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let endpoint = self.endpoint.poll_timeout().map(|(at, reason)| (at, Reason::Endpoint(reason)));
        let session = self.wakes.first().map(|&(at, _)| (at, Reason::Session));
        let retry = self.retry_at.map(|at| (at, Reason::Retry));
        let spread = (!self.grown.is_empty()).then_some((self.spread_at, Reason::Spread));
        let expire = Some((self.expire_at, Reason::Expire));
        [endpoint, session, retry, spread, expire].into_iter().flatten().min()
    }

    /// Whether the relay was closed, nobody is left, and the ledger has done everything.
    pub fn is_idle(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.is_told)
            && self.sessions.is_empty()
            && self.jobs.is_empty()
    }

    /// How many members there are.
    pub fn member_count(&self) -> usize {
        self.by_identity.len()
    }

    /// How many rooms have somebody in them.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Messages of the layer below that said nothing, or nothing that a relay answers.
    pub const fn unreadable_messages(&self) -> u64 {
        self.unreadable
    }

    /// What was counted of passwords.
    pub const fn password_statistics(&self) -> &PasswordStatistics {
        &self.passwords.statistics
    }

    /// The layer below, for statistics and checkers.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn follow_endpoint(&mut self, now: Now) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                endpoint::Event::Accepted { handle } => self.accept(now, handle),
                // A member's program was started anew, as the endpoint found out by calling it. Members call by themselves;
                // one that took this connection for its own would wait for ever.
                endpoint::Event::Replaced { new, .. } => {
                    self.endpoint.close(now, new, "done", "a relay is called and does not call");
                }
                // A relay calls nobody, so it expects nobody's key.
                endpoint::Event::WrongKey { .. } => {}
                endpoint::Event::Connection { handle, event } => self.follow_connection(now, handle, event),
            }
        }
    }

    fn follow_connection(&mut self, now: Now, handle: Handle, event: arq::Event) {
        match event {
            arq::Event::Readable { .. } => self.read(now, handle),
            arq::Event::Outcome { stream, seq, .. } => self.note_presence(now, handle, stream, seq),
            arq::Event::Settled => self.note_settled(now, handle),
            arq::Event::Writable => self.pump(now, handle),
            arq::Event::Moved { path } => {
                if let Some(session) = self.sessions.at_mut(&handle) {
                    session.address = path.remote;
                }
            }
            arq::Event::Closed(closed) => self.forget(now, handle, &closed),
            // Nothing that members say travels unreliably.
            arq::Event::GramReadable => while self.endpoint.take_gram(handle).is_some() {},
            arq::Event::Connected | arq::Event::Silent | arq::Event::Resumed => {}
        }
    }

    /// Somebody connected.
    fn accept(&mut self, now: Now, handle: Handle) {
        let Some(address) = self.endpoint.connection(handle).map(|connection| connection.path().remote)
        else {
            return;
        };
        let refusal = if self.closing.is_some() {
            Some(("done", "the relay is closing"))
        } else if self.config.faults.connect {
            Some(("fault", "connection fault: the relay was started with --fault connect"))
        } else if self.ban_of(now, BanTarget::Address(address.ip())).is_some() {
            Some(("removed", "your address is banned from this relay"))
        } else if !self.admits(now, address) {
            Some(("busy", "too many new connections from your address; wait a little"))
        } else {
            None
        };
        if let Some((code, reason)) = refusal {
            let why = format!("connection: {reason}");
            self.log(now, What::Refused { nick: String::new(), address, why });
            self.endpoint.close(now, handle, code, reason);
            return;
        }
        self.log(now, What::Connected { address });
        let until = now.instant + Self::GUEST_TIME;
        let session = Session {
            address,
            last_said: now.instant,
            phase: Phase::Guest { until },
            bucket: Bucket::new(),
            receipt_bucket: Bucket::new(),
            jobs: 0,
            outbox: Backlog::default(),
            receipts: Backlog::default(),
            is_stalled: false,
            wake_at: None,
        };
        self.sessions.insert(handle, session);
        self.wake_session_at(handle, until);
        self.introduce(now, handle);
    }

    /// Whether an address may make another connection now (UC-RELAY-018).
    fn admits(&mut self, now: Now, address: SocketAddr) -> bool {
        /// Full buckets are as good as none; they go when there are many.
        const MANY: usize = 4_096;
        /// Guests of one address: a large classroom that comes in at once. Each may stay for minutes, and the table is for all.
        const MAX_GUESTS: usize = 1_000;
        let Some(flood) = self.config.limits.connections else {
            return true;
        };
        let home = neighbourhood(address.ip());
        let is_guest_of_it = |session: &&Session| {
            matches!(session.phase, Phase::Guest { .. }) && neighbourhood(session.address.ip()) == home
        };
        if self.sessions.values().filter(is_guest_of_it).count() >= MAX_GUESTS {
            return false;
        }
        if self.arrivals.len() >= MANY {
            self.arrivals.retain(|_, bucket| !bucket.is_full(now.instant));
        }
        self.arrivals.entry(home).or_default().take(now.instant, flood).is_ok()
    }

    /// Something to do for one session is due.
    fn wake(&mut self, now: Now, handle: Handle) {
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        session.wake_at = None;
        match session.phase {
            Phase::Guest { until } if until <= now.instant => {
                session.phase = Phase::Leaving;
                self.endpoint.close(now, handle, "done", "nobody entered");
            }
            Phase::Guest { until } => self.wake_session_at(handle, until),
            Phase::Entering(_) | Phase::Leaving => {}
            Phase::Member(_) => self.give_up_kept_seats(now, handle),
        }
        self.read(now, handle);
    }

    fn wake_session_at(&mut self, handle: Handle, at: Instant) {
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        if session.wake_at.is_some_and(|queued| queued <= at) {
            return;
        }
        if let Some(queued) = session.wake_at.replace(at) {
            self.wakes.remove(&(queued, handle));
        }
        self.wakes.insert((at, handle));
    }

    /// Has the ledger do something.
    fn ask(&mut self, now: Now, request: ledger::Request, pending: Pending) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.jobs.insert(ticket, pending);
        self.events.push_back(Event::Job(Job { ticket, at: now.wall, request }));
        ticket
    }

    fn log(&mut self, now: Now, what: What) {
        self.events.push_back(Event::Log(Record { at: now.wall, what: what.bounded() }));
    }
}
