//! Two ends, a way in each direction, and the work between them, in real time and without a socket.
//!
//! Many lanes run in one thread. Processor time is taken around what the ends do, and around nothing else.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use udpchat::fault::{Direction, LinkPlan};
use udpchat::io::clock::Clock;
use udpchat::time::{Instant, Now};

use crate::processor;
use crate::stack::{End, Meeting, Purpose, Side, Stack, State};
use crate::way::{Counts, SharedLinks, Way};
use crate::work::{Faults, Load, Work};

/// What all lanes of a measurement have in common.
#[derive(Clone, Debug)]
pub struct Course {
    /// The links of each direction, one after the other.
    pub plans: Vec<LinkPlan>,
    /// What they take without any queue.
    pub delay: Duration,
    /// The work; the first message's time is shifted a little from lane to lane.
    pub load: Load,
    /// What the stacks should prepare for.
    pub purpose: Purpose,
    /// How many connections.
    pub lanes: u64,
    /// How many stacks are measured at the same time.
    pub at_once: usize,
    /// When to stop, whatever has arrived.
    pub until: Instant,
}

/// What a stack did on a course, over all lanes.
#[derive(Clone, Debug, Default)]
pub struct Result {
    /// Every counted message's time, in ascending order.
    pub latencies_us: Vec<u32>,
    /// What must not happen.
    pub faults: Faults,
    /// What was sent there and back.
    pub ways: [Counts; 2],
    /// Processor time of the sending and the receiving ends.
    pub used: [Duration; 2],
    /// How many messages arrived.
    pub arrived: u64,
    /// How long the slowest lane took.
    pub elapsed: Duration,
    /// The longest time that this thread was not run although it was to.
    pub stall: Duration,
}

/// From here on a stall spoils the figures: a virtual machine was stopped, or somebody else had all of the processors.
pub const MAX_STALL: Duration = Duration::from_millis(60);

/// From a lane's beginning to its first message: any of them has shaken hands by then.
const HANDSHAKE_TIME: Duration = Duration::from_millis(500);

/// From one lane's beginning to the next one's.
const BETWEEN_BEGINNINGS: Duration = Duration::from_millis(10);

/// From the first moment to the first message, and to whatever the link does wrong.
pub fn opening_time(lanes: u64) -> Duration {
    HANDSHAKE_TIME + BETWEEN_BEGINNINGS * lanes as u32
}

/// How often a measurement is repeated that the machine spoilt.
const TRIES: usize = 4;

/// Runs all stacks over `course`, each in a thread of its own, as many at the same time as the course says.
pub fn run_all(stacks: &[Box<dyn Stack>], course: &Course) -> Vec<Result> {
    stacks.chunks(course.at_once.max(1)).flat_map(|stacks| run_side_by_side(stacks, course)).collect()
}

fn run_side_by_side(stacks: &[Box<dyn Stack>], course: &Course) -> Vec<Result> {
    let mut results = Vec::new();
    for _ in 0..TRIES {
        let is_spoilt = AtomicBool::new(false);
        results = crate::at_once(stacks, |stack| run(stack, course, &is_spoilt));
        if results.iter().all(|result| result.stall <= MAX_STALL) {
            break;
        }
    }
    results
}

/// Runs `stack` over `course` in this thread.
fn run(stack: &dyn Stack, course: &Course, is_spoilt: &AtomicBool) -> Result {
    let clock = Clock::new();
    let begin = |place, now| Lane::new(stack, course, place, &links_of(course, place), now);
    let (lanes, stall) = drive(course.lanes, begin, course, clock, is_spoilt);
    let now = clock.now();
    let result = Result { stall, ..Result::default() };
    lanes.into_iter().fold(result, |result, lane| lane.finish(now, result)).sorted()
}

/// Runs each of `stacks` together with `other` over `course`, both through the same links, and tells what each of the two did.
pub fn run_all_beside(stacks: &[Box<dyn Stack>], other: &dyn Stack, course: &Course) -> Vec<[Result; 2]> {
    let mut results = Vec::new();
    for _ in 0..TRIES {
        let is_spoilt = AtomicBool::new(false);
        results = crate::at_once(stacks, |stack| run_together([stack, other], course, &is_spoilt));
        if results.iter().flatten().all(|result| result.stall <= MAX_STALL) {
            break;
        }
    }
    results
}

