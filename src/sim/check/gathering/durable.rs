//! What was confirmed is stored, once, for ever.

use super::deed_of;
use crate::sim::check::{Checker, Invariant, Seen};
use crate::sim::deed::{Audience, Deed};
use crate::sim::ghost::Ghost;
use crate::sim::node::Fate;
use crate::time::Instant;

/// No receipt before the commit, and nothing is stored twice.
#[derive(Debug)]
pub(super) struct Durable;

impl Checker for Durable {
    fn invariant(&self) -> Invariant {
        Invariant::Durable
    }

    fn check(
        &mut self,
        _at: Instant,
        _node: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match deed_of(seen) {
            Some(Deed::Stored { id, pos, .. }) => match minutes.places.get(id) {
                Some(before) => Err(format!("{id} is stored at {before:?} and again at {pos}")),
                None => Ok(()),
            },
            Some(Deed::Fate { id, fate: Fate::Delivered } | Deed::Held { id }) => {
                let is_for_relay = minutes.words.get(id).is_some_and(|speech| speech.to == Audience::Relay);
                if is_for_relay || minutes.places.contains_key(id) {
                    Ok(())
                } else {
                    Err(format!("{id} has a receipt and is not stored"))
                }
            }
            _ => Ok(()),
        }
    }
}
