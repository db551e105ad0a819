//! Each of an attendee's words has one outcome, and it is true.

use super::deed_of;
use crate::chat::MessageId;
use crate::peer::FailReason;
use crate::sim::check::{Checker, Invariant, Seen};
use crate::sim::deed::{Audience, Deed};
use crate::sim::ghost::Ghost;
use crate::sim::minutes::Minutes;
use crate::sim::node::Fate;
use crate::time::Instant;

/// One outcome; what failed is nowhere; a letter that was delivered was shown.
#[derive(Debug)]
pub(super) struct TruthfulFate;

impl Checker for TruthfulFate {
    fn invariant(&self) -> Invariant {
        Invariant::TruthfulFate
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        let minutes = &ghost.minutes;
        match deed_of(seen) {
            Some(Deed::Fate { id, fate }) => check_fate(minutes, node, ghost.nodes[node].life, id, fate),
            Some(Deed::Held { id }) => {
                let speech = minutes.words.get(id).ok_or_else(|| format!("nobody said {id}"))?;
                let is_letter = matches!(speech.to, Audience::Member(_));
                if !is_letter || speech.fate.is_some() || speech.is_held {
                    return Err(format!("{id} is held; it is {speech:?}"));
                }
                Ok(())
            }
            Some(Deed::Stored { id, .. } | Deed::Shown { id, .. }) => {
                match minutes.words.get(id).and_then(|speech| speech.fate.as_ref()) {
                    Some(Fate::Failed(reason)) => {
                        Err(format!("{id} is there; its author was told {reason:?}"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn check_fate(minutes: &Minutes, node: usize, life: u32, id: &MessageId, fate: &Fate) -> Result<(), String> {
    let speech = minutes.words.get(id).ok_or_else(|| format!("nobody said {id}"))?;
    if (speech.node, speech.life) != (node, life) || speech.fate.is_some() {
        return Err(format!("{id} has the outcome {fate:?}; it is {speech:?}"));
    }
    match fate {
        // A sealed letter that its receiver could not open was stored, and shown to nobody; it never will be.
        Fate::Failed(FailReason::Refused { .. })
            if matches!(speech.to, Audience::Member(_)) && speech.shown_to.is_empty() =>
        {
            Ok(())
        }
        Fate::Failed(reason) if minutes.places.contains_key(id) => {
            Err(format!("{id} failed ({reason}) and is stored, and was shown to {:?}", speech.shown_to))
        }
        Fate::Delivered if matches!(speech.to, Audience::Member(_)) => match minutes.receiver(id) {
            Some(receiver) if speech.shown_to.contains(&receiver) => Ok(()),
            receiver => Err(format!("{id} was delivered and never shown to {receiver:?}")),
        },
        _ => Ok(()),
    }
}
