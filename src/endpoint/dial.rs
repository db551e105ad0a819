//! The asking side of a handshake: hellos, to every address of a name at once, until one is answered.

use std::time::Duration;

use super::{ConnectError, Disposition, Endpoint, Event, Handle};
use crate::arq::{Closed, Connection};
use crate::bucket::{Bucket, Pace, Rate};
use crate::machine::{Path, Transmit};
use crate::secure::{Initiator, PublicKey, Session};
use crate::time::Instant;
use crate::wire::{
    self, ConnectionId, FINISH_BYTES, Handshake, Hello, Mode, Refuse, SealedHello, Welcome, Wish,
};

/// An attempt to connect (UC-HS-001).
#[derive(Debug)]
pub(super) struct Dial {
    paths: Vec<Path>,
    /// The same bytes every time, so that the other side knows a repetition (UC-HS-003).
    hello: Vec<u8>,
    tries: u32,
    /// Which of the paths the next hello of this round goes to.
    next_path: usize,
    next_at: Instant,
    began_at: Instant,
    give_up_at: Instant,
    /// What an unauthenticated answer claimed.
    hint: Option<String>,
    /// The silent connection that this one would replace.
    old: Option<Handle>,
    /// None in the clear.
    sealed: Option<SealedDial>,
}

/// What a sealed attempt keeps beside.
#[derive(Debug)]
struct SealedDial {
    initiator: Initiator,
    /// The handshake's first message: the same under every cookie.
    message: Vec<u8>,
    /// The only key that will do.
    expected: Option<PublicKey>,
    /// The first other one that answered.
    seen: Option<PublicKey>,
    /// Requests for a cookie that are heeded.
    retries: Bucket,
    /// Answers that are computed.
    welcomes: Bucket,
}

/// Requests for a cookie that one attempt heeds as they come.
const RETRIES_AT_ONCE: u32 = 8;

/// How many requests for a cookie one attempt heeds (UC-SEAL-012): a cookie may be too old once it is back, and anybody between can make some up. He
/// gets a hello for each, so there is a pace; he must not be able to use up all that the attempt will ever heed.
const RETRIES: Pace = Pace { burst: RETRIES_AT_ONCE, interval: Duration::from_millis(250) };

/// How many sealed answers one attempt computes (UC-SEAL-011): each takes 0.1 ms, and whoever saw the hello can make up any number. A fiftieth of a
/// core at most; the right answer comes again with each hello.
const WELCOMES: Rate = Rate { burst: 32, per_second: 200 };

impl Dial {
    /// How long to wait after the hello of each round (UC-HS-004). The first three are close together because one in five or one
    /// in three may be lost; then comes what a round trip to a satellite takes; then patience.
    fn pause_after(round: u32) -> Duration {
        Duration::from_millis(match round {
            1 => 60,
            2 => 90,
            3..=10 => 250,
            11..=14 => 500,
            _ => 2_000,
        })
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if now < self.next_at {
            return None;
        }
        let path = *self.paths.get(self.next_path)?;
        if self.tries == 0 && self.next_path == 0 {
            // The round trip is measured from the departure: the program may have slept since it was asked.
            self.began_at = now;
        }
        self.next_path += 1;
        if self.next_path == self.paths.len() {
            self.next_path = 0;
            self.tries += 1;
            self.next_at = now + Self::pause_after(self.tries);
        }
        buffer.clear();
        buffer.extend_from_slice(&self.hello);
        Some(Transmit { path, length: buffer.len(), segment_size: None, ecn: None })
    }

    pub(super) fn deadline(&self) -> Instant {
        self.next_at.min(self.give_up_at)
    }
}

