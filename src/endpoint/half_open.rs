//! Hellos that were answered and whose senders have not been heard since.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::guard::Admission;
use super::{Disposition, Endpoint, Event};
use crate::arq::Connection;
use crate::bucket::{Bucket, Rate};
use crate::machine::{Path, neighbourhood};
use crate::secure::{PublicKey, Responder, Session};
use crate::time::Instant;
use crate::wire::{
    self, ConnectionId, Handshake, Hello, Limits, Mode, Refuse, SealedHead, SealedHello, VERSION, Welcome,
    Wish,
};

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

#[derive(Debug)]
struct HalfOpen {
    serial: u64,
    path: Path,
    hello: Vec<u8>,
    remote_id: ConnectionId,
    limits: Limits,
    welcome: Vec<u8>,
    /// The handshake, until its last message; None in the clear.
    responder: Option<Responder>,
    /// How often a third message may be tried.
    finishes: Bucket,
    /// Whether one was: the next is paid for by nobody.
    was_tried: bool,
    expires_at: Instant,
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
const LIFETIME: Duration = Duration::from_secs(15);

/// Third messages that are tried for one hello: the first may be damaged, so the next has a chance at once.
const FINISHES: Rate = Rate { burst: 2, per_second: 1 };

/// One of so many parts of a table is what one neighbourhood, or one key, may have of it: four flooders have to agree, and a class
/// behind one address finds room for all at once.
const SHARES: usize = 4;

/// No share is smaller: the programs of one person, and what is left of those that were started anew.
const LEAST_SHARE: usize = 16;

/// What one may have of so many places.
fn share(places: usize) -> usize {
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

    /// Tells whether another of the same neighbourhood had to go for it.
    fn insert(&mut self, id: ConnectionId, mut entry: HalfOpen) -> bool {
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
    fn settle(&mut self, now: Instant, id: ConnectionId) -> Option<(ConnectionId, Limits)> {
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
        if hello.mode != Mode::Clear || self.sealing.is_some() {
            self.refuse(now, path, Some(hello.id), "mode");
            return Disposition::Refused;
        }
        let wish = Wish { id: hello.id, limits: hello.limits, old: hello.old };
        if let Some(disposition) = self.answer_again(now, path, datagram) {
            return disposition;
        }
        let Some((id, welcome)) = self.grant(now, path, &wish) else {
            return Disposition::Refused;
        };
        let mut answer = Vec::new();
        wire::encode_handshake(&mut answer, &Handshake::Welcome { to: hello.id, welcome });
        self.remember(now, path, id, &wish, datagram, answer, None)
    }

    /// Somebody asks for a sealed connection. Nothing is computed for an address before it is admitted (UC-SEAL-011).
    pub(super) fn handle_sealed_hello(
        &mut self,
        now: Instant,
        path: Path,
        hello: &SealedHello<'_>,
    ) -> Disposition {
        if self.sealing.is_none() {
            self.refuse(now, path, Some(hello.id), "mode");
            return Disposition::Refused;
        }
        if self.is_own_hello(hello) {
            return Disposition::Reflected;
        }
        if let Some(disposition) = self.answer_again(now, path, hello.message) {
            return disposition;
        }
        match self.guard.admit(now, path.remote, hello.id.as_str(), hello.cookie.as_deref()) {
            Admission::Granted => {}
            Admission::Cookie(cookie) => {
                let mut retry = Vec::new();
                let cookie = cookie.into();
                wire::encode_handshake(&mut retry, &Handshake::Retry { to: hello.id, cookie });
                self.answer(path, retry);
                return Disposition::Retry;
            }
            Admission::Dropped => return Disposition::Overload,
        }
        let Some(sealing) = &mut self.sealing else { return Disposition::WrongForm };
        let read = Responder::read(&sealing.keys, &mut sealing.entropy, hello.message).ok();
        let read = read.and_then(|(responder, payload)| Some((responder, Wish::decode(&payload)?)));
        let Some((mut responder, wish)) = read.filter(|(_, wish)| wish.id == hello.id) else {
            return Disposition::BadHandshake;
        };
        let Some((id, welcome)) = self.grant(now, path, &wish) else {
            return Disposition::Refused;
        };
        let message = responder.answer(&welcome.encode());
        let mut answer = Vec::new();
        let sealed_welcome = Handshake::SealedWelcome { to: hello.id, message: &message };
        wire::encode_handshake(&mut answer, &sealed_welcome);
        self.remember(now, path, id, &wish, hello.message, answer, Some(responder))
    }

    /// A hello that is known gets its answer again, unless it has done its work.
    fn answer_again(&mut self, now: Instant, path: Path, hello: &[u8]) -> Option<Disposition> {
        self.half_open.remove_expired(now);
        let place = (path, hello.to_vec());
        if self.half_open.settled.hellos.contains(&place) {
            return Some(Disposition::StaleHandshake);
        }
        let id = self.half_open.by_hello.get(&place)?;
        let entry = self.half_open.by_id.get(id)?;
        let welcome = entry.welcome.clone();
        self.answer(path, welcome);
        Some(Disposition::Hello)
    }

    /// What a wish is granted, under which name; None if there is no room.
    fn grant(&mut self, now: Instant, path: Path, wish: &Wish) -> Option<(ConnectionId, Welcome)> {
        if self.connections.len() >= self.config.max_connections {
            self.refuse(now, path, Some(wish.id), "busy");
            return None;
        }
        let alive = wish.old.and_then(|old| self.by_id.get(&old)).is_some_and(|&index| {
            let connection = &self.connections[index].connection;
            connection.is_open()
        });
        // The other side may have been cut off between our welcome and its first packet: that connection can still begin.
        let can_begin = wish
            .old
            .and_then(|old| self.half_open.by_id.get(&old))
            .is_some_and(|entry| entry.path.remote == path.remote && entry.expires_at > now);
        let id = self.fresh_id();
        let limits = self.config.connection.limits;
        Some((id, Welcome { id, limits, alive: alive || can_begin }))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of the one entry that is made here")]
    fn remember(
        &mut self,
        now: Instant,
        path: Path,
        id: ConnectionId,
        wish: &Wish,
        hello: &[u8],
        welcome: Vec<u8>,
        responder: Option<Responder>,
    ) -> Disposition {
        self.answer(path, welcome.clone());
        let entry = HalfOpen {
            serial: 0,
            path,
            hello: hello.to_vec(),
            remote_id: wish.id,
            limits: wish.limits,
            welcome,
            responder,
            finishes: Bucket::new(),
            was_tried: false,
            expires_at: now + LIFETIME,
        };
        if self.half_open.insert(id, entry) { Disposition::Crowd } else { Disposition::Hello }
    }

    /// A packet to a half-open id: its sender received the welcome, so it is where it says it is (UC-HS-008).
    pub(super) fn promote(&mut self, now: Instant, path: Path, id: ConnectionId) -> Option<usize> {
        self.provable(now, path, id)?;
        self.begin(now, path, id, None)
    }

    /// The same for a sealed packet, in front of which the handshake's last message stands; also tells where in it the text is. The
    /// message alone could have been taken from another packet, so one behind which nothing opens changes nothing.
    pub(super) fn promote_sealed(
        &mut self,
        now: Instant,
        path: Path,
        head: &SealedHead,
        datagram: &mut [u8],
    ) -> Result<(usize, Range<usize>), Disposition> {
        let message = &datagram[head.finish_at..head.sealed_at];
        if message.is_empty() {
            // Without it nothing can be opened, and nothing need be computed.
            return Err(Disposition::UnknownConnection);
        }
        self.provable(now, path, head.to).ok_or(Disposition::UnknownConnection)?;
        let entry = self.half_open.by_id.get_mut(&head.to).ok_or(Disposition::UnknownConnection)?;
        let (Some(sealing), Some(responder)) = (&self.sealing, &mut entry.responder) else {
            return Err(Disposition::WrongForm);
        };
        // The first try was paid for with the hello. Each failure means that the handshake is computed anew: whoever fails is
        // made to wait, and the true message comes again with every packet (UC-SEAL-011).
        let is_due = entry.finishes.take(now, FINISHES).is_ok();
        if !is_due || (entry.was_tried && !self.guard.admits_work(now)) {
            return Err(Disposition::Overload);
        }
        entry.was_tried = true;
        let mut session = responder.finish(&sealing.keys, message).map_err(|_| Disposition::BadHandshake)?;
        let Ok(text) = session.opener.open(head.number, head.epoch, datagram, head.sealed_at) else {
            responder.begin_again(&sealing.keys);
            return Err(Disposition::BadSeal);
        };
        if self.has_its_share(&session.remote) {
            self.half_open.settle(now, head.to);
            return Err(Disposition::KeyCrowd);
        }
        let index = self.begin(now, path, head.to, Some(session)).ok_or(Disposition::UnknownConnection)?;
        Ok((index, text))
    }

    /// Whether a key has as many connections as one may have. Whoever has a key can prove it as often as the guard lets them, and
    /// is not to take every place; what stands goes on.
    fn has_its_share(&self, key: &PublicKey) -> bool {
        self.granted_to.get(key).is_some_and(|&count| count >= share(self.config.max_connections))
    }

    /// Whether a packet on this path can make a half-open connection a real one.
    fn provable(&self, now: Instant, path: Path, id: ConnectionId) -> Option<()> {
        let has_room = self.connections.len() < self.config.max_connections;
        let entry = self.half_open.by_id.get(&id)?;
        // The answer went to this address and to no other, so a packet from elsewhere proves nothing.
        let proved = entry.path.remote == path.remote && entry.expires_at > now;
        (proved && has_room).then_some(())
    }

    fn begin(
        &mut self,
        now: Instant,
        path: Path,
        id: ConnectionId,
        session: Option<Session>,
    ) -> Option<usize> {
        let (remote_id, limits) = self.half_open.settle(now, id)?;
        let secrets = self.secrets();
        let mut connection = Connection::new(now, &self.config.connection, id, path, false, secrets);
        if let Some(session) = session {
            connection.protect(session, None);
        }
        connection.establish(now, remote_id, &limits, path);
        let key = connection.remote_key();
        let handle = self.insert(connection, None);
        if let Some(key) = key {
            self.connections[handle.index].granted_to = Some(key);
            *self.granted_to.entry(key).or_default() += 1;
        }
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
        let accepts = (code == "mode").then(|| self.mode());
        let refuse = Refuse { code: code.into(), speaks: vec![VERSION], accepts };
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
