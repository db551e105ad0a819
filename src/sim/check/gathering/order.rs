//! One order for all: a log's positions only grow, at the disk and at everybody who is shown it.

use super::deed_of;
use crate::ledger::LogKey;
use crate::sim::check::{Checker, Invariant, Seen};
use crate::sim::deed::Deed;
use crate::sim::ghost::Ghost;
use crate::time::Instant;

/// A position is of one entry for ever, later entries are above, and nobody is shown them in another order.
#[derive(Debug)]
pub(super) struct TotalOrder;

impl Checker for TotalOrder {
    fn invariant(&self) -> Invariant {
        Invariant::TotalOrder
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match deed_of(seen) {
            Some(Deed::Stored { pos, id, .. }) if *pos <= minutes.head() => {
                Err(format!("{id} was stored at {pos}, and the log went up to {}", minutes.head()))
            }
            Some(Deed::Shown { id, .. }) => {
                let Some((log, pos)) = minutes.place(id) else { return Ok(()) };
                let Some(attendee) = minutes.attendees.get(&node) else { return Ok(()) };
                let last = attendee.last(log);
                if pos < last && !attendee.was_shown((log.0, pos)) {
                    return Err(format!("{id} at {pos} of {log:?} was shown after {last}"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// What one attendee says in one room stands there in the order in which it was said, unless the disk refused some of it.
#[derive(Debug)]
pub(super) struct AuthorOrder;

impl Checker for AuthorOrder {
    fn invariant(&self) -> Invariant {
        Invariant::AuthorOrder
    }

    fn check(
        &mut self,
        _at: Instant,
        _node: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let minutes = &ghost.minutes;
        let Some(Deed::Stored { key: LogKey::Room(_), id, .. }) = deed_of(seen) else { return Ok(()) };
        let Some(speech) = minutes.words.get(id).filter(|speech| !speech.was_rejected) else {
            return Ok(());
        };
        let later = minutes.words.iter().find(|(other, later)| {
            (later.node, later.life, &later.to) == (speech.node, speech.life, &speech.to)
                && later.number > speech.number
                && minutes.places.contains_key(*other)
        });
        match later {
            Some((later, _)) => Err(format!("{id} was stored after {later}, and was said before it")),
            None => Ok(()),
        }
    }
}