impl Endpoint {
    pub(super) fn dial(
        &mut self,
        now: Instant,
        paths: &[Path],
        old: Option<Handle>,
        expected: Option<PublicKey>,
    ) -> Result<Handle, ConnectError> {
        let &first = paths.first().ok_or(ConnectError::NoAddress)?;
        if self.connections.len() >= self.config.max_connections {
            return Err(ConnectError::TooMany);
        }
        let id = self.fresh_id();
        let old_id = old.and_then(|old| self.connection(old)?.remote_id());
        let limits = self.config.connection.limits;
        let mut bytes = Vec::new();
        let sealed = self.sealing.as_mut().map(|sealing| {
            let wish = Wish { id, limits, old: old_id }.encode();
            let (initiator, message) = Initiator::begin(&sealing.keys, &mut sealing.entropy, &wish);
            SealedDial {
                initiator,
                message,
                expected,
                seen: None,
                retries: Bucket::new(),
                welcomes: Bucket::new(),
            }
        });
        let handshake = match &sealed {
            Some(SealedDial { message, .. }) => {
                Handshake::SealedHello(SealedHello { id, cookie: None, message })
            }
            None => Handshake::Hello(Hello { id, mode: Mode::Clear, limits, old: old_id }),
        };
        wire::encode_handshake(&mut bytes, &handshake);
        let dial = Dial {
            sealed,
            paths: paths.to_vec(),
            hello: bytes,
            tries: 0,
            next_path: 0,
            next_at: now,
            began_at: now,
            give_up_at: now + self.config.connect_timeout,
            hint: None,
            old,
        };
        let secrets = self.secrets();
        let connection = Connection::new(now, &self.connection_config, id, first, true, secrets);
        Ok(self.insert(connection, Some(dial)))
    }

    /// Somebody grants a connection. Only an attempt of ours that asked this very address is completed by it (UC-HS-007).
    pub(super) fn handle_welcome(
        &mut self,
        now: Instant,
        path: Path,
        to: ConnectionId,
        welcome: &Welcome,
    ) -> Disposition {
        let Some(index) = self.attempt(path, to) else {
            return Disposition::StaleHandshake;
        };
        if self.sealing.is_some() {
            // Whoever says so wants us to talk in the clear (UC-SEAL-014).
            return Disposition::WrongForm;
        }
        self.complete(now, path, index, welcome, None)
    }

    /// Somebody grants a sealed connection, and proves a key (UC-SEAL-004). If it is not the one that was expected, the attempt
    /// waits for a better answer, and only what is said of it changes (UC-SEAL-013).
    pub(super) fn handle_sealed_welcome(
        &mut self,
        now: Instant,
        path: Path,
        to: ConnectionId,
        message: &[u8],
    ) -> Disposition {
        let Some(index) = self.attempt(path, to) else {
            return Disposition::StaleHandshake;
        };
        let entry = &mut self.connections[index];
        let (Some(sealing), Some(dial)) =
            (&self.sealing, entry.dial.as_mut().and_then(|dial| dial.sealed.as_mut()))
        else {
            return Disposition::WrongForm;
        };
        if dial.welcomes.take(now, WELCOMES).is_err() {
            return Disposition::TooManyAnswers;
        }
        let Ok((session, payload, finish)) = dial.initiator.finish(&sealing.keys, message) else {
            return Disposition::BadHandshake;
        };
        let Some(welcome) = Welcome::decode(&payload) else {
            dial.initiator.begin_again(&sealing.keys);
            return Disposition::BadHandshake;
        };
        if dial.expected.is_some_and(|expected| expected != session.remote) {
            dial.initiator.begin_again(&sealing.keys);
            let seen = session.remote;
            if dial.seen.is_none() {
                // The first one is told, so it is the one that may be accepted and that the end of the attempt names.
                dial.seen = Some(seen);
                let handle = Handle { serial: entry.serial, index };
                self.events.push_back(Event::WrongKey { handle, seen });
            }
            return Disposition::WrongKey;
        }
        self.complete(now, path, index, &welcome, Some((session, finish)))
    }

