//! Many connections on one socket: which datagram is whose, who may begin one, and how it begins.
//!
//! The endpoint owns the handshake and the connections and hands their events up with a handle each. What it keeps for strangers
//! is bounded, in all and for each neighbourhood and key: a half-open entry holds the welcome that it repeats and, sealed, the
//! handshake that waits for its last message; a connection exists only once the other side has shown that it received that welcome.
//!
//! Sealed or clear is the endpoint's own choice, and one kind refuses the other: nobody can be talked down.
//!
//! This module must never let a datagram that identifies nobody change anything but a counter.

mod config;
mod dial;
mod event;
mod grant;
mod guard;
mod half_open;
mod memory;
mod sealing;
mod statistics;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::mem;
use std::sync::Arc;

pub use config::{EndpointConfig, Protection};
pub use event::{ConnectError, Event, Reason};
pub use guard::HandshakeLimits;
pub use memory::Backlog;
pub use statistics::{Disposition, Statistics};

use crate::arq::{self, Closed, Connection, Received, SendError, SendOptions};
use crate::machine::{Path, Transmit};
use crate::random::Random;
use crate::secure::{OpenError, PublicKey};
use crate::time::{Instant, Now};
use crate::wire::{self, ConnectionId, Datagram, Handshake, Packet, SealedHead};
use dial::Dial;
use guard::Guard;
use half_open::HalfOpenTable;
use sealing::Sealing;
use slab::Slab;

/// Names a connection of an endpoint, also after it has ended; never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    serial: u64,
    index: usize,
}

impl Handle {
    /// A small number that no other connection of the endpoint has while it is remembered.
    pub const fn place(self) -> usize {
        self.index
    }
}

/// All connections of one socket.
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    /// `config.connection`, as the connections share it.
    connection_config: Arc<arq::Config>,
    random: Random,
    /// Keys and their making; None in the clear.
    sealing: Option<Sealing>,
    guard: Guard,
    /// Boxed, since the table grows by doubling and an entry is large.
    connections: Slab<Box<Entry>>,
    /// Our ids to connections; half-open ones are in `half_open`. A table, since in a tree of many thousands each packet's way is
    /// through memory that is not at hand. The ids are random and ours, so its hasher needs no secret.
    by_id: HashMap<ConnectionId, usize, BuildHasherDefault<DefaultHasher>>,
    /// Attempts of ours that were under way when somebody looked last.
    dialling: BTreeSet<usize>,
    half_open: HalfOpenTable,
    /// How many connections are remembered that each key began with us.
    granted_to: BTreeMap<PublicKey, usize>,
    /// Handshake datagrams that wait to go out.
    outbox: VecDeque<(Path, Vec<u8>)>,
    /// Connections that may have something to send.
    to_transmit: VecDeque<usize>,
    /// Connections that may have events.
    to_announce: VecDeque<usize>,
    events: VecDeque<Event>,
    /// The earliest known deadline of each connection; stale entries wake us early and are set right then.
    timers: BinaryHeap<Reverse<(Instant, Reason, usize, u64)>>,
    next_serial: u64,
    next_refusal_at: Instant,
    /// The sum over all connections.
    held_bytes: u64,
    statistics: Statistics,
}

#[derive(Debug)]
struct Entry {
    serial: u64,
    connection: Connection,
    /// The handshake, while it is under way.
    dial: Option<Box<Dial>>,
    /// The attempt that was begun because this connection fell silent.
    successor: Option<Handle>,
    /// The key that began it with us; None if we did, and in the clear.
    granted_to: Option<PublicKey>,
    in_transmit: bool,
    in_announce: bool,
    timer: Option<Instant>,
    /// The bytes that the other side makes us hold for it, as of its last packet.
    held_bytes: u64,
    /// Those of them that wait above, for room among what is queued.
    backlog_bytes: u64,
}

