//! Attendees at a relay: random schedules, and what must come true in particular.

use udpchat::sim::gathering;

use super::campaign::{Campaign, run_one};

/// Schedules in an ordinary test run: half a minute on two cores.
const SCHEDULES: u64 = 300;

/// What has to occur in a campaign.
const SOMETIMES: [&str; 0] = [];

#[test]
fn relay_campaign() {
    let plan =
        Campaign { scenario: gathering, schedules: SCHEDULES, most_datagrams: 100_000, repeat: "relay_seed" };
    plan.run(&SOMETIMES);
}

#[test]
fn relay_seed() {
    run_one(gathering, "relay_seed");
}
