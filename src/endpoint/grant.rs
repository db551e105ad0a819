//! The granting side of a handshake: whose hello is answered, and when its sender becomes a connection.
//!
//! This module must never keep anything of a stranger beyond the half-open table's bounds, nor let one packet that proves nothing
//! change an entry.

use std::ops::Range;
use std::time::Duration;

use super::guard::Admission;
use super::half_open::{HalfOpen, LIFETIME, share};
use super::{Disposition, Endpoint, Event};
use crate::arq::Connection;
use crate::bucket::{Bucket, Rate};
use crate::machine::Path;
use crate::secure::{PublicKey, Responder, Session};
use crate::time::Instant;
use crate::wire::{
    self, ConnectionId, Handshake, Hello, Mode, Refuse, SealedHead, SealedHello, VERSION, Welcome, Wish,
};

/// Third messages that are tried for one hello: the first may be damaged, so the next has a chance at once.
const FINISHES: Rate = Rate { burst: 2, per_second: 1 };

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
        if self.half_open.is_settled(&place) {
            return Some(Disposition::StaleHandshake);
        }
        let welcome = self.half_open.answered(&place)?.welcome.clone();
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
            .and_then(|old| self.half_open.entry(old))
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
        let entry = self.half_open.entry_mut(head.to).ok_or(Disposition::UnknownConnection)?;
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
        let entry = self.half_open.entry(id)?;
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
        let mut connection = Connection::new(now, &self.connection_config, id, path, false, secrets);
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
            if !self.by_id.contains_key(&id) && self.half_open.entry(id).is_none() {
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
