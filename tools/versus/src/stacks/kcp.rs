//! KCP, in the mode that its documentation calls fastest, and with the calls that its users add by hand: what waits is flushed
//! after each message and each datagram, not only at the next tick.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kcp::Kcp;
use udpchat::machine::{Path, Transmit};
use udpchat::time::{Instant, Now};

use super::framing::Framing;
use crate::stack::{End, MAX_DATAGRAM_BYTES, Meeting, Purpose, Stack, State};

/// The stack.
pub struct KcpFast;

/// Far more than are ever under way, unless as many are sent as possible.
const WINDOW: u16 = 1_024;

/// It has no congestion window, so this is all that holds it back. Of 256, 512, 768, 1024 and 2048 this carries most through the
/// bottleneck with losses behind it.
const BULK_WINDOW: u16 = 512;

impl Stack for KcpFast {
    fn name(&self) -> &'static str {
        "KCP"
    }

    fn settings(&self) -> String {
        format!(
            "neither encrypted nor checked; nodelay 1, interval 10 ms, resend 2, no congestion window; stream mode with two \
             bytes of length before each message; datagrams of 1452 bytes, windows of {WINDOW} segments, {BULK_WINDOW} \
             for bulk; flushed after each message and datagram"
        )
    }

    fn end(&self, now: Now, meeting: &Meeting) -> Box<dyn End> {
        let output = Output::default();
        let mut kcp = Kcp::new_stream(7, output.clone());
        kcp.set_nodelay(true, 10, 2, true);
        let window = if meeting.purpose == Purpose::Bulk { BULK_WINDOW } else { WINDOW };
        kcp.set_wndsize(window, window);
        kcp.set_mtu(MAX_DATAGRAM_BYTES).expect("it takes any length above its head's");
        let mut end = KcpEnd {
            kcp,
            output,
            remote: meeting.remote,
            window: usize::from(window),
            must_flush: false,
            next_at: now.instant,
            framed: Vec::new(),
            segment: vec![0; MAX_DATAGRAM_BYTES],
            framing: Framing::default(),
        };
        end.handle_timeout(now);
        Box::new(end)
    }
}

/// Datagrams that wait to be sent, and their empty buffers afterwards.
#[derive(Clone, Default)]
struct Output(Rc<RefCell<Tray>>);

#[derive(Default)]
struct Tray {
    waiting: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Tray { waiting, spare } = &mut *self.0.borrow_mut();
        let mut datagram = spare.pop().unwrap_or_default();
        datagram.clear();
        datagram.extend_from_slice(bytes);
        waiting.push_back(datagram);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct KcpEnd {
    kcp: Kcp<Output>,
    output: Output,
    remote: SocketAddr,
    window: usize,
    must_flush: bool,
    next_at: Instant,
    framed: Vec<u8>,
    segment: Vec<u8>,
    framing: Framing,
}

/// It counts milliseconds.
fn millis(now: Now) -> u32 {
    (now.instant.as_nanos() / 1_000_000) as u32
}

impl End for KcpEnd {
    fn handle_datagram(&mut self, _now: Now, _from: SocketAddr, datagram: &mut [u8]) {
        // What it refuses is no datagram of ours.
        let _ = self.kcp.input(datagram);
        self.must_flush = true;
    }

    fn handle_timeout(&mut self, now: Now) {
        let _ = self.kcp.update(millis(now));
        // A repetition may be due before its own next tick.
        self.must_flush = true;
    }

    fn poll_transmit(&mut self, now: Now, buffer: &mut Vec<u8>) -> Option<Transmit> {
        if self.must_flush {
            self.must_flush = false;
            // It takes the time from here alone.
            let _ = self.kcp.update(millis(now));
            let _ = self.kcp.flush();
        }
        let Tray { waiting, spare } = &mut *self.output.0.borrow_mut();
        let Some(datagram) = waiting.pop_front() else {
            self.next_at = now.instant + Duration::from_millis(self.kcp.check(millis(now)).max(1).into());
            return None;
        };
        buffer.clear();
        buffer.extend_from_slice(&datagram);
        spare.push(datagram);
        Some(Transmit { path: Path::to(self.remote), length: buffer.len(), segment_size: None, ecn: None })
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        Some(self.next_at)
    }

    fn state(&self) -> State {
        if self.kcp.is_dead_link() { State::Dead } else { State::Open }
    }

    fn send(&mut self, _now: Now, message: &[u8]) -> bool {
        // It would queue without end; its maintainers say to watch this.
        if self.kcp.wait_snd() >= 2 * self.window {
            return false;
        }
        Framing::frame(message, &mut self.framed);
        self.must_flush = true;
        self.kcp.send(&self.framed).is_ok()
    }

    fn receive(&mut self, _now: Now, message: &mut Vec<u8>) -> bool {
        if self.framing.take(message) {
            return true;
        }
        while let Ok(length) = self.kcp.recv(&mut self.segment) {
            self.framing.push(&self.segment[..length]);
        }
        self.framing.take(message)
    }
}
