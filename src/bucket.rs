//! A token bucket, on the clock that is handed in.
//!
//! This module must never decide what a token is for.

use std::time::Duration;

use crate::time::Instant;

/// How fast something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many at once.
    pub burst: u32,
    /// And so many a second after that.
    pub per_second: u32,
}

/// The same, where it happens more seldom than once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// So many at once.
    pub burst: u32,
    /// And one each time that this has passed.
    pub interval: Duration,
}

impl From<Rate> for Pace {
    fn from(rate: Rate) -> Self {
        Self { burst: rate.burst, interval: Duration::from_secs(1) / rate.per_second.max(1) }
    }
}

/// Tokens of one member, or of one address. Fresh ones are full.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// When the bucket would be (or was) full again: one number instead of a count and a time (the "virtual scheduling" form of
    /// the generic cell rate algorithm, ITU-T I.371, annex A).
    full_at: Instant,
}

impl Default for Bucket {
    fn default() -> Self {
        Self::new()
    }
}

impl Bucket {
    /// A full one.
    pub const fn new() -> Self {
        Self { full_at: Instant::ZERO }
    }

    /// Takes a token, or tells when there will be one.
    pub fn take(&mut self, now: Instant, pace: impl Into<Pace>) -> Result<(), Instant> {
        *self = self.without_one(now, pace)?;
        Ok(())
    }

    /// The bucket with a token less, or when it will have one.
    pub fn without_one(self, now: Instant, pace: impl Into<Pace>) -> Result<Self, Instant> {
        let Pace { burst, interval } = pace.into();
        let depth = interval * burst.max(1);
        let full_at = self.full_at.max(now) + interval;
        let ready_at = full_at - depth;
        if ready_at > now { Err(ready_at) } else { Ok(Self { full_at }) }
    }

    /// Gives a token back that was taken at this pace.
    pub fn give_back(&mut self, pace: impl Into<Pace>) {
        self.full_at = self.full_at - pace.into().interval;
    }

    /// Whether it is as good as a new one.
    pub fn is_full(self, now: Instant) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        let rate = Rate { burst: 3, per_second: 10 };
        let mut bucket = Bucket::new();
        let start = Instant::from_nanos(5_000_000_000);
        let mut now = start;
        let mut passed_ms = Vec::new();
        for _ in 0..6 {
            while let Err(at) = bucket.take(now, rate) {
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
