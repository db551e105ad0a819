//! What is under way on a link: the datagrams with the time at which each is due, and the bottleneck that
//! they pass first.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::mem;
use std::time::Duration;

use crate::machine::Path;
use crate::time::Instant;

use super::plan::WaitingLimit;

/// Datagrams under way, earliest first; of equally early ones, the one that came first.
#[derive(Debug)]
pub(super) struct Waiting {
    heap: BinaryHeap<Entry>,
    bytes: usize,
    limit: WaitingLimit,
    next_sequence: u64,
    /// Buffers of datagrams that left, to be filled again.
    spare: Vec<Vec<u8>>,
}

/// A datagram under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) due: Instant,
    /// The order of arrival.
    pub(super) sequence: u64,
    pub(super) arrived: Instant,
    pub(super) path: Path,
    bytes: Vec<u8>,
}

/// Enough for a burst at a gigabit a second between two polls, and little enough to keep for good.
const MAX_SPARE: usize = 256;

impl Waiting {
    pub(super) fn new(limit: WaitingLimit) -> Self {
        Self { heap: BinaryHeap::new(), bytes: 0, limit, next_sequence: 0, spare: Vec::new() }
    }

    /// Whether one more datagram of `length` bytes may come in.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.heap.len() < self.limit.datagrams && self.bytes.saturating_add(length) <= self.limit.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// A buffer with a copy of `bytes`.
    pub(super) fn copy(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(bytes);
        buffer
    }

    pub(super) fn push(&mut self, due: Instant, arrived: Instant, path: Path, bytes: Vec<u8>) {
        self.bytes += bytes.len();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.heap.push(Entry { due, sequence, arrived, path, bytes });
    }

    /// When the next datagram is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|entry| entry.due)
    }

    /// Takes the next datagram that is due at `now`; its bytes are then in `buffer`.
    pub(super) fn pop_due(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Option<Entry> {
        if self.next_due()? > now {
            return None;
        }
        let mut entry = self.heap.pop()?;
        self.bytes -= entry.bytes.len();
        mem::swap(buffer, &mut entry.bytes);
        if self.spare.len() < MAX_SPARE {
            self.spare.push(mem::take(&mut entry.bytes));
        }
        Some(entry)
    }
}

// The heap gives out its greatest entry, so the earliest has to be the greatest.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.sequence).cmp(&(self.due, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}

/// The place where bytes pass one after the other at a limited speed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bottleneck {
    /// When everything let in so far has passed.
    free_at: Instant,
    /// What is left of dividing bits by the rate, so that rounding never adds up.
    remainder: u64,
}

impl Bottleneck {
    /// The time at which a datagram that comes at `now` has passed. None if the queue has no room for it; one
    /// that need not queue always passes.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        length: usize,
        bits_per_s: u64,
        queue_bytes: u64,
    ) -> Option<Instant> {
        let bits_per_s = bits_per_s.max(1);
        let backlog = bytes_in(self.free_at.since(now), bits_per_s);
        if backlog > 0 && backlog.saturating_add(length as u128) > u128::from(queue_bytes) {
            return None;
        }
        if backlog == 0 {
            *self = Self { free_at: now, remainder: 0 };
        }
        let scaled = length as u128 * 8 * NANOS_PER_S + u128::from(self.remainder.min(bits_per_s - 1));
        self.free_at +=
            Duration::from_nanos(u64::try_from(scaled / u128::from(bits_per_s)).unwrap_or(u64::MAX));
        // A remainder is below its divisor, a u64.
        self.remainder = (scaled % u128::from(bits_per_s)) as u64;
        Some(self.free_at)
    }
}

const NANOS_PER_S: u128 = 1_000_000_000;

/// How many bytes pass in `time`, rounded up.
fn bytes_in(time: Duration, bits_per_s: u64) -> u128 {
    (time.as_nanos() * u128::from(bits_per_s)).div_ceil(8 * NANOS_PER_S)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn at_ms(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn earliest_first_then_first_come() {
        let mut waiting = Waiting::new(WaitingLimit::default());
        let path = Path::to(SocketAddr::from(([127, 0, 0, 1], 1)));
        for (due, byte) in [(3, b'c'), (1, b'a'), (3, b'd'), (2, b'b')] {
            let bytes = waiting.copy(&[byte]);
            waiting.push(at_ms(due), Instant::ZERO, path, bytes);
        }
        let mut buffer = Vec::new();
        let mut order = Vec::new();
        while waiting.pop_due(at_ms(3), &mut buffer).is_some() {
            order.extend_from_slice(&buffer);
        }
        assert_eq!(order, b"abcd");
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn a_rate_is_exact_over_any_number_of_datagrams() {
        // 100 bytes at 7 bits a second are 800 / 7 seconds, which no clock can show.
        let mut bottleneck = Bottleneck::default();
        for _ in 0..7_000 {
            bottleneck.admit(Instant::ZERO, 100, 7, u64::MAX).unwrap();
        }
        assert_eq!(bottleneck.free_at.as_nanos(), 800 * 1_000 * 1_000_000_000);
    }

    #[test]
    fn the_queue_takes_what_fits_and_drains_with_time() {
        let mut bottleneck = Bottleneck::default();
        let mut admit = |now, length| bottleneck.admit(at_ms(now), length, 8_000, 300);
        assert_eq!(admit(0, 400), Some(at_ms(400)), "nobody is in front of it");
        assert_eq!(admit(0, 1), None);
        assert_eq!(admit(200, 100), Some(at_ms(500)));
        assert_eq!(admit(200, 1), None);
        assert_eq!(admit(201, 1), Some(at_ms(501)));
        assert_eq!(admit(900, 10), Some(at_ms(910)));
    }
}
