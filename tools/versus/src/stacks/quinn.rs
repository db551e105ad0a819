//! quinn, by its protocol crate: the same state machine that its asynchronous front end drives.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as SystemInstant};

use bytes::BytesMut;
use quinn_proto::congestion::{BbrConfig, CubicConfig};
use quinn_proto::{
    AckFrequencyConfig, ClientConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint,
    EndpointConfig, Event, MtuDiscoveryConfig, ServerConfig, StreamEvent, StreamId, TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use udpchat::machine::{Path, Transmit};
use udpchat::time::{Instant, Now};

use super::framing::Framing;
use crate::stack::{End, LARGE_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES, Meeting, Purpose, Side, Stack, State};

/// Its congestion control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The default.
    Cubic,
    /// The same, with datagrams as long as its search finds that they may be.
    CubicLarge,
    /// By measured rate, which it calls experimental.
    Bbr,
    /// The same, and each packet acknowledged at once (its acknowledgement frequency extension). Tried with delays of 1 and 5 ms,
    /// thresholds of 0 and 1, and either control: this had the shortest tails at 30 % loss.
    BbrPrompt,
}

/// The stack.
pub struct Quinn {
    control: Control,
    server: Arc<ServerConfig>,
    client: ClientConfig,
    /// Its clock's reading when ours read zero.
    origin: SystemInstant,
}

/// As many datagrams to one call as its own driver allows.
const MAX_SEGMENTS: usize = 10;

/// More than any link here holds at once, so that no window of its own stands in its way.
const WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// What it waits at most before it acknowledges, where it is told to be prompt.
const PROMPT_ACK_DELAY: Duration = Duration::from_millis(5);

impl Quinn {
    /// With a certificate of its own, which both ends share.
    #[expect(
        clippy::disallowed_methods,
        reason = "it wants the system's own type; ours is counted from here"
    )]
    pub fn new(control: Control) -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["versus".to_owned()])
            .expect("a name without anything special in it makes a certificate");
        let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
        let certificate = certified.cert.der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).expect("what was just made can be read");
        Self {
            control,
            server: Arc::new(
                ServerConfig::with_single_cert(vec![certificate], key.into())
                    .expect("key and certificate fit"),
            ),
            client: ClientConfig::with_root_certificates(Arc::new(roots)).expect("one root is enough"),
            origin: SystemInstant::now(),
        }
    }

    fn transport(&self, purpose: Purpose) -> TransportConfig {
        let mut transport = TransportConfig::default();
        match self.control {
            Control::Cubic | Control::CubicLarge => {
                transport.congestion_controller_factory(Arc::new(CubicConfig::default()))
            }
            Control::Bbr | Control::BbrPrompt => {
                transport.congestion_controller_factory(Arc::new(BbrConfig::default()))
            }
        };
        if self.control == Control::BbrPrompt {
            let mut frequency = AckFrequencyConfig::default();
            frequency.ack_eliciting_threshold(VarInt::from_u32(0)).max_ack_delay(Some(PROMPT_ACK_DELAY));
            transport.ack_frequency_config(Some(frequency));
        }
        if purpose != Purpose::Latency {
            transport
                .initial_mtu(MAX_DATAGRAM_BYTES as u16)
                .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
                .receive_window(VarInt::from_u32(WINDOW_BYTES))
                .send_window(WINDOW_BYTES.into());
        }
        if self.control == Control::CubicLarge {
            let mut search = MtuDiscoveryConfig::default();
            search.upper_bound(LARGE_DATAGRAM_BYTES as u16);
            transport.mtu_discovery_config(Some(search));
        }
        transport
    }
}

impl Stack for Quinn {
    fn name(&self) -> &'static str {
        match self.control {
            Control::Cubic => "quinn Cubic",
            Control::CubicLarge => "quinn large",
            Control::Bbr => "quinn BBR",
            Control::BbrPrompt => "quinn prompt",
        }
    }

    fn settings(&self) -> String {
        let control = match self.control {
            Control::Cubic => "Cubic, its default",
            Control::CubicLarge => "Cubic; its search for longer datagrams may go on to 65 507 bytes",
            Control::Bbr => "BBR",
            Control::BbrPrompt => {
                "BBR, every packet acknowledged at once (at most 5 ms later); for small messages only"
            }
        };
        format!(
            "TLS 1.3; {control}; one stream with two bytes of length before each message; for bulk and loopback datagrams of \
             1452 bytes from the start and windows of 16 MiB; at most {MAX_SEGMENTS} datagrams to a call, as its own driver \
             does; otherwise its defaults"
        )
    }

    fn is_large(&self) -> bool {
        self.control == Control::CubicLarge
    }

    fn end(&self, now: Now, meeting: &Meeting) -> Box<dyn End> {
        let transport = Arc::new(self.transport(meeting.purpose));
        let mut server = (*self.server).clone();
        server.transport = transport.clone();
        let server = (meeting.side == Side::Receiver).then(|| Arc::new(server));
        let mut config = EndpointConfig::default();
        if self.control == Control::CubicLarge {
            config
                .max_udp_payload_size(LARGE_DATAGRAM_BYTES as u16)
                .expect("it is within what a datagram can hold");
        }
        let mut end = QuinnEnd {
            endpoint: Endpoint::new(Arc::new(config), server, true, None),
            connection: None,
            origin: self.origin,
            stream: None,
            state: State::Opening,
            is_readable: false,
            answers: VecDeque::new(),
            scratch: Vec::new(),
            unwritten: Vec::new(),
            framing: Framing::default(),
        };
        if meeting.side == Side::Sender {
            let mut client = self.client.clone();
            client.transport_config(transport);
            let at = end.at(now);
            end.connection = end.endpoint.connect(at, client, meeting.remote, "versus").ok();
        }
        Box::new(end)
    }
}

