//! One direction between two ends: the project's own bad link, or two in a row where a bottleneck comes before the losses.
//!
//! To the link each datagram is as long as it is on a real one: 28 bytes more, for the headers of IP and UDP.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use udpchat::fault::{Direction, Event, Fate, Link, LinkPlan};
use udpchat::machine::Path;
use udpchat::time::Instant;

/// What IPv4 and UDP put before each datagram.
pub const HEADER_BYTES: usize = 28;

/// A direction of a lane. Others may share its links.
pub struct Way {
    links: SharedLinks,
    /// Its place among those who share them.
    flow: usize,
    /// Without any queue.
    delay: Duration,
    /// Since when what passes is counted.
    counts_from: Instant,
    counts: Counts,
    scratch: Vec<u8>,
}

/// Links in a row that one or several lanes send through.
#[derive(Clone)]
pub struct SharedLinks(Rc<RefCell<Links>>);

struct Links {
    links: Vec<Link>,
    /// What came out while another flow looked for its own.
    arrived: BTreeMap<usize, VecDeque<Vec<u8>>>,
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

impl SharedLinks {
    /// Links that do what `plans` say, one after the other.
    pub fn new(plans: &[LinkPlan], seed: u64, direction: Direction) -> Self {
        let links = plans.iter().zip(0..).map(|(plan, place)| {
            let mut link = Link::new(plan.clone(), seed.wrapping_add(place * 0x9e37_79b9), direction);
            // A verdict tells how long a datagram will queue.
            link.set_verdicts_wanted(plans.len() > 1 && place == 0);
            // Its plan's times count from here.
            link.handle_timeout(Instant::ZERO);
            link
        });
        let links = Links { links: links.collect(), arrived: BTreeMap::new(), scratch: Vec::new() };
        Self(Rc::new(RefCell::new(links)))
    }
}

impl Links {
    /// The next datagram that is due at the other end, and whose it is.
    fn receive(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<usize> {
        let [before @ .., last] = &mut self.links[..] else { return None };
        for link in before {
            while let Some(transmit) = link.poll_transmit(now, &mut self.scratch) {
                last.handle_datagram(now, transmit.path, &self.scratch);
            }
        }
        let transmit = last.poll_transmit(now, buffer)?;
        buffer.truncate(buffer.len().saturating_sub(HEADER_BYTES));
        Some(usize::from(transmit.path.remote.port()))
    }
}

impl Way {
    /// A way through `links`; `delay` is what a datagram takes there without any queue.
    pub fn new(links: SharedLinks, flow: usize, delay: Duration, counts_from: Instant) -> Self {
        Self { links, flow, delay, counts_from, counts: Counts::default(), scratch: Vec::new() }
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
        let first = &mut self.links.0.borrow_mut().links[0];
        first.handle_datagram(now, path_of(self.flow), &self.scratch);
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

    /// The next datagram of ours that is due at the other end.
    pub fn receive(&mut self, now: Instant, buffer: &mut Vec<u8>) -> bool {
        let links = &mut *self.links.0.borrow_mut();
        if let Some(datagram) = links.arrived.get_mut(&self.flow).and_then(VecDeque::pop_front) {
            *buffer = datagram;
            return true;
        }
        while let Some(flow) = links.receive(now, buffer) {
            if flow == self.flow {
                return true;
            }
            links.arrived.entry(flow).or_default().push_back(buffer.clone());
        }
        false
    }

    /// When the next one is due, ours or not.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let links = &self.links.0.borrow().links;
        links.iter().filter_map(|link| link.poll_timeout()).map(|(at, _)| at).min()
    }

    /// What passed.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

/// A link tells flows apart by their path.
fn path_of(flow: usize) -> Path {
    Path::to(SocketAddr::from(([10, 0, 0, 1], flow as u16)))
}
