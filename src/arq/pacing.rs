//! What may leave now, at a rate: bytes are earned with time, and a few may be saved up (UC-ARQ-023).
//!
//! It bounds bursts and nothing else: what leaves while little was sent lately is never delayed.

use std::time::Duration;

use crate::time::Instant;

/// The bytes that may leave.
#[derive(Debug)]
pub struct Pacer {
    /// What may leave; what left beyond it is owed.
    budget_bytes: i64,
    filled_at: Instant,
    /// When there is enough again for the next run; None if nothing waits.
    ready_at: Option<Instant>,
}

impl Pacer {
    /// Bursts of ten packets pass every policer that lets TCP through (RFC 6928).
    const BURST_BYTES: u64 = 10 * 1_452;

    /// The loop's timers are a millisecond coarse and may be late by as much again: what was missed meanwhile is made up for.
    const CATCH_UP: Duration = Duration::from_millis(2);

    /// A run that is worth a call to the system: what comes together in this time.
    const RUN: Duration = Duration::from_millis(1);

    /// A full budget.
    pub const fn new(now: Instant) -> Self {
        Self { budget_bytes: Self::BURST_BYTES as i64, filled_at: now, ready_at: None }
    }

    /// Whether a packet may leave at `rate` bytes a second; if not, [`Pacer::ready_at`] tells when.
    pub fn may_send(&mut self, now: Instant, rate: u64) -> bool {
        let burst = Self::BURST_BYTES.max(bytes_in(Self::CATCH_UP, rate)) as i64;
        let earned = bytes_in(now.since(self.filled_at), rate) as i64;
        if earned > 0 {
            self.filled_at = now;
            self.budget_bytes = self.budget_bytes.saturating_add(earned).min(burst);
        }
        if self.budget_bytes > 0 && self.ready_at.is_none_or(|at| at <= now) {
            self.ready_at = None;
            return true;
        }
        let run = Self::BURST_BYTES.min(bytes_in(Self::RUN, rate)).max(1) as i64;
        let lacking = (run - self.budget_bytes).max(1) as u64;
        let wait = Duration::from_nanos(lacking.saturating_mul(1_000_000_000) / rate.max(1) + 1);
        self.ready_at = Some(self.filled_at + wait);
        false
    }

    /// A packet left.
    pub const fn on_sent(&mut self, bytes: u64) {
        self.budget_bytes -= bytes as i64;
    }

    /// When what waits may leave.
    pub const fn ready_at(&self) -> Option<Instant> {
        self.ready_at
    }

    /// Nothing waits any more.
    pub const fn rest(&mut self) {
        self.ready_at = None;
    }
}

/// What is earned in some time, at most a second's.
fn bytes_in(time: Duration, rate: u64) -> u64 {
    let nanos = time.as_nanos().min(1_000_000_000);
    u64::try_from(u128::from(rate) * nanos / 1_000_000_000).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    // UC-ARQ-023
    #[test]
    fn a_burst_leaves_at_once_and_the_rest_at_the_rate() {
        let (mut pacer, mut now) = (Pacer::new(Instant::ZERO), Instant::ZERO);
        let mut left = Vec::new();
        for _ in 0..100 {
            while !pacer.may_send(now, 1_200_000) {
                now = pacer.ready_at().unwrap();
            }
            pacer.on_sent(1_200);
            left.push(now.as_nanos() / 1_000_000);
        }
        // A packet a millisecond after the first dozen.
        assert_eq!(left[..13], [0; 13]);
        assert!((85..=89).contains(&left[99]), "{left:?}");
        assert!(left.windows(2).all(|pair| pair[1] - pair[0] <= 2), "{left:?}");
    }

    #[test]
    fn a_late_wake_up_is_made_up_for_and_a_pause_is_not_saved() {
        let mut pacer = Pacer::new(Instant::ZERO);
        let rate = 12_500_000;
        let count = |pacer: &mut Pacer, now| {
            (0..1_000)
                .take_while(|_| {
                    let may = pacer.may_send(now, rate);
                    if may {
                        pacer.on_sent(1_250);
                    }
                    may
                })
                .count()
        };
        let at = |milliseconds: u64| Instant::from_nanos(milliseconds * 1_000_000);
        count(&mut pacer, at(0));
        assert_eq!(count(&mut pacer, at(2)), 20);
        assert_eq!(count(&mut pacer, at(1_000)), 20, "two milliseconds' worth");
    }
}