    /// Somebody asks for a cookie. It changes nothing but the hello's frame: the handshake under it stays the same.
    pub(super) fn handle_retry(
        &mut self,
        now: Instant,
        path: Path,
        to: ConnectionId,
        cookie: &str,
    ) -> Disposition {
        let Some(index) = self.attempt(path, to) else {
            return Disposition::StaleHandshake;
        };
        let Some(dial) = &mut self.connections[index].dial else {
            return Disposition::StaleHandshake;
        };
        let Some(sealed) = &mut dial.sealed else {
            return Disposition::StaleHandshake;
        };
        if sealed.retries.take(now, RETRIES).is_err() {
            return Disposition::TooManyAnswers;
        }
        let message = sealed.message.as_slice();
        let hello = SealedHello { id: to, cookie: Some(cookie.into()), message };
        wire::encode_handshake(&mut dial.hello, &Handshake::SealedHello(hello));
        // At once, and to whoever asked: the cookie is for that address. The round trip is measured anew.
        dial.paths.sort_by_key(|asked| asked.remote != path.remote);
        dial.next_at = now;
        dial.next_path = 0;
        dial.tries = 0;
        self.touch(index);
        Disposition::RetryHeeded
    }

    /// Whether a hello is one of ours, thrown back at us. To answer it would make us talk to ourselves under another's name
    /// (UC-SEAL-013). An attempt can be completed by nothing but an answer to its own hello while it is open, and all that while the
    /// hello is known here: no memory of what was granted can be too short. Another program of ours says hellos of its own.
    pub(super) fn is_own_hello(&self, hello: &SealedHello<'_>) -> bool {
        let entry = self.by_id.get(&hello.id).and_then(|&index| self.connections.get(index));
        let dial = entry.and_then(|entry| entry.dial.as_ref()?.sealed.as_ref());
        dial.is_some_and(|dial| dial.message == hello.message)
    }

    /// The attempt of ours that asked this very address.
    fn attempt(&self, path: Path, to: ConnectionId) -> Option<usize> {
        let &index = self.by_id.get(&to)?;
        let dial = self.connections[index].dial.as_ref()?;
        dial.paths.iter().any(|asked| asked.remote == path.remote).then_some(index)
    }

    /// An attempt succeeded.
    fn complete(
        &mut self,
        now: Instant,
        path: Path,
        index: usize,
        welcome: &Welcome,
        sealed: Option<(Session, [u8; FINISH_BYTES])>,
    ) -> Disposition {
        let entry = &mut self.connections[index];
        let Some(dial) = entry.dial.take() else {
            return Disposition::StaleHandshake;
        };
        let new = Handle { serial: entry.serial, index };
        if let Some(old) = dial.old {
            if welcome.alive || !self.connection(old).is_some_and(Connection::is_wanted) {
                // The other side still knows the silent connection: the link was down, nobody was started anew (UC-HS-010).
                // Or the silent connection is over or ending, and nobody waits for a successor.
                self.remove(index);
                if let Some(entry) = self.entry_mut(old) {
                    entry.successor = None;
                    entry.connection.probe();
                    self.touch(old.index);
                }
                return Disposition::Welcome;
            }
            if let Some(entry) = self.entry_mut(old) {
                entry.successor = None;
                entry.connection.abort(now, Closed::Restarted);
                self.touch(old.index);
            }
            self.events.push_back(Event::Replaced { old, new });
        }
        let connection = &mut self.connections[index].connection;
        if dial.tries == 1 {
            // Only one hello left, so it is clear which one was answered.
            connection.seed_rtt(now, now.since(dial.began_at));
        }
        if let Some((session, finish)) = sealed {
            connection.protect(session, Some(finish));
        }
        connection.establish(now, welcome.id, &welcome.limits, path);
        self.touch(index);
        Disposition::Welcome
    }

