//! A partner by hand: it says what the test writes, and the test says exactly what must come back.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use udpchat::arq;
use udpchat::endpoint::{self, Endpoint, EndpointConfig, Handle};
use udpchat::machine::Path;
use udpchat::peer::{self, Peer, PeerConfig};
use udpchat::time::{Instant, Now, WallTime};
use udpchat::wire::{self, Datagram, Frame, Handshake};

/// Where the partner is, unless the test says otherwise.
pub const HERE: &str = "10.0.0.2:6000";

/// The partner's id for itself.
pub const PARTNER: &str = "partner1";

/// A machine under test.
pub trait Machine {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]);
    fn handle_timeout(&mut self, now: Now);
    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<udpchat::machine::Transmit>;
    fn next_timeout(&self) -> Option<Instant>;
    /// Every event, in words.
    fn drain_events(&mut self) -> Vec<String>;
}

/// A machine, its clock, and what it has said since it was last asked.
pub struct Script<M> {
    pub machine: M,
    start: Now,
    pub now: Now,
    /// What happened, in words.
    log: Vec<String>,
    /// What was sent, byte for byte.
    pub sent: Vec<Vec<u8>>,
    /// The id that the machine chose last, in its hello or its welcome.
    pub id: String,
    next_number: u64,
}

impl Script<Endpoint> {
    pub fn endpoint() -> Self {
        Self::new(Endpoint::new(EndpointConfig::default(), 1))
    }

    pub fn connect(&mut self) -> Handle {
        let handle = self.machine.connect(self.now, &[Path::to(address(HERE))], None).unwrap();
        self.flush();
        handle
    }

    /// A connection that the machine asked for; what that took is forgotten.
    pub fn connected(limits: &str) -> (Self, Handle) {
        let mut script = Self::endpoint();
        let handle = script.connect();
        script.welcome(limits);
        (script, handle)
    }

    pub fn submit(&mut self, handle: Handle, stream: u32, text: &str) {
        self.machine.submit(handle, stream, text.as_bytes().to_vec(), arq::SendOptions::default()).unwrap();
        self.flush();
    }
}

impl Script<Peer> {
    pub fn peer() -> Self {
        let config = PeerConfig { nick: Some("ana".to_owned()), local_port: 6_000, ..PeerConfig::default() };
        let now = Script::<Endpoint>::endpoint().now;
        Self::new(Peer::new(config, 1, now))
    }

    pub fn tell(&mut self, command: peer::Command) -> peer::Id {
        let id = self.machine.handle_command(self.now, command).unwrap();
        self.flush();
        id
    }
}

impl<M: Machine> Script<M> {
    fn new(machine: M) -> Self {
        let start = Now {
            instant: Instant::from_nanos(1),
            // 2026-11-21T12:00:00Z
            wall: WallTime::from_unix_micros(1_795_262_400_000_000),
        };
        Self {
            machine,
            start,
            now: start,
            log: Vec::new(),
            sent: Vec::new(),
            id: String::new(),
            next_number: 1,
        }
    }

