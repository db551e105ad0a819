//! Once nothing goes wrong any more, everything arrives within a bound, or its sender is told that it does not.

use std::time::Duration;

use super::{Checker, Invariant, Seen, Stage};
use crate::arq::{Config, Reason};
use crate::fault::{Fault, Rule};
use crate::sim::attendee::LONGEST_PAUSE;
use crate::sim::ghost::Ghost;
use crate::sim::hall::worst_job;
use crate::sim::node::Node;
use crate::sim::scenario::{Action, NodeKind, Scenario};
use crate::time::Instant;

/// How long the stages after the last fault may take.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Until whoever is connected has delivered everything.
    pub recovery: Duration,
    /// Until whoever lost its partner knows.
    pub learning: Duration,
    /// Until everybody who was told to stop has stopped.
    pub ending: Duration,
}

impl Bounds {
    /// The bounds that follow from the configuration, the worst round trip that the schedule can have shown, and what has still
    /// to travel.
    ///
    /// - A probe leaves at most one probe interval after the last fault. The interval is capped, but never below what the measured
    ///   round trip asks for: the mean and four deviations of it, which is five times the worst; and learned reordering, one more.
    /// - Then each window is at least 36 000 bytes for every round trip, of which heads take up to a third; a window of the other
    ///   side or a queue of this one that is smaller rules instead. Of a window of message numbers, and of a queue of few
    ///   messages, a quarter may be all that a round trip frees; and a chatter's words take their receipts with them.
    /// - A side whose address changed is found again when it speaks: after a keep-alive at the latest, if it asked for the
    ///   connection.
    /// - A handshake under way repeats its hello every two seconds.
    /// - What both sides learn only by silence takes the idle time-out, counted from the last packet that came.
    /// - Ending takes a peer's goodbye and the flush, five tries of the close, as long again to remember it, and the idle time-out
    ///   for whoever was not told.
    pub fn new(scenario: &Scenario, outstanding_bytes: u64, outstanding_messages: u64) -> Self {
        let config = scenario.nodes.iter().map(|node| &node.endpoint.connection);
        let bytes_at_once =
            |c: &Config| c.limits.stream_bytes.min(c.limits.connection_bytes).min(c.send_queue_bytes as u64);
        let messages_at_once = |c: &Config| c.limits.stream_messages.min(c.send_queue_messages as u64);
        let least_window = config.clone().map(bytes_at_once).min().unwrap_or(1);
        let least_messages = config.clone().map(messages_at_once).min().unwrap_or(1);
        let cap = config.clone().map(|c: &Config| c.probe_cap).max().unwrap_or_default();
        let idle = config.clone().map(|c| c.idle_timeout).max().unwrap_or_default();
        let keep_alive = config.clone().map(|c| c.keep_alive).max().unwrap_or_default();
        let flush = config.map(|c| c.flush_timeout).max().unwrap_or_default();
        let connect =
            scenario.nodes.iter().map(|node| node.endpoint.connect_timeout).max().unwrap_or_default();

        let probe = cap.max(6 * worst_round_trip(scenario));
        let round_trip = 2 * scenario.delay_after + Duration::from_millis(10);
        let bytes_rounds = outstanding_bytes / (least_window.min(36_000) / 3).max(1);
        let message_rounds = 4 * 2 * outstanding_messages / least_messages.max(1);
        let rounds = u32::try_from(bytes_rounds + message_rounds).unwrap_or(u32::MAX).saturating_add(8);
        let is_rebound = scenario
            .links
            .iter()
            .flat_map(|link| &link.plan.rules)
            .any(|rule| matches!(rule.fault, Fault::Rebind { .. }))
            || scenario
                .script
                .iter()
                .any(|step| matches!(step.action, Action::Rebind | Action::Detour { .. }));
        let search = if is_rebound { keep_alive } else { Duration::ZERO };
        let recovery =
            (2 * probe + round_trip.saturating_mul(rounds)).max(connect) + search + Duration::from_secs(2);
        let learning = recovery + idle + connect + probe;
        let ending = Duration::from_secs(3) + flush + 12 * probe + idle + connect;
        let more = at_a_hall(scenario, outstanding_messages).unwrap_or_default();
        let learning = learning + calling_again(scenario);
        let more = if more.is_zero() { more } else { more + idle + connect };
        Self { recovery: recovery + more, learning: learning + more, ending }
    }
}

/// The longest pause between two attempts, and a quarter more.
const RECONNECT: Duration = Duration::from_millis(18_750);

/// What it takes to be back at a hall, where there is one, on top of what a connection takes: the relay's loss is noticed by
/// silence, the next attempt waits for its pause, the disk for its commits, a user whose name is taken tries another one, and
/// what is said is read no faster than the relay allows.
fn at_a_hall(scenario: &Scenario, outstanding_messages: u64) -> Option<Duration> {
    let NodeKind::Hall(plan) = scenario.nodes.first()?.kind else { return None };
    let reading = outstanding_messages / u64::from(plan.per_second.unwrap_or(50)).max(1);
    Some(RECONNECT + 4 * LONGEST_PAUSE + 40 * worst_job(&plan) + Duration::from_secs(reading))
}

/// What it takes to find somebody again for whom words wait: two pauses and attempts, or the end of patience.
fn calling_again(scenario: &Scenario) -> Duration {
    let plans = scenario.nodes.iter().filter_map(|node| node.repeats.map(|plan| (plan, &node.endpoint)));
    let most = plans.map(|(plan, endpoint)| {
        let attempts = 2 * (RECONNECT + endpoint.connect_timeout) + endpoint.connection.idle_timeout;
        attempts + plan.patience.unwrap_or_default()
    });
    most.max().unwrap_or_default()
}

