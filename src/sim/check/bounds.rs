//! Everything that is held stays within its configured limit.

use super::{Checker, Invariant, Seen, Stage};
use crate::endpoint::EndpointConfig;
use crate::sim::ghost::Ghost;
use crate::sim::node::Node;
use crate::sim::scenario::Scenario;
use crate::time::Instant;

/// What a node holds, against its configuration; at the end it holds nothing.
#[derive(Debug)]
pub(super) struct Bounded {
    configs: Vec<EndpointConfig>,
}

/// The most ranges of packets that a receiver may keep (UC-ARQ-005).
const MAX_ARRIVAL_RANGES: usize = 1_024;

/// The most packets that a sender may remember: the 8 MiB that are the most in flight, in packets of 128 bytes, which is less
/// than any with content that a busy sender makes.
const MAX_TRACKED_PACKETS: usize = 65_536;

/// The most that may be in flight, and one datagram that began when a byte was left.
const MAX_IN_FLIGHT_BYTES: u64 = 8 * 1024 * 1024 + 65_507;

impl Bounded {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { configs: scenario.nodes.iter().map(|node| node.endpoint.clone()).collect() }
    }

    fn check_load(&self, index: usize, node: &dyn Node) -> Result<(), String> {
        let config = &self.configs[index];
        let endpoint = node.endpoint();
        at_most("half-open entries", endpoint.half_open_count(), config.max_half_open)?;
        let limits = &config.connection.limits;
        // A message that waits for others, waits to be taken, or is remembered as settled is one entry; of each kind there are
        // no more than the window lets through. An unfinished one may have 64 holes, and one for every 128 bytes (UC-STR-006).
        let messages =
            limits.streams as usize * usize::try_from(limits.stream_messages).unwrap_or(usize::MAX / 128);
        let entries = 2 * messages
            + 65 * messages
            + usize::try_from(limits.connection_bytes / 128).unwrap_or(usize::MAX / 2);
        let mut count = 0;
        for (_, connection) in endpoint.connections() {
            count += 1;
            let load = connection.load();
            at_most("bytes to send", load.send_bytes, config.connection.send_queue_bytes)?;
            at_most("messages to send", connection.queued().1, config.connection.send_queue_messages)?;
            at_most("window in use", load.receive_window, limits.connection_bytes)?;
            // What came of a message, and a little for each piece of it.
            let memory = limits.connection_bytes + 96 * load.receive_entries as u64;
            at_most("bytes received", load.receive_bytes, memory)?;
            at_most("entries received", load.receive_entries, entries)?;
            at_most("packets remembered", load.tracked_packets, MAX_TRACKED_PACKETS)?;
            at_most("ranges of arrivals", load.arrival_ranges, MAX_ARRIVAL_RANGES)?;
            at_most("bytes in flight", load.in_flight_bytes, MAX_IN_FLIGHT_BYTES)?;
        }
        at_most("connections", count, config.max_connections)
    }
}

impl Checker for Bounded {
    fn invariant(&self) -> Invariant {
        Invariant::Bounded
    }

    fn check(
        &mut self,
        _at: Instant,
        index: usize,
        seen: &Seen<'_, '_>,
        _ghost: &Ghost,
    ) -> Result<(), String> {
        match seen {
            Seen::Settled { node, .. } => self.check_load(index, *node),
            Seen::Stage { stage: Stage::Ended, node } => {
                let left = node.endpoint().connections().count();
                if left > 0 || !node.is_idle() {
                    return Err(format!("{left} connections are left, idle: {}", node.is_idle()));
                }
                if let Some((at, reason)) = node.endpoint().poll_timeout() {
                    return Err(format!("a timer is left at {at} for {}", reason.name()));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn at_most<T: PartialOrd + std::fmt::Display>(what: &str, held: T, limit: T) -> Result<(), String> {
    if held > limit { Err(format!("{held} {what}, and {limit} is the most")) } else { Ok(()) }
}
