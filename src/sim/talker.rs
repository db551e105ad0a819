//! A node that is an endpoint under a scripted application: it sends on several streams and takes whatever comes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::node::{Node, Report, Submission, Wish, body};
use super::scenario::{Action, MessagePlan};
use crate::arq::{self, SendError, SendOptions};
use crate::endpoint::{Endpoint, EndpointConfig, Event, Handle};
use crate::machine::{Path, Transmit};
use crate::random::keyed_draw;
use crate::secure::PublicKey;
use crate::time::{Instant, Now};
use crate::wire::ConnectionId;

/// An endpoint and what its application knows.
#[derive(Debug)]
pub struct Talker {
    endpoint: Endpoint,
    /// Connections that are not over.
    open: BTreeMap<Handle, Known>,
    /// Streams with something to take that were left alone while not reading.
    unread: BTreeSet<(Handle, u32)>,
    is_reading: bool,
    /// Who is at which node, if the user knows: nobody else will do.
    directory: Vec<PublicKey>,
}

#[derive(Debug)]
struct Known {
    id: ConnectionId,
    /// Where its other side was when it began.
    remote: SocketAddr,
    is_connected: bool,
    is_closing: bool,
}

impl Talker {
    /// An endpoint without connections.
    pub fn new(config: EndpointConfig, directory: Vec<PublicKey>, seed: u64) -> Self {
        Self {
            endpoint: Endpoint::new(config, seed),
            open: BTreeMap::new(),
            unread: BTreeSet::new(),
            is_reading: true,
            directory,
        }
    }

    fn connect(&mut self, now: Now, to: SocketAddr, reports: &mut Vec<Report>) -> Option<Handle> {
        let expected = super::network::node_of(to).and_then(|node| self.directory.get(node)).copied();
        let Ok(handle) = self.endpoint.connect(now, &[Path::to(to)], expected) else {
            reports.push(Report::Refused { why: "too-many-connections" });
            return None;
        };
        if let Some(id) = self.know(handle) {
            reports.push(Report::Dialled { id, to });
        }
        Some(handle)
    }

    fn know(&mut self, handle: Handle) -> Option<ConnectionId> {
        let connection = self.endpoint.connection(handle)?;
        let (id, remote) = (connection.local_id(), connection.path().remote);
        self.open.insert(handle, Known { id, remote, is_connected: false, is_closing: false });
        Some(id)
    }

    /// The newest usable connection with the node at `to`, open ones first.
    fn handle_to(&self, to: SocketAddr) -> Option<Handle> {
        let same_node = |known: &Known| super::network::node_of(known.remote) == super::network::node_of(to);
        let usable = self.open.iter().filter(|(_, known)| !known.is_closing && same_node(known));
        usable.max_by_key(|(handle, known)| (known.is_connected, **handle)).map(|(handle, _)| *handle)
    }

    fn send(&mut self, now: Now, handle: Handle, plan: MessagePlan, key: u64, reports: &mut Vec<Report>) {
        let deadline = plan.deadline.map(|after| now.instant + after);
        let message = Submission { key, length: plan.length, unordered: plan.unordered, deadline };
        let options = SendOptions { unordered: plan.unordered, deadline, ..SendOptions::default() };
        let Some(id) = self.open.get(&handle).map(|known| known.id) else { return };
        match self.endpoint.submit(handle, plan.stream, message.body(), options) {
            Ok(seq) => reports.push(Report::Submitted { id, stream: plan.stream, seq, message }),
            Err(error) => reports.push(Report::Refused { why: word_of(error) }),
        }
    }

    fn close(&mut self, now: Now, handles: &[Handle], reports: &mut Vec<Report>) {
        for &handle in handles {
            if let Some(known) = self.open.get_mut(&handle).filter(|known| !known.is_closing) {
                known.is_closing = true;
                reports.push(Report::Closing { id: known.id });
                self.endpoint.close(now, handle, "done", "");
            }
        }
    }

    fn take_all(&mut self, handle: Handle, stream: u32, reports: &mut Vec<Report>) {
        let Some(id) = self.open.get(&handle).map(|known| known.id) else { return };
        while let Some(received) = self.endpoint.take(handle, stream) {
            reports.push(Report::Delivered { id, stream, seq: received.seq, body: received.body });
        }
    }

