//! Both sides keep step when keys change.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::{Checker, Invariant, Seen};
use crate::endpoint::Disposition;
use crate::sim::ghost::Ghost;
use crate::sim::node::Node;
use crate::sim::scenario::Scenario;
use crate::sim::wiretap::Said;
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram, SealedHead};

/// A sender changes its key by one step, and only after a packet under the present one came; it does change it in time; and
/// whatever an honest side sealed opens, unless its key has been out of use for long.
#[derive(Debug)]
pub(super) struct Keys {
    longest_epoch: Duration,
    /// By the receiver's id.
    directions: BTreeMap<ConnectionId, Direction>,
    /// How many sealed packets or handshakes the node could not open, and how many were too old, when a datagram is about to come.
    before: [u64; 3],
}

#[derive(Clone, Copy, Debug)]
struct Direction {
    /// What the sender seals with, and since when.
    epoch: u64,
    began_at: Instant,
    /// The newest that came to the receiver, and when it did.
    read: Option<(u64, Instant)>,
}

/// What it can take, once a key has had its time, until a packet leaves that notices and until the ack comes that it needs: a
/// connection that hears nothing for a minute is over.
const CHANGE: Duration = Duration::from_secs(120);

/// For so long the key before still opens (UC-SEAL-007).
const PREVIOUS_KEPT: Duration = Duration::from_secs(30);

impl Keys {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let lives = scenario.nodes.iter().map(|node| node.endpoint.connection.key_life.time);
        let longest_epoch = lives.max().unwrap_or_default() + CHANGE;
        Self { longest_epoch, directions: BTreeMap::new(), before: [0; 3] }
    }

    fn check_sent(&mut self, at: Instant, head: &SealedHead) -> Result<(), String> {
        let fresh = Direction { epoch: 0, began_at: at, read: None };
        let direction = self.directions.entry(head.to).or_insert(fresh);
        let what = format!("packet {} to {}", head.number, head.to);
        if head.epoch == direction.epoch + 1 {
            if direction.read.is_none_or(|(read, _)| read < direction.epoch) {
                return Err(format!("{what} is of epoch {}, and of the one before none came", head.epoch));
            }
            (direction.epoch, direction.began_at) = (head.epoch, at);
        } else if head.epoch != direction.epoch {
            return Err(format!("{what} is of epoch {} after {}", head.epoch, direction.epoch));
        }
        let age = at.since(direction.began_at);
        if age > self.longest_epoch {
            return Err(format!("{what} is sealed with a key of {age:?} ago"));
        }
        Ok(())
    }

    fn check_came(&mut self, at: Instant, head: &SealedHead, node: &dyn Node) -> Result<(), String> {
        let Some(direction) = self.directions.get_mut(&head.to) else { return Ok(()) };
        let [unsealed, unfinished, too_old] = counts(node);
        let what = format!("packet {} to {} of epoch {}", head.number, head.to, head.epoch);
        if [unsealed, unfinished] != self.before[..2] {
            return Err(format!("{what} is as it was sent and does not open: {direction:?}"));
        }
        let is_of_old =
            direction.read.is_some_and(|(read, since)| head.epoch < read && at >= since + PREVIOUS_KEPT);
        let is_older = direction.read.is_some_and(|(read, _)| head.epoch + 1 < read);
        if too_old != self.before[2] && !is_of_old && !is_older {
            return Err(format!("{what} is called too old: {direction:?}"));
        }
        if direction.read.is_none_or(|(read, _)| read < head.epoch) {
            direction.read = Some((head.epoch, at));
        }
        Ok(())
    }
}

impl Checker for Keys {
    fn invariant(&self) -> Invariant {
        Invariant::Keys
    }

    fn check(
        &mut self,
        at: Instant,
        _index: usize,
        seen: &Seen<'_, '_>,
        _ghost: &Ghost,
    ) -> Result<(), String> {
        match seen {
            Seen::Emitted { said: Said::Packet(head, _), .. } => self.check_sent(at, head),
            Seen::Arrived { said: Said::Packet(head, _), node, .. } => self.check_came(at, head, *node),
            _ => Ok(()),
        }
    }

    fn arriving(
        &mut self,
        _node: usize,
        _from: SocketAddr,
        _length: usize,
        _says: Option<&Datagram<'_>>,
        _ghost: &Ghost,
        machine: &dyn Node,
    ) {
        self.before = counts(machine);
    }
}

fn counts(node: &dyn Node) -> [u64; 3] {
    let statistics = node.endpoint().statistics();
    [Disposition::BadSeal, Disposition::BadHandshake, Disposition::OldKey]
        .map(|disposition| statistics.count_of(disposition))
}