impl Endpoint {
    /// An endpoint without connections; every identifier that it will choose follows from `seed`.
    pub fn new(mut config: EndpointConfig, seed: u64) -> Self {
        let mut sealing = Sealing::new(mem::take(&mut config.protection));
        let guard = Guard::new(config.handshakes, sealing.as_mut().map(|sealing| &mut sealing.entropy));
        Self {
            sealing,
            guard,
            held_bytes: 0,
            half_open: HalfOpenTable::new(config.max_half_open),
            granted_to: BTreeMap::new(),
            connection_config: Arc::new(config.connection.clone()),
            config,
            random: Random::from_seed(seed),
            connections: Slab::new(),
            by_id: HashMap::default(),
            dialling: BTreeSet::new(),
            outbox: VecDeque::new(),
            to_transmit: VecDeque::new(),
            to_announce: VecDeque::new(),
            events: VecDeque::new(),
            timers: BinaryHeap::new(),
            next_serial: 0,
            next_refusal_at: Instant::ZERO,
            statistics: Statistics::default(),
        }
    }

    /// Begins a connection with whoever answers first at `paths`, or, with `expected`, with whoever answers there and has that key;
    /// in the clear nobody has one. Messages may be submitted at once.
    pub fn connect(
        &mut self,
        now: Now,
        paths: &[Path],
        expected: Option<PublicKey>,
    ) -> Result<Handle, ConnectError> {
        self.dial(now.instant, paths, None, expected)
    }