    fn follow_connection(&mut self, handle: Handle, event: arq::Event, reports: &mut Vec<Report>) {
        let Some(known) = self.open.get_mut(&handle) else {
            reports.push(Report::Stray { what: format!("{event:?}") });
            return;
        };
        let id = known.id;
        let noted = |what| Report::Noted { id, what };
        match event {
            arq::Event::Connected => {
                known.is_connected = true;
                let connection = self.endpoint.connection(handle);
                if let Some((remote, path)) = connection.and_then(|c| Some((c.remote_id()?, c.path()))) {
                    known.remote = path.remote;
                    reports.push(Report::Connected { id, remote });
                }
            }
            arq::Event::Readable { stream } if self.is_reading => self.take_all(handle, stream, reports),
            arq::Event::Readable { stream } => drop(self.unread.insert((handle, stream))),
            arq::Event::GramReadable => {
                while let Some(body) = self.endpoint.take_gram(handle) {
                    reports.push(Report::GramDelivered { id, body });
                }
            }
            arq::Event::Outcome { stream, seq, outcome } => {
                reports.push(Report::Outcome { id, stream, seq, outcome });
            }
            arq::Event::Settled => {}
            arq::Event::Writable => reports.push(noted("writable")),
            arq::Event::Silent => reports.push(noted("silent")),
            arq::Event::Resumed => reports.push(noted("resumed")),
            arq::Event::Moved { .. } => reports.push(noted("moved")),
            arq::Event::Closed(closed) => {
                self.open.remove(&handle);
                self.unread.retain(|(of, _)| *of != handle);
                reports.push(Report::Closed { id, closed });
            }
        }
    }
}

impl Node for Talker {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buffer)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.endpoint.poll_timeout().map(|(at, _)| at)
    }

    fn follow(&mut self, _now: Now, reports: &mut Vec<Report>) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Accepted { handle } => {
                    if let Some(id) = self.know(handle) {
                        reports.push(Report::Accepted { id });
                    }
                }
                Event::Replaced { new, .. } => {
                    if let Some(id) = self.know(new) {
                        let to = self.open[&new].remote;
                        reports.push(Report::Dialled { id, to });
                        reports.push(Report::Noted { id, what: "replaced" });
                    }
                }
                Event::WrongKey { handle, .. } => {
                    if let Some(known) = self.open.get(&handle) {
                        reports.push(Report::Noted { id: known.id, what: "wrong-key-seen" });
                    }
                }
                Event::Connection { handle, event } => self.follow_connection(handle, event, reports),
            }
        }
    }

    fn act(&mut self, now: Now, wish: &Wish<'_>, reports: &mut Vec<Report>) {
        match (wish.action, wish.address) {
            (Action::Connect { .. }, Some(to)) => drop(self.connect(now, to, reports)),
            (Action::Send { message, count, .. }, Some(to)) => {
                let handle = self.handle_to(to).or_else(|| self.connect(now, to, reports));
                for number in 0..handle.map_or(0, |_| u64::from(*count)) {
                    if let Some(handle) = handle {
                        self.send(now, handle, *message, keyed_draw(&[wish.key, number]), reports);
                    }
                }
            }
            (Action::Gram { length, .. }, Some(to)) => {
                let Some(handle) = self.handle_to(to) else { return };
                let body = body(wish.key, *length);
                if let Some(known) = self.open.get(&handle)
                    && self.endpoint.submit_gram(handle, body.clone(), None).is_ok()
                {
                    reports.push(Report::GramSubmitted { id: known.id, body });
                }
            }
            (Action::Close { .. }, Some(to)) => {
                let node = super::network::node_of(to);
                let open =
                    self.open.iter().filter(|(_, known)| super::network::node_of(known.remote) == node);
                let handles: Vec<Handle> = open.map(|(handle, _)| *handle).collect();
                self.close(now, &handles, reports);
            }
            (Action::Shutdown, _) => {
                let handles: Vec<Handle> = self.open.keys().copied().collect();
                self.close(now, &handles, reports);
            }
            (Action::Read { on }, _) => {
                self.is_reading = *on;
                reports.push(Report::Reading { on: *on });
                if *on {
                    for (handle, stream) in std::mem::take(&mut self.unread) {
                        self.take_all(handle, stream, reports);
                    }
                }
            }
            _ => {}
        }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn is_reporting(&self) -> bool {
        true
    }

    fn is_idle(&self) -> bool {
        self.endpoint.connections().next().is_none()
    }
}

const fn word_of(error: SendError) -> &'static str {
    match error {
        SendError::WouldBlock => "would-block",
        SendError::TooLong { .. } => "too-long",
        SendError::NoSuchStream { .. } => "no-such-stream",
        SendError::Closed => "closed",
    }
}
