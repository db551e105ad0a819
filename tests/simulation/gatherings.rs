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

#[test]
fn debug_seed() {
    let Ok(seed) = std::env::var("DBG") else { return };
    let mut world = udpchat::sim::World::new(gathering(seed.parse().unwrap()));
    for s in 0..60 {
        world.run_until(std::time::Duration::from_secs(s)).unwrap();
        for n in 0..3 {
            let c: Vec<String> = world
                .node(n)
                .endpoint()
                .connections()
                .map(|(_, c)| {
                    format!(
                        "{} open={} closed={} {:?} q={:?} {:?}",
                        c.local_id(),
                        c.is_open(),
                        c.is_closed(),
                        c.remote_id(),
                        c.queued(),
                        c.poll_timeout()
                    )
                })
                .collect();
            println!("{s} node {n}: {c:?} {:?}", world.node(n).poll_timeout());
        }
    }
}
