//! The project itself, through its public interface: sealed, and on its default settings.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use udpchat::arq::{self, SendOptions};
use udpchat::endpoint::{Endpoint, EndpointConfig, Event, Handle, Protection};
use udpchat::io::socket::MAX_SEGMENTS;
use udpchat::machine::{Path, Transmit};
use udpchat::secure::KeyPair;
use udpchat::time::{Instant, Now};

use crate::stack::{End, LARGE_DATAGRAM_BYTES, Meeting, Side, Stack, State};

/// The stack.
pub struct Udpchat {
    /// Whether it may look for datagrams that are longer than Ethernet's.
    pub is_large: bool,
}

impl Stack for Udpchat {
    fn name(&self) -> &'static str {
        if self.is_large { "udpchat large" } else { "udpchat" }
    }

    fn settings(&self) -> String {
        let mut settings = "sealed, every setting as the programs have it, one ordered stream".to_owned();
        if self.is_large {
            write!(
                settings,
                "; datagrams of up to {LARGE_DATAGRAM_BYTES} bytes, if the path is found to take them"
            )
            .expect("a string takes everything");
        }
        settings
    }

    fn is_large(&self) -> bool {
        self.is_large
    }

    fn end(&self, now: Now, meeting: &Meeting) -> Box<dyn End> {
        let role = u8::from(meeting.side == Side::Receiver);
        let seed = (meeting.seed << 1) | u64::from(role);
        let mut secret = [role + 1; 32];
        secret[..8].copy_from_slice(&seed.to_le_bytes());
        let protection = Protection::Sealed {
            keys: Arc::new(KeyPair::from_secret(secret)),
            // Nothing here is secret; it must only differ from one end to the next.
            seed: secret.map(|byte| byte ^ 0x55).into(),
        };
        let mut config = EndpointConfig { protection, ..EndpointConfig::default() };
        config.connection.max_segments = MAX_SEGMENTS;
        if self.is_large {
            config.connection.longest_datagram_bytes = LARGE_DATAGRAM_BYTES;
            config.connection.limits.datagram_bytes = LARGE_DATAGRAM_BYTES as u64;
        }
        let mut end = UdpchatEnd {
            endpoint: Endpoint::new(config, seed),
            handle: None,
            state: State::Opening,
            is_readable: false,
        };
        if meeting.side == Side::Sender {
            end.handle = end.endpoint.connect(now, &[Path::to(meeting.remote)], None).ok();
        }
        Box::new(end)
    }
}

struct UdpchatEnd {
    endpoint: Endpoint,
    handle: Option<Handle>,
    state: State,
    is_readable: bool,
}

impl UdpchatEnd {
    fn follow(&mut self) {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Accepted { handle } => {
                    self.handle = Some(handle);
                    self.state = State::Open;
                }
                Event::Connection { event, .. } => match event {
                    arq::Event::Connected => self.state = State::Open,
                    arq::Event::Readable { .. } => self.is_readable = true,
                    arq::Event::Closed(_) => self.state = State::Dead,
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

impl End for UdpchatEnd {
    fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        self.endpoint.handle_datagram(now, Path::to(from), datagram);
        self.follow();
    }

    fn handle_timeout(&mut self, now: Now) {
        self.endpoint.handle_timeout(now);
        self.follow();
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.endpoint.poll_transmit(now, buffer)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.endpoint.poll_timeout().map(|(at, _)| at)
    }

    fn state(&self) -> State {
        self.state
    }

    fn send(&mut self, _now: Now, message: &[u8]) -> bool {
        let Some(handle) = self.handle else { return false };
        self.endpoint.submit(handle, 0, message, SendOptions::default()).is_ok()
    }

    fn receive(&mut self, _now: Now, message: &mut Vec<u8>) -> bool {
        let Some(handle) = self.handle.filter(|_| self.is_readable) else { return false };
        self.is_readable = self.endpoint.take_into(handle, 0, message).is_some();
        self.is_readable
    }
}
