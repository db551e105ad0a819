//! What a packet and a message cost on their way through two endpoints in memory, with everything between submission and outcome.

#![expect(clippy::unwrap_used, reason = "the two endpoints of a bench accept each other and what they say")]

use std::net::SocketAddr;
use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use udpchat::arq::{Event as ConnectionEvent, SendOptions};
use udpchat::endpoint::{Endpoint, EndpointConfig, Event, Handle, Protection};
use udpchat::machine::Path;
use udpchat::secure::KeyPair;
use udpchat::time::{Instant, Now, WallTime};

/// Tells beside each time how often memory was asked for: the messages themselves need some, and packets none.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Two endpoints on a perfect link without delay.
struct Pair {
    now: Now,
    ends: [Endpoint; 2],
    handle: Handle,
    buffer: Vec<u8>,
    packets: u64,
    outcomes: u64,
}

impl Pair {
    fn connected(protection: Form) -> Self {
        let now = Now { instant: Instant::from_nanos(1), wall: WallTime::default() };
        let mut ends = [1, 2].map(|seed| Endpoint::new(protection.config(seed), seed.into()));
        let handle = ends[0].connect(now, &[Path::to(address(1))], None).unwrap();
        let mut pair = Self { now, ends, handle, buffer: Vec::new(), packets: 0, outcomes: 0 };
        pair.settle();
        pair
    }

    fn submit(&mut self, body: Vec<u8>) {
        self.ends[0].submit(self.handle, 0, body, SendOptions::default()).unwrap();
    }

    /// Hands datagrams over until nobody has any.
    fn settle(&mut self) {
        loop {
            let before = self.packets;
            for from in [0, 1] {
                while let Some(transmit) = self.ends[from].poll_transmit(self.now, &mut self.buffer) {
                    self.packets += 1;
                    let path = Path::to(address(from));
                    self.ends[1 - from].handle_datagram(self.now, path, &mut self.buffer[..transmit.length]);
                    self.follow(1 - from);
                }
            }
            if self.packets == before {
                return;
            }
        }
    }

    fn follow(&mut self, end: usize) {
        while let Some(event) = self.ends[end].poll_event() {
            match event {
                Event::Connection { handle, event: ConnectionEvent::Readable { stream } } => {
                    while self.ends[end].take(handle, stream).is_some() {}
                }
                Event::Connection { event: ConnectionEvent::Outcome { .. }, .. } => self.outcomes += 1,
                _ => {}
            }
        }
    }
}

/// How the two are protected.
#[derive(Clone, Copy, Debug)]
enum Form {
    Clear,
    Sealed,
}

const FORMS: [Form; 2] = [Form::Clear, Form::Sealed];

impl Form {
    fn config(self, seed: u8) -> EndpointConfig {
        let protection = match self {
            Self::Clear => Protection::Clear,
            Self::Sealed => {
                let keys = Arc::new(KeyPair::from_secret([seed; 32]));
                Protection::Sealed { keys, seed: [seed; 32].into() }
            }
        };
        EndpointConfig { protection, ..EndpointConfig::default() }
    }
}

fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + u8::from(end == 1)], 6_000))
}

/// One message of 100 bytes at a time: submitted, sent, taken, acked, its outcome told.
#[divan::bench(args = FORMS)]
fn message_alone(bencher: Bencher<'_, '_>, form: Form) {
    let mut pair = Pair::connected(form);
    bencher.counter(ItemsCount::new(1_u64)).bench_local(|| {
        pair.submit(vec![b'x'; 100]);
        pair.settle();
    });
    assert!(pair.outcomes > 0);
}

/// A thousand of them at once: several share a packet.
#[divan::bench(args = FORMS)]
fn messages_by_the_thousand(bencher: Bencher<'_, '_>, form: Form) {
    let mut pair = Pair::connected(form);
    bencher.counter(ItemsCount::new(1_000_u64)).bench_local(|| {
        for _ in 0..1_000 {
            pair.submit(vec![b'x'; 100]);
        }
        pair.settle();
    });
}

/// One message of a megabyte; an item is a packet, acks included.
#[divan::bench(args = FORMS)]
fn packets_of_a_megabyte(bencher: Bencher<'_, '_>, form: Form) {
    let mut pair = Pair::connected(form);
    let before = pair.packets;
    pair.submit(vec![b'x'; 1_000_000]);
    pair.settle();
    let packets = pair.packets - before;
    bencher.counter(ItemsCount::new(packets)).bench_local(|| {
        pair.submit(vec![b'x'; 1_000_000]);
        pair.settle();
    });
}
