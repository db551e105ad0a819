//! Nobody is moved by a word that no honest side sealed.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Checker, Invariant, Seen};
use crate::arq::{Closed, Connection, Statistics};
use crate::machine::Path;
use crate::sim::ghost::Ghost;
use crate::sim::node::{Node, Report};
use crate::sim::scenario::Scenario;
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram};

/// A datagram that no honest side wrote makes a sealed node's application see nothing and changes no connection: none begins, ends,
/// moves, takes or learns anything by it, and no attempt ends before its time.
#[derive(Debug)]
pub(super) struct Authentic {
    is_sealed: Vec<bool>,
    is_gathering: bool,
    /// How long each node's attempts to connect last.
    patience: Vec<Duration>,
    /// The node's connections when a datagram is about to come.
    before: Vec<Picture>,
}

/// What can be seen of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Picture {
    id: ConnectionId,
    remote: Option<ConnectionId>,
    path: Path,
    stage: [bool; 3],
    queued: (usize, usize),
    held_bytes: u64,
    statistics: Statistics,
    round_trip: Option<Duration>,
    epochs: Option<(u64, u64)>,
}

impl Authentic {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            is_sealed: scenario.nodes.iter().map(|node| node.is_sealed).collect(),
            is_gathering: scenario.has_hall(),
            patience: scenario.nodes.iter().map(|node| node.endpoint.connect_timeout).collect(),
            before: Vec::new(),
        }
    }

    /// What anybody can say does not end an attempt before its time (UC-HS-011).
    fn check_attempt(
        &self,
        at: Instant,
        id: ConnectionId,
        closed: &Closed,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let Some(end) = ghost.ends.get(&id) else { return Ok(()) };
        // Of an end that was never connected, it is when it was asked for.
        let lasted = at.since(end.heard_at);
        let is_unanswered = matches!(closed, Closed::NoAnswer { .. } | Closed::WrongKey { .. });
        if is_unanswered && end.connected_at.is_none() && lasted < self.patience[end.node] {
            return Err(format!("{id} was given up after {lasted:?}: {closed:?}"));
        }
        Ok(())
    }
}

impl Checker for Authentic {
    fn invariant(&self) -> Invariant {
        Invariant::Authentic
    }

    fn check(&mut self, at: Instant, index: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        if let Seen::Report(Report::Closed { id, closed }) = seen {
            return self.check_attempt(at, *id, closed, ghost);
        }
        let Seen::Arrived { said, reports, node, from, length, .. } = seen else { return Ok(()) };
        if !self.is_sealed[index] || said.is_authentic() {
            return Ok(());
        }
        // At a gathering they tell of disks and diaries whenever they are asked.
        if *reports > 0 && !self.is_gathering {
            return Err(format!("{length} bytes from {from} that nobody wrote made it see {reports} things"));
        }
        let after = pictures(*node);
        if after != self.before {
            let changed = after.iter().find(|picture| !self.before.contains(picture));
            return Err(format!(
                "{length} bytes from {from} that nobody wrote changed {changed:?} of {:?}",
                self.before
            ));
        }
        Ok(())
    }

    fn arriving(
        &mut self,
        node: usize,
        _from: SocketAddr,
        _length: usize,
        _says: Option<&Datagram<'_>>,
        _ghost: &Ghost,
        machine: &dyn Node,
    ) {
        if self.is_sealed[node] {
            self.before = pictures(machine);
        }
    }
}

fn pictures(node: &dyn Node) -> Vec<Picture> {
    node.endpoint().connections().map(|(_, connection)| Picture::of(connection)).collect()
}

impl Picture {
    fn of(connection: &Connection) -> Self {
        Self {
            id: connection.local_id(),
            remote: connection.remote_id(),
            path: connection.path(),
            stage: [connection.is_open(), connection.is_closed(), connection.is_silent()],
            queued: connection.queued(),
            held_bytes: connection.held_bytes(),
            statistics: *connection.statistics(),
            round_trip: connection.rtt().smoothed(),
            epochs: connection.epochs(),
        }
    }
}
