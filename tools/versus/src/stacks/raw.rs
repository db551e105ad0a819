//! Datagrams full of messages, and nothing else: no numbers, no acks, no repair. What the system itself can do.

use std::net::SocketAddr;

use udpchat::machine::{Path, Transmit};
use udpchat::time::{Instant, Now};

use crate::stack::{End, MAX_DATAGRAM_BYTES, Meeting, Stack, State};

/// The stack.
pub struct Raw {
    /// Whether many datagrams leave with one call, and are cut by the system (GSO).
    pub segmented: bool,
}

/// The most that the system cuts, and the most bytes that it takes.
const MAX_SEGMENTS: usize = 64;
const MAX_CALL_BYTES: usize = 65_507;

impl Stack for Raw {
    fn name(&self) -> &'static str {
        if self.segmented { "raw UDP, GSO" } else { "raw UDP" }
    }

    fn settings(&self) -> String {
        "no protocol: whole messages until a datagram is full; counted is what arrived".to_owned()
    }

    fn is_reliable(&self) -> bool {
        false
    }

    fn end(&self, _now: Now, meeting: &Meeting) -> Box<dyn End> {
        let per_datagram = (MAX_DATAGRAM_BYTES / meeting.message_bytes).max(1);
        let datagram_bytes = per_datagram * meeting.message_bytes;
        let segments = if self.segmented { MAX_SEGMENTS.min(MAX_CALL_BYTES / datagram_bytes) } else { 1 };
        Box::new(RawEnd {
            remote: meeting.remote,
            message_bytes: meeting.message_bytes,
            datagram_bytes,
            call_bytes: segments * datagram_bytes,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            taken: 0,
        })
    }
}

struct RawEnd {
    remote: SocketAddr,
    message_bytes: usize,
    datagram_bytes: usize,
    call_bytes: usize,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    taken: usize,
}

impl End for RawEnd {
    fn handle_datagram(&mut self, _now: Now, _from: SocketAddr, datagram: &mut [u8]) {
        if self.taken == self.incoming.len() {
            self.incoming.clear();
            self.taken = 0;
        }
        self.incoming.extend_from_slice(datagram);
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_transmit(&mut self, _now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if self.outgoing.is_empty() {
            return None;
        }
        std::mem::swap(buffer, &mut self.outgoing);
        self.outgoing.clear();
        Some(Transmit {
            path: Path::to(self.remote),
            length: buffer.len(),
            segment_size: (buffer.len() > self.datagram_bytes).then_some(self.datagram_bytes),
            ecn: None,
        })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn state(&self) -> State {
        State::Open
    }

    fn send(&mut self, _now: Now, message: &[u8]) -> bool {
        let has_room = self.outgoing.len() + message.len() <= self.call_bytes;
        if has_room {
            self.outgoing.extend_from_slice(message);
        }
        has_room
    }

    fn receive(&mut self, _now: Now, message: &mut Vec<u8>) -> bool {
        let Some(bytes) = self.incoming.get(self.taken..self.taken + self.message_bytes) else {
            return false;
        };
        message.clear();
        message.extend_from_slice(bytes);
        self.taken += self.message_bytes;
        true
    }
}
