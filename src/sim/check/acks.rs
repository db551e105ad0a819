//! Acks and nacks tell the truth.

use super::{Checker, Invariant, Seen};
use crate::arq::Ranges;
use crate::sim::ghost::{End, Ghost};
use crate::sim::node::Node;
use crate::time::Instant;
use crate::wire::{ConnectionId, Datagram, Frame};

/// Every ack that leaves names only packets that came intact; every nack only packets that did not, below one that did.
#[derive(Debug)]
pub(super) struct HonestAck;

impl Checker for HonestAck {
    fn invariant(&self) -> Invariant {
        Invariant::HonestAck
    }

    fn check(
        &mut self,
        _at: Instant,
        at_node: usize,
        seen: &Seen<'_, '_>,
        ghost: &Ghost,
    ) -> Result<(), String> {
        let Seen::Emitted { datagram: Some(Datagram::Packet(packet)), node, .. } = seen else {
            return Ok(());
        };
        let is_about_arrivals = |frame: &&Frame<'_>| matches!(frame, Frame::Ack(_) | Frame::Nack(_));
        if !packet.frames.iter().any(|frame| is_about_arrivals(&frame)) {
            return Ok(());
        }
        let nothing = Ranges::default();
        let arrived = sender_of(*node, at_node, packet.to, ghost).map_or(&nothing, |end| &end.arrived);
        let newest = arrived.highest().unwrap_or(0);
        for frame in &packet.frames {
            match frame {
                Frame::Ack(ack) => {
                    let missing = ack.got.iter().find_map(|&[first, last]| arrived.gaps(first, last).next());
                    if let Some(missing) = missing {
                        return Err(format!("packets {missing:?} to {} are acked and never came", packet.to));
                    }
                }
                Frame::Nack(nack) => {
                    let wrong = nack.miss.iter().find(|&&[first, last]| {
                        last > newest || arrived.gaps(first, last).next() != Some([first, last])
                    });
                    if let Some(wrong) = wrong {
                        return Err(format!("packets {wrong:?} to {} are nacked and not missing", packet.to));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The end of `at_node` that sends to `to`.
fn sender_of<'g>(node: &dyn Node, at_node: usize, to: ConnectionId, ghost: &'g Ghost) -> Option<&'g End> {
    let mut connections = node.endpoint().connections();
    let id = connections.find(|(_, connection)| connection.remote_id() == Some(to))?.1.local_id();
    ghost.ends.get(&id).filter(|end| end.node == at_node)
}