/// The longest round trip that the faults allow: the sum of all delays in both directions, with full queues.
fn worst_round_trip(scenario: &Scenario) -> Duration {
    let rules = scenario.links.iter().flat_map(|link| &link.plan.rules);
    let freezes = scenario.script.iter().map(|step| match step.action {
        Action::Freeze { length } | Action::Kill { pause: length } => length,
        _ => Duration::ZERO,
    });
    rules.map(worst_delay).sum::<Duration>() + freezes.sum::<Duration>()
}

fn worst_delay(rule: &Rule) -> Duration {
    match rule.fault {
        Fault::Delay { delay: time } | Fault::Jitter { most: time } | Fault::Reorder { hold: time, .. } => {
            time
        }
        Fault::Rate { bits_per_s, queue_bytes } => {
            Duration::from_micros((queue_bytes + 65_507) * 8_000_000 / bits_per_s.max(1))
        }
        _ => Duration::ZERO,
    }
}

/// Everything was delivered and acked in time, and whoever was left alone knows it.
#[derive(Debug)]
pub(super) struct Liveness {
    idle_timeout: Duration,
}

impl Liveness {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let idle = scenario.nodes.iter().map(|node| node.endpoint.connection.idle_timeout).max();
        Self { idle_timeout: idle.unwrap_or_default() }
    }

    /// Both ends learn of death: whoever was not heard for the idle time-out is given up.
    fn check_death(&self, at: Instant, node: usize, ghost: &Ghost) -> Result<(), String> {
        for (id, end) in ghost.ends.iter().filter(|(_, end)| end.node == node && ghost.is_alive(end)) {
            let silent_for = end.silent_for(at, &ghost.nodes[node]);
            if silent_for > self.idle_timeout + Duration::from_millis(1) {
                return Err(format!("{id} heard nothing for {silent_for:?} and is not given up"));
            }
        }
        Ok(())
    }
}

impl Checker for Liveness {
    fn invariant(&self) -> Invariant {
        Invariant::LivenessAfterHeal
    }

    fn check(&mut self, at: Instant, index: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Settled { .. } => self.check_death(at, index, ghost),
            Seen::Stage { stage: Stage::Recovered, node } => {
                check_connected(index, ghost)?;
                check_quiet(index, *node, ghost)
            }
            Seen::Stage { stage: Stage::Learned, node } => check_learned(index, *node, ghost),
            _ => Ok(()),
        }
    }
}

/// Every message between two ends that are both alive has its outcome.
fn check_connected(node: usize, ghost: &Ghost) -> Result<(), String> {
    for (id, end) in ghost.ends.iter().filter(|(id, end)| end.node == node && ghost.is_paired(**id)) {
        for (stream, messages) in &end.outgoing {
            if let Some(index) = messages.iter().position(|sent| sent.outcome.is_none()) {
                let sent = messages[index].message;
                return Err(format!(
                    "{id} stream {stream} message {} is still under way: {sent:?}",
                    index + 1
                ));
            }
        }
    }
    Ok(())
}

/// A connection with nothing to do waits for nothing but its next keep-alive and the end of its partner's silence.
fn check_quiet(node: usize, machine: &dyn Node, ghost: &Ghost) -> Result<(), String> {
    for (_, connection) in machine.endpoint().connections() {
        let id = connection.local_id();
        if !ghost.is_paired(id) || ghost.ends[&id].node != node {
            continue;
        }
        if connection.queued() != (0, 0) {
            return Err(format!("{id} still has {:?} bytes and messages to send", connection.queued()));
        }
        match connection.poll_timeout() {
            Some((_, Reason::KeepAlive | Reason::Idle)) => {}
            // A keep-alive may be under way at this very moment, and its ack too.
            Some((_, Reason::Loss | Reason::Silence | Reason::Ack))
                if connection.load().in_flight_bytes <= 200 => {}
            Some((at, reason)) => {
                return Err(format!("{id} has nothing to do and waits for {reason} at {at}"));
            }
            None => return Err(format!("{id} waits for nothing, not even for the end of silence")),
        }
    }
    Ok(())
}

/// Every message of a living node has its outcome, whoever its partner was.
fn check_learned(node: usize, machine: &dyn Node, ghost: &Ghost) -> Result<(), String> {
    for (id, end) in ghost.ends.iter().filter(|(_, end)| end.node == node && ghost.is_remembered(end)) {
        for (stream, messages) in &end.outgoing {
            if let Some(index) = messages.iter().position(|sent| sent.outcome.is_none()) {
                return Err(format!("{id} stream {stream} message {} never had an outcome", index + 1));
            }
        }
        // A connection that was replaced before its handshake was complete ends without a word.
        if end.closed.is_none() && end.connected_at.is_some() {
            let is_held =
                machine.endpoint().connections().any(|(_, connection)| connection.local_id() == *id);
            if !is_held {
                return Err(format!("{id} is gone and its end was never told"));
            }
        }
    }
    for (id, words) in &ghost.words {
        // How long what is said again may wait is watched with it.
        let is_open = words.fate.is_none() && !ghost.nodes[node].is_repeating;
        if words.node == node && words.life == ghost.nodes[node].life && is_open {
            return Err(format!("{id} never had an outcome"));
        }
    }
    Ok(())
}
