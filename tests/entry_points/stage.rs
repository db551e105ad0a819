//! Sealed endpoints in memory for the scripts: two honest ones on a bad line, and one with a partner that has the keys.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use udpchat::arq::{self, SendOptions};
use udpchat::endpoint::{Endpoint, EndpointConfig, Event, Handle, Protection};
use udpchat::machine::Path;
use udpchat::secure::{Entropy, Initiator, KeyPair, Session};
use udpchat::time::{Instant, Now, WallTime};
use udpchat::wire::{self, ConnectionId, Datagram, Handshake, Limits, SealedHello, Welcome, Wish};

/// Datagrams on the line and of earlier; more than any script of sense has.
const MAX_DATAGRAMS: usize = 256;

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::try_from(host % 200).unwrap()], 6_000))
}

fn keys(end: usize) -> KeyPair {
    KeyPair::from_secret([1 + u8::try_from(end).unwrap(); 32])
}

fn endpoint(end: usize) -> Endpoint {
    let seed = [10 + u8::try_from(end).unwrap(); 32].into();
    let mut config = EndpointConfig {
        protection: Protection::Sealed { keys: Arc::new(keys(end)), seed },
        max_half_open: 8,
        held_bytes: 1_000_000,
        ..EndpointConfig::default()
    };
    // Small enough to be reached by a script.
    let limits = &mut config.connection.limits;
    (limits.message_bytes, limits.stream_bytes, limits.connection_bytes) = (100_000, 200_000, 400_000);
    Endpoint::new(config, end as u64)
}

const fn start() -> Now {
    Now { instant: Instant::from_nanos(1), wall: WallTime::from_unix_micros(0) }
}

/// Two honest endpoints, `0` asks and `1` grants, and a line between them that a script rules.
pub(super) struct Bench {
    now: Now,
    ends: [Endpoint; 2],
    handle: Option<Handle>,
    line: Vec<(usize, Vec<u8>)>,
    earlier: Vec<(usize, Vec<u8>)>,
    /// What came in from each side's own address, and what went out there before it was proved.
    bytes_in: [usize; 2],
    taken: Vec<Vec<u8>>,
    accepted: usize,
    /// Who ended a connection by itself.
    gave_up: [bool; 2],
}

