//! Numbered messages: handed over at their time at one end, and checked at the other.

use std::time::Duration;

use udpchat::time::{Instant, Now};

use crate::stack::{End, State};

/// What one connection has to carry.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Every message's length; eight bytes of it are its number.
    pub message_bytes: usize,
    /// How many.
    pub messages: u64,
    /// Of those, the first ones whose time is not counted: the stacks have yet to learn what the link is like.
    pub warm_up: u64,
    /// The time from one to the next; zero for as many as it takes.
    pub interval: Duration,
    /// When the first one is due.
    pub first_at: Instant,
}

/// The work of one connection, and how far it is.
pub struct Work {
    load: Load,
    /// When each was handed over, or was due if there was no room then.
    submitted: Vec<Instant>,
    is_blocked: bool,
    /// Whether the last turn ended before all that was due had been handed over.
    has_more: bool,
    next_expected: u64,
    latencies_us: Vec<u32>,
    faults: Faults,
    last_at: Instant,
    message: Vec<u8>,
}

/// What must not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Messages that came before one that was sent earlier, or a second time.
    pub misplaced: u64,
    /// Messages that had not come when the measurement ended.
    pub missing: u64,
    /// Messages whose bytes were not the ones that were sent.
    pub damaged: u64,
    /// Connections that were given up.
    pub dead: u64,
}

impl Faults {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            misplaced: self.misplaced + other.misplaced,
            missing: self.missing + other.missing,
            damaged: self.damaged + other.damaged,
            dead: self.dead + other.dead,
        }
    }
}

/// The most messages under way at once where as many are sent as possible. Not every stack bounds its own queue.
pub const MAX_UNDER_WAY: u64 = 8_192;

/// How many are handed over before the stack's packets get their turn: the first thousands need new memory from the system, which
/// takes as long as several round trips on some machines, and no program lets its network wait for that.
const TURN: usize = 64;

impl Work {
    /// All of `load`, still to be done.
    pub fn new(load: Load) -> Self {
        Self {
            submitted: Vec::new(),
            is_blocked: false,
            has_more: false,
            next_expected: 0,
            latencies_us: Vec::new(),
            faults: Faults::default(),
            last_at: load.first_at,
            message: Vec::new(),
            load,
        }
    }

    /// Hands over what is due.
    pub fn submit(&mut self, now: Now, end: &mut dyn End) {
        let before = self.submitted.len();
        self.has_more = false;
        while self.next_at().is_some_and(|at| at <= now.instant) && end.state() == State::Open {
            let number = self.submitted.len() as u64;
            if self.load.interval.is_zero() && number >= self.next_expected + MAX_UNDER_WAY {
                return;
            }
            if self.submitted.len() == before + TURN {
                self.has_more = true;
                return;
            }
            fill(&mut self.message, number, self.load.message_bytes);
            if !end.send(now, &self.message) {
                self.is_blocked = true;
                return;
            }
            self.submitted.push(if self.is_blocked { self.due(number) } else { now.instant });
            self.is_blocked = false;
        }
    }

    /// Takes what has come.
    pub fn receive(&mut self, now: Now, end: &mut dyn End) {
        while end.receive(now, &mut self.message) {
            let Some(number) = read(&self.message, self.load.message_bytes) else {
                self.faults.damaged += 1;
                continue;
            };
            if number != self.next_expected {
                self.faults.misplaced += 1;
            }
            self.next_expected = self.next_expected.max(number + 1);
            self.last_at = now.instant;
            if let Some(&submitted) = self.submitted.get(number as usize) {
                self.note(number, now.instant.since(submitted));
            }
        }
    }

    /// When the next message is due; none if there is none, or the last try found no room.
    pub fn next_at(&self) -> Option<Instant> {
        let number = self.submitted.len() as u64;
        (number < self.load.messages).then(|| self.due(number))
    }

    /// Whether everything arrived.
    pub fn is_done(&self) -> bool {
        self.next_expected >= self.load.messages
    }

    /// Whether a message waits for room, so that its own time says nothing about when to try again.
    pub fn waits(&self, now: Instant) -> bool {
        !self.has_more && self.next_at().is_some_and(|at| at <= now)
    }

    /// Ends it: whatever is still missing took at least until now.
    pub fn finish(&mut self, now: Now, is_dead: bool) -> Faults {
        self.faults.missing += self.load.messages.saturating_sub(self.next_expected);
        let timed = if self.load.interval.is_zero() { 0 } else { self.load.messages };
        for number in self.next_expected..timed {
            let since = self.submitted.get(number as usize).copied().unwrap_or_else(|| self.due(number));
            self.note(number, now.instant.since(since));
        }
        self.faults.dead += u64::from(is_dead);
        self.faults
    }

    /// The time from one end to the other of each message that counts.
    pub fn latencies_us(&self) -> &[u32] {
        &self.latencies_us
    }

    /// How many arrived, and how long that took from the first one's time on.
    pub fn progress(&self) -> (u64, Duration) {
        (self.next_expected, self.last_at.since(self.load.first_at))
    }

    fn due(&self, number: u64) -> Instant {
        self.load.first_at + self.load.interval * u32::try_from(number).unwrap_or(u32::MAX)
    }

    fn note(&mut self, number: u64, latency: Duration) {
        if number >= self.load.warm_up {
            self.latencies_us.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
        }
    }
}

/// The message with a number: the number, and bytes that follow from it.
pub fn fill(message: &mut Vec<u8>, number: u64, length: usize) {
    message.clear();
    message.resize(length.max(8), number as u8);
    message[..8].copy_from_slice(&number.to_be_bytes());
}

/// A message's number, if it is one of ours and whole.
pub fn read(message: &[u8], length: usize) -> Option<u64> {
    let number = u64::from_be_bytes(*message.first_chunk()?);
    let is_whole = message.len() == length.max(8)
        && message.last().is_none_or(|last| length <= 8 || *last == number as u8);
    is_whole.then_some(number)
}