struct QuinnEnd {
    endpoint: Endpoint,
    connection: Option<(ConnectionHandle, Connection)>,
    origin: SystemInstant,
    stream: Option<StreamId>,
    state: State,
    is_readable: bool,
    /// What the endpoint itself says, to strangers.
    answers: VecDeque<(SocketAddr, Vec<u8>)>,
    scratch: Vec<u8>,
    /// The rest of a message that the window took only a part of.
    unwritten: Vec<u8>,
    framing: Framing,
}

impl QuinnEnd {
    fn at(&self, now: Now) -> SystemInstant {
        self.origin + Duration::from_nanos(now.instant.as_nanos())
    }

    fn follow(&mut self) {
        let Some((handle, connection)) = &mut self.connection else { return };
        while let Some(event) = connection.poll_endpoint_events() {
            if let Some(event) = self.endpoint.handle_event(*handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => self.state = State::Open,
                Event::ConnectionLost { .. } => self.state = State::Dead,
                Event::Stream(StreamEvent::Opened { dir }) => {
                    self.stream = connection.streams().accept(dir);
                    self.is_readable = true;
                }
                Event::Stream(StreamEvent::Readable { .. }) => self.is_readable = true,
                _ => {}
            }
        }
    }

    fn write(&mut self) {
        let (Some((_, connection)), Some(stream)) = (&mut self.connection, self.stream) else { return };
        if let Ok(written) = connection.send_stream(stream).write(&self.unwritten) {
            self.unwritten.drain(..written);
        }
    }

    fn read(&mut self) {
        let (Some((_, connection)), Some(stream)) = (&mut self.connection, self.stream) else { return };
        self.is_readable = false;
        let mut stream = connection.recv_stream(stream);
        let Ok(mut chunks) = stream.read(true) else { return };
        while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
            self.framing.push(&chunk.bytes);
        }
        // What it wants to send is asked for anyway.
        let _ = chunks.finalize();
    }
}

impl End for QuinnEnd {
    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        let at = self.at(now);
        self.scratch.clear();
        match self.endpoint.handle(at, from, None, None, BytesMut::from(&*datagram), &mut self.scratch) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some((_, connection)) = &mut self.connection {
                    connection.handle_event(event);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) if self.connection.is_none() => {
                self.connection = self.endpoint.accept(incoming, at, &mut self.scratch, None).ok();
            }
            Some(DatagramEvent::NewConnection(incoming)) => self.endpoint.ignore(incoming),
            Some(DatagramEvent::Response(transmit)) => {
                self.answers.push_back((transmit.destination, self.scratch[..transmit.size].to_vec()));
            }
            None => {}
        }
        self.follow();
    }

    fn handle_timeout(&mut self, now: Now) {
        let at = self.at(now);
        if let Some((_, connection)) = &mut self.connection {
            connection.handle_timeout(at);
        }
        self.follow();
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if let Some((to, answer)) = self.answers.pop_front() {
            *buffer = answer;
            return Some(Transmit {
                path: Path::to(to),
                length: buffer.len(),
                segment_size: None,
                ecn: None,
            });
        }
        let at = self.at(now);
        if !self.unwritten.is_empty() {
            self.write();
        }
        let (_, connection) = self.connection.as_mut()?;
        buffer.clear();
        let transmit = connection.poll_transmit(at, MAX_SEGMENTS, buffer);
        self.follow();
        let transmit = transmit?;
        Some(Transmit {
            path: Path::to(transmit.destination),
            length: transmit.size,
            segment_size: transmit.segment_size,
            ecn: None,
        })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let at = self.connection.as_mut()?.1.poll_timeout()?;
        Some(Instant::ZERO + at.saturating_duration_since(self.origin))
    }

    fn state(&self) -> State {
        self.state
    }

    fn send(&mut self, _now: Now, message: &[u8]) -> bool {
        if !self.unwritten.is_empty() {
            self.write();
        }
        let Some((_, connection)) = self.connection.as_mut().filter(|_| self.unwritten.is_empty()) else {
            return false;
        };
        if self.stream.is_none() {
            self.stream = connection.streams().open(Dir::Uni);
        }
        Framing::frame(message, &mut self.unwritten);
        self.write();
        true
    }

    fn receive(&mut self, _now: Now, message: &mut Vec<u8>) -> bool {
        if self.framing.take(message) {
            return true;
        }
        if self.is_readable {
            self.read();
        }
        self.framing.take(message)
    }
}
