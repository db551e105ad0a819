//! Once nothing goes wrong any more, everybody is back, and has been shown everything.

use super::super::Stage;
use crate::ledger::LogKey;
use crate::peer::FailReason;
use crate::sim::check::{Checker, Invariant, Seen};
use crate::sim::deed::Audience;
use crate::sim::ghost::Ghost;
use crate::sim::minutes::{Attendance, Line, Minutes};
use crate::sim::node::Fate;
use crate::time::Instant;

/// Everybody is in, in the rooms that they want to be in; every word has its outcome; nobody missed anything.
#[derive(Debug)]
pub(super) struct Together;

impl Checker for Together {
    fn invariant(&self) -> Invariant {
        Invariant::Together
    }

    fn check(
        &mut self,
        _at: Instant,
        index: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let Seen::Stage { stage: Stage::Recovered, .. } = seen else { return Ok(()) };
        let minutes = &ghost.minutes;
        let Some(attendee) = minutes.attendees.get(&index) else { return Ok(()) };
        if attendee.nick.is_none() || attendee.ledger != minutes.ledger {
            return Err(format!("it is not in: {attendee:?}"));
        }
        if !attendee.rooms.keys().eq(&attendee.wishes) {
            return Err(format!("it is in {:?} and wants {:?}", attendee.rooms, attendee.wishes));
        }
        let life = ghost.nodes[index].life;
        check_outcomes(minutes, index, life)?;
        for (place, line) in &minutes.stored {
            // A sealed letter that its receiver could not open is not shown, and its author was told.
            let fate = minutes.words.get(&line.id).and_then(|speech| speech.fate.as_ref());
            if matches!(fate, Some(Fate::Failed(FailReason::Refused { .. }))) {
                continue;
            }
            if is_due(minutes, index, life, attendee, *place, line) && !attendee.was_shown(*place) {
                return Err(format!("it was never shown {} at {place:?}", line.id));
            }
        }
        Ok(())
    }
}

fn check_outcomes(minutes: &Minutes, node: usize, life: u32) -> Result<(), String> {
    let open = minutes
        .words
        .iter()
        .find(|(_, speech)| (speech.node, speech.life) == (node, life) && speech.fate.is_none());
    match open {
        Some((id, speech)) => Err(format!(
            "{id} never had an outcome; it is {speech:?}, stored at {:?}",
            minutes.places.get(id)
        )),
        None => Ok(()),
    }
}

/// Whether an attendee must have been shown an entry by now.
fn is_due(
    minutes: &Minutes,
    node: usize,
    life: u32,
    attendee: &Attendance,
    (ledger, pos): (u64, u64),
    line: &Line,
) -> bool {
    let Some(speech) = minutes.words.get(&line.id).filter(|_| ledger == minutes.ledger) else {
        return false;
    };
    // Own words are shown as they are said. Those of an earlier life may have come back to it.
    let is_own = speech.node == node && speech.life <= life;
    match (&line.key, &speech.to) {
        // A letter that was shown may be settled before its receiver stored that, and then it does not come again.
        (LogKey::Mailbox(_), _) => {
            minutes.receiver(&line.id) == Some(node) && !speech.shown_to.contains(&node)
        }
        (LogKey::Everyone, _) => {
            !is_own && attendee.everyone_since.is_some_and(|since| since.0 == ledger && pos > since.1)
        }
        (LogKey::Room(_), Audience::Room(room)) => {
            let since = attendee.rooms.get(room).map(|&first| if attendee.repeats_rooms { first } else { 0 });
            !is_own && since.is_some_and(|since| pos > since)
        }
        (LogKey::Room(_), _) => false,
    }
}
