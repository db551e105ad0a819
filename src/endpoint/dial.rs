//! The asking side of a handshake: hellos, to every address of a name at once, until one is answered.

use std::time::Duration;

use super::{ConnectError, Disposition, Endpoint, Event, Handle};
use crate::arq::{Closed, Connection};
use crate::machine::{Path, Transmit};
use crate::time::Instant;
use crate::wire::{self, ConnectionId, Handshake, Hello, Mode, Refuse, Welcome};

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
}

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
    ) -> Result<Handle, ConnectError> {
        let &first = paths.first().ok_or(ConnectError::NoAddress)?;
        if self.connections.len() >= self.config.max_connections {
            return Err(ConnectError::TooMany);
        }
        let id = self.fresh_id();
        let old_id = old.and_then(|old| self.connection(old)?.remote_id());
        let hello = Hello { id, mode: Mode::Clear, limits: self.config.connection.limits, old: old_id };
        let mut bytes = Vec::new();
        wire::encode_handshake(&mut bytes, &Handshake::Hello(hello));
        let dial = Dial {
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
        let seed = self.random.next_u64();
        let connection = Connection::new(now, &self.config.connection, id, first, true, seed);
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
        let Some(&index) = self.by_id.get(&to) else {
            return Disposition::StaleHandshake;
        };
        let entry = &mut self.connections[index];
        let Some(dial) =
            entry.dial.take_if(|dial| dial.paths.iter().any(|asked| asked.remote == path.remote))
        else {
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
        let mut found = false;
        for (_, entry) in &mut self.connections {
            let is_meant = to.is_none_or(|to| to == entry.connection.local_id());
            if let Some(dial) = &mut entry.dial
                && is_meant
                && dial.paths.iter().any(|asked| asked.remote == path.remote)
            {
                dial.hint = Some(hint(refuse));
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
                entry.connection.abort(now, Closed::NoAnswer { hint: dial.hint });
            }
        }
    }

    /// A connection fell silent: a fresh hello beside its probes, in case the other side was started anew (UC-HS-014).
    pub(super) fn begin_again(&mut self, index: usize) {
        let entry = &self.connections[index];
        let old = Handle { serial: entry.serial, index };
        let path = entry.connection.path();
        if entry.successor.is_some() {
            return;
        }
        // The event was made at this very moment, so the connection's own clock is the present.
        let now = entry.connection.silent_since();
        if let Ok(successor) = self.dial(now, &[path], Some(old)) {
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

fn hint(refuse: &Refuse<'_>) -> String {
    match refuse.code.as_ref() {
        "version" => {
            format!("it speaks the versions {:?}, and this program {}", refuse.speaks, wire::VERSION)
        }
        "mode" => "it does not accept clear connections".to_owned(),
        "busy" => "it has no room for another connection".to_owned(),
        other => other.to_owned(),
    }
}
