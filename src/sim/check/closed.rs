//! What is closed stays closed.

use super::{Checker, Invariant, Seen};
use crate::sim::ghost::Ghost;
use crate::sim::node::Report;
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram, Frame};

/// After its close a connection hands over nothing, tells nothing, and sends nothing but acks and closes. A node that was told to
/// stop is not connected again against its will.
#[derive(Debug)]
pub(super) struct ClosedIsClosed;

impl Checker for ClosedIsClosed {
    fn invariant(&self) -> Invariant {
        Invariant::ClosedIsClosed
    }

    fn check(&mut self, _at: Instant, node: usize, seen: &Seen<'_, '_>, ghost: &Ghost) -> Result<(), String> {
        match seen {
            Seen::Report(Report::Stray { what }) => Err(format!("an event of no known connection: {what}")),
            Seen::Report(Report::Closed { closed, id })
                if matches!(closed, crate::arq::Closed::Violation(_)) =>
            {
                Err(format!("{id}: both sides are honest, and one accuses the other: {closed:?}"))
            }
            Seen::Report(Report::Told { what: "closed-violation" }) => {
                Err("both sides are honest, and one accuses the other".to_owned())
            }
            Seen::Report(report) => {
                match connection_of(report).and_then(|id| Some((id, ghost.ends.get(&id)?))) {
                    Some((id, end)) if end.closed.is_some() => {
                        Err(format!("{id} was closed, and then: {report:?}"))
                    }
                    _ => Ok(()),
                }
            }
            Seen::Emitted { datagram: Some(Datagram::Packet(packet)), .. } => {
                let senders =
                    ghost.ends.values().filter(|end| end.node == node && end.remote == Some(packet.to));
                let is_over = senders.clone().any(|end| end.closed.is_some() && ghost.is_remembered(end));
                let has_data = packet
                    .frames
                    .iter()
                    .any(|frame| !matches!(frame, Frame::Ack(_) | Frame::Nack(_) | Frame::Close(_)));
                if is_over && has_data {
                    return Err(format!(
                        "packet {} to {} carries {:?} after the close",
                        packet.number,
                        packet.to,
                        kinds(packet.frames.as_slice())
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn kinds(frames: &[Frame<'_>]) -> Vec<&'static str> {
    frames.iter().map(|frame| frame.kind().name()).collect()
}

const fn connection_of(report: &Report) -> Option<ConnectionId> {
    match report {
        Report::Connected { id, .. }
        | Report::Submitted { id, .. }
        | Report::Delivered { id, .. }
        | Report::Outcome { id, .. }
        | Report::GramSubmitted { id, .. }
        | Report::GramDelivered { id, .. }
        | Report::Noted { id, .. }
        | Report::Closed { id, .. } => Some(*id),
        _ => None,
    }
}
