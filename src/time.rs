//! Time as the pure layers see it: a number that somebody hands in.
//!
//! Nothing here reads a clock; `io::clock` makes a [`Now`] from the system's clocks and the simulator makes one up.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment as both clocks tell it. The monotonic part decides, the wall-clock part is only ever shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since an origin that differs from program run to program run.
    pub instant: Instant,
    /// The date and time of day, which may jump.
    pub wall: WallTime,
}

impl Now {
    /// The moment `elapsed` later, on both clocks.
    pub fn after(self, elapsed: Duration) -> Self {
        let wall_us = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        Self { instant: self.instant + elapsed, wall: WallTime(self.wall.0.saturating_add(wall_us)) }
    }
}

/// A point on the monotonic clock, in nanoseconds. Never compared across machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The point `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to here, or zero if `earlier` is later: the clocks of a simulation never run backwards,
    /// but a caller may hand in an older `now`, and that must not be a panic.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, delay: Duration) -> Self {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, delay: Duration) {
        *self = *self + delay;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, delay: Duration) -> Self {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(nanos))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000 / 1_000)
    }
}

/// The date and time of day in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(i64);

impl WallTime {
    /// The moment `micros` microseconds after the Unix epoch.
    pub const fn from_unix_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_unix_micros(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_now_counts_as_no_time_at_all() {
        let early = Instant::from_nanos(5);
        let late = Instant::from_nanos(9);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!(late.since(early), Duration::from_nanos(4));
    }

    #[test]
    fn both_clocks_advance_together() {
        let start = Now { instant: Instant::ZERO, wall: WallTime::from_unix_micros(7) };
        let later = start.after(Duration::from_millis(2));
        assert_eq!(later.instant.as_nanos(), 2_000_000);
        assert_eq!(later.wall.as_unix_micros(), 2_007);
    }
}
