//! Order where it was asked for, and no waiting where it was not.

use std::collections::BTreeMap;

use super::{Checker, Invariant, Seen};
use crate::arq::Outcome;
use crate::peer::ConversationId;
use crate::sim::ghost::{End, Ghost};
use crate::sim::node::{Fate, Report};
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram};

/// Ordered messages come in order, with gaps only where one was given up; and whatever came whole is handed over at once, unless
/// it is ordered and one before it is missing.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The highest number of words shown, for each conversation of a speaker's life and each listener's life.
    shown: BTreeMap<Talk, u64>,
}

/// One life of a speaker in one conversation with one life of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Talk {
    speaker: (usize, u32),
    conversation: ConversationId,
    listener: (usize, u32),
}

impl Checker for Order {
    fn invariant(&self) -> Invariant {
        Invariant::Order
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Delivered { id, stream, seq, .. }) => check_turn(ghost, *id, *stream, *seq),
            Seen::Report(Report::Shown { id, .. }) => {
                // Words that nobody can tell the fate of any more may still come, from a connection that ended on one side.
                let Some(words) = ghost.words.get(id).filter(|words| words.fate != Some(Fate::Unknown))
                else {
                    return Ok(());
                };
                // A side whose address changed is another conversation until it proves to be the same.
                let Some(conversation) = words.conversation else { return Ok(()) };
                let talk = Talk {
                    speaker: (words.node, words.life),
                    conversation,
                    listener: (node, ghost.nodes[node].life),
                };
                let before = self.shown.insert(talk, words.number).unwrap_or(0);
                if before > words.number {
                    return Err(format!("{id} was shown after something that was said later"));
                }
                Ok(())
            }
            // Only what comes can make something ready.
            Seen::Arrived { datagram: Some(Datagram::Packet(packet)), .. }
                if ghost.nodes[node].is_reading =>
            {
                let end = ghost.ends.get(&packet.to).filter(|end| end.node == node && ghost.is_alive(end));
                end.map_or(Ok(()), |end| check_promptness(packet.to, end))
            }
            _ => Ok(()),
        }
    }
}

fn check_turn(ghost: &Ghost, id: ConnectionId, stream: u32, seq: u64) -> Result<(), String> {
    let Some(remote) = ghost.ends.get(&id).and_then(|end| end.remote) else { return Ok(()) };
    let Some(sent) = ghost.sent(remote, stream, seq).filter(|sent| !sent.message.unordered) else {
        return Ok(());
    };
    let last = ghost.ends[&id].incoming.get(&stream).map_or(0, |incoming| incoming.last_ordered);
    if last > seq && !sent.is_delivered {
        return Err(format!("{id} stream {stream}: message {seq} came after message {last}"));
    }
    for between in last + 1..seq {
        let Some(skipped) = ghost.sent(remote, stream, between) else { continue };
        let is_given_up =
            matches!(skipped.outcome, Some(Outcome::Expired | Outcome::Unknown | Outcome::TooLong));
        if !skipped.message.unordered && !skipped.is_delivered && !is_given_up {
            return Err(format!("{id} stream {stream}: message {seq} came before message {between}"));
        }
    }
    Ok(())
}

fn check_promptness(id: ConnectionId, end: &End) -> Result<(), String> {
    for (stream, incoming) in &end.incoming {
        let floor = incoming.floor();
        for (&seq, &unordered) in &incoming.undelivered {
            if unordered || seq <= floor {
                return Err(format!(
                    "{id} stream {stream}: message {seq} is here whole and was not handed over"
                ));
            }
        }
    }
    Ok(())
}