    /// Somebody claims that a hello cannot be answered. Anybody could say so; it is shown if the attempt fails (UC-HS-011).
    pub(super) fn handle_refuse(
        &mut self,
        path: Path,
        to: Option<ConnectionId>,
        refuse: &Refuse<'_>,
    ) -> Disposition {
        // Without a name it may mean any attempt; there is one at a time for nearly everybody, and few for anyone.
        let meant: Vec<usize> = match to {
            Some(to) => self.by_id.get(&to).copied().into_iter().collect(),
            None => self.dialling.iter().copied().collect(),
        };
        let own = self.mode();
        let mut found = false;
        for index in meant {
            if let Some(dial) = self.connections.get_mut(index).and_then(|entry| entry.dial.as_mut())
                && dial.paths.iter().any(|asked| asked.remote == path.remote)
            {
                dial.hint = Some(hint(refuse, own));
                found = true;
            }
        }
        if found { Disposition::Refuse } else { Disposition::StaleHandshake }
    }

    pub(super) fn handle_dial_timeout(&mut self, now: Instant, index: usize) {
        let Some(entry) = self.connections.get_mut(index) else {
            return;
        };
        if let Some(dial) = entry.dial.take_if(|dial| dial.give_up_at <= now) {
            if dial.old.is_some() {
                // The silent connection itself tells how it ends.
                self.remove(index);
            } else {
                let seen = dial.sealed.and_then(|sealed| sealed.seen);
                let no_answer = Closed::NoAnswer { hint: dial.hint };
                entry.connection.abort(now, seen.map_or(no_answer, |seen| Closed::WrongKey { seen }));
            }
        }
    }

    /// A connection fell silent: a fresh hello beside its probes, in case the other side was started anew (UC-HS-014).
    pub(super) fn begin_again(&mut self, index: usize) {
        let entry = &self.connections[index];
        let old = Handle { serial: entry.serial, index };
        let path = entry.connection.path();
        // Somebody else at the same address does not take its place.
        let expected = entry.connection.remote_key();
        if entry.successor.is_some() {
            return;
        }
        // The event was made at this very moment, so the connection's own clock is the present.
        let now = entry.connection.silent_since();
        if let Ok(successor) = self.dial(now, &[path], Some(old), expected) {
            let give_up_at = now + self.config.connection.idle_timeout;
            if let Some(dial) = self.entry_mut(successor).and_then(|entry| entry.dial.as_mut()) {
                // It goes on for as long as the silent connection is not given up.
                dial.give_up_at = give_up_at;
            }
            self.connections[index].successor = Some(successor);
        }
    }

    /// The silent connection is back, or over: the attempt to replace it is not needed.
    pub(super) fn abandon_successor(&mut self, index: usize) {
        let Some(successor) = self.connections[index].successor.take() else {
            return;
        };
        if self.entry_mut(successor).is_some_and(|entry| entry.dial.is_some()) {
            self.remove(successor.index);
        }
    }
}

/// What a refusal claims, for whoever asked in the form `own`.
fn hint(refuse: &Refuse<'_>, own: Mode) -> String {
    match refuse.code.as_ref() {
        "version" => {
            format!("it speaks the versions {:?}, and this program {}", refuse.speaks, wire::VERSION)
        }
        // Nobody refuses the form that they accept: what was heard there is not what was said here.
        "mode" if refuse.accepts == Some(own) => {
            "it says that it was asked in another form than the one in which this program asks: somebody between \
             the two may change what is sent"
                .to_owned()
        }
        "mode" => match refuse.accepts {
            Some(Mode::Sealed) => {
                "it speaks sealed, and this program was started with --clear: start this one without \
                                   --clear, or both with it"
                    .to_owned()
            }
            Some(Mode::Clear) => {
                // Anybody can say so: nobody is to give up his sealing for it.
                "it speaks in the clear, and this program sealed: start the other one without --clear"
                    .to_owned()
            }
            Some(Mode::Unknown) | None => "it does not accept connections of this kind".to_owned(),
        },
        "busy" => "it has no room for another connection".to_owned(),
        other => other.to_owned(),
    }
}
