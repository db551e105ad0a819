//! Hellos that were answered and whose senders have not been heard since: a bounded table.
//!
//! This module must never decide whether a hello is answered, nor say anything to anybody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use crate::bucket::Bucket;
use crate::machine::{Path, neighbourhood};
use crate::secure::Responder;
use crate::time::Instant;
use crate::wire::{ConnectionId, Limits};

/// A bounded table of half-open connections, keyed by the whole hello (a sealed one's handshake message, which stays the same under
/// every cookie): one that was damaged or forged is another entry and changes nothing about this one (UC-HS-005).
///
/// One neighbourhood holds no more than its share of the places, so that others find some; whoever has its share loses its own
/// oldest. A connection that has begun holds none.
#[derive(Debug)]
pub(super) struct HalfOpenTable {
    by_id: BTreeMap<ConnectionId, HalfOpen>,
    by_hello: BTreeMap<(Path, Vec<u8>), ConnectionId>,
    /// By the time of their making, so that the oldest is first.
    order: BTreeMap<u64, ConnectionId>,
    /// The same of each neighbourhood that has a share. This machine has none: who is on it can take its memory anyway.
    homes: BTreeMap<IpAddr, BTreeSet<u64>>,
    next_serial: u64,
    capacity: usize,
    settled: Settled,
}

/// One hello that was answered.
#[derive(Debug)]
pub(super) struct HalfOpen {
    pub(super) serial: u64,
    pub(super) path: Path,
    pub(super) hello: Vec<u8>,
    pub(super) remote_id: ConnectionId,
    pub(super) limits: Limits,
    pub(super) welcome: Vec<u8>,
    /// The handshake, until its last message; None in the clear.
    pub(super) responder: Option<Responder>,
    /// How often a third message may be tried.
    pub(super) finishes: Bucket,
    /// Whether one was: the next is paid for by nobody.
    pub(super) was_tried: bool,
    pub(super) expires_at: Instant,
}

/// Hellos that have done their work, so that their late copies are known. Bounded like the table; the oldest goes first, and a copy
/// that comes even later costs one entry that expires.
#[derive(Debug, Default)]
struct Settled {
    hellos: BTreeSet<(Path, Vec<u8>)>,
    /// Oldest first.
    order: VecDeque<(Instant, (Path, Vec<u8>))>,
}

/// A hello's late copies come within the time in which it is repeated.
pub(super) const LIFETIME: Duration = Duration::from_secs(15);

/// One of so many parts of a table is what one neighbourhood, or one key, may have of it: four flooders have to agree, and a class
/// behind one address finds room for all at once.
const SHARES: usize = 4;

/// No share is smaller: the programs of one person, and what is left of those that were started anew.
const LEAST_SHARE: usize = 16;

/// What one may have of so many places.
pub(super) fn share(places: usize) -> usize {
    (places / SHARES).max(LEAST_SHARE)
}

impl HalfOpenTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            by_hello: BTreeMap::new(),
            order: BTreeMap::new(),
            homes: BTreeMap::new(),
            next_serial: 0,
            capacity,
            settled: Settled::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// The entry that has this name here.
    pub(super) fn entry(&self, id: ConnectionId) -> Option<&HalfOpen> {
        self.by_id.get(&id)
    }

    pub(super) fn entry_mut(&mut self, id: ConnectionId) -> Option<&mut HalfOpen> {
        self.by_id.get_mut(&id)
    }

    /// The entry that a hello made.
    pub(super) fn answered(&self, place: &(Path, Vec<u8>)) -> Option<&HalfOpen> {
        self.by_id.get(self.by_hello.get(place)?)
    }

    /// Whether a hello has done its work.
    pub(super) fn is_settled(&self, place: &(Path, Vec<u8>)) -> bool {
        self.settled.hellos.contains(place)
    }

    /// Tells whether another of the same neighbourhood had to go for it.
    pub(super) fn insert(&mut self, id: ConnectionId, mut entry: HalfOpen) -> bool {
        let home = home(entry.path);
        let share = share(self.capacity);
        let own = home.and_then(|home| self.homes.get(&home)).filter(|own| own.len() >= share);
        let crowding = own.and_then(|own| own.first()).and_then(|serial| self.order.get(serial)).copied();
        if let Some(oldest) = crowding {
            self.remove(oldest);
        }
        if self.order.len() >= self.capacity
            && let Some((_, &oldest)) = self.order.first_key_value()
        {
            self.remove(oldest);
        }
        entry.serial = self.next_serial;
        self.next_serial += 1;
        if let Some(home) = home {
            self.homes.entry(home).or_default().insert(entry.serial);
        }
        self.order.insert(entry.serial, id);
        self.by_hello.insert((entry.path, entry.hello.clone()), id);
        self.by_id.insert(id, entry);
        crowding.is_some()
    }

    fn remove(&mut self, id: ConnectionId) -> Option<HalfOpen> {
        let mut entry = self.by_id.remove(&id)?;
        self.order.remove(&entry.serial);
        if let Some(home) = home(entry.path)
            && let Some(own) = self.homes.get_mut(&home)
        {
            own.remove(&entry.serial);
            if own.is_empty() {
                self.homes.remove(&home);
            }
        }
        let place = (entry.path, std::mem::take(&mut entry.hello));
        self.by_hello.remove(&place);
        entry.hello = place.1;
        Some(entry)
    }

    /// The hello has done its work: its place is free, and its secrets go. Its late copies are known for a while.
    pub(super) fn settle(&mut self, now: Instant, id: ConnectionId) -> Option<(ConnectionId, Limits)> {
        let entry = self.remove(id)?;
        self.settled.insert(now + LIFETIME, (entry.path, entry.hello), self.capacity);
        Some((entry.remote_id, entry.limits))
    }

    /// Forgets what nobody can use any more.
    pub(super) fn remove_expired(&mut self, now: Instant) {
        while let Some((_, &id)) = self.order.first_key_value() {
            if self.by_id.get(&id).is_some_and(|entry| entry.expires_at > now) {
                break;
            }
            self.remove(id);
        }
        self.settled.remove_expired(now);
    }
}

impl Settled {
    fn insert(&mut self, expires_at: Instant, hello: (Path, Vec<u8>), capacity: usize) {
        if self.order.len() >= capacity {
            self.remove_oldest();
        }
        if self.hellos.insert(hello.clone()) {
            self.order.push_back((expires_at, hello));
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(expires_at, _)| *expires_at <= now) {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, hello)) = self.order.pop_front() {
            self.hellos.remove(&hello);
        }
    }
}

/// The neighbourhood that an entry counts for.
fn home(path: Path) -> Option<IpAddr> {
    let ip = path.remote.ip();
    (!ip.is_loopback()).then(|| neighbourhood(ip))
}
