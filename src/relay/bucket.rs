//! A token bucket, on the clock that is handed in.

use std::time::Duration;

use super::Flood;
use crate::time::Instant;

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
    pub(super) fn take(&mut self, now: Instant, flood: Flood) -> Result<(), Instant> {
        *self = self.without_one(now, flood)?;
        Ok(())
    }

    /// The bucket with a token less, or when it will have one.
    pub(super) fn without_one(self, now: Instant, flood: Flood) -> Result<Self, Instant> {
        let interval = Duration::from_secs(1) / flood.per_second.max(1);
        let depth = interval * flood.burst.max(1);
        let full_at = self.full_at.max(now) + interval;
        let ready_at = full_at - depth;
        if ready_at > now { Err(ready_at) } else { Ok(Self { full_at }) }
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
