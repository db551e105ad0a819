//! Nothing twice, and nothing that nobody sent.

use super::{Checker, Invariant, Seen, Stage};
use crate::arq::Outcome;
use crate::sim::ghost::{End, Ghost};
use crate::sim::node::{Fate, Report};
use crate::time::Instant;
use crate::wire::ConnectionId;

/// Every message is handed over at most once, and one that arrived exactly once.
#[derive(Debug)]
pub(super) struct AtMostOnce;

impl Checker for AtMostOnce {
    fn invariant(&self) -> Invariant {
        Invariant::AtMostOnce
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Delivered { id, stream, seq, .. }) => {
                let remote = ghost.ends.get(id).and_then(|end| end.remote);
                let sent = remote.and_then(|remote| ghost.sent(remote, *stream, *seq));
                match sent {
                    Some(sent) if sent.is_delivered => {
                        Err(format!("{id} stream {stream} message {seq} came twice"))
                    }
                    _ => Ok(()),
                }
            }
            Seen::Report(Report::GramDelivered { id, body }) => {
                let count = ghost.partner(*id).and_then(|end| end.grams.get(body));
                match count {
                    Some(count) if *count > 0 => {
                        Err(format!("{id}: a gram of {} bytes came twice", body.len()))
                    }
                    _ => Ok(()),
                }
            }
            Seen::Report(Report::Shown { id, .. }) => match ghost.words.get(id) {
                // Killed in the moment between showing and remembering, it shows twice what it showed last (UC-CHAT-017).
                Some(words) if words.is_shown && !words.is_unnoted => Err(format!("{id} was shown twice")),
                _ => Ok(()),
            },
            Seen::Report(Report::Echoed { id, .. }) => match ghost.words.get(id) {
                Some(words) if words.is_returned => Err(format!("{id} was returned twice")),
                _ => Ok(()),
            },
            Seen::Stage { stage: Stage::Ended, .. } => everything_arrived(node, ghost),
            _ => Ok(()),
        }
    }
}

/// At the end: what its sender was told has arrived was handed over.
fn everything_arrived(node: usize, ghost: &Ghost) -> Result<(), String> {
    for (id, end) in ghost.ends.iter().filter(|(_, end)| end.node == node) {
        for (stream, messages) in &end.outgoing {
            for (seq, sent) in (1_u64..).zip(messages) {
                let has_arrived = sent.outcome == Some(Outcome::Arrived);
                if has_arrived && !sent.is_delivered && !is_excused(ghost, *id, end, *stream, seq) {
                    return Err(format!(
                        "{id} stream {stream} message {seq} arrived and was never handed over"
                    ));
                }
            }
        }
    }
    for (id, words) in ghost.words.iter().filter(|(_, words)| words.node == node) {
        if words.fate == Some(Fate::Delivered) && !words.is_shown && !words.is_echo {
            return Err(format!("{id} was delivered and never shown"));
        }
    }
    Ok(())
}

/// A message that arrived is not handed over if its receiver was started anew, had stopped taking messages when the connection
/// ended, or still waited for an ordered message before it.
fn is_excused(ghost: &Ghost, id: ConnectionId, end: &End, stream: u32, seq: u64) -> bool {
    let Some(partner) = end.remote.and_then(|remote| ghost.ends.get(&remote)) else { return false };
    let is_forgotten = !ghost.is_remembered(partner) || partner.was_unread;
    let waits = ghost.sent(id, stream, seq).is_some_and(|sent| !sent.message.unordered)
        && partner.incoming.get(&stream).is_none_or(|incoming| incoming.floor() < seq);
    is_forgotten || (waits && partner.closed.is_some())
}

/// What is handed over was submitted.
#[derive(Debug)]
pub(super) struct NoInvention;

impl Checker for NoInvention {
    fn invariant(&self) -> Invariant {
        Invariant::NoInvention
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Delivered { id, stream, seq, body }) => {
                check_message(ghost, *id, *stream, *seq, body)
            }
            Seen::Report(Report::GramDelivered { id, body }) => {
                let is_known = ghost.partner(*id).is_some_and(|end| end.grams.contains_key(body));
                if is_known {
                    Ok(())
                } else {
                    Err(format!("{id}: nobody sent this gram of {} bytes", body.len()))
                }
            }
            Seen::Report(Report::Shown { id, text, original }) => {
                let words =
                    ghost.words.get(id).ok_or_else(|| format!("{id} was shown and nobody said it"))?;
                if words.text != *text || words.node == node || words.to != Some(node) || words.is_echo {
                    return Err(format!("{id} was shown as {} bytes; it is {words:?}", text.len()));
                }
                match original {
                    Some((of, quoted))
                        if ghost.words.get(of).is_none_or(|words| !words.text.starts_with(quoted)) =>
                    {
                        Err(format!("{id} answers {of}, which nobody said like that"))
                    }
                    _ => Ok(()),
                }
            }
            Seen::Report(Report::Echoed { id, text }) => match ghost.words.get(id) {
                Some(words) if words.is_echo && words.node == node && words.text == *text => Ok(()),
                words => Err(format!("{id} came back as {} bytes; it is {words:?}", text.len())),
            },
            _ => Ok(()),
        }
    }
}

fn check_message(ghost: &Ghost, id: ConnectionId, stream: u32, seq: u64, body: &[u8]) -> Result<(), String> {
    let what = format!("{id} stream {stream} message {seq} of {} bytes", body.len());
    let end = ghost.ends.get(&id).ok_or_else(|| format!("{what}: no such connection"))?;
    let remote = end.remote.ok_or_else(|| format!("{what}: before the handshake"))?;
    let partner =
        ghost.ends.get(&remote).ok_or_else(|| format!("{what}: {remote} is nobody's connection"))?;
    // The side that was welcomed may speak before it hears that it was, never to somebody else.
    if partner.remote != Some(id) {
        return Err(format!("{what}: {remote} is connected with {:?}", partner.remote));
    }
    match ghost.sent(remote, stream, seq) {
        None => Err(format!("{what}: never submitted")),
        Some(sent) if sent.message.length != body.len() || sent.message.body() != body => {
            Err(format!("{what}: submitted as {:?}", sent.message))
        }
        Some(_) => Ok(()),
    }
}
