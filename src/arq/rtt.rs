//! How long a round trip takes, smoothed, with its variance: RFC 6298, with the ack delay taken out as in RFC 9002, section 5.

use std::time::Duration;

use crate::time::Instant;

/// The estimator. Packet numbers are never used twice, so every sample is clean.
#[derive(Clone, Debug, Default)]
pub struct Rtt {
    smoothed: Option<Duration>,
    /// How many samples were taken, up to [`Self::EARLY`].
    early: u8,
    variance: Duration,
    latest: Duration,
    minimum: Duration,
    minimum_at: Instant,
    /// While the minimum is measured anew: until when, and the shortest so far.
    drain: Option<(Instant, Duration)>,
}

impl Rtt {
    /// Samples that may put right what the first one said: it is a handshake's, with the other side's work for keys and whatever
    /// else its machine did in it, and a mean that forgets an eighth at a time would remember that for seconds of seldom traffic.
    const EARLY: u8 = 3;

    /// An estimator without samples.
    pub const fn new() -> Self {
        Self {
            smoothed: None,
            early: 0,
            variance: Duration::ZERO,
            latest: Duration::ZERO,
            minimum: Duration::MAX,
            minimum_at: Instant::ZERO,
            drain: None,
        }
    }

    /// Takes one round trip, of which the other side says that it spent `ack_delay` waiting (UC-ARQ-017).
    pub fn sample(&mut self, now: Instant, round_trip: Duration, ack_delay: Duration) {
        self.latest = round_trip;
        self.sample_minimum(now, round_trip);
        // A delay that would put the sample below the shortest one seen cannot be true (RFC 9002, section 5.3).
        let adjusted =
            if round_trip >= self.minimum + ack_delay { round_trip - ack_delay } else { round_trip };
        let is_early = self.early < Self::EARLY;
        self.early += u8::from(is_early);
        match self.smoothed {
            // Far shorter than jitter explains.
            Some(smoothed) if !is_early || adjusted * 2 > smoothed => {
                self.variance = (self.variance * 3 + smoothed.abs_diff(adjusted)) / 4;
                self.smoothed = Some((smoothed * 7 + adjusted) / 8);
            }
            _ => {
                self.smoothed = Some(adjusted);
                self.variance = adjusted / 2;
            }
        }
    }

    /// The shortest round trip is measured anew from time to time, and not behind a queue of our own making: for two round trips
    /// little is sent, and the shortest of that time counts (as BBR's ProbeRTT, draft-ietf-ccwg-bbr section 5.3.4).
    fn sample_minimum(&mut self, now: Instant, round_trip: Duration) {
        if round_trip <= self.minimum {
            (self.minimum, self.minimum_at, self.drain) = (round_trip, now, None);
        } else if now.since(self.minimum_at) > MINIMUM_AGE {
            let (until, shortest) = self.drain.unwrap_or((now + round_trip * 2, Duration::MAX));
            let shortest = shortest.min(round_trip);
            self.drain = Some((until, shortest));
            if until <= now {
                (self.minimum, self.minimum_at, self.drain) = (shortest, now, None);
            }
        }
    }

    /// Whether little is to be sent, so that the queue empties and the path shows its length.
    pub const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// The smoothed round trip; None before the first sample.
    pub const fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The last sample as it was measured.
    pub const fn latest(&self) -> Duration {
        self.latest
    }

    /// The shortest round trip of the last ten seconds; None before the first sample.
    pub const fn minimum(&self) -> Option<Duration> {
        if self.smoothed.is_some() { Some(self.minimum) } else { None }
    }

    /// The mean deviation.
    pub const fn variance(&self) -> Duration {
        self.variance
    }

    /// How long an ack may take before its packet counts as lost (UC-ARQ-010): the round trip, four deviations but at least
    /// the timers' grain, and the time that the other side may withhold an ack; None before the first sample.
    pub fn timeout(&self, peer_ack_delay: Duration) -> Option<Duration> {
        let smoothed = self.smoothed?;
        let slack = (self.variance * 4).max(GRAIN).max(smoothed / 20);
        Some(smoothed + slack + peer_ack_delay)
    }
}

/// The event loop's timers are no finer.
pub const GRAIN: Duration = Duration::from_millis(1);

/// A route that got longer is noticed after this long (as BBR, draft-ietf-ccwg-bbr section 2.13.1).
const MINIMUM_AGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    // UC-ARQ-010
    #[test]
    fn the_first_sample_sets_the_mean_and_half_of_it_the_variance() {
        let mut rtt = Rtt::new();
        assert_eq!(rtt.timeout(ms(5)), None);
        rtt.sample(Instant::ZERO, ms(100), ms(0));
        assert_eq!(rtt.smoothed(), Some(ms(100)));
        assert_eq!(rtt.timeout(ms(5)), Some(ms(305)));
    }

    // UC-ARQ-010
    #[test]
    fn a_first_round_trip_that_took_far_too_long_is_forgotten_at_once() {
        let mut rtt = Rtt::new();
        rtt.sample(Instant::ZERO, ms(300), ms(0));
        rtt.sample(Instant::ZERO, ms(1), ms(0));
        assert_eq!((rtt.smoothed(), rtt.timeout(ms(5))), (Some(ms(1)), Some(ms(8))));
        // Two messages were busy with it.
        let mut rtt = Rtt::new();
        for round_trip in [300, 280, 1] {
            rtt.sample(Instant::ZERO, ms(round_trip), ms(0));
        }
        assert_eq!(rtt.smoothed(), Some(ms(1)));
        // A path that is known does not change for one sample, and jitter is no mistake.
        rtt = Rtt::new();
        for round_trip in [100, 60, 100, 10] {
            rtt.sample(Instant::ZERO, ms(round_trip), ms(0));
        }
        assert_eq!(rtt.smoothed(), Some(Duration::from_nanos(84_921_875)));
    }

    #[test]
    fn steady_samples_shrink_the_variance_to_the_grain() {
        let mut rtt = Rtt::new();
        for _ in 0..60 {
            rtt.sample(Instant::ZERO, ms(10), ms(0));
        }
        assert_eq!(rtt.timeout(ms(5)), Some(ms(16)));
    }

    // UC-ARQ-017
    #[test]
    fn an_ack_delay_that_cannot_be_true_is_not_believed() {
        let mut rtt = Rtt::new();
        rtt.sample(Instant::ZERO, ms(50), ms(0));
        rtt.sample(Instant::ZERO, ms(55), ms(5));
        rtt.sample(Instant::ZERO, ms(50), ms(49));
        assert_eq!(rtt.smoothed(), Some(ms(50)));
    }
}