/// What honest ends say. Nothing else may ever be taken.
const WORDS: [&[u8]; 2] = [b"from the asking side", b"from the granting side"];

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            now: start(),
            ends: [endpoint(0), endpoint(1)],
            handle: None,
            line: Vec::new(),
            earlier: Vec::new(),
            bytes_in: [0; 2],
            taken: Vec::new(),
            accepted: 0,
            gave_up: [false; 2],
        }
    }

    pub(super) fn connect(&mut self) {
        let expected = Some(keys(1).public());
        let handle = self.ends[0].connect(self.now, &[Path::to(address(1))], expected).unwrap();
        self.ends[0].submit(handle, 0, WORDS[0].to_vec(), SendOptions::default()).unwrap();
        self.handle = Some(handle);
        self.collect();
    }

    pub(super) fn deliver(&mut self, index: usize) {
        if !self.line.is_empty() {
            let (from, datagram) = self.line.remove(index % self.line.len());
            self.hand_over(from, 1 - from, datagram);
        }
    }

    pub(super) fn drop(&mut self, index: usize) {
        if !self.line.is_empty() {
            self.line.remove(index % self.line.len());
        }
    }

    /// Something of earlier again, to its receiver or back to its sender.
    pub(super) fn repeat(&mut self, index: usize, reflect: bool) {
        if !self.earlier.is_empty() {
            let (from, datagram) = self.earlier[index % self.earlier.len()].clone();
            let to = if reflect { from } else { 1 - from };
            self.hand_over(1 - to, to, datagram);
        }
    }

    pub(super) fn deliver_changed(&mut self, index: usize, at: usize, mask: u8) {
        if !self.earlier.is_empty() {
            let (from, mut datagram) = self.earlier[index % self.earlier.len()].clone();
            let at = at % datagram.len();
            datagram[at] ^= mask.max(1);
            self.hand_over(from, 1 - from, datagram);
        }
    }

    pub(super) fn deliver_cut(&mut self, index: usize, length: usize) {
        if !self.earlier.is_empty() {
            let (from, mut datagram) = self.earlier[index % self.earlier.len()].clone();
            datagram.truncate(length % datagram.len());
            self.hand_over(from, 1 - from, datagram);
        }
    }

    pub(super) fn deliver_made_up(&mut self, to_asking: bool, datagram: &[u8]) {
        let to = usize::from(!to_asking);
        self.hand_over(1 - to, to, datagram.to_vec());
    }

    pub(super) fn pass_time(&mut self, milliseconds: usize) {
        self.now = self.now.after(Duration::from_millis(milliseconds as u64));
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        self.collect();
    }

    fn hand_over(&mut self, from: usize, to: usize, mut datagram: Vec<u8>) {
        self.bytes_in[to] += datagram.len();
        self.ends[to].handle_datagram(self.now, Path::to(address(from)), &mut datagram);
        self.collect();
    }

    /// Takes what the ends send and tell.
    fn collect(&mut self) {
        let mut buffer = Vec::new();
        for end in 0..2 {
            let mut sent = 0;
            while let Some(transmit) = self.ends[end].poll_transmit(self.now, &mut buffer) {
                sent += transmit.length;
                let datagram = buffer[..transmit.length].to_vec();
                if self.line.len() < MAX_DATAGRAMS {
                    self.line.push((end, datagram.clone()));
                }
                if self.earlier.len() < MAX_DATAGRAMS {
                    self.earlier.push((end, datagram));
                }
            }
            if end == 1 && self.accepted == 0 {
                assert!(sent <= 3 * self.bytes_in[1], "{sent} bytes to an address that proved nothing");
            }
            while let Some(event) = self.ends[end].poll_event() {
                self.note(end, event);
            }
        }
    }

    fn note(&mut self, end: usize, event: Event) {
        match event {
            Event::Accepted { handle } => {
                assert_eq!(self.ends[end].remote_key(handle), Some(keys(1 - end).public()));
                self.accepted += 1;
                // Later ones are a silent side's second hello, either way.
                if self.accepted == 1 {
                    self.ends[end].submit(handle, 0, WORDS[end].to_vec(), SendOptions::default()).unwrap();
                }
            }
            Event::Connection { handle, event: arq::Event::Readable { stream } } => {
                while let Some(received) = self.ends[end].take(handle, stream) {
                    assert_eq!(received.body, WORDS[1 - end], "nobody said that");
                    self.taken.push(received.body);
                }
            }
            Event::Connection { event: arq::Event::Closed(closed), .. } => {
                // One that gave up a silent side says so to whatever still comes from there.
                let by_peer = matches!(closed, arq::Closed::ByPeer { .. });
                assert!(!by_peer || self.gave_up[1 - end], "nobody closed it");
                self.gave_up[end] |= !by_peer;
            }
            // A hello that came back to its sender is answered by that, under its own key, which is not the wanted one.
            Event::WrongKey { seen, .. } => assert_eq!(seen, keys(0).public(), "nobody else is there"),
            _ => {}
        }
    }

    pub(super) fn check(&self) {
        for end in &self.ends {
            assert!(end.half_open_count() <= 8);
        }
    }

    /// Everything is delivered from now on. If the attempt still stands, the words arrive once each.
    pub(super) fn calm_down(&mut self) {
        for _ in 0..2_000 {
            while !self.line.is_empty() {
                self.deliver(0);
            }
            let next = self.ends.iter().filter_map(|end| end.poll_timeout()).map(|(at, _)| at).min();
            let Some(next) = next.filter(|_| self.taken.len() < 2) else { break };
            self.now = self.now.after(next.since(self.now.instant));
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            self.collect();
        }
        assert!(self.taken.iter().filter(|words| **words == WORDS[0]).count() <= 1);
        let is_open =
            self.handle.and_then(|handle| self.ends[0].connection(handle)).is_some_and(|it| it.is_open());
        let is_first = self.accepted <= 1 && self.gave_up == [false; 2];
        assert!(!is_open || !is_first || self.taken.len() == 2, "{} of two arrived", self.taken.len());
    }
}

