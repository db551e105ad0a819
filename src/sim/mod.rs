//! The simulator: networks of the machines that ship, on virtual time, over the bad link, under the eyes of the invariants.
//!
//! A [`Scenario`] is a list of nodes, what their links do wrong, and a script. A [`World`] runs it: time jumps from one event to
//! the next, so an hour of silence costs nothing. [`Checker`]s look at everything that applications see and at every datagram,
//! with a ghost state of their own, so that no machine vouches for itself. Random scenarios come from one seed ([`swarm()`]), and a
//! scenario that breaks an invariant is made smaller until nothing can be left out ([`shrink()`]).
//!
//! This module must never read a clock, name a socket, a file or a thread, or let hash order decide anything: a seed repeats a
//! run to the last byte.

mod attendee;
mod chatter;
mod check;
mod coverage;
mod deed;
mod disk;
mod gathering;
mod ghost;
mod hall;
mod hostile;
mod meddler;
mod minutes;
mod network;
mod node;
mod scenario;
mod seal;
mod shrink;
mod swarm;
mod talker;
mod vigil;
mod wiretap;
mod world;

pub use check::{Bounds, Checker, Invariant, Seen, Stage, Trace, Violation};
pub use coverage::Coverage;
pub use deed::{Audience, Deed};
pub use gathering::gathering;
pub use ghost::Ghost;
pub use network::Traffic;
pub use node::{Estate, Fate, Node, Report, Submission, Wish};
pub use scenario::{
    Action, AttendeePlan, HallPlan, LinkOf, MessagePlan, Moment, NAMES, NodeKind, NodePlan, Place, ROOMS,
    RepeatsPlan, Scenario, Step,
};
pub use shrink::shrink;
pub use swarm::swarm;
pub use vigil::vigil;
pub use world::{Run, World};
pub use {attendee::Diary, chatter::Shelf, disk::Disk};

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The first day of every simulation; only ever shown.
const STARTED_AT_US: i64 = 1_800_000_000_000_000;

/// More datagrams at one instant than any window lets out: sending must come to an end.
const MAX_BURST: usize = 100_000;

/// Runs a scenario to its end. A panic of a machine is a violation like any other.
pub fn run(scenario: &Scenario) -> Run {
    let mut world = World::new(scenario.clone());
    // The world is taken apart after a panic only to be counted.
    let result = catch_unwind(AssertUnwindSafe(|| world.finish()));
    let violation = match result {
        Ok(result) => result.err(),
        Err(payload) => {
            let words = payload.downcast_ref::<String>().cloned();
            let words = words.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation {
                invariant: Invariant::TotalAndDeterministic,
                at: world.elapsed(),
                node: 0,
                evidence: format!("a panic: {}", words.unwrap_or_default()),
            })
        }
    };
    world.into_run(violation)
}

/// Runs a scenario twice: the second run must be the same to the last byte.
pub fn run_twice(scenario: &Scenario) -> Run {
    let mut first = run(scenario);
    if first.violation.is_none() && run(scenario).trace != first.trace {
        first.violation = Some(Violation {
            invariant: Invariant::TotalAndDeterministic,
            at: Duration::ZERO,
            node: 0,
            evidence: "the same scenario gave another run".to_owned(),
        });
    }
    first
}
