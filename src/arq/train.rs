//! Packets that left one after the other, and how far apart they were heard of: a rate that is known before a round trip is full
//! (UC-ARQ-023).
//!
//! It only measures, and only packets that had more waiting behind them: it must never take the pace of whoever had no more to say
//! for that of the path.

use std::time::Duration;

use crate::time::Instant;

/// The train that is on its way, and what those before it have shown.
#[derive(Debug, Default)]
pub struct Train {
    /// When its first packet left, and when that was heard of.
    from: Option<(Instant, Instant)>,
    bytes: u64,
    last: u64,
    passed: u64,
    drawn_out: u64,
}

impl Train {
    /// A shorter one measures the machines' clocks.
    const SHORTEST: Duration = Duration::from_millis(4);

    /// So many bytes, of which the last packet left at `sent_at`, were heard of. An eighth of a round trip makes a train.
    pub fn add(&mut self, now: Instant, sent_at: Instant, bytes: u64, round_trip: Duration) {
        let Some((sent_from, heard_from)) = self.from else {
            // What is heard of together left at times that are not known: the next one begins where this one ends.
            (self.from, self.bytes) = (Some((sent_at, now)), 0);
            return;
        };
        self.bytes += bytes;
        let (left_in, heard_in) = (sent_at.since(sent_from), now.since(heard_from));
        // What was held up on the way and comes together shows no rate that was not sent.
        let elapsed = left_in.max(heard_in);
        if elapsed < Self::SHORTEST.max(round_trip / 8) {
            return;
        }
        self.last = rate(self.bytes, elapsed);
        // A sixteenth is what clocks and timers do to a few milliseconds.
        if heard_in <= left_in + left_in / 16 {
            self.passed = self.passed.max(self.last);
        } else {
            self.drawn_out = self.drawn_out.max(self.last);
        }
        (self.from, self.bytes) = (Some((sent_at, now)), 0);
    }

    /// Nothing waited behind the last packet: the train is over.
    pub const fn end(&mut self) {
        self.from = None;
    }

    /// The rate of the last whole one, in bytes a second.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// The highest rate at which what left faster arrived, in bytes a second: the bottleneck's, unless the train was held up elsewhere.
    pub const fn drawn_out(&self) -> u64 {
        self.drawn_out
    }

    /// The highest rate at which what left arrived as fast, in bytes a second.
    pub const fn passed(&self) -> u64 {
        self.passed
    }
}

/// Bytes a second.
pub fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / elapsed.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUND_TRIP: Duration = Duration::from_millis(40);

    const fn at(milliseconds: u64) -> Instant {
        Instant::from_nanos(milliseconds * 1_000_000)
    }

    /// Packets of 1000 bytes that leave so often, and are heard of so often.
    fn after(leave_ms: u64, arrive_ms: u64) -> Train {
        let mut train = Train::default();
        (0..=12).for_each(|n| train.add(at(40 + n * arrive_ms), at(n * leave_ms), 1_000, ROUND_TRIP));
        train
    }

    // UC-ARQ-023
    #[test]
    fn what_arrives_as_fast_as_it_left_has_passed() {
        let train = after(1, 1);
        assert_eq!((train.last(), train.passed()), (1_000_000, 1_000_000));
    }

    #[test]
    fn what_stood_in_a_queue_shows_the_path_and_what_came_together_no_more_than_was_sent() {
        let queued = after(1, 2);
        assert_eq!((queued.last(), queued.passed(), queued.drawn_out()), (500_000, 0, 500_000));
        let together = after(2, 0);
        assert_eq!((together.last(), together.passed(), together.drawn_out()), (500_000, 500_000, 0));
    }

    #[test]
    fn a_pause_of_the_sender_is_no_part_of_a_train() {
        let mut train = Train::default();
        train.add(at(40), at(0), 1_000, ROUND_TRIP);
        train.end();
        train.add(at(140), at(100), 1_000, ROUND_TRIP);
        assert_eq!((train.last(), train.passed()), (0, 0));
    }
}
