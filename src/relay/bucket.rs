//! A token bucket, on the clock that is handed in.

use std::time::Duration;

use super::Flood;
use crate::time::Instant;

/// How fast a bucket fills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// So many tokens at once.
    pub(super) burst: u32,
    /// And one each time that this has passed.
    pub(super) interval: Duration,
}

impl From<Flood> for Pace {
    fn from(flood: Flood) -> Self {
        Self { burst: flood.burst, interval: Duration::from_secs(1) / flood.per_second.max(1) }
    }
}

/// Tokens of one member, or of one address. Fresh ones are full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// When the bucket would be (or was) full again: one number instead of a count and a time (the "virtual scheduling" form of
    /// the generic cell rate algorithm, ITU-T I.371, annex A).
    full_at: Instant,
}

impl Bucket {
    pub(super) const fn new() -> Self {
        Self { full_at: Instant::ZERO }
    }

    /// Takes a token, or tells when there will be one.
    pub(super) fn take(&mut self, now: Instant, pace: impl Into<Pace>) -> Result<(), Instant> {
        *self = self.without_one(now, pace)?;
        Ok(())
    }

    /// The bucket with a token less, or when it will have one.
    pub(super) fn without_one(self, now: Instant, pace: impl Into<Pace>) -> Result<Self, Instant> {
        let Pace { burst, interval } = pace.into();
        let depth = interval * burst.max(1);
        let full_at = self.full_at.max(now) + interval;
        let ready_at = full_at - depth;
        if ready_at > now { Err(ready_at) } else { Ok(Self { full_at }) }
    }

    /// Gives a token back that was taken at this pace.
    pub(super) fn give_back(&mut self, pace: impl Into<Pace>) {
        self.full_at = self.full_at - pace.into().interval;
    }

    /// Whether it is as good as a new one.
    pub(super) fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let flood = Flood { burst: 3, per_second: 10 };
        let mut bucket = Bucket::new();
        let start = Instant::from_nanos(5_000_000_000);
        let mut now = start;
        let mut passed_ms = Vec::new();
        for _ in 0..6 {
            while let Err(at) = bucket.take(now, flood) {
                assert!(at > now);
                now = at;
            }
            passed_ms.push(now.since(start).as_millis());
        }
        assert_eq!(passed_ms, [0, 0, 0, 100, 200, 300]);
        assert!(!bucket.is_full(now));
        assert!(bucket.is_full(now + Duration::from_millis(300)));
    }
}