fn run_together(stacks: [&dyn Stack; 2], course: &Course, is_spoilt: &AtomicBool) -> [Result; 2] {
    let clock = Clock::new();
    let links = links_of(course, 0);
    let begin = |place: u64, now| Lane::new(stacks[place as usize], course, place, &links, now);
    let (lanes, stall) = drive(2, begin, course, clock, is_spoilt);
    let now = clock.now();
    let mut lanes = lanes.into_iter();
    [(); 2].map(|()| {
        let result = Result { stall, ..Result::default() };
        lanes.next().map_or_else(Result::default, |lane| lane.finish(now, result)).sorted()
    })
}

fn links_of(course: &Course, place: u64) -> [SharedLinks; 2] {
    [Direction::Up, Direction::Down].map(|direction| SharedLinks::new(&course.plans, place + 1, direction))
}

/// Begins lanes one after the other and brings them forward until the course is over, all of them are done, or the machine has
/// spoilt it here or in another thread; returns how long the thread was kept from it.
fn drive(
    count: u64,
    begin: impl Fn(u64, Now) -> Lane,
    course: &Course,
    clock: Clock,
    is_spoilt: &AtomicBool,
) -> (Vec<Lane>, Duration) {
    let mut lanes: Vec<Lane> = Vec::new();
    let (mut wake_at, mut stall) = (clock.now().instant, Duration::ZERO);
    loop {
        let now = clock.now();
        stall = stall.max(now.instant.since(wake_at));
        let mut next_at = course.until;
        let next_lane = lanes.len() as u64;
        if next_lane < count {
            // Not all at once: handshakes that wait for the processor would tell the stacks of round trips that the link has not.
            let begins_at = Instant::ZERO + BETWEEN_BEGINNINGS * next_lane as u32;
            if begins_at <= now.instant {
                lanes.push(begin(next_lane, clock.now()));
            }
            next_at = next_at.min(begins_at);
        }
        for lane in &mut lanes {
            if lane.next_at <= now.instant {
                lane.turn(clock.now());
            }
            next_at = next_at.min(lane.next_at);
        }
        if stall > MAX_STALL {
            is_spoilt.store(true, Ordering::Relaxed);
        }
        let is_over = is_spoilt.load(Ordering::Relaxed) || now.instant >= course.until;
        if is_over || lanes.len() as u64 == count && lanes.iter().all(|lane| lane.work.is_done()) {
            break;
        }
        let after = clock.now().instant;
        wake_at = next_at.max(after);
        let pause = wake_at.since(after);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }
    (lanes, stall)
}

struct Lane {
    ends: [Box<dyn End>; 2],
    ways: [Way; 2],
    work: Work,
    used: [Duration; 2],
    counts_from: Instant,
    message_bytes: usize,
    next_at: Instant,
    /// What came for an end, and what it sends, with the length of each datagram.
    incoming: Tray,
    outgoing: Tray,
    buffer: Vec<u8>,
}

/// Datagrams one after the other.
#[derive(Default)]
struct Tray {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Tray {
    fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
    }

    fn push(&mut self, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.lengths.push(datagram.len());
    }
}

/// Where the two believe to be.
fn address(end: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + end as u8], 6_000))
}

