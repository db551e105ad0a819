//! How long datagrams may be on this path: it begins with what passes everywhere, tries what the other side takes once there is
//! enough to say to be worth it, and goes back when long ones do not arrive (RFC 8899, in its simplest form).
//!
//! It only counts; the caller sends the probes.

use std::time::Duration;

use crate::time::Instant;
use crate::wire::BASE_DATAGRAM_BYTES;

/// The lengths of one path.
#[derive(Debug)]
pub struct PathMtu {
    current: usize,
    /// What we and the other side take at most.
    limit: usize,
    longest: usize,
    /// The packet that is on its way to try a longer one, and its length.
    probe: Option<(u64, usize)>,
    failures: u32,
    /// When to try, or to try again.
    next_at: Instant,
    /// Long packets in a row that were lost.
    lost_in_a_row: u32,
    /// The newest long packet that arrived, and the newest of all.
    newest_long: u64,
    newest: u64,
}

impl PathMtu {
    /// What is tried before the limit: what passes Ethernet under IPv6, with usual frames and with jumbo frames. A search through all
    /// lengths costs more than it brings.
    const STEPS: [usize; 2] = [1_452, 8_952];

    /// After so many losses a length is taken for too long, for a while: one in a hundred probes is lost three times by chance
    /// where a fifth is lost.
    const TRIES: u32 = 3;

    /// So many long packets in a row are not lost by chance: at 30 % loss one run in 15 000 is.
    const BLACK_HOLE: u32 = 8;

    /// For so long a path that swallowed long packets, or seems to, gets none.
    const BLACK_HOLE_PAUSE: Duration = Duration::from_secs(1);

    /// A route may have changed.
    const TRY_AGAIN: Duration = Duration::from_secs(60);

    /// What passes everywhere, and what is tried at most.
    pub const fn new(bytes: usize, longest: usize) -> Self {
        Self {
            current: bytes,
            limit: bytes,
            longest,
            probe: None,
            failures: 0,
            next_at: Instant::ZERO,
            lost_in_a_row: 0,
            newest_long: 0,
            newest: 0,
        }
    }

    /// The handshake told what the other side takes.
    pub fn establish(&mut self, limit: usize) {
        self.limit = limit.min(self.longest);
        self.current = self.current.min(limit);
    }

    /// The longest datagram.
    pub const fn bytes(&self) -> usize {
        self.current
    }

    /// How long a probe is to be, if one is due.
    pub fn probe_bytes(&self, now: Instant) -> Option<usize> {
        let is_due = self.limit > self.current && self.probe.is_none() && self.next_at <= now;
        is_due.then(|| {
            let step = Self::STEPS.into_iter().find(|&step| step > self.current);
            step.map_or(self.limit, |step| step.min(self.limit))
        })
    }

    /// It left.
    pub const fn on_probe_sent(&mut self, number: u64, bytes: usize) {
        self.probe = Some((number, bytes));
    }

    /// A packet arrived.
    pub fn on_acked(&mut self, number: u64, bytes: u64) {
        if let Some((_, bytes)) = self.probe.take_if(|(probe, _)| *probe == number) {
            (self.current, self.failures) = (bytes, 0);
        }
        if bytes > BASE_DATAGRAM_BYTES as u64 {
            self.lost_in_a_row = 0;
            self.newest_long = self.newest_long.max(number);
        }
        self.newest = self.newest.max(number);
    }

    /// A packet was lost.
    pub fn on_lost(&mut self, now: Instant, number: u64, bytes: u64) {
        if self.probe.take_if(|(probe, _)| *probe == number).is_some() {
            self.failures += 1;
            if self.failures >= Self::TRIES {
                (self.failures, self.next_at) = (0, now + Self::TRY_AGAIN);
            }
        } else if bytes > BASE_DATAGRAM_BYTES as u64 && (self.newest_long..self.newest).contains(&number) {
            // Where a long one that left later arrived, it was a full queue, of which many are lost in a row; and where none arrived
            // that left later, it may be the acks that are late.
            self.lost_in_a_row += 1;
            if self.lost_in_a_row >= Self::BLACK_HOLE {
                self.fall_back(now);
            }
        }
    }

