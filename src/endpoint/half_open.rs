//! Hellos that were answered and whose senders have not been heard since.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use super::guard::Admission;
use super::{Disposition, Endpoint, Event};
use crate::arq::Connection;
use crate::bucket::{Bucket, Rate};
use crate::machine::Path;
use crate::secure::{Responder, Session};
use crate::time::Instant;
use crate::wire::{
    self, ConnectionId, Handshake, Hello, Limits, Mode, Refuse, SealedHead, SealedHello, VERSION, Welcome,
    Wish,
};

/// A bounded table of half-open connections, keyed by the whole hello (a sealed one's handshake message, which stays the same under
/// every cookie): one that was damaged or forged is another entry and changes nothing about this one (UC-HS-005).
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
    /// The handshake, until its last message; None in the clear.
    responder: Option<Responder>,
    /// How often a third message may be tried.
    finishes: Bucket,
    /// Whether one was.
    has_failed: bool,
    expires_at: Instant,
    /// Its sender was heard: it is a connection now, and only kept to know the hello's late copies.
    is_promoted: bool,
}

/// A hello's late copies come within the time in which it is repeated.
const LIFETIME: Duration = Duration::from_secs(15);

/// Third messages that are tried for one hello: the first may be damaged, so the next has a chance at once.
const FINISHES: Rate = Rate { burst: 2, per_second: 1 };

impl HalfOpenTable {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { by_id: BTreeMap::new(), by_hello: BTreeMap::new(), order: VecDeque::new(), capacity }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether the id is one that was granted here of late.
    pub(super) fn has_granted(&self, id: ConnectionId) -> bool {
        self.by_id.contains_key(&id)
    }

    fn insert(&mut self, id: ConnectionId, entry: HalfOpen) {
        if self.order.len() >= self.capacity {
            self.remove_oldest();
        }
        self.by_hello.insert((entry.path, entry.hello.clone()), id);
        self.by_id.insert(id, entry);
        self.order.push_back(id);
    }

    pub(super) fn remove_expired(&mut self, now: Instant) {
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
        let id = self.half_open.by_hello.get(&(path, hello.to_vec()))?;
        let entry = self.half_open.by_id.get(id)?;
        if entry.is_promoted {
            return Some(Disposition::StaleHandshake);
        }
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
        let can_begin = wish.old.and_then(|old| self.half_open.by_id.get(&old)).is_some_and(|entry| {
            !entry.is_promoted && entry.path.remote == path.remote && entry.expires_at > now
        });
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
            path,
            hello: hello.to_vec(),
            remote_id: wish.id,
            limits: wish.limits,
            welcome,
            responder,
            finishes: Bucket::new(),
            has_failed: false,
            expires_at: now + LIFETIME,
            is_promoted: false,
        };
        self.half_open.insert(id, entry);
        Disposition::Hello
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
        if !is_due || (entry.has_failed && !self.guard.admits_work(now)) {
            return Err(Disposition::Overload);
        }
        entry.has_failed = true;
        let mut session = responder.finish(&sealing.keys, message).map_err(|_| Disposition::BadHandshake)?;
        let Ok(text) = session.opener.open(head.number, head.epoch, datagram, head.sealed_at) else {
            responder.begin_again(&sealing.keys);
            return Err(Disposition::BadSeal);
        };
        entry.responder = None;
        let index = self.begin(now, path, head.to, Some(session)).ok_or(Disposition::UnknownConnection)?;
        Ok((index, text))
    }

    /// Whether a packet on this path can make a half-open connection a real one.
    fn provable(&self, now: Instant, path: Path, id: ConnectionId) -> Option<()> {
        let has_room = self.connections.len() < self.config.max_connections;
        let entry = self.half_open.by_id.get(&id)?;
        // The answer went to this address and to no other, so a packet from elsewhere proves nothing.
        let proved = entry.path.remote == path.remote && !entry.is_promoted && entry.expires_at > now;
        (proved && has_room).then_some(())
    }

    fn begin(
        &mut self,
        now: Instant,
        path: Path,
        id: ConnectionId,
        session: Option<Session>,
    ) -> Option<usize> {
        let entry = self.half_open.by_id.get_mut(&id)?;
        entry.is_promoted = true;
        let (remote_id, limits) = (entry.remote_id, entry.limits);
        let seed = self.random.next_u64();
        let mut connection = Connection::new(now, &self.config.connection, id, path, false, seed);
        if let Some(session) = session {
            connection.protect(session, None);
        }
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