impl Lane {
    fn new(stack: &dyn Stack, course: &Course, place: u64, links: &[SharedLinks; 2], now: Now) -> Self {
        let mut load = course.load;
        // Evenly over the interval, so that the lanes do not all want the processor at once.
        let shift = load.interval.as_nanos() * u128::from(place) / u128::from(course.lanes);
        load.first_at += Duration::from_nanos(shift as u64);
        let seed = place + 1;
        let way = |links: &SharedLinks| Way::new(links.clone(), place as usize, course.delay, load.first_at);
        let end = |side, other| {
            let meeting = Meeting {
                side,
                remote: address(other),
                purpose: course.purpose,
                message_bytes: load.message_bytes,
                seed,
            };
            stack.end(now, &meeting)
        };
        Self {
            ends: [end(Side::Sender, 1), end(Side::Receiver, 0)],
            ways: [way(&links[0]), way(&links[1])],
            work: Work::new(load),
            used: [Duration::ZERO; 2],
            counts_from: load.first_at,
            message_bytes: load.message_bytes,
            next_at: now.instant,
            incoming: Tray::default(),
            outgoing: Tray::default(),
            buffer: Vec::new(),
        }
    }

    /// Brings both ends up to `now`.
    fn turn(&mut self, now: Now) {
        let mut next_at = Instant::from_nanos(u64::MAX);
        for end in [1, 0] {
            self.incoming.clear();
            while self.ways[1 - end].receive(now.instant, &mut self.buffer) {
                self.incoming.push(&self.buffer);
            }
            let before = processor::used();
            let timeout = self.visit(now, end);
            if now.instant >= self.counts_from {
                self.used[end] += processor::used() - before;
            }
            next_at = next_at.min(timeout.unwrap_or(next_at));
            let mut rest = &self.outgoing.bytes[..];
            for &length in &self.outgoing.lengths {
                let (datagram, others) = rest.split_at(length);
                self.ways[end].send(now.instant, datagram, self.message_bytes);
                rest = others;
            }
        }
        let ways = self.ways.iter().filter_map(Way::poll_timeout).min();
        let work = self.work.next_at().filter(|_| !self.work.waits(now.instant));
        self.next_at = ways.into_iter().chain(work).fold(next_at, Instant::min);
    }

    /// All that one end does: this is what its processor time is.
    fn visit(&mut self, now: Now, place: usize) -> Option<Instant> {
        let end = &mut *self.ends[place];
        let mut rest = &mut self.incoming.bytes[..];
        for &length in &self.incoming.lengths {
            let (datagram, others) = rest.split_at_mut(length);
            end.handle_datagram(now, address(1 - place), datagram);
            rest = others;
        }
        if end.poll_timeout().is_some_and(|at| at <= now.instant) {
            end.handle_timeout(now);
        }
        if place == 0 {
            self.work.submit(now, end);
        } else {
            self.work.receive(now, end);
        }
        self.outgoing.clear();
        while let Some(transmit) = end.poll_transmit(now, &mut self.buffer) {
            let bytes = &self.buffer[..transmit.length];
            for datagram in bytes.chunks(transmit.segment_size.unwrap_or(bytes.len()).max(1)) {
                self.outgoing.push(datagram);
            }
        }
        end.poll_timeout()
    }

    fn finish(mut self, now: Now, mut result: Result) -> Result {
        let is_dead = self.ends.iter().any(|end| end.state() != State::Open);
        result.faults = result.faults.and(self.work.finish(now, is_dead));
        result.latencies_us.extend_from_slice(self.work.latencies_us());
        let (arrived, elapsed) = self.work.progress();
        result.arrived += arrived;
        result.elapsed = result.elapsed.max(elapsed);
        for end in [0, 1] {
            result.used[end] += self.used[end];
            let (sum, counts) = (&mut result.ways[end], self.ways[end].counts());
            sum.datagrams += counts.datagrams;
            sum.bytes += counts.bytes;
            sum.full_datagrams += counts.full_datagrams;
            sum.queued_us.extend_from_slice(&counts.queued_us);
        }
        result
    }
}

impl Result {
    fn sorted(mut self) -> Self {
        self.latencies_us.sort_unstable();
        for way in &mut self.ways {
            way.queued_us.sort_unstable();
        }
        self
    }

    /// The time within which `share` of the messages arrived, in milliseconds.
    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        quantile(&self.latencies_us, share).map(|us| us / 1_000.0)
    }
}

/// The value that `share` of `sorted` do not exceed.
pub fn quantile(sorted: &[u32], share: f64) -> Option<f64> {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1)).map(|&value| f64::from(value))
}
