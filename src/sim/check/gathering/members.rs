//! Who is there: each name once, and no more of anything than there can be.

use std::collections::BTreeMap;

use super::deed_of;
use crate::sim::check::{Checker, Invariant, Seen, Stage};
use crate::sim::deed::Deed;
use crate::sim::ghost::Ghost;
use crate::sim::node::Node;
use crate::sim::scenario::{ROOMS, Scenario};
use crate::time::Instant;

/// No two members go by the same name: by the relay's log at any time, and by their own belief once everything is well.
#[derive(Debug)]
pub(super) struct UniqueNames;

impl Checker for UniqueNames {
    fn invariant(&self) -> Invariant {
        Invariant::UniqueNames
    }

    fn check(
        &mut self,
        _at: Instant,
        _node: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match (deed_of(seen), seen) {
            (Some(Deed::Admitted { nick, node }), _) => match (minutes.admitted.get(nick), node) {
                (Some(holder), Some(node)) if holder != node => {
                    Err(format!("{node} was let in as {nick}, who is {holder}"))
                }
                (_, None) => Err(format!("{nick} was let in and is nobody")),
                _ => Ok(()),
            },
            (Some(Deed::Renamed { before, nick }), _) => match minutes.admitted.get(nick) {
                Some(holder) if before != nick => Err(format!("{before} became {nick}, who is {holder}")),
                _ => Ok(()),
            },
            (_, Seen::Stage { stage: Stage::Recovered, node }) => check_beliefs(*node, ghost),
            _ => Ok(()),
        }
    }
}

fn check_beliefs(node: &dyn Node, ghost: &Ghost) -> Result<(), String> {
    let Some((members, _)) = node.attendance() else { return Ok(()) };
    let mut names = BTreeMap::new();
    for (index, attendee) in &ghost.minutes.attendees {
        let Some(nick) = &attendee.nick else { continue };
        if let Some(other) = names.insert(nick, index) {
            return Err(format!("{other} and {index} both think that they are {nick}"));
        }
        if ghost.minutes.admitted.get(nick) != Some(index) {
            return Err(format!("{index} thinks that it is {nick}; the relay: {:?}", ghost.minutes.admitted));
        }
    }
    if names.len() == members {
        Ok(())
    } else {
        Err(format!("the relay counts {members} members, and {names:?} think that they are in"))
    }
}

/// The relay holds no more members and rooms than there are, and no more for each of them than it should; in the end nothing.
#[derive(Debug)]
pub(super) struct BoundedHall {
    attendees: usize,
}

/// What waits for one member in its connection: the share of the log that is under way, one long entry on top, news up to their
/// bound, and receipts.
const MAX_QUEUED_BYTES: usize = (128 + 192 + 512 + 256) * 1024;

impl BoundedHall {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self { attendees: scenario.nodes.len() - 1 }
    }
}

impl Checker for BoundedHall {
    fn invariant(&self) -> Invariant {
        Invariant::BoundedHall
    }

    fn check(
        &mut self,
        _at: Instant,
        _node: usize,
        seen: &Seen<'_, '_>,
        _ghost: &Ghost,
    ) -> Result<(), String> {
        let (Seen::Settled { node, .. } | Seen::Stage { node, .. }) = seen else { return Ok(()) };
        let Some((members, rooms)) = node.attendance() else { return Ok(()) };
        if members > self.attendees || rooms > ROOMS.len() {
            return Err(format!("{members} members in {rooms} rooms"));
        }
        for (_, connection) in node.endpoint().connections() {
            let (bytes, messages) = connection.queued();
            if bytes > MAX_QUEUED_BYTES {
                return Err(format!("{bytes} bytes in {messages} messages wait for one member"));
            }
        }
        if matches!(seen, Seen::Stage { stage: Stage::Left, .. }) {
            let left = node.endpoint().connections().count();
            if (members, rooms, left) != (0, 0, 0) {
                return Err(format!("{members} members, {rooms} rooms and {left} connections are left"));
            }
        }
        Ok(())
    }
}