    /// The other side is silent: it may be the length.
    pub fn on_silence(&mut self, now: Instant) {
        self.fall_back(now);
    }

    fn fall_back(&mut self, now: Instant) {
        let base = BASE_DATAGRAM_BYTES.min(self.limit);
        if self.current > base {
            (self.current, self.lost_in_a_row, self.next_at) = (base, 0, now + Self::BLACK_HOLE_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::ZERO;

    fn raised() -> PathMtu {
        let mut mtu = PathMtu::new(1_200, 1_452);
        mtu.establish(1_452);
        assert_eq!(mtu.probe_bytes(NOW), Some(1_452));
        mtu.on_probe_sent(7, 1_452);
        assert_eq!((mtu.probe_bytes(NOW), mtu.bytes()), (None, 1_200));
        mtu.on_acked(7, 1_452);
        mtu
    }

    // UC-ARQ-024
    #[test]
    fn a_probe_that_arrives_raises_the_length() {
        assert_eq!(raised().bytes(), 1_452);
    }

    // UC-ARQ-024
    #[test]
    fn three_lost_probes_end_the_search_for_a_minute() {
        let mut mtu = PathMtu::new(1_200, 1_452);
        mtu.establish(1_452);
        for number in 1..=3 {
            assert!(mtu.probe_bytes(NOW).is_some());
            mtu.on_probe_sent(number, 1_452);
            mtu.on_lost(NOW, number, 1_452);
        }
        assert_eq!((mtu.probe_bytes(NOW), mtu.bytes()), (None, 1_200));
        assert!(mtu.probe_bytes(NOW + Duration::from_secs(60)).is_some());
    }

    // UC-ARQ-024
    #[test]
    fn long_packets_that_vanish_make_all_short_again() {
        let mut mtu = raised();
        (8..16).for_each(|number| mtu.on_lost(NOW, number, 1_452));
        assert_eq!(mtu.bytes(), 1_452, "all of them may be late");
        mtu.on_acked(16, 100);
        (8..16).for_each(|number| mtu.on_lost(NOW, number, 1_452));
        assert_eq!(mtu.bytes(), 1_200);
        let mut mtu = raised();
        for number in 8..40 {
            mtu.on_acked(2 * number + 2, 100);
            mtu.on_lost(NOW, 2 * number, 1_452);
            mtu.on_acked(2 * number + 1, 1_452);
        }
        assert_eq!(mtu.bytes(), 1_452, "loss by chance");
        mtu.on_acked(400, 1_452);
        (300..400).for_each(|number| mtu.on_lost(NOW, number, 1_452));
        assert_eq!(mtu.bytes(), 1_452, "a full queue");
        mtu.on_silence(NOW);
        assert_eq!((mtu.bytes(), mtu.probe_bytes(NOW)), (1_200, None));
    }

    // UC-ARQ-024
    #[test]
    fn longer_ones_are_tried_in_steps_where_they_may_be() {
        let lengths = |limit, longest| {
            let mut mtu = PathMtu::new(1_200, longest);
            mtu.establish(limit);
            let tried = std::iter::from_fn(|| {
                let bytes = mtu.probe_bytes(NOW)?;
                mtu.on_probe_sent(bytes as u64, bytes);
                mtu.on_acked(bytes as u64, bytes as u64);
                Some(bytes)
            });
            tried.collect::<Vec<_>>()
        };
        assert_eq!(lengths(65_507, 65_507), [1_452, 8_952, 65_507]);
        assert_eq!(lengths(65_507, 1_452), [1_452]);
        assert_eq!(lengths(1_300, 65_507), [1_300]);
        assert_eq!(lengths(2_000, 65_507), [1_452, 2_000]);
    }

    #[test]
    fn a_side_that_takes_no_more_is_not_asked() {
        let mut mtu = PathMtu::new(1_200, 1_452);
        mtu.establish(1_200);
        assert_eq!(mtu.probe_bytes(NOW), None);
    }
}
