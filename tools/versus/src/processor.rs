//! How much processor time a thread has used: only what it really ran, however many others wanted the machine.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What the calling thread has used since it began.
pub fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