    /// One datagram arrived. Whatever it is, it is counted once, and nothing is returned: noise is no error (UC-WIRE-014).
    pub fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        if self.guard.is_exhausted(now.instant) && wire::looks_like_bare_hello(datagram) {
            self.statistics.count(Disposition::Overload, datagram.len());
            return;
        }
        let mut sealed = None;
        let disposition = match wire::decode(datagram) {
            Ok(Datagram::Packet(packet)) => self.handle_packet(now.instant, path, &packet, datagram.len()),
            Ok(Datagram::Handshake(handshake)) => {
                self.handle_handshake(now.instant, path, handshake, datagram)
            }
            // It is opened where it is, and what was read of it must be out of the way.
            Ok(Datagram::Sealed(head)) => {
                sealed = Some(head);
                Disposition::Packet
            }
            Err(error) => {
                if matches!(error, wire::DecodeError::UnknownVersion(_))
                    && datagram.len() >= wire::HELLO_BYTES
                {
                    self.refuse(now.instant, path, None, "version");
                }
                Disposition::Undecodable(error)
            }
        };
        let disposition =
            sealed.map_or(disposition, |head| self.handle_sealed(now.instant, path, &head, datagram));
        self.statistics.count(disposition, datagram.len());
    }

    /// A deadline passed, or may have.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.instant;
        // The secrets of handshakes that nobody finished go too.
        self.half_open.remove_expired(now);
        while let Some(&Reverse((at, _, index, serial))) = self.timers.peek() {
            if at > now {
                return;
            }
            self.timers.pop();
            let Some(entry) = self.connections.get_mut(index).filter(|entry| entry.serial == serial) else {
                continue;
            };
            if entry.timer != Some(at) {
                continue;
            }
            entry.timer = None;
            entry.connection.handle_timeout(now);
            self.handle_dial_timeout(now, index);
            self.forget_if_over(now, index);
            self.touch(index);
        }
    }

    /// The next datagram to send, in `buffer`.
    #[must_use]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((path, datagram)) = self.outbox.pop_front() {
            buffer.clear();
            buffer.extend_from_slice(&datagram);
            return Some(self.sent(Transmit { path, length: buffer.len(), segment_size: None, ecn: None }));
        }
        while let Some(&index) = self.to_transmit.front() {
            let Some(entry) = self.connections.get_mut(index) else {
                self.to_transmit.pop_front();
                continue;
            };
            let dialled = entry.dial.as_mut().and_then(|dial| dial.poll_transmit(now.instant, buffer));
            if let Some(transmit) = dialled.or_else(|| entry.connection.poll_transmit(now.instant, buffer)) {
                // The others get their turn between two packets of one.
                self.to_transmit.rotate_left(1);
                return Some(self.sent(transmit));
            }
            entry.in_transmit = false;
            self.to_transmit.pop_front();
            self.arm(index);
        }
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let &index = self.to_announce.front()?;
            let event = self.connections.get_mut(index).and_then(|entry| entry.connection.poll_event());
            let Some(event) = event else {
                if let Some(entry) = self.connections.get_mut(index) {
                    entry.in_announce = false;
                }
                self.to_announce.pop_front();
                continue;
            };
            let entry = &self.connections[index];
            let handle = Handle { serial: entry.serial, index };
            match event {
                arq::Event::Silent if entry.connection.is_wanted() => self.begin_again(index),
                arq::Event::Resumed => self.abandon_successor(index),
                arq::Event::Closed(_) => {
                    self.abandon_successor(index);
                    self.note_held(index);
                }
                _ => {}
            }
            return Some(Event::Connection { handle, event });
        }
    }

    /// When to call `handle_timeout` next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.timers.peek().map(|&Reverse((at, reason, ..))| (at, reason))
    }

    /// Queues a message; see [`Connection::submit`].
    pub fn submit(
        &mut self,
        handle: Handle,
        stream: u32,
        body: impl Into<Arc<[u8]>>,
        options: SendOptions,
    ) -> Result<u64, SendError> {
        let entry = self.entry_mut(handle).ok_or(SendError::Closed)?;
        let seq = entry.connection.submit(stream, body, options)?;
        self.touch(handle.index);
        Ok(seq)
    }

    /// Queues an unreliable message; see [`Connection::submit_gram`].
    pub fn submit_gram(
        &mut self,
        handle: Handle,
        body: Vec<u8>,
        deadline: Option<Instant>,
    ) -> Result<(), SendError> {
        let entry = self.entry_mut(handle).ok_or(SendError::Closed)?;
        entry.connection.submit_gram(body, deadline)?;
        self.touch(handle.index);
        Ok(())
    }

    /// Takes the next message of a stream; the other side may send as much more.
    pub fn take(&mut self, handle: Handle, stream: u32) -> Option<Received> {
        let entry = self.entry_mut(handle)?;
        let received = entry.connection.take(stream)?;
        self.note_held(handle.index);
        self.touch(handle.index);
        Some(received)
    }

    /// The same into `body`, which keeps its memory; tells the message's number.
    pub fn take_into(&mut self, handle: Handle, stream: u32, body: &mut Vec<u8>) -> Option<u64> {
        let entry = self.entry_mut(handle)?;
        let seq = entry.connection.take_into(stream, body)?;
        self.note_held(handle.index);
        self.touch(handle.index);
        Some(seq)
    }

    /// Takes the next unreliable message.
    pub fn take_gram(&mut self, handle: Handle) -> Option<Vec<u8>> {
        self.entry_mut(handle)?.connection.take_gram()
    }

    /// Tells whether the application waits for the other side's own word; see [`Connection::set_attentive`].
    pub fn set_attentive(&mut self, handle: Handle, attentive: bool) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.connection.set_attentive(attentive);
            self.touch(handle.index);
        }
    }

    /// Ends a connection gracefully; see [`Connection::close`].
    pub fn close(&mut self, now: Now, handle: Handle, code: &'static str, reason: &str) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.connection.close(now.instant, code, reason);
            entry.dial = None;
            self.abandon_successor(handle.index);
            self.touch(handle.index);
        }
    }

    /// Ends a connection without waiting for what is queued; see [`Connection::give_up`].
    pub fn give_up(&mut self, now: Now, handle: Handle, code: &'static str, reason: &str) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.connection.give_up(now.instant, code, reason);
            entry.dial = None;
            self.abandon_successor(handle.index);
            self.touch(handle.index);
        }
    }

    /// Ends a connection at once, without a word to the other side.
    pub fn abort(&mut self, now: Now, handle: Handle, closed: Closed) {
        if let Some(entry) = self.entry_mut(handle) {
            entry.connection.abort(now.instant, closed);
            entry.dial = None;
            self.touch(handle.index);
        }
    }

    /// From now on at least so many connections find room.
    pub fn make_room(&mut self, connections: usize) {
        self.config.max_connections = self.config.max_connections.max(connections);
    }

    /// A connection, for questions; None once it was forgotten.
    pub fn connection(&self, handle: Handle) -> Option<&Connection> {
        self.connections
            .get(handle.index)
            .filter(|entry| entry.serial == handle.serial)
            .map(|entry| &entry.connection)
    }

    /// Every connection that is remembered, in no meaningful order but the same one in every run.
    pub fn connections(&self) -> impl Iterator<Item = (Handle, &Connection)> {
        self.connections
            .iter()
            .map(|(index, entry)| (Handle { serial: entry.serial, index }, &entry.connection))
    }

    /// How many half-open entries are held, for the bound's checker.
    pub fn half_open_count(&self) -> usize {
        self.half_open.len()
    }

    /// What was counted.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    fn handle_packet(&mut self, now: Instant, path: Path, packet: &Packet<'_>, bytes: usize) -> Disposition {
        if self.sealing.is_some() {
            return Disposition::WrongForm;
        }
        let index = match self.by_id.get(&packet.to) {
            Some(&index) => index,
            None => match self.promote(now, path, packet.to) {
                Some(index) => index,
                None => return Disposition::UnknownConnection,
            },
        };
        self.take_packet(now, path, index, packet, bytes)
    }

    /// A sealed packet: whatever it claims is nothing until it opens (UC-SEAL-010).
    fn handle_sealed(
        &mut self,
        now: Instant,
        path: Path,
        head: &SealedHead,
        datagram: &mut [u8],
    ) -> Disposition {
        if self.sealing.is_none() {
            return Disposition::WrongForm;
        }
        let opened = match self.by_id.get(&head.to) {
            Some(&index) => {
                let text = self.connections[index].connection.open(now, head, datagram);
                text.map(|text| (index, text)).map_err(|error| match error {
                    OpenError::Epoch => Disposition::OldKey,
                    OpenError::Seal => Disposition::BadSeal,
                })
            }
            None => self.promote_sealed(now, path, head, datagram),
        };
        let (index, text) = match opened {
            Ok(opened) => opened,
            Err(disposition) => return disposition,
        };
        let bytes = datagram.len();
        match wire::decode_sealed(&datagram[text], head.to, head.number) {
            Ok(packet) => self.take_packet(now, path, index, &packet, bytes),
            Err(error) => Disposition::Undecodable(error),
        }
    }

    fn take_packet(
        &mut self,
        now: Instant,
        path: Path,
        index: usize,
        packet: &Packet<'_>,
        bytes: usize,
    ) -> Disposition {
        let connection = &mut self.connections[index].connection;
        let duplicates_before = connection.statistics().duplicates;
        let confirmed_before = connection.statistics().bytes_confirmed;
        connection.handle_packet(now, path, packet, bytes);
        let is_duplicate = connection.statistics().duplicates > duplicates_before;
        self.statistics.bytes_confirmed += connection.statistics().bytes_confirmed - confirmed_before;
        self.count_held(now, index);
        self.touch(index);
        if is_duplicate { Disposition::Duplicate } else { Disposition::Packet }
    }

    fn handle_handshake(
        &mut self,
        now: Instant,
        path: Path,
        handshake: Handshake<'_>,
        datagram: &[u8],
    ) -> Disposition {
        match handshake {
            Handshake::Hello(hello) => self.handle_hello(now, path, &hello, datagram),
            Handshake::SealedHello(hello) => self.handle_sealed_hello(now, path, &hello),
            Handshake::Welcome { to, welcome } => self.handle_welcome(now, path, to, &welcome),
            Handshake::SealedWelcome { to, message } => self.handle_sealed_welcome(now, path, to, message),
            Handshake::Retry { to, cookie } => self.handle_retry(now, path, to, &cookie),
            Handshake::Refuse { to, refuse } => self.handle_refuse(path, to, &refuse),
        }
    }

    /// Adds a connection to the table; the caller knows that there is room.
    fn insert(&mut self, connection: Connection, dial: Option<Dial>) -> Handle {
        let serial = self.next_serial;
        self.next_serial += 1;
        let id = connection.local_id();
        let is_dialling = dial.is_some();
        let index = self.connections.insert(Box::new(Entry {
            serial,
            connection,
            dial: dial.map(Box::new),
            successor: None,
            granted_to: None,
            in_transmit: false,
            in_announce: false,
            timer: None,
            held_bytes: 0,
            backlog_bytes: 0,
        }));
        self.by_id.insert(id, index);
        if is_dialling {
            self.dialling
                .retain(|&index| self.connections.get(index).is_some_and(|entry| entry.dial.is_some()));
            self.dialling.insert(index);
        }
        self.touch(index);
        Handle { serial, index }
    }

    fn remove(&mut self, index: usize) {
        if let Some(entry) = self.connections.try_remove(index) {
            self.held_bytes -= entry.held_bytes;
            self.by_id.remove(&entry.connection.local_id());
            if let Some(key) = entry.granted_to
                && let Some(count) = self.granted_to.get_mut(&key)
            {
                *count -= 1;
                if *count == 0 {
                    self.granted_to.remove(&key);
                }
            }
        }
    }

    fn forget_if_over(&mut self, now: Instant, index: usize) {
        if self.connections.get(index).is_some_and(|entry| entry.connection.is_forgettable(now)) {
            self.remove(index);
        }
    }

    fn entry_mut(&mut self, handle: Handle) -> Option<&mut Entry> {
        self.connections
            .get_mut(handle.index)
            .map(|entry| &mut **entry)
            .filter(|entry| entry.serial == handle.serial)
    }

    /// Something about a connection changed: it may have to send, to tell, or to wake at another time.
    fn touch(&mut self, index: usize) {
        let Some(entry) = self.connections.get_mut(index) else {
            return;
        };
        if !mem::replace(&mut entry.in_transmit, true) {
            self.to_transmit.push_back(index);
        }
        if !mem::replace(&mut entry.in_announce, true) {
            self.to_announce.push_back(index);
        }
    }

    /// Queues the connection's deadline, unless an earlier one is queued already.
    fn arm(&mut self, index: usize) {
        let Some(entry) = self.connections.get_mut(index) else {
            return;
        };
        let own = entry.connection.poll_timeout().map(|(at, reason)| (at, Reason::Connection(reason)));
        let hello = entry.dial.as_ref().map(|dial| (dial.deadline(), Reason::Hello));
        let Some((at, reason)) = own.into_iter().chain(hello).min() else {
            return;
        };
        if entry.timer.is_none_or(|queued| at < queued) {
            entry.timer = Some(at);
            self.timers.push(Reverse((at, reason, index, entry.serial)));
            self.forget_stale_timers();
        }
    }

    /// Every early wake leaves an entry that means nothing any more; they go when they are many.
    fn forget_stale_timers(&mut self) {
        if self.timers.len() > 64 + 2 * self.connections.len() {
            let connections = &self.connections;
            self.timers.retain(|&Reverse((at, _, index, serial))| {
                connections.get(index).is_some_and(|entry| entry.serial == serial && entry.timer == Some(at))
            });
        }
    }

    const fn sent(&mut self, transmit: Transmit) -> Transmit {
        self.statistics.datagrams_sent += transmit.count();
        self.statistics.bytes_sent += transmit.length as u64;
        transmit
    }
}