/// An endpoint and a partner that holds the keys of a connection and says anything.
pub(super) struct Partner {
    now: Now,
    endpoint: Endpoint,
    session: Session,
    to: ConnectionId,
    finish: [u8; wire::FINISH_BYTES],
    number: u64,
    from: SocketAddr,
    said: Vec<Vec<u8>>,
}

impl Partner {
    /// A handshake by hand.
    pub(super) fn connected() -> Self {
        let now = start();
        let mut endpoint = endpoint(1);
        let mut entropy = Entropy::from_seed([3; 32]);
        let id = ConnectionId::parse("b7x0m4zz").unwrap();
        let wish = Wish { id, limits: Limits::default(), old: None };
        let (mut initiator, message) = Initiator::begin(&keys(0), &mut entropy, &wish.encode());
        let mut datagram = Vec::new();
        let hello = SealedHello { id, cookie: None, message: &message };
        wire::encode_handshake(&mut datagram, &Handshake::SealedHello(hello));
        endpoint.handle_datagram(now, Path::to(address(0)), &mut datagram);
        let mut buffer = Vec::new();
        let transmit = endpoint.poll_transmit(now, &mut buffer).unwrap();
        let Ok(Datagram::Handshake(Handshake::SealedWelcome { message, .. })) =
            wire::decode(&buffer[..transmit.length])
        else {
            panic!("no welcome");
        };
        let (session, payload, finish) = initiator.finish(&keys(0), message).unwrap();
        let to = Welcome::decode(&payload).unwrap().id;
        let from = address(0);
        let mut partner = Self { now, endpoint, session, to, finish, number: 0, from, said: Vec::new() };
        partner.say(br#"{"f":[{"t":"ping"}]}"#);
        assert_eq!(partner.endpoint.connections().count(), 1);
        partner
    }

    /// Any text under the right seal.
    pub(super) fn say(&mut self, text: &[u8]) {
        self.number += 1;
        let (to, number) = (self.to, self.number);
        let mut datagram = format!("{{\"v\":1,\"to\":\"{to}\",\"n\":{number},\"finish\":64}}\n").into_bytes();
        datagram.extend_from_slice(&self.finish);
        let sealed_at = datagram.len();
        datagram.extend_from_slice(text);
        self.session.sealer.seal(number, &mut datagram, sealed_at);
        if self.said.len() < MAX_DATAGRAMS {
            self.said.push(datagram.clone());
        }
        self.hand_over(datagram);
    }

    pub(super) fn say_again(&mut self, index: usize) {
        let datagram = self.said[index % self.said.len()].clone();
        self.hand_over(datagram);
    }

    pub(super) fn skip_numbers(&mut self, count: usize) {
        self.number += count as u64;
    }

    pub(super) fn move_to(&mut self, host: u8) {
        self.from = address(host.into());
    }

    pub(super) fn pass_time(&mut self, milliseconds: usize) {
        self.now = self.now.after(Duration::from_millis(milliseconds as u64));
        self.endpoint.handle_timeout(self.now);
        self.collect();
    }

    fn hand_over(&mut self, mut datagram: Vec<u8>) {
        self.endpoint.handle_datagram(self.now, Path::to(self.from), &mut datagram);
        self.collect();
    }

    fn collect(&mut self) {
        let mut buffer = Vec::new();
        let mut sent = 0;
        while self.endpoint.poll_transmit(self.now, &mut buffer).is_some() {
            sent += 1;
            assert!(sent < 10_000, "it talks without end");
        }
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Connection { handle, event: arq::Event::Readable { stream } } = event {
                while self.endpoint.take(handle, stream).is_some() {}
            }
        }
    }

    pub(super) fn check(&self) {
        for (_, connection) in self.endpoint.connections() {
            let load = connection.load();
            assert!(load.receive_bytes <= 1_000_000 && load.arrival_ranges <= 1_025, "{load:?}");
            assert!(load.receive_entries <= 50_000, "{load:?}");
        }
        if let Some((at, _)) = self.endpoint.poll_timeout() {
            assert!(at >= self.now.instant, "a timer in the past");
        }
    }
}
