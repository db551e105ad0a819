//! The invariants of a gathering: what attendees of a relay are promised, whatever is killed and whatever is lost.
//!
//! They look at deeds and at the minutes, which are made of deeds; of the relay itself only at what anybody may ask it.

mod durable;
mod fate;
mod members;
mod order;
mod shown;
mod together;

use super::{Checker, Seen};
use crate::sim::deed::Deed;
use crate::sim::node::Report;
use crate::sim::scenario::Scenario;

/// A fresh checker of every invariant; none for a scenario without a hall.
pub(super) fn all(scenario: &Scenario) -> Vec<Box<dyn Checker>> {
    if !scenario.has_hall() {
        return Vec::new();
    }
    vec![
        Box::new(order::TotalOrder),
        Box::new(order::AuthorOrder),
        Box::new(durable::Durable),
        Box::new(shown::ShownOnce),
        Box::new(shown::Private::new(scenario)),
        Box::new(members::UniqueNames),
        Box::new(members::BoundedHall::new(scenario)),
        Box::new(fate::TruthfulFate),
        Box::new(together::Together),
    ]
}

/// The deed that is seen, if it is one.
const fn deed_of<'a>(seen: &Seen<'a, '_>) -> Option<&'a Deed> {
    match seen {
        Seen::Report(Report::Deed(deed)) => Some(deed),
        _ => None,
    }
}
