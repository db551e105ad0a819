//! ENet, in its translation to Rust. It has no deadline to ask for and wants to be called regularly.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rusty_enet::{Event, Host, HostSettings, MTU_MAX, Packet, PacketReceived, PeerID, Socket, SocketOptions};
use udpchat::machine::{Path, Transmit};
use udpchat::time::{Instant, Now};

use crate::stack::{End, MAX_DATAGRAM_BYTES, Meeting, Side, Stack, State};

/// The stack.
pub struct Enet;

/// How often it is called when nothing happens. Its timers have milliseconds; games call it sixty times a second.
const SERVICE_EVERY: Duration = Duration::from_millis(2);

impl Stack for Enet {
    fn name(&self) -> &'static str {
        "ENet"
    }

    fn settings(&self) -> String {
        "neither encrypted nor checked; reliable packets on one channel, no bandwidth limit, no compression, datagrams of 1452 \
         bytes; called after each message and datagram and every 2 ms"
            .to_owned()
    }

    fn end(&self, now: Now, meeting: &Meeting) -> Box<dyn End> {
        let time = Rc::new(Cell::new(Duration::from_nanos(now.instant.as_nanos())));
        let desk = Desk::default();
        let clock = time.clone();
        let settings = HostSettings {
            peer_limit: 1,
            channel_limit: 1,
            time: Box::new(move || clock.get()),
            seed: Some(meeting.seed as u32 + 1),
            ..HostSettings::default()
        };
        let mut host = Host::new(desk.clone(), settings).expect("its socket is a pair of queues");
        host.set_mtu(MAX_DATAGRAM_BYTES as u16).expect("it is within its bounds");
        if meeting.side == Side::Sender {
            host.connect(meeting.remote, 1, 0).expect("it has room for one");
        }
        Box::new(EnetEnd {
            host,
            desk,
            time,
            peer: None,
            state: State::Opening,
            received: VecDeque::new(),
            must_service: true,
            next_at: now.instant,
        })
    }
}

/// What came and what is to go: the socket that it believes to have.
#[derive(Clone, Default)]
struct Desk(Rc<RefCell<Trays>>);

#[derive(Default)]
struct Trays {
    incoming: VecDeque<(SocketAddr, Vec<u8>)>,
    outgoing: VecDeque<(SocketAddr, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
}

impl Trays {
    fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(bytes);
        copy
    }
}

impl Socket for Desk {
    type Address = SocketAddr;
    type Error = Infallible;

    fn init(&mut self, _options: SocketOptions) -> Result<(), Infallible> {
        Ok(())
    }

    fn send(&mut self, address: SocketAddr, bytes: &[u8]) -> Result<usize, Infallible> {
        let trays = &mut *self.0.borrow_mut();
        let copy = trays.copy(bytes);
        trays.outgoing.push_back((address, copy));
        Ok(bytes.len())
    }

    fn receive(
        &mut self,
        buffer: &mut [u8; MTU_MAX],
    ) -> Result<Option<(SocketAddr, PacketReceived)>, Infallible> {
        let trays = &mut *self.0.borrow_mut();
        let Some((from, bytes)) = trays.incoming.pop_front() else { return Ok(None) };
        let length = bytes.len().min(MTU_MAX);
        buffer[..length].copy_from_slice(&bytes[..length]);
        trays.spare.push(bytes);
        Ok(Some((from, PacketReceived::Complete(length))))
    }
}

struct EnetEnd {
    host: Host<Desk>,
    desk: Desk,
    time: Rc<Cell<Duration>>,
    peer: Option<PeerID>,
    state: State,
    received: VecDeque<Packet>,
    must_service: bool,
    next_at: Instant,
}

impl EnetEnd {
    fn service(&mut self, now: Now) {
        self.time.set(Duration::from_nanos(now.instant.as_nanos()));
        self.must_service = false;
        self.next_at = now.instant + SERVICE_EVERY;
        while let Ok(Some(event)) = self.host.service() {
            match event {
                Event::Connect { peer, .. } => {
                    self.peer = Some(peer.id());
                    self.state = State::Open;
                }
                Event::Disconnect { .. } => self.state = State::Dead,
                Event::Receive { packet, .. } => self.received.push_back(packet),
            }
        }
        self.host.flush();
    }
}

impl End for EnetEnd {
    fn handle_datagram(&mut self, _now: Now, from: SocketAddr, datagram: &mut [u8]) {
        let trays = &mut *self.desk.0.borrow_mut();
        let copy = trays.copy(datagram);
        trays.incoming.push_back((from, copy));
        self.must_service = true;
    }

    fn handle_timeout(&mut self, _now: Now) {
        self.must_service = true;
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if self.must_service {
            self.service(now);
        }
        let trays = &mut *self.desk.0.borrow_mut();
        let (to, bytes) = trays.outgoing.pop_front()?;
        buffer.clear();
        buffer.extend_from_slice(&bytes);
        trays.spare.push(bytes);
        Some(Transmit { path: Path::to(to), length: buffer.len(), segment_size: None, ecn: None })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Some(self.next_at)
    }

    fn state(&self) -> State {
        self.state
    }

    fn send(&mut self, _now: Now, message: &[u8]) -> bool {
        let Some(peer) = self.peer.filter(|_| self.state == State::Open) else { return false };
        self.must_service = true;
        self.host.peer_mut(peer).send(0, &Packet::reliable(message)).is_ok()
    }

    fn receive(&mut self, now: Now, message: &mut Vec<u8>) -> bool {
        if self.must_service && self.received.is_empty() && !self.desk.0.borrow().incoming.is_empty() {
            // It hands messages over only while it is called.
            self.service(now);
        }
        let Some(packet) = self.received.pop_front() else { return false };
        message.clear();
        message.extend_from_slice(packet.data());
        true
    }
}