    /// The partner grants what was asked for, and acks the packet by which the machine shows that it knows.
    pub fn welcome(&mut self, limits: &str) {
        let welcome = format!(r#"{{"t":"welcome","id":"{PARTNER}","limits":{limits}}}"#);
        self.hear_datagram(HERE, &format!(r#""to":"{}","f":[{welcome}]"#, self.id), "");
        self.say(r#"{"t":"ack","got":[[1,1]],"delay_us":0}"#, "");
        self.forget();
    }

    /// The partner sends its next packet.
    pub fn say(&mut self, frames: &str, bytes: &str) {
        let number = self.next_number;
        self.next_number += 1;
        self.say_numbered(HERE, number, frames, bytes);
    }

    /// Somebody sends a packet of this number to the machine's connection.
    pub fn say_numbered(&mut self, from: &str, number: u64, frames: &str, bytes: &str) {
        self.hear_datagram(from, &format!(r#""to":"{}","n":{number},"f":[{frames}]"#, self.id), bytes);
    }

    /// A datagram comes whose head has these members behind `v` and `c`.
    pub fn hear_datagram(&mut self, from: &str, members: &str, bytes: &str) {
        let separator = if bytes.is_empty() { "" } else { "\n" };
        let datagram = seal(format!(r#"{{"v":1,"c":"00000000",{members}}}{separator}{bytes}"#));
        self.hear(from, &datagram);
    }

    /// A hello comes, padded.
    pub fn hear_hello(&mut self, from: &str, members: &str) {
        let hello = format!(r#""f":[{{"t":"hello",{members}}},{{"t":"pad","len":500}}]"#);
        self.hear_datagram(from, &hello, &".".repeat(500));
    }

    pub fn hear(&mut self, from: &str, datagram: &[u8]) {
        self.machine.handle_datagram(self.now, Path::to(address(from)), &mut datagram.to_vec());
        self.flush();
    }

    /// Lets the clock run to this many milliseconds after the beginning.
    pub fn until(&mut self, ms: u64) {
        let end = self.start.after(Duration::from_millis(ms));
        while let Some(at) = self.machine.next_timeout().filter(|&at| at <= end.instant) {
            self.now = self.now.after(at.since(self.now.instant));
            self.machine.handle_timeout(self.now);
            self.flush();
        }
        self.now = end;
    }

    /// Everything that happened since the last call, exactly this.
    #[track_caller]
    pub fn expect(&mut self, expected: &[&str]) {
        let log = self
            .log
            .drain(..)
            .map(|line| if self.id.is_empty() { line } else { line.replace(&self.id, "me") });
        assert_eq!(log.collect::<Vec<_>>(), expected);
    }

    pub fn forget(&mut self) {
        self.log.clear();
        self.sent.clear();
    }

    /// Takes what the machine has to send and to tell, after a call that went past the script.
    pub fn flush(&mut self) {
        let mut buffer = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now, &mut buffer) {
            let datagram = buffer[..transmit.length].to_vec();
            let ms = self.now.instant.since(self.start.instant).as_millis();
            let place = transmit.path.remote.to_string();
            let place = if place == HERE { String::new() } else { format!("to {place}: ") };
            let line = format!("{ms} ms {place}{}", self.describe(&datagram));
            self.log.push(line);
            self.sent.push(datagram);
        }
        let events = self.machine.drain_events();
        let quiet = events.is_empty();
        self.log.extend(events);
        if !quiet {
            // What was taken may have moved a window.
            self.flush();
        }
    }

    fn describe(&mut self, datagram: &[u8]) -> String {
        match wire::decode(datagram).unwrap() {
            Datagram::Packet(packet) => {
                let mut line = format!("#{}", packet.number);
                packet.frames.iter().for_each(|frame| describe_frame(&mut line, frame));
                line
            }
            Datagram::Handshake(Handshake::Hello(hello)) => {
                self.id = hello.id.to_string();
                hello.old.map_or_else(|| "hello".to_owned(), |old| format!("hello old={old}"))
            }
            Datagram::Handshake(Handshake::Welcome { to, welcome }) => {
                self.id = welcome.id.to_string();
                format!("welcome to={to}{}", if welcome.alive { " alive" } else { "" })
            }
            sealed @ (Datagram::Sealed(_)
            | Datagram::Handshake(
                Handshake::SealedHello(_) | Handshake::SealedWelcome { .. } | Handshake::Retry { .. },
            )) => panic!("the scripts are in the clear: {sealed:?}"),
            Datagram::Handshake(Handshake::Refuse { to, refuse }) => {
                let to = to.map_or_else(|| "nobody".to_owned(), |to| to.to_string());
                format!("refuse to={to} {}", refuse.code)
            }
        }
    }
}

/// The frame in short: ` ack 1-3,5-5`, ` msg 0/1 oi`.
fn describe_frame(line: &mut String, frame: &Frame<'_>) {
    let spans = |ranges: &[[u64; 2]]| {
        ranges.iter().map(|[first, last]| format!("{first}-{last}")).collect::<Vec<_>>().join(",")
    };
    let words = match frame {
        Frame::Ack(ack) => format!("ack {}", spans(&ack.got)),
        Frame::Nack(nack) => format!("nack {}", spans(&nack.miss)),
        Frame::Msg(messages) => {
            let texts: Vec<_> = messages.bodies.iter().map(|body| String::from_utf8_lossy(body)).collect();
            format!("msg {}/{} {}", messages.stream, messages.seq, texts.join("|"))
        }
        Frame::Part(part) => {
            let lengths: Vec<String> = part.bodies.iter().map(|body| body.len().to_string()).collect();
            format!("part {}/{} {}+{}", part.stream, part.seq, part.offset, lengths.join("+"))
        }
        Frame::Close(close) if close.reason.is_empty() => format!("close {}", close.code),
        Frame::Close(close) => format!("close {} ({})", close.code, close.reason),
        Frame::Path(wire::PathFrame::Challenge(_)) => "challenge".to_owned(),
        Frame::Path(wire::PathFrame::Answer(token)) => format!("answer {token}"),
        Frame::Skip(skip) => format!("skip {}/{} {:?}", skip.stream, skip.seq, skip.sizes),
        other => other.kind().name().to_owned(),
    };
    let _ = write!(line, " {words}");
}

pub fn seal(datagram: String) -> Vec<u8> {
    let mut datagram = datagram.into_bytes();
    let digits = format!("{:08x}", crc32c::crc32c(&datagram));
    let at = r#"{"v":1,"c":""#.len();
    datagram[at..at + 8].copy_from_slice(digits.as_bytes());
    datagram
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

impl Machine for Endpoint {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        Self::handle_datagram(self, now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<udpchat::machine::Transmit> {
        Self::poll_transmit(self, now, buffer)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.poll_timeout().map(|(at, _)| at)
    }

    fn drain_events(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(event) = self.poll_event() {
            match event {
                endpoint::Event::Accepted { .. } => lines.push("accepted".to_owned()),
                endpoint::Event::Replaced { .. } => lines.push("replaced".to_owned()),
                endpoint::Event::WrongKey { .. } => lines.push("wrong key".to_owned()),
                endpoint::Event::Connection { handle, event: arq::Event::Readable { stream } } => {
                    while let Some(received) = self.take(handle, stream) {
                        lines.push(format!(
                            "got {stream}/{} {}",
                            received.seq,
                            String::from_utf8_lossy(&received.body)
                        ));
                    }
                }
                endpoint::Event::Connection {
                    event: arq::Event::Outcome { stream, seq, outcome }, ..
                } => {
                    lines.push(format!("{stream}/{seq} {outcome:?}"));
                }
                endpoint::Event::Connection { event, .. } => lines.push(format!("{event:?}")),
            }
        }
        lines
    }
}

impl Machine for Peer {
    fn handle_datagram(&mut self, now: Now, path: Path, datagram: &mut [u8]) {
        Self::handle_datagram(self, now, path, datagram);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<udpchat::machine::Transmit> {
        Self::poll_transmit(self, now, buffer)
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.poll_timeout().map(|(at, _)| at)
    }

    fn drain_events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.poll_event())
            .map(|event| match event {
                peer::Event::Message(message) => format!("message {}", message.text),
                peer::Event::Delivered { id, .. } => format!("delivered {}", number_of(&id)),
                peer::Event::Unknown { id } => format!("unknown {}", number_of(&id)),
                peer::Event::Failed { id, reason } => format!("failed {}: {reason}", number_of(&id)),
                peer::Event::Connected { .. } => "connected".to_owned(),
                peer::Event::Closed { reason, .. } => format!("closed: {reason}"),
                other => format!("{other:?}"),
            })
            .collect()
    }
}

/// A message's number in its run; the run's name depends on the seed.
fn number_of(id: &udpchat::chat::MessageId) -> &str {
    id.as_str().rsplit('-').next().unwrap_or_default()
}
