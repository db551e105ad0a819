//! One direction between two ends: the project's own bad link, or two in a row where a bottleneck comes before the losses.
//!
//! To the link each datagram is as long as it is on a real one: 28 bytes more, for the headers of IP and UDP.

use std::net::SocketAddr;
use std::time::Duration;

use udpchat::fault::{Direction, Event, Fate, Link, LinkPlan};
use udpchat::machine::Path;
use udpchat::time::Instant;

/// What IPv4 and UDP put before each datagram.
pub const HEADER_BYTES: usize = 28;

/// A direction of a lane.
pub struct Way {
    links: Vec<Link>,
    /// Without any queue.
    delay: Duration,
    /// Since when what passes is counted.
    counts_from: Instant,
    counts: Counts,
    scratch: Vec<u8>,
}

/// What passed, from a certain moment on.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Datagrams that were sent.
    pub datagrams: u64,
    /// Their bytes, as UDP payload.
    pub bytes: u64,
    /// Those that could hold a whole message.
    pub full_datagrams: u64,
    /// How long each of them stood in the bottleneck's queue, where there is one.
    pub queued_us: Vec<u32>,
}

impl Way {
    /// A way through `plans`, one after the other; `delay` is what a datagram takes without any queue.
    pub fn new(
        plans: &[LinkPlan],
        delay: Duration,
        seed: u64,
        direction: Direction,
        counts_from: Instant,
    ) -> Self {
        let links = plans.iter().zip(0..).map(|(plan, place)| {
            let mut link = Link::new(plan.clone(), seed.wrapping_add(place * 0x9e37_79b9), direction);
            // A verdict tells how long a datagram will queue.
            link.set_verdicts_wanted(plans.len() > 1 && place == 0);
            // Its plan's times count from here.
            link.handle_timeout(Instant::ZERO);
            link
        });
        Self { links: links.collect(), delay, counts_from, counts: Counts::default(), scratch: Vec::new() }
    }

    /// A datagram sets out; `message_bytes` is the length from which on it counts as full.
    pub fn send(&mut self, now: Instant, datagram: &[u8], message_bytes: usize) {
        let counts = now >= self.counts_from;
        if counts {
            self.counts.datagrams += 1;
            self.counts.bytes += datagram.len() as u64;
            self.counts.full_datagrams += u64::from(datagram.len() >= message_bytes);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(datagram);
        self.scratch.resize(datagram.len() + HEADER_BYTES, 0);
        let first = &mut self.links[0];
        first.handle_datagram(now, anywhere(), &self.scratch);
        while let Some(event) = first.poll_event() {
            if let Event::Decided(verdict) = event
                && let Fate::Passes(passage) = verdict.fate
                && counts
            {
                let queued = passage.due.since(now).saturating_sub(self.delay);
                self.counts.queued_us.push(queued.as_micros() as u32);
            }
        }
    }

    /// The next datagram that is due at the other end.
    pub fn receive(&mut self, now: Instant, buffer: &mut Vec<u8>) -> bool {
        let [before @ .., last] = &mut self.links[..] else { return false };
        for link in before {
            while link.poll_transmit(now, &mut self.scratch).is_some() {
                last.handle_datagram(now, anywhere(), &self.scratch);
            }
        }
        let is_due = last.poll_transmit(now, buffer).is_some();
        if is_due {
            buffer.truncate(buffer.len().saturating_sub(HEADER_BYTES));
        }
        is_due
    }

    /// When the next one is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.links.iter().filter_map(|link| link.poll_timeout()).map(|(at, _)| at).min()
    }

    /// What passed.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// A link tells flows apart by their path, and here is only one.
fn anywhere() -> Path {
    Path::to(SocketAddr::from(([10, 0, 0, 1], 1)))
}
