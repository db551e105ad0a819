//! Hellos that were answered and whose senders have not been heard since.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::{Disposition, Endpoint, Event};
use crate::arq::Connection;
use crate::machine::Path;
use crate::time::Instant;
use crate::wire::{self, ConnectionId, Handshake, Hello, Limits, Mode, Refuse, VERSION, Welcome};

/// A bounded table of half-open connections, keyed by the whole hello: one that was damaged or forged is another entry and
/// changes nothing about this one (UC-HS-005).
#[derive(Debug)]
pub(super) struct HalfOpenTable {
    by_id: BTreeMap<ConnectionId, HalfOpen>,
    by_hello: BTreeMap<(Path, Vec<u8>), ConnectionId>,
    /// Oldest first.
    order: VecDeque<ConnectionId>,
    capacity: usize,
}

#[derive(Debug)]
struct HalfOpen {
    path: Path,
    hello: Vec<u8>,
    remote_id: ConnectionId,
    limits: Limits,
    welcome: Vec<u8>,
    expires_at: Instant,
    /// Its sender was heard: it is a connection now, and only kept to know the hello's late copies.
    is_promoted: bool,
}

/// A hello's late copies come within the time in which it is repeated.
const LIFETIME: Duration = Duration::from_secs(15);

impl HalfOpenTable {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { by_id: BTreeMap::new(), by_hello: BTreeMap::new(), order: VecDeque::new(), capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn insert(&mut self, id: ConnectionId, entry: HalfOpen) {
        if self.order.len() >= self.capacity {
            self.remove_oldest();
        }
        self.by_hello.insert((entry.path, entry.hello.clone()), id);
        self.by_id.insert(id, entry);
        self.order.push_back(id);
    }

    fn remove_expired(&mut self, now: Instant) {
        while self
            .order
            .front()
            .and_then(|id| self.by_id.get(id))
            .is_some_and(|entry| entry.expires_at <= now)
        {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some(entry) = self.order.pop_front().and_then(|id| self.by_id.remove(&id)) {
            self.by_hello.remove(&(entry.path, entry.hello));
        }
    }
}

impl Endpoint {
    /// Somebody asks for a connection: the same hello gets the same bytes as its answer, one answer each (UC-HS-003), and one that
    /// is shorter than the hello (UC-HS-013).
    pub(super) fn handle_hello(
        &mut self,
        now: Instant,
        path: Path,
        hello: &Hello,
        datagram: &[u8],
    ) -> Disposition {
        self.half_open.remove_expired(now);
        let key = (path, datagram.to_vec());
        if let Some(entry) = self.half_open.by_hello.get(&key).and_then(|id| self.half_open.by_id.get(id)) {
            if entry.is_promoted {
                return Disposition::StaleHandshake;
            }
            let welcome = entry.welcome.clone();
            self.answer(path, welcome);
            return Disposition::Hello;
        }
        if hello.mode != Mode::Clear {
            self.refuse(now, path, Some(hello.id), "mode");
            return Disposition::Refused;
        }
        if self.connections.len() >= self.config.max_connections {
            self.refuse(now, path, Some(hello.id), "busy");
            return Disposition::Refused;
        }
        let id = self.fresh_id();
        let alive = hello.old.and_then(|old| self.by_id.get(&old)).is_some_and(|&index| {
            let connection = &self.connections[index].connection;
            connection.is_open()
        });
        // The other side may have been cut off between our welcome and its first packet: that connection can still begin.
        let can_begin = hello
            .old
            .and_then(|old| self.half_open.by_id.get(&old))
            .is_some_and(|entry| !entry.is_promoted && entry.expires_at > now);
        let alive = alive || can_begin;
        let mut welcome = Vec::new();
        let answer = Welcome { id, limits: self.config.connection.limits, alive };
        wire::encode_handshake(&mut welcome, &Handshake::Welcome { to: hello.id, welcome: answer });
        self.half_open.insert(
            id,
            HalfOpen {
                path,
                hello: key.1,
                remote_id: hello.id,
                limits: hello.limits,
                welcome: welcome.clone(),
                expires_at: now + LIFETIME,
                is_promoted: false,
            },
        );
        self.answer(path, welcome);
        Disposition::Hello
    }

    /// A packet to a half-open id: its sender received the welcome, so the hello came from where it said (UC-HS-008). A NAT may have
    /// given it another address since; that one has to prove itself as any other that a connection moves to.
    pub(super) fn promote(&mut self, now: Instant, id: ConnectionId) -> Option<usize> {
        let has_room = self.connections.len() < self.config.max_connections;
        let entry = self.half_open.by_id.get_mut(&id)?;
        if entry.is_promoted || entry.expires_at <= now || !has_room {
            return None;
        }
        entry.is_promoted = true;
        let path = entry.path;
        let (remote_id, limits) = (entry.remote_id, entry.limits);
        let seed = self.random.next_u64();
        let mut connection = Connection::new(now, &self.config.connection, id, path, false, seed);
        connection.establish(now, remote_id, &limits, path);
        let handle = self.insert(connection, None);
        self.events.push_back(Event::Accepted { handle });
        Some(handle.index)
    }

    /// Says why a hello is not answered, to whoever sent it. A flood of such hellos gets few answers: the limit is one for each
    /// 20 ms (UC-HS-009).
    pub(super) fn refuse(&mut self, now: Instant, path: Path, to: Option<ConnectionId>, code: &'static str) {
        if now < self.next_refusal_at {
            return;
        }
        self.next_refusal_at = now + Duration::from_millis(20);
        let mut datagram = Vec::new();
        let refuse = Refuse { code: code.into(), speaks: vec![VERSION] };
        wire::encode_handshake(&mut datagram, &Handshake::Refuse { to, refuse });
        self.answer(path, datagram);
    }

    /// An identifier that nobody uses.
    pub(super) fn fresh_id(&mut self) -> ConnectionId {
        loop {
            let id = ConnectionId::random(&mut self.random);
            if !self.by_id.contains_key(&id) && !self.half_open.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    fn answer(&mut self, path: Path, datagram: Vec<u8>) {
        // The outbox is drained after every datagram; the bound is for a driver that does not.
        if self.outbox.len() < 64 {
            self.outbox.push_back((path, datagram));
        }
    }
}
