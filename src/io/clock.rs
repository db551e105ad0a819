//! The system's clocks as one [`Now`]: the only file of the product that reads them.

use std::time::{Instant as SystemInstant, SystemTime};

use crate::time::{Instant, Now, WallTime};

/// Hands out the present moment. Its monotonic part starts near zero and never runs backwards; its wall-clock part
/// is whatever the system believes, jumps included.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: SystemInstant,
}

impl Clock {
    /// A clock whose origin is this moment.
    #[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
    #[expect(
        clippy::new_without_default,
        reason = "a clock that appears by default would hide that time is read"
    )]
    pub fn new() -> Self {
        Self { origin: SystemInstant::now() }
    }

    /// The present moment on both clocks.
    #[expect(clippy::disallowed_methods, reason = "this file is where the clock is read")]
    pub fn now(&self) -> Now {
        let elapsed = self.origin.elapsed();
        Now { instant: Instant::ZERO + elapsed, wall: wall_time(SystemTime::now()) }
    }
}

/// A clock set before 1970 counts as 1970: such a time is only ever shown, and wrong either way.
fn wall_time(time: SystemTime) -> WallTime {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime::from_unix_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn never_runs_backwards() {
        let clock = Clock::new();
        let first = clock.now();
        assert!(clock.now().instant >= first.instant);
    }

    #[test]
    fn wall_time_counts_from_1970() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(wall_time(time), WallTime::from_unix_micros(1_500_000));
        assert_eq!(wall_time(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), WallTime::from_unix_micros(0));
    }
}
