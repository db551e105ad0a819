//! How much may be on its way at once. A small trait, because what is best on a bad link is still being measured, and one simple
//! controller behind it.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::time::Instant;

/// Decides how many bytes may be in flight (UC-ARQ-021).
pub trait Controller: fmt::Debug {
    /// The most bytes in flight now.
    fn window_bytes(&self) -> u64;

    /// Packets were acked.
    fn on_ack(&mut self, now: Instant, ack: &AckSample);

    /// Bytes were found lost.
    fn on_loss(&mut self, now: Instant, lost_bytes: u64);
}

/// What one ack told about the path.
#[derive(Clone, Copy, Debug)]
pub struct AckSample {
    /// Bytes that this ack newly confirmed.
    pub acked_bytes: u64,
    /// Bytes confirmed since the newest of them was sent, and how long that took: the delivery rate (Cheng et al.,
    /// draft-ietf-ccwg-bbr section 4.1). None if the time was too short to divide by.
    pub delivered_bytes: u64,
    /// See `delivered_bytes`.
    pub elapsed: Duration,
    /// Whether the sender had more to send all the while; without, the rate tells about the sender and not the path.
    pub was_limited_by_window: bool,
    /// The shortest recent round trip.
    pub minimum_rtt: Duration,
}

/// Keeps twice the measured delivery rate times the shortest round trip in flight.
///
/// Random loss lowers the rate only by what was lost, so a link that drops 20 % keeps 80 % of its speed, where a controller that
/// halves on every loss would stand still. A full queue lengthens no round trip that counts, since the shortest one is taken, so
/// at most one window stands in the bottleneck's queue. Probing upwards comes from the factor of two. Pacing and the reaction to
/// queue delay have their place behind the same trait.
#[derive(Debug)]
pub struct RateWindow {
    window_bytes: u64,
    /// (when, bytes a second), the largest first: a maximum over a sliding time.
    rates: VecDeque<(Instant, u64)>,
}

impl RateWindow {
    /// Thirty packets: the floor on short links, where scheduling, not the path, makes most of the round trip, and a fair
    /// start on long ones (RFC 6928 has ten; chat bursts fit in thirty). 36 KB fit in every system's receive buffer.
    const FLOOR_BYTES: u64 = 36_000;

    /// Far above what any socket buffer holds, so that a wrong estimate stays harmless.
    const CEILING_BYTES: u64 = 8 * 1024 * 1024;

    /// How long a rate is remembered, in shortest round trips, and at least `RATE_AGE_FLOOR`.
    const RATE_AGE_ROUNDS: u32 = 10;

    /// On a loopback ten round trips are less than one turn of the event loop.
    const RATE_AGE_FLOOR: Duration = Duration::from_millis(100);

    /// A controller that knows nothing yet.
    pub const fn new() -> Self {
        Self { window_bytes: Self::FLOOR_BYTES, rates: VecDeque::new() }
    }
}

impl Default for RateWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl Controller for RateWindow {
    fn window_bytes(&self) -> u64 {
        self.window_bytes
    }

    fn on_ack(&mut self, now: Instant, ack: &AckSample) {
        if ack.elapsed.is_zero() {
            return;
        }
        let rate = rate(ack.delivered_bytes, ack.elapsed);
        let best = self.rates.front().map_or(0, |&(_, best)| best);
        if !ack.was_limited_by_window && rate <= best {
            return;
        }
        while self.rates.back().is_some_and(|&(_, older)| older <= rate) {
            self.rates.pop_back();
        }
        self.rates.push_back((now, rate));
        let age = (ack.minimum_rtt * Self::RATE_AGE_ROUNDS).max(Self::RATE_AGE_FLOOR);
        while self.rates.front().is_some_and(|&(at, _)| now.since(at) > age) && self.rates.len() > 1 {
            self.rates.pop_front();
        }
        let best = self.rates.front().map_or(0, |&(_, best)| best);
        let product = u128::from(best) * ack.minimum_rtt.as_nanos() / 1_000_000_000;
        let product = u64::try_from(product).unwrap_or(u64::MAX);
        self.window_bytes = product.saturating_mul(2).clamp(Self::FLOOR_BYTES, Self::CEILING_BYTES);
    }

    fn on_loss(&mut self, _now: Instant, _lost_bytes: u64) {
        // Loss shows in the delivery rate; see above.
    }
}

/// Bytes a second.
fn rate(bytes: u64, elapsed: Duration) -> u64 {
    let rate = u128::from(bytes) * 1_000_000_000 / elapsed.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(delivered_bytes: u64, elapsed_ms: u64, limited: bool) -> AckSample {
        AckSample {
            acked_bytes: delivered_bytes,
            delivered_bytes,
            elapsed: Duration::from_millis(elapsed_ms),
            was_limited_by_window: limited,
            minimum_rtt: Duration::from_millis(100),
        }
    }

    // UC-ARQ-021
    #[test]
    fn the_window_is_twice_the_rate_times_the_round_trip() {
        let mut controller = RateWindow::new();
        controller.on_ack(Instant::ZERO, &sample(100_000, 100, true));
        assert_eq!(controller.window_bytes(), 200_000);
        controller.on_loss(Instant::ZERO, 50_000);
        assert_eq!(controller.window_bytes(), 200_000);
    }

    #[test]
    fn an_idle_sender_does_not_lower_the_rate_and_an_old_rate_is_forgotten() {
        let mut controller = RateWindow::new();
        controller.on_ack(Instant::ZERO, &sample(100_000, 100, true));
        controller.on_ack(Instant::from_nanos(1), &sample(10, 100, false));
        assert_eq!(controller.window_bytes(), 200_000);
        controller.on_ack(Instant::from_nanos(2_000_000_000), &sample(50_000, 100, true));
        assert_eq!(controller.window_bytes(), 100_000);
    }
}
