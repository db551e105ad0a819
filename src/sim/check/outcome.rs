//! Every outcome is told once, and is true.

use super::{Checker, Invariant, Seen};
use crate::arq::Outcome;
use crate::sim::ghost::Ghost;
use crate::sim::node::{Fate, Report};
use crate::time::Instant;
use crate::wire::ConnectionId;

/// Each submission has one outcome. What was not sent is never handed over, what arrived is really there.
#[derive(Debug)]
pub(super) struct TruthfulOutcome;

impl Checker for TruthfulOutcome {
    fn invariant(&self) -> Invariant {
        Invariant::TruthfulOutcome
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Submitted { id, stream, seq, .. }) => {
                let before =
                    ghost.ends.get(id).and_then(|end| end.outgoing.get(stream)).map_or(0, Vec::len) as u64;
                if *seq == before + 1 {
                    Ok(())
                } else {
                    Err(format!("{id} stream {stream}: {seq} follows {before}"))
                }
            }
            Seen::Report(Report::Outcome { id, stream, seq, outcome }) => {
                check_outcome(ghost, *id, *stream, *seq, *outcome)
            }
            Seen::Report(Report::Delivered { id, stream, seq, .. }) => {
                let remote = ghost.ends.get(id).and_then(|end| end.remote);
                match remote
                    .and_then(|remote| ghost.sent(remote, *stream, *seq))
                    .and_then(|sent| sent.outcome)
                {
                    Some(outcome @ (Outcome::NotSent | Outcome::Expired | Outcome::TooLong)) => Err(format!(
                        "{id} stream {stream} message {seq} came; its sender was told {outcome:?}"
                    )),
                    _ => Ok(()),
                }
            }
            Seen::Report(Report::Shown { id, .. }) => {
                match ghost.words.get(id).and_then(|words| words.fate.as_ref()) {
                    Some(Fate::Failed(reason)) => {
                        Err(format!("{id} was shown; its sender was told {reason:?}"))
                    }
                    _ => Ok(()),
                }
            }
            Seen::Report(Report::Fate { id, fate }) => {
                let words =
                    ghost.words.get(id).ok_or_else(|| format!("{id} has an outcome and was never said"))?;
                if words.fate.is_some() || words.node != node {
                    return Err(format!("{id} has a second outcome: {fate:?} after {:?}", words.fate));
                }
                match fate {
                    Fate::Delivered if !words.is_shown && !words.is_echo => {
                        Err(format!("{id} was never shown"))
                    }
                    Fate::Failed(reason) if words.is_shown => {
                        Err(format!("{id} failed ({reason:?}) and was shown"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn check_outcome(
    ghost: &Ghost,
    id: ConnectionId,
    stream: u32,
    seq: u64,
    outcome: Outcome,
) -> Result<(), String> {
    let what = format!("{id} stream {stream} message {seq}");
    let sent = ghost
        .sent(id, stream, seq)
        .ok_or_else(|| format!("{what} has an outcome and was never submitted"))?;
    if let Some(before) = sent.outcome {
        return Err(format!("{what} has a second outcome: {outcome:?} after {before:?}"));
    }
    match outcome {
        Outcome::Arrived => {
            let incoming = ghost.partner(id).and_then(|partner| partner.incoming.get(&stream));
            let is_whole = incoming.is_some_and(|incoming| incoming.whole.contains(&seq));
            if is_whole {
                Ok(())
            } else {
                Err(format!("{what} has arrived, its sender was told; it has not"))
            }
        }
        Outcome::NotSent | Outcome::Expired | Outcome::TooLong if sent.is_delivered => {
            Err(format!("{what} was handed over; its sender was told {outcome:?}"))
        }
        Outcome::Expired if sent.message.deadline.is_none() => {
            Err(format!("{what} expired without a deadline"))
        }
        _ => Ok(()),
    }
}
