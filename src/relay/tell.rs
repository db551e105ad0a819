//! What a relay says: news, receipts, lines; encoded, and queued where their receiver has room for them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Relay;
use super::room::STALE;
use super::session::{Asked, Session};
use crate::chat::{
    MAX_REMARK_BYTES, MessageId, News, Party, Place, Receipt, RefusalCode, Said, Say, Words, cut, stream,
};
use crate::endpoint::Handle;
use crate::ledger::Entry;
use crate::time::{Now, WallTime};

/// News that may wait for one member. Who is further behind is not told everything that happened, but how things stand.
const MAX_OUTBOX_BYTES: usize = 512 * 1024;

/// Receipts, and echoes, that a connection may hold before they wait here. Lines are not among them, and delay none.
const MAX_RECEIPTS_UNDER_WAY: usize = 256 * 1024;

impl Relay {
    /// Says who we are.
    pub(super) fn introduce(&mut self, now: Now, handle: Handle) {
        let run = Cow::Owned(self.run.clone());
        let body = self.encode(handle, now.wall, Said::Introduce { run, remembers: false });
        self.queue(handle, body.into());
        self.pump(now, handle);
    }

    /// Tells one member something (UC-RELAY-004).
    pub(super) fn tell(&mut self, now: Now, handle: Handle, news: News) {
        let body: Arc<[u8]> = self.encode(handle, now.wall, Said::News(news)).into();
        // It is never dropped: whoever has much waiting is not read, and so asks for nothing more.
        if let Some(session) = self.sessions.at_mut(&handle) {
            session.outbox.push(body);
        }
        self.pump(now, handle);
    }

    /// Tells several members the same.
    pub(super) fn tell_all(&mut self, now: Now, handles: &[Handle], room: Option<&str>, news: News) {
        let body = self.encode_for_all(now.wall, room, Said::News(news));
        for &handle in handles {
            self.queue(handle, Arc::clone(&body));
            self.pump(now, handle);
        }
    }

    /// What happened to others. One that takes nothing is not told any more, and gets the lists anew later.
    fn queue(&mut self, handle: Handle, body: Arc<[u8]>) {
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        if session.outbox.bytes() + body.len() <= MAX_OUTBOX_BYTES || session.outbox.is_empty() {
            session.outbox.push(body);
        } else if let Some(member) = session.member_mut() {
            member.seats.iter_mut().for_each(|seat| seat.presence = STALE);
        }
    }

    /// A request or words were taken.
    pub(super) fn take(&mut self, now: Now, handle: Handle, id: &MessageId, at: WallTime) {
        self.receipt(now, handle, Receipt::taken(id.clone(), at));
    }

    /// A request or words were refused.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        handle: Handle,
        request: &Asked,
        code: RefusalCode,
        reason: &str,
    ) {
        let (id, at) = request;
        let receipt = Receipt { code: Some(code), ..Receipt::refused(id.clone(), *at, reason) };
        self.receipt(now, handle, receipt);
    }

    pub(super) fn receipt(&mut self, now: Now, handle: Handle, mut receipt: Receipt<'_>) {
        if let Some(reason) = receipt.reason.as_mut().filter(|reason| reason.len() > MAX_REMARK_BYTES) {
            *reason = Cow::Owned(cut(reason, MAX_REMARK_BYTES).to_owned());
        }
        self.answer_unordered(now, handle, Said::Receipt(receipt));
    }

    /// Says something that waits for nothing else.
    pub(super) fn answer_unordered(&mut self, now: Now, handle: Handle, said: Said<'_>) {
        let body: Arc<[u8]> = self.encode(handle, now.wall, said).into();
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        session.receipts.push(body);
        self.flush_receipts(handle);
    }

    /// Sends receipts that waited for room.
    pub(super) fn flush_receipts(&mut self, handle: Handle) {
        let Some(session) = self.sessions.at_mut(&handle) else {
            return;
        };
        let streams = self.endpoint.connection(handle).map_or(0, |connection| connection.stream_count());
        let stream = stream::of_receipts(streams);
        // What cannot be said on this connection is asked again on the next.
        let has_said_all =
            self.endpoint.submit_answers(handle, stream, &mut session.receipts, MAX_RECEIPTS_UNDER_WAY);
        session.is_stalled |= !has_said_all;
    }

    /// A line or a letter as its receivers get it.
    pub(super) fn encode_entry(entry: &Entry) -> Arc<[u8]> {
        let draft = &entry.draft;
        let from = Party {
            nick: Some(draft.nick.clone()),
            room: None,
            ip: draft.address.ip(),
            port: draft.address.port(),
        };
        let reply_to =
            draft.reply_to.as_ref().map(|(id, text, at)| (id.clone(), Cow::Borrowed(text.as_str()), *at));
        let words = Words {
            id: draft.id.clone(),
            text: Cow::Borrowed(&draft.text),
            sealed: draft.sealed.as_deref().cloned(),
            is_echo: false,
            reply_to,
            place: Some(Place { pos: entry.pos, stored_at: entry.stored_at }),
        };
        Say { from, to: draft.to.clone(), at: draft.sent_at, said: Said::Words(words) }.encode().into()
    }

    /// Something that many get, and that therefore is for none of them in particular.
    pub(super) fn encode_for_all(&self, at: WallTime, room: Option<&str>, said: Said<'_>) -> Arc<[u8]> {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let from = Party { nick: None, room: None, ip: nowhere, port: self.config.local_port };
        let to = Party { nick: None, room: room.map(str::to_owned), ip: nowhere, port: 0 };
        Say { from, to, at, said }.encode().into()
    }

    fn encode(&self, handle: Handle, at: WallTime, said: Said<'_>) -> Vec<u8> {
        let path = self.endpoint.connection(handle).map(|connection| connection.path());
        let path = path.unwrap_or(crate::machine::Path::to(([0, 0, 0, 0], 0).into()));
        let ip = path.local_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let from = Party { nick: None, room: None, ip, port: self.config.local_port };
        let nick = self.sessions.at(&handle).and_then(Session::nick).map(str::to_owned);
        let to = Party { nick, room: None, ip: path.remote.ip(), port: path.remote.port() };
        Say { from, to, at, said }.encode()
    }
}
